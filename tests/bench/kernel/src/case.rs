//! What is to be measured.

/// What a run is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Instructions, group by group.
    Count,
    /// Time: as fast as it goes.
    Free,
    /// Each frame goes back, by polling.
    EchoPolling,
    /// Each frame goes back, by interrupt.
    EchoInterrupt,
}

/// One run: `path:way:length:offset:burst:queue:packets`. A way is `tx` or `rx`, with `free-` in front to run for time; or
/// `echo-poll`, `echo-interrupt`.
pub struct Case<'t> {
    /// As it was written.
    pub text: &'t str,
    /// Whose interface, and which way through it.
    pub path: &'t str,
    /// What for.
    pub kind: Kind,
    /// Transmit, else receive.
    pub transmit: bool,
    /// Bytes of each frame; 0: mixed, 60 to 1,514.
    pub length: u32,
    /// Bytes that the user's memory is off an aligned place.
    pub offset: u32,
    /// Packets in one call, where the interface has bursts, or in a row.
    pub burst: u32,
    /// Entries of each queue.
    pub queue: u32,
    /// Packets in all.
    pub packets: u32,
}

impl<'t> Case<'t> {
    /// `None` where the text is none.
    pub fn parse(text: &'t str) -> Option<Self> {
        let mut words = text.split(':');
        let path = words.next()?;
        let (kind, transmit) = match words.next()? {
            "tx" => (Kind::Count, true),
            "rx" => (Kind::Count, false),
            "free-tx" => (Kind::Free, true),
            "free-rx" => (Kind::Free, false),
            "echo-poll" => (Kind::EchoPolling, false),
            "echo-interrupt" => (Kind::EchoInterrupt, false),
            _ => return None,
        };
        let mut number = || words.next()?.parse().ok();
        let case = Self {
            text,
            path,
            kind,
            transmit,
            length: number()?,
            offset: number()?,
            burst: number()?,
            queue: number()?,
            packets: number()?,
        };
        (case.burst > 0 && case.burst <= case.queue && case.queue <= 256).then_some(case)
    }
}

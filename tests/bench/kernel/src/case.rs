//! What is to be measured.

/// One run: `path:direction:length:offset:burst:queue:packets`, with a length of 0 for mixed lengths.
pub struct Case<'t> {
    /// As it was written.
    pub text: &'t str,
    /// Whose interface, and which way through it.
    pub path: &'t str,
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
        let transmit = words.next()? == "tx";
        let mut number = || words.next()?.parse().ok();
        let case = Self {
            text,
            path,
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

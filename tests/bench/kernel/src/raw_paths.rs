//! `VirtIONetRaw`, the crate's and the drop-in: in memory of the caller, or one copied frame a call.

use crate::case::Case;
use crate::frames;
use crate::meter;
use crate::run::{self, Path, Report};
use crate::spy::{self, IdentityHal, Spy};
use alloc::boxed::Box;
use alloc::vec::Vec;

const HEADER: usize = 12;
const RX_BUFFER: usize = 2048;

/// What both offer.
trait RawNet {
    fn fill_header(&self, buffer: &mut [u8]) -> usize;
    fn send(&mut self, frame: &[u8]) -> bool;
    /// # Safety
    /// As the crate says of it; so for the others.
    unsafe fn transmit_begin(&mut self, buffer: &[u8]) -> Option<u16>;
    fn poll_transmit(&mut self) -> Option<u16>;
    unsafe fn transmit_complete(&mut self, token: u16, buffer: &[u8]) -> bool;
    unsafe fn receive_begin(&mut self, buffer: &mut [u8]) -> Option<u16>;
    fn poll_receive(&mut self) -> Option<u16>;
    /// The lengths of header and frame.
    unsafe fn receive_complete(&mut self, token: u16, buffer: &mut [u8]) -> Option<(usize, usize)>;
    /// What its statistics say.
    fn report(&self, transmit: bool) -> Report;
}

type Crate<const N: usize> = virtio_drivers::device::net::VirtIONetRaw<IdentityHal, Spy, N>;
type DropIn<const N: usize> = virtio_net_c::VirtIONetRaw<IdentityHal, Spy, N>;

/// Both have the same methods.
macro_rules! raw_net {
    ($name:ident, $report:expr) => {
        // SAFETY: in each block the caller's promise is passed on.
        #[allow(clippy::undocumented_unsafe_blocks)]
        impl<const N: usize> RawNet for $name<N> {
            fn fill_header(&self, buffer: &mut [u8]) -> usize {
                self.fill_buffer_header(buffer).unwrap_or(0)
            }

            #[inline]
            fn send(&mut self, frame: &[u8]) -> bool {
                self.send(frame).is_ok()
            }

            #[inline]
            unsafe fn transmit_begin(&mut self, buffer: &[u8]) -> Option<u16> {
                unsafe { self.transmit_begin(buffer) }.ok()
            }

            #[inline]
            fn poll_transmit(&mut self) -> Option<u16> {
                self.poll_transmit()
            }

            #[inline]
            unsafe fn transmit_complete(&mut self, token: u16, buffer: &[u8]) -> bool {
                unsafe { self.transmit_complete(token, buffer) }.is_ok()
            }

            #[inline]
            unsafe fn receive_begin(&mut self, buffer: &mut [u8]) -> Option<u16> {
                unsafe { self.receive_begin(buffer) }.ok()
            }

            #[inline]
            fn poll_receive(&mut self) -> Option<u16> {
                Self::poll_receive(self)
            }

            #[inline]
            unsafe fn receive_complete(&mut self, token: u16, buffer: &mut [u8]) -> Option<(usize, usize)> {
                unsafe { self.receive_complete(token, buffer) }.ok()
            }

            fn report(&self, transmit: bool) -> Report {
                let report: fn(&Self, bool) -> Report = $report;
                report(self, transmit)
            }
        }
    };
}

raw_net!(Crate, |_, transmit| Report { kicks: spy::kicks(transmit), ..Report::default() });
raw_net!(DropIn, |net, transmit| spy::report(&net.stats(), transmit));

/// Does nothing, and says that it is done.
struct Empty {
    token: u16,
    mask: u16,
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl RawNet for Empty {
    fn fill_header(&self, _: &mut [u8]) -> usize {
        HEADER
    }

    #[inline]
    fn send(&mut self, frame: &[u8]) -> bool {
        core::hint::black_box(frame);
        core::hint::black_box(true)
    }

    #[inline]
    unsafe fn transmit_begin(&mut self, _: &[u8]) -> Option<u16> {
        core::hint::black_box(Some(self.token))
    }

    #[inline]
    fn poll_transmit(&mut self) -> Option<u16> {
        core::hint::black_box(Some(self.token))
    }

    #[inline]
    unsafe fn transmit_complete(&mut self, _: u16, _: &[u8]) -> bool {
        self.token = (self.token + 1) & self.mask;
        core::hint::black_box(true)
    }

    #[inline]
    unsafe fn receive_begin(&mut self, _: &mut [u8]) -> Option<u16> {
        core::hint::black_box(Some(self.token))
    }

    #[inline]
    fn poll_receive(&mut self) -> Option<u16> {
        core::hint::black_box(Some(self.token))
    }

    #[inline]
    unsafe fn receive_complete(&mut self, _: u16, _: &mut [u8]) -> Option<(usize, usize)> {
        self.token = (self.token + 1) & self.mask;
        core::hint::black_box(Some((HEADER, 60)))
    }

    fn report(&self, _: bool) -> Report {
        Report::default()
    }
}

struct RawPath<N> {
    net: Box<N>,
    card: *mut u32,
    buffers: Vec<Vec<u8>>,
    /// The buffer that each token stands for.
    buffer_of: Vec<u16>,
    /// Buffers that nobody has.
    spare: Vec<u16>,
    /// Bytes of each buffer that were posted.
    posted: Vec<usize>,
    header: usize,
    length: u32,
    transmit: bool,
    /// Copies, with `send`.
    copying: bool,
    taken: u16,
    bad: u32,
}

impl<N: RawNet> RawPath<N> {
    fn new(net: N, case: &Case<'_>, card: *mut u32) -> Self {
        let queue = case.queue as u16;
        let mut path = Self {
            net: Box::new(net),
            card,
            buffers: (0..queue).map(|_| alloc::vec![0; RX_BUFFER]).collect(),
            buffer_of: (0..queue).collect(),
            spare: (0..queue).rev().collect(),
            posted: alloc::vec![0; queue.into()],
            header: HEADER,
            length: case.length,
            transmit: case.transmit,
            copying: case.path.ends_with("-send"),
            taken: 0,
            bad: 0,
        };
        if case.transmit {
            for buffer in &mut path.buffers {
                path.header = path.net.fill_header(buffer);
            }
        } else {
            path.repost();
        }
        path
    }

    /// Posts every spare buffer to be received into. A function of its own whatever the driver, as those that the path consists
    /// of, so that what is around the driver's calls is the same for each.
    #[inline(never)]
    fn repost(&mut self) {
        while let Some(index) = self.spare.pop() {
            let Some(buffer) = self.buffers.get_mut(usize::from(index)) else { return };
            // SAFETY: the buffer is not touched until it is complete, and lives as long as the driver.
            match meter::call(|| unsafe { self.net.receive_begin(buffer) }) {
                Some(token) => self.set_buffer(token, index),
                None => self.bad += 1,
            }
        }
    }

    fn set_buffer(&mut self, token: u16, index: u16) {
        if let Some(entry) = self.buffer_of.get_mut(usize::from(token)) {
            *entry = index;
        }
    }

    /// False: there is no buffer, or no place in the queue.
    fn transmit(&mut self, number: u32) -> bool {
        let end = self.header + frames::length(self.length, number);
        let Some(index) = self.spare.pop() else { return false };
        let slot = usize::from(index);
        let Some(buffer) = self.buffers.get_mut(slot).and_then(|buffer| buffer.get_mut(..end)) else {
            return false;
        };
        frames::write(&mut buffer[self.header..], number);
        if self.copying {
            self.spare.push(index);
            let frame = &buffer[self.header..];
            return meter::call(|| self.net.send(frame));
        }
        self.posted[slot] = end;
        // SAFETY: the buffer is not touched until it is complete, and lives as long as the driver.
        match meter::call(|| unsafe { self.net.transmit_begin(buffer) }) {
            Some(token) => self.set_buffer(token, index),
            None => self.spare.push(index),
        }
        self.spare.last() != Some(&index)
    }

    /// False: nothing is complete.
    fn complete(&mut self) -> bool {
        let Some(token) = meter::call(|| self.net.poll_transmit()) else { return false };
        let Some(&index) = self.buffer_of.get(usize::from(token)) else { return false };
        let slot = usize::from(index);
        let Some(buffer) = self.buffers.get(slot).and_then(|buffer| buffer.get(..self.posted[slot])) else {
            return false;
        };
        // SAFETY: the buffer is the token's.
        self.bad += u32::from(!meter::call(|| unsafe { self.net.transmit_complete(token, buffer) }));
        self.spare.push(index);
        true
    }
}

impl<N: RawNet> Path for RawPath<N> {
    #[inline(never)]
    fn post(&mut self, first: u32, count: u32) -> u32 {
        (first..first + count).take_while(|number| self.transmit(*number)).count() as u32
    }

    #[inline(never)]
    fn reap(&mut self, limit: u32) {
        if !self.copying {
            (0..limit).take_while(|_| self.complete()).for_each(drop);
        }
    }

    fn in_flight(&mut self) -> u32 {
        spy::in_flight().into()
    }

    #[inline(never)]
    fn take(&mut self, first: u32, count: u32) -> u32 {
        let mut taken = 0;
        for number in first..first + count {
            let Some(token) = meter::call(|| self.net.poll_receive()) else { break };
            let Some(&index) = self.buffer_of.get(usize::from(token)) else { break };
            let Some(buffer) = self.buffers.get_mut(usize::from(index)) else { break };
            // SAFETY: the buffer is the token's.
            let lengths = meter::call(|| unsafe { self.net.receive_complete(token, buffer) });
            let (header, length) = lengths.unwrap_or_default();
            let frame = buffer.get(header..header + length).unwrap_or_default();
            self.bad += frames::judge(frame, number, frames::length(self.length, number));
            self.spare.push(index);
            taken += 1;
        }
        self.repost();
        self.taken = self.taken.wrapping_add(taken as u16);
        taken
    }

    /// A burst of one is one at a time: posted, waited for, completed.
    fn group(&self, case: &Case<'_>) -> u32 {
        match (self.transmit && case.burst == 1, self.copying) {
            (true, false) => 1,
            // The drop-in copies so many before it waits.
            (true, true) => case.queue.min(32),
            _ => case.queue,
        }
    }

    fn ready(&mut self) -> u32 {
        spy::received().wrapping_sub(self.taken).into()
    }

    fn nudge(&mut self) {
        spy::nudge(self.card);
    }

    fn report(&mut self) -> Report {
        Report { bad: self.bad, ..self.net.report(self.transmit) }
    }
}

/// Runs the case where it is one of these paths.
pub fn run(case: &Case<'_>, card: *mut u32) -> Option<()> {
    match (case.path, case.queue) {
        ("crate-raw" | "crate-raw-send", 16) => with(case, card, Crate::<16>::new(Spy::new(card)?).ok()?),
        ("crate-raw" | "crate-raw-send", 256) => with(case, card, Crate::<256>::new(Spy::new(card)?).ok()?),
        ("dropin-raw" | "dropin-raw-send", 16) => with(case, card, DropIn::<16>::new(Spy::new(card)?).ok()?),
        ("dropin-raw" | "dropin-raw-send", 256) => with(case, card, DropIn::<256>::new(Spy::new(card)?).ok()?),
        _ => return None,
    }
    Some(())
}

fn with(case: &Case<'_>, card: *mut u32, net: impl RawNet) {
    spy::set_blocking(case.path == "crate-raw-send");
    let empty = Empty { token: 0, mask: case.queue as u16 - 1 };
    run::compare(case, &mut RawPath::new(net, case, card), &mut RawPath::new(empty, case, card));
}

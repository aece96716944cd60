//! The safe Rust interface, `NetDevice`, over the driver's own MMIO transport.

use crate::case::Case;
use crate::frames;
use crate::meter;
use crate::run::{self, Path, Report};
use crate::spy::IdentityHal;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use virtio_net_c::{Mmio, NetDevice, Options};

/// What is used of it, so that the same user can run on an empty driver.
trait SafeNet {
    fn send(&mut self, frame: &[u8]) -> bool;
    /// Reserves, writes outside of the count, and sends.
    fn send_in_place(&mut self, number: u32, length: usize) -> bool;
    fn reap(&mut self);
    fn receive(&mut self, buffer: &mut [u8]) -> usize;
    /// Lends a frame, judges it outside of the count, and gives it back.
    fn receive_in_place(&mut self, number: u32, length: usize) -> u32;
    fn in_flight(&self) -> usize;
    fn ready(&self) -> usize;
    fn report(&self, transmit: bool) -> Report;
}

type Driver<const N: usize> = NetDevice<IdentityHal, Mmio, N, N>;

impl<const N: usize> SafeNet for Driver<N> {
    #[inline]
    fn send(&mut self, frame: &[u8]) -> bool {
        meter::call(|| self.send(frame)).is_ok()
    }

    #[inline]
    fn send_in_place(&mut self, number: u32, length: usize) -> bool {
        let Ok(mut frame) = meter::call(|| self.reserve()) else { return false };
        frames::write(&mut frame, number);
        meter::call(|| frame.send(length)).is_ok()
    }

    #[inline]
    fn reap(&mut self) {
        let _ = meter::call(|| self.poll_tx());
    }

    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> usize {
        meter::call(|| self.receive(buffer)).ok().flatten().unwrap_or(0)
    }

    #[inline]
    fn receive_in_place(&mut self, number: u32, length: usize) -> u32 {
        let Some(frame) = meter::call(|| self.peek()).ok().flatten() else { return 1 };
        let bad = frames::judge(&frame, number, length);
        meter::call(|| drop(frame));
        bad
    }

    fn in_flight(&self) -> usize {
        self.tx_in_flight()
    }

    fn ready(&self) -> usize {
        self.rx_ready()
    }

    fn report(&self, transmit: bool) -> Report {
        let statistics = self.stats();
        if transmit {
            Report { kicks: statistics.tx_kicks, frames: statistics.tx_completed, bad: 0 }
        } else {
            Report { kicks: statistics.rx_kicks, frames: statistics.rx_frames, bad: 0 }
        }
    }
}

/// Does nothing, and says that it is done.
struct Empty([u8; frames::LONGEST]);

impl SafeNet for Empty {
    #[inline]
    fn send(&mut self, frame: &[u8]) -> bool {
        meter::call(|| core::hint::black_box(frame));
        core::hint::black_box(true)
    }

    #[inline]
    fn send_in_place(&mut self, number: u32, _: usize) -> bool {
        meter::call(|| ());
        frames::write(core::hint::black_box(&mut self.0), number);
        meter::call(|| core::hint::black_box(true))
    }

    #[inline]
    fn reap(&mut self) {
        meter::call(|| ());
    }

    #[inline]
    fn receive(&mut self, _: &mut [u8]) -> usize {
        meter::call(|| core::hint::black_box(60))
    }

    #[inline]
    fn receive_in_place(&mut self, number: u32, length: usize) -> u32 {
        meter::call(|| ());
        let bad = frames::judge(core::hint::black_box(&self.0), number, length);
        meter::call(|| bad)
    }

    fn in_flight(&self) -> usize {
        0
    }

    fn ready(&self) -> usize {
        0
    }

    fn report(&self, _: bool) -> Report {
        Report::default()
    }
}

struct SafePath<N> {
    net: Box<N>,
    memory: Vec<u8>,
    offset: usize,
    length: u32,
    transmit: bool,
    in_place: bool,
    bad: u32,
}

impl<N: SafeNet> SafePath<N> {
    fn new(net: N, case: &Case<'_>) -> Self {
        let mut memory = alloc::vec![0; frames::LONGEST + 64];
        let offset = memory.as_mut_ptr().align_offset(16) + case.offset as usize;
        let in_place = case.path == "rust-place";
        let (length, transmit) = (case.length, case.transmit);
        Self { net: Box::new(net), memory, offset, length, transmit, in_place, bad: 0 }
    }
}

impl<N: SafeNet> Path for SafePath<N> {
    fn post(&mut self, first: u32, count: u32) {
        for number in first..first + count {
            let length = frames::length(self.length, number);
            let sent = if self.in_place {
                self.net.send_in_place(number, length)
            } else {
                let Some(frame) = self.memory.get_mut(self.offset..self.offset + length) else { return };
                frames::write(frame, number);
                self.net.send(frame)
            };
            self.bad += u32::from(!sent);
        }
    }

    fn reap(&mut self, _: u32, _: u32) {
        self.net.reap();
    }

    fn in_flight(&mut self) -> u32 {
        self.net.in_flight() as u32
    }

    fn take(&mut self, first: u32, count: u32) {
        for number in first..first + count {
            let length = frames::length(self.length, number);
            self.bad += if self.in_place {
                self.net.receive_in_place(number, length)
            } else {
                let Some(buffer) = self.memory.get_mut(self.offset..) else { return };
                let received = self.net.receive(buffer);
                frames::judge(buffer.get(..received).unwrap_or_default(), number, length)
            };
        }
    }

    fn ready(&mut self) -> u32 {
        self.net.ready() as u32
    }

    fn nudge(&mut self) {
        self.net.reap();
    }

    fn report(&mut self) -> Report {
        Report { bad: self.bad, ..self.net.report(self.transmit) }
    }
}

/// Runs the case where it is one of these paths.
pub fn run(case: &Case<'_>, card: *mut u32) -> Option<()> {
    if !matches!(case.path, "rust-copy" | "rust-place") {
        return None;
    }
    let registers = NonNull::new(card.cast::<u8>())?;
    // SAFETY: the registers are the card's, and stay mapped.
    unsafe {
        match case.queue {
            16 => with(case, Driver::<16>::new_mmio(registers, Options::new()).ok()?),
            256 => with(case, Driver::<256>::new_mmio(registers, Options::new()).ok()?),
            _ => return None,
        }
    }
    Some(())
}

fn with(case: &Case<'_>, net: impl SafeNet) {
    let empty = Empty([0; frames::LONGEST]);
    run::compare(case, &mut SafePath::new(net, case), &mut SafePath::new(empty, case));
}

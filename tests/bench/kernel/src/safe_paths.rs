//! The safe Rust interface, `NetDevice`, over the driver's own MMIO transport. A burst of one uses the calls for one frame.

use crate::case::Case;
use crate::frames;
use crate::meter;
use crate::run::{self, Path, Report};
use crate::spy::{self, IdentityHal};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::black_box;
use core::ptr::NonNull;
use virtio_net_c::sys::VIRTIO_NET_IRQ_RX;
use virtio_net_c::{Mmio, NetDevice, Options, Packets};

/// The most frames in a burst.
const BURST: usize = 32;
const STRIDE: usize = 2048;

/// What is used of the interface, each with the user's work on the frames in it, so that the same user can run on an empty
/// driver.
trait SafeNet {
    fn send(&mut self, frame: &[u8]) -> usize;
    fn send_burst(&mut self, frames: &[&[u8]]) -> usize;
    /// Reserves, writes, and sends.
    fn send_in_place(&mut self, number: u32, user: &User) -> usize;
    fn send_burst_in_place(&mut self, first: u32, count: u32, user: &User) -> usize;
    fn reap(&mut self);
    fn receive(&mut self, buffer: &mut [u8]) -> usize;
    fn receive_burst(&mut self, buffers: &mut [&mut [u8]], lengths: &mut [usize]) -> usize;
    /// Looks at a frame in place and gives it back.
    fn receive_in_place(&mut self, number: u32, user: &mut User) -> usize;
    fn receive_burst_in_place(&mut self, first: u32, user: &mut User) -> usize;
    fn in_flight(&self) -> usize;
    fn ready(&self) -> usize;
    fn report(&self, transmit: bool) -> Report;
    fn enable_interrupts(&mut self);
    fn acknowledge(&mut self);
}

/// What a user knows of its frames.
struct User {
    length: u32,
    /// Frames that were not what they should be.
    bad: u32,
}

impl User {
    fn length(&self, number: u32) -> usize {
        frames::length(self.length, number)
    }

    fn look_at(&mut self, frame: &[u8], number: u32) {
        self.bad += frames::judge(frame, number, self.length(number));
    }
}

struct Driver<const N: usize> {
    net: NetDevice<IdentityHal, Mmio, N, N>,
    room: Packets<BURST>,
}

impl<const N: usize> SafeNet for Driver<N> {
    #[inline]
    fn send(&mut self, frame: &[u8]) -> usize {
        meter::call(|| self.net.send(frame)).is_ok().into()
    }

    #[inline]
    fn send_burst(&mut self, frames: &[&[u8]]) -> usize {
        meter::call(|| self.net.send_burst(frames)).unwrap_or(0)
    }

    #[inline]
    fn send_in_place(&mut self, number: u32, user: &User) -> usize {
        let Ok(mut frame) = meter::call(|| self.net.reserve()) else { return 0 };
        frames::write(&mut frame, number);
        let length = user.length(number);
        meter::call(|| frame.send(length)).is_ok().into()
    }

    #[inline]
    fn send_burst_in_place(&mut self, first: u32, count: u32, user: &User) -> usize {
        let reserved = meter::call(|| self.net.reserve_burst(&mut self.room, count as usize));
        let Ok(mut burst) = reserved else { return 0 };
        let mut number = first;
        while let Some(mut slot) = burst.next() {
            frames::write(&mut slot, number);
            slot.finish(user.length(number));
            number += 1;
        }
        meter::call(|| burst.send()).unwrap_or(0)
    }

    #[inline]
    fn reap(&mut self) {
        let _ = meter::call(|| self.net.poll_tx());
    }

    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> usize {
        meter::call(|| self.net.receive(buffer)).ok().flatten().unwrap_or(0)
    }

    #[inline]
    fn receive_burst(&mut self, buffers: &mut [&mut [u8]], lengths: &mut [usize]) -> usize {
        meter::call(|| self.net.receive_burst(buffers, lengths)).unwrap_or(0)
    }

    #[inline]
    fn receive_in_place(&mut self, number: u32, user: &mut User) -> usize {
        let Some(frame) = meter::call(|| self.net.peek()).ok().flatten() else { return 0 };
        user.look_at(&frame, number);
        meter::call(|| drop(frame));
        1
    }

    #[inline]
    fn receive_burst_in_place(&mut self, first: u32, user: &mut User) -> usize {
        let Ok(burst) = meter::call(|| self.net.peek_burst(&mut self.room)) else { return 0 };
        let count = burst.len();
        for (frame, number) in burst.iter().zip(first..) {
            user.look_at(frame, number);
        }
        meter::call(|| drop(burst));
        count
    }

    fn in_flight(&self) -> usize {
        self.net.tx_in_flight()
    }

    fn ready(&self) -> usize {
        self.net.rx_ready()
    }

    fn report(&self, transmit: bool) -> Report {
        spy::report(&self.net.stats(), transmit)
    }

    fn enable_interrupts(&mut self) {
        let _ = self.net.enable_interrupts(VIRTIO_NET_IRQ_RX);
    }

    fn acknowledge(&mut self) {
        self.net.ack_interrupt();
    }
}

/// Does nothing, and says that it is done.
struct Empty {
    frame: [u8; frames::LONGEST],
    burst: usize,
}

impl SafeNet for Empty {
    #[inline]
    fn send(&mut self, frame: &[u8]) -> usize {
        meter::call(|| black_box(frame));
        black_box(1)
    }

    #[inline]
    fn send_burst(&mut self, frames: &[&[u8]]) -> usize {
        meter::call(|| black_box(frames));
        black_box(frames.len())
    }

    #[inline]
    fn send_in_place(&mut self, number: u32, user: &User) -> usize {
        meter::call(|| ());
        frames::write(black_box(&mut self.frame), number);
        black_box(user.length(number));
        meter::call(|| black_box(1))
    }

    #[inline]
    fn send_burst_in_place(&mut self, first: u32, count: u32, user: &User) -> usize {
        meter::call(|| ());
        for number in first..first + count {
            frames::write(black_box(&mut self.frame), number);
            black_box(user.length(number));
        }
        meter::call(|| black_box(count as usize))
    }

    #[inline]
    fn reap(&mut self) {
        meter::call(|| ());
    }

    #[inline]
    fn receive(&mut self, _: &mut [u8]) -> usize {
        meter::call(|| black_box(60))
    }

    #[inline]
    fn receive_burst(&mut self, buffers: &mut [&mut [u8]], lengths: &mut [usize]) -> usize {
        meter::call(|| black_box((&buffers, &lengths)));
        black_box(lengths.len())
    }

    #[inline]
    fn receive_in_place(&mut self, number: u32, user: &mut User) -> usize {
        meter::call(|| ());
        user.look_at(black_box(&self.frame), number);
        meter::call(|| black_box(1))
    }

    #[inline]
    fn receive_burst_in_place(&mut self, first: u32, user: &mut User) -> usize {
        meter::call(|| ());
        let count = black_box(self.burst);
        for number in first..first + count as u32 {
            user.look_at(black_box(&self.frame), number);
        }
        meter::call(|| black_box(count))
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

    fn enable_interrupts(&mut self) {}

    fn acknowledge(&mut self) {}
}

struct SafePath<N> {
    net: Box<N>,
    memory: Vec<u8>,
    offset: usize,
    user: User,
    transmit: bool,
    in_place: bool,
}

impl<N: SafeNet> SafePath<N> {
    fn new(net: N, case: &Case<'_>) -> Self {
        let mut memory = alloc::vec![0; BURST * STRIDE + 64];
        let offset = memory.as_mut_ptr().align_offset(16) + case.offset as usize;
        let (in_place, transmit) = (case.path == "rust-place", case.transmit);
        Self { net: Box::new(net), memory, offset, user: User { length: case.length, bad: 0 }, transmit, in_place }
    }

    #[inline]
    fn post_copies(&mut self, first: u32, count: u32) -> usize {
        let length = self.user.length;
        let Self { net, memory, offset, .. } = self;
        let mut views: [&[u8]; BURST] = [&[]; BURST];
        let memory = memory.get_mut(*offset..).unwrap_or_default().chunks_exact_mut(STRIDE);
        for ((number, view), frame) in (first..first + count).zip(&mut views).zip(memory) {
            frames::write(frame, number);
            *view = frame.get(..frames::length(length, number)).unwrap_or_default();
        }
        match views.get(..count as usize) {
            Some([frame]) => net.send(frame),
            Some(frames) => net.send_burst(frames),
            None => 0,
        }
    }

    #[inline]
    fn take_copies(&mut self, first: u32, count: u32) -> usize {
        let mut lengths = [60; BURST];
        let Self { net, memory, offset, .. } = self;
        let mut buffers = memory.get_mut(*offset..).unwrap_or_default().chunks_exact_mut(STRIDE);
        let taken = if count == 1 {
            lengths[0] = buffers.next().map_or(0, |buffer| net.receive(buffer));
            usize::from(lengths[0] != 0)
        } else {
            let mut buffers: [&mut [u8]; BURST] = core::array::from_fn(|_| buffers.next().unwrap_or_default());
            net.receive_burst(&mut buffers, &mut lengths)
        };
        for (index, length) in lengths.into_iter().take(taken).enumerate() {
            let start = self.offset + index * STRIDE;
            let frame = self.memory.get(start..start + length).unwrap_or_default();
            self.user.look_at(frame, first + index as u32);
        }
        taken
    }
}

impl<N: SafeNet> Path for SafePath<N> {
    #[inline(never)]
    fn post(&mut self, first: u32, count: u32) -> u32 {
        (match (self.in_place, count) {
            (true, 1) => self.net.send_in_place(first, &self.user),
            (true, _) => self.net.send_burst_in_place(first, count, &self.user),
            (false, _) => self.post_copies(first, count),
        }) as u32
    }

    #[inline(never)]
    fn reap(&mut self, _: u32) {
        self.net.reap();
    }

    fn in_flight(&mut self) -> u32 {
        self.net.in_flight() as u32
    }

    #[inline(never)]
    fn take(&mut self, first: u32, count: u32) -> u32 {
        (match (self.in_place, count) {
            (true, 1) => self.net.receive_in_place(first, &mut self.user),
            (true, _) => self.net.receive_burst_in_place(first, &mut self.user),
            (false, _) => self.take_copies(first, count),
        }) as u32
    }

    fn ready(&mut self) -> u32 {
        self.net.ready() as u32
    }

    fn nudge(&mut self) {
        self.net.reap();
    }

    fn report(&mut self) -> Report {
        Report { bad: self.user.bad, ..self.net.report(self.transmit) }
    }

    fn enable_interrupts(&mut self) {
        self.net.enable_interrupts();
    }

    fn acknowledge(&mut self) {
        self.net.acknowledge();
    }
}

/// Runs the case where it is one of these paths.
pub fn run(case: &Case<'_>, card: *mut u32) -> Option<()> {
    if !matches!(case.path, "rust-copy" | "rust-place") || case.burst as usize > BURST {
        return None;
    }
    let registers = NonNull::new(card.cast::<u8>())?;
    match case.queue {
        16 => with(case, Driver::<16>::new(registers)?),
        256 => with(case, Driver::<256>::new(registers)?),
        _ => return None,
    }
    Some(())
}

impl<const N: usize> Driver<N> {
    fn new(registers: NonNull<u8>) -> Option<Self> {
        // SAFETY: the registers are the card's, and stay mapped.
        let net = unsafe { NetDevice::new_mmio(registers, Options::new()) }.ok()?;
        Some(Self { net, room: Packets::new() })
    }
}

fn with(case: &Case<'_>, net: impl SafeNet) {
    let empty = Empty { frame: [0; frames::LONGEST], burst: case.burst as usize };
    run::compare(case, &mut SafePath::new(net, case), &mut SafePath::new(empty, case));
}

//! `VirtIONet`, the crate's and the drop-in: one frame a call, in buffers of the heap.

use crate::case::Case;
use crate::frames;
use crate::meter;
use crate::run::{self, Path, Report};
use crate::spy::{self, IdentityHal, Spy};
use alloc::boxed::Box;
use alloc::vec::Vec;

const RX_BUFFER: usize = 2048;

/// What both offer.
trait HeapNet {
    /// A received frame.
    type Rx;
    /// Copies the frame to a buffer and sends that.
    fn send(&mut self, frame: &[u8]) -> bool;
    fn receive(&mut self) -> Option<Self::Rx>;
    fn packet(buffer: &Self::Rx) -> &[u8];
    fn recycle(&mut self, buffer: Self::Rx) -> bool;
    /// What its statistics say.
    fn report(&self, transmit: bool) -> Report;
    fn enable_interrupts(&mut self);
    fn acknowledge(&mut self);
}

type Crate<const N: usize> = virtio_drivers::device::net::VirtIONet<IdentityHal, Spy, N>;
type DropIn<const N: usize> = virtio_net_c::VirtIONet<IdentityHal, Spy, N>;

impl<const N: usize> HeapNet for Crate<N> {
    type Rx = virtio_drivers::device::net::RxBuffer;

    #[inline]
    fn send(&mut self, frame: &[u8]) -> bool {
        self.send(virtio_drivers::device::net::TxBuffer::from(frame)).is_ok()
    }

    #[inline]
    fn receive(&mut self) -> Option<Self::Rx> {
        self.receive().ok()
    }

    fn packet(buffer: &Self::Rx) -> &[u8] {
        buffer.packet()
    }

    #[inline]
    fn recycle(&mut self, buffer: Self::Rx) -> bool {
        self.recycle_rx_buffer(buffer).is_ok()
    }

    fn report(&self, transmit: bool) -> Report {
        Report { kicks: spy::kicks(transmit), ..Report::default() }
    }

    fn enable_interrupts(&mut self) {
        self.enable_interrupts();
    }

    fn acknowledge(&mut self) {
        self.ack_interrupt();
    }
}

impl<const N: usize> HeapNet for DropIn<N> {
    type Rx = virtio_net_c::RxBuffer;

    #[inline]
    fn send(&mut self, frame: &[u8]) -> bool {
        self.send(virtio_net_c::TxBuffer::from(frame)).is_ok()
    }

    #[inline]
    fn receive(&mut self) -> Option<Self::Rx> {
        self.receive().ok()
    }

    fn packet(buffer: &Self::Rx) -> &[u8] {
        buffer.packet()
    }

    #[inline]
    fn recycle(&mut self, buffer: Self::Rx) -> bool {
        self.recycle_rx_buffer(buffer).is_ok()
    }

    fn report(&self, transmit: bool) -> Report {
        spy::report(&self.stats(), transmit)
    }

    fn enable_interrupts(&mut self) {
        self.enable_interrupts();
    }

    fn acknowledge(&mut self) {
        self.ack_interrupt();
    }
}

/// Does nothing, and says that it is done.
struct Empty;

impl HeapNet for Empty {
    type Rx = ();

    #[inline]
    fn send(&mut self, frame: &[u8]) -> bool {
        // The frame counts as read.
        core::hint::black_box(frame);
        core::hint::black_box(true)
    }

    #[inline]
    fn receive(&mut self) -> Option<()> {
        core::hint::black_box(Some(()))
    }

    fn packet(_: &()) -> &[u8] {
        static NOTHING: [u8; frames::LONGEST] = [0; frames::LONGEST];
        core::hint::black_box(&NOTHING)
    }

    #[inline]
    fn recycle(&mut self, (): ()) -> bool {
        core::hint::black_box(true)
    }

    fn report(&self, _: bool) -> Report {
        Report::default()
    }

    fn enable_interrupts(&mut self) {}

    fn acknowledge(&mut self) {}
}

struct HeapPath<N> {
    net: Box<N>,
    card: *mut u32,
    memory: Vec<u8>,
    offset: usize,
    length: u32,
    transmit: bool,
    taken: u16,
    bad: u32,
}

impl<N> HeapPath<N> {
    fn new(net: N, case: &Case<'_>, card: *mut u32) -> Self {
        let mut memory = alloc::vec![0; frames::LONGEST + 64];
        let aligned = memory.as_mut_ptr().align_offset(16);
        let offset = aligned + case.offset as usize;
        let (length, transmit) = (case.length, case.transmit);
        Self { net: Box::new(net), card, memory, offset, length, transmit, taken: 0, bad: 0 }
    }
}

impl<N: HeapNet> Path for HeapPath<N> {
    #[inline(never)]
    fn post(&mut self, first: u32, count: u32) -> u32 {
        for number in first..first + count {
            let length = frames::length(self.length, number);
            let Some(frame) = self.memory.get_mut(self.offset..self.offset + length) else { return 0 };
            frames::write(frame, number);
            if !meter::call(|| self.net.send(frame)) {
                return number - first;
            }
        }
        count
    }

    #[inline(never)]
    fn reap(&mut self, _: u32) {}

    fn in_flight(&mut self) -> u32 {
        spy::in_flight().into()
    }

    #[inline(never)]
    fn take(&mut self, first: u32, count: u32) -> u32 {
        let mut taken = 0;
        for number in first..first + count {
            let Some(buffer) = meter::call(|| self.net.receive()) else { break };
            self.bad += frames::judge(N::packet(&buffer), number, frames::length(self.length, number));
            self.bad += u32::from(!meter::call(|| self.net.recycle(buffer)));
            taken += 1;
        }
        self.taken = self.taken.wrapping_add(taken as u16);
        taken
    }

    fn ready(&mut self) -> u32 {
        spy::received().wrapping_sub(self.taken).into()
    }

    fn nudge(&mut self) {
        spy::nudge(self.card);
    }

    fn enable_interrupts(&mut self) {
        self.net.enable_interrupts();
    }

    fn acknowledge(&mut self) {
        self.net.acknowledge();
    }

    fn report(&mut self) -> Report {
        Report { bad: self.bad, ..self.net.report(self.transmit) }
    }
}

/// Runs the case where it is one of these paths.
pub fn run(case: &Case<'_>, card: *mut u32) -> Option<()> {
    match (case.path, case.queue) {
        ("crate-net", 16) => with(case, card, true, Crate::<16>::new(Spy::new(card)?, RX_BUFFER).ok()?),
        ("crate-net", 256) => with(case, card, true, Crate::<256>::new(Spy::new(card)?, RX_BUFFER).ok()?),
        ("dropin-net", 16) => with(case, card, false, DropIn::<16>::new(Spy::new(card)?, RX_BUFFER).ok()?),
        ("dropin-net", 256) => with(case, card, false, DropIn::<256>::new(Spy::new(card)?, RX_BUFFER).ok()?),
        _ => return None,
    }
    Some(())
}

fn with(case: &Case<'_>, card: *mut u32, blocking: bool, net: impl HeapNet) {
    spy::set_blocking(blocking);
    run::compare(case, &mut HeapPath::new(net, case, card), &mut HeapPath::new(Empty, case, card));
}

//! What a packet costs: no heap block and no call of the `Hal` where none is promised.
#![cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

#[cfg(feature = "virtio-drivers-0_12")]
extern crate virtio_drivers_0_12 as virtio_drivers;
#[cfg(not(feature = "virtio-drivers-0_12"))]
extern crate virtio_drivers_0_13 as virtio_drivers;

mod device;

use device::{FakeTransport, KINDS, Machine, TestHal, frame, machine};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::Ordering;
use virtio_net_c::sys::VIRTIO_NET_STORAGE_ALIGNMENT;
use virtio_net_c::{NetDevice, Options, Packets};

thread_local! {
    static BLOCKS: Cell<usize> = const { Cell::new(0) };
    /// Blocks of a driver's alignment, which nothing else in these tests has, and whether there are any.
    static DRIVERS: Cell<usize> = const { Cell::new(0) };
    static NO_DRIVERS: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, which counts the blocks that each thread takes or gives back.
struct Counting;

fn count() {
    // A thread that ends has no counter any more.
    let _ = BLOCKS.try_with(|blocks| blocks.set(blocks.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        if layout.align() == VIRTIO_NET_STORAGE_ALIGNMENT as usize {
            if NO_DRIVERS.get() {
                return std::ptr::null_mut();
            }
            DRIVERS.set(DRIVERS.get() + 1);
        }
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: by the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator in `act`.
fn blocks<R>(act: impl FnOnce() -> R) -> (R, usize) {
    let before = BLOCKS.get();
    let result = act();
    (result, BLOCKS.get() - before)
}

fn hal_calls(machine: &Machine) -> [usize; 4] {
    let calls = &machine.calls;
    [&calls.alloc, &calls.dealloc, &calls.share, &calls.unshare].map(|count| count.load(Ordering::Relaxed))
}

#[test]
fn the_allocator_counts() {
    assert_eq!(blocks(|| drop(std::hint::black_box(Box::new(1_u64)))).1, 2);
    assert_eq!(blocks(|| ()).1, 0);
}

#[test]
fn the_driver_needs_neither_heap_nor_hal() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let transport = FakeTransport::new(&card);
        let made = blocks(|| NetDevice::<TestHal, _, 16, 16>::new(transport, Options::new()).unwrap());
        let mut net = made.0;
        let before = hal_calls(&plug);
        let (mut buffer, mut many) = ([0; 1518], [[0; 1518]; 3]);
        let mut room = Packets::<32>::new();
        for number in 0..200 {
            for length in [14, 60, 256, 257, 1514] {
                let bytes = frame(length, number);
                assert_eq!(blocks(|| net.send(&bytes).unwrap()).1, 0);
                assert_eq!(blocks(|| net.poll_tx().unwrap()).1, 0);
                assert_eq!(card.sent(), [frame(length, number)]);
                let written = blocks(|| {
                    let mut room = net.reserve().unwrap();
                    room[..length].copy_from_slice(&bytes);
                    room.send(length).unwrap();
                });
                assert_eq!((written.1, card.sent().len()), (0, 1));
                let frames = [&bytes[..]; 16];
                assert_eq!(blocks(|| net.send_burst(&frames).unwrap()), (16, 0));
                assert_eq!(card.sent().len(), 16);
                let written = blocks(|| {
                    let mut burst = net.reserve_burst(&mut room, 16).unwrap();
                    while let Some(mut slot) = burst.next() {
                        slot[..length].copy_from_slice(&bytes);
                        slot.finish(length);
                    }
                    burst.send().unwrap()
                });
                assert_eq!((written, card.sent().len()), ((16, 0), 16));
                while card.deliver(&bytes) {}
                assert_eq!(blocks(|| net.peek_burst(&mut room).unwrap().iter().count()), (16, 0));
                while card.deliver(&bytes) {}
                assert_eq!(blocks(|| net.receive_burst(&mut many, &mut [0; 3]).unwrap()), (3, 0));
                assert_eq!(blocks(|| net.peek_burst(&mut room).unwrap().len()), (13, 0));
                assert!(card.deliver(&bytes) && card.deliver(&bytes));
                assert_eq!(blocks(|| net.receive(&mut buffer).unwrap()), (Some(length), 0));
                assert_eq!(blocks(|| net.peek().unwrap().map(|lent| lent.len())), (Some(length), 0));
                assert_eq!(blocks(|| net.receive(&mut buffer).unwrap()), (None, 0));
                assert_eq!(
                    blocks(|| (net.tx_free(), net.tx_in_flight(), net.rx_ready(), net.check().is_ok())).1,
                    0
                );
            }
        }
        assert_eq!(hal_calls(&plug), before, "{}", kind.name);
    }
}

#[cfg(feature = "alloc")]
#[test]
fn the_drop_in_receives_without_a_heap() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = virtio_net_c::VirtIONet::<TestHal, _, 16>::new(FakeTransport::new(&card), 2048).unwrap();
        let before = hal_calls(&plug);
        let mut kept = Vec::with_capacity(8);
        for number in 0..500 {
            for place in 0..8 {
                assert!(card.deliver(&frame(60 + place, number)));
            }
            let received = blocks(|| {
                while let Ok(buffer) = net.receive() {
                    kept.push(buffer);
                }
            });
            assert_eq!((received.1, kept.len()), (0, 8));
            let given_back = blocks(|| {
                while let Some(buffer) = kept.pop() {
                    if kept.len() % 3 != 0 {
                        net.recycle_rx_buffer(buffer).unwrap();
                    }
                }
                net.can_recv()
            });
            assert_eq!(given_back, (false, 0));
            assert_eq!(blocks(|| net.receive().is_err()), (true, 0));
        }
        assert_eq!(hal_calls(&plug), before, "{}", kind.name);
    }
}

/// A frame costs its buffer, which the caller asks for, and a large one is shared once.
#[cfg(feature = "alloc")]
#[test]
fn the_drop_in_sends_from_the_buffer() {
    use virtio_net_c::TxBuffer;

    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = virtio_net_c::VirtIONet::<TestHal, _, 16>::new(FakeTransport::new(&card), 2048).unwrap();
        let [alloc, dealloc, ..] = hal_calls(&plug);
        let mut large = 0;
        for number in 0..200 {
            for length in [60, 256, 257, 1514] {
                let bytes = frame(length, number);
                let (buffer, made) = blocks(|| TxBuffer::from(&bytes));
                let (_, sent) = blocks(|| net.send(buffer).unwrap());
                assert_eq!(made, 1);
                if length <= 256 {
                    // Its buffer goes at once; the slots of large ones were taken back below.
                    assert_eq!(sent, 1);
                }
                large += usize::from(length > 256);
                assert_eq!(card.sent(), [bytes]);
                assert!(net.receive().is_err());
                assert_eq!(hal_calls(&plug), [alloc, dealloc, large, large]);
            }
        }
    }
}

/// The drop-ins have one block of the heap for the driver's state; without a heap the raw one does without.
#[test]
fn the_drop_in_has_one_block_for_its_driver() {
    let (_plug, card) = machine(KINDS[0]);
    let raw = virtio_net_c::VirtIONetRaw::<TestHal, _, 16>::new(FakeTransport::new(&card));
    assert!(raw.is_ok());
    drop(raw);
    assert_eq!(DRIVERS.get(), usize::from(cfg!(feature = "alloc")));
    #[cfg(feature = "alloc")]
    {
        let net = virtio_net_c::VirtIONet::<TestHal, _, 16>::new(FakeTransport::new(&card), 2048);
        assert_eq!((net.is_ok(), DRIVERS.get()), (true, 2));
    }
}

/// Where there is none, that is an error, and the driver is closed again.
#[cfg(feature = "alloc")]
#[test]
fn no_heap_is_an_error() {
    use virtio_drivers::Error;
    use virtio_net_c::{VirtIONet, VirtIONetRaw};

    let (plug, card) = machine(KINDS[0]);
    NO_DRIVERS.set(true);
    let raw = VirtIONetRaw::<TestHal, _, 16>::new(FakeTransport::new(&card));
    let net = VirtIONet::<TestHal, _, 16>::new(FakeTransport::new(&card), 2048);
    NO_DRIVERS.set(false);
    assert_eq!((raw.err(), net.err()), (Some(Error::DmaError), Some(Error::DmaError)));
    assert_eq!((plug.live(), card.dropped(), card.is_running()), ((0, 0), 2, false));
}

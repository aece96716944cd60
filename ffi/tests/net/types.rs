//! What the compiler can tell of the types.

use crate::device::{FakeTransport, TestHal};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::MutexGuard;
use virtio_net_c::{
    Duplex, Error, Interrupts, NetDevice, Packets, Receiver, RxBurst, RxFrame, Transmitter, TxBurst, TxFrame,
};

/// Transports that are neither, `Send` alone, `Sync` alone, both.
type Neither = FakeTransport<Rc<()>>;
type Sendable = FakeTransport<Cell<()>>;
type Syncable = FakeTransport<MutexGuard<'static, ()>>;
type Both = FakeTransport;

type Device<T> = NetDevice<TestHal, T, 16, 16>;

assert_not_impl_any!(Device<Neither>: Send, Sync);
assert_impl_all!(Device<Sendable>: Send);
assert_not_impl_any!(Device<Sendable>: Sync);
assert_impl_all!(Device<Syncable>: Sync);
assert_not_impl_any!(Device<Syncable>: Send);
assert_impl_all!(Device<Both>: Send, Sync, std::fmt::Debug);
assert_not_impl_any!(TxFrame<'static>: Send, Sync, Clone);
assert_not_impl_any!(RxFrame<'static>: Send, Sync, Clone);
assert_not_impl_any!(TxBurst<'static>: Send, Sync, Clone);
assert_not_impl_any!(RxBurst<'static>: Send, Sync, Clone);
assert_impl_all!(Packets<32>: Send, Sync, Default, std::fmt::Debug);

// The handles of a split driver: each reaches the transport under its lock, and none does through a shared reference.
type Interrupt<T> = Interrupts<'static, TestHal, T, 16, 16>;

assert_impl_all!(Transmitter<'static, Sendable>: Send, Sync, std::fmt::Debug);
assert_impl_all!(Receiver<'static, Sendable>: Send, Sync, std::fmt::Debug);
assert_impl_all!(Interrupt<Sendable>: Send, Sync, std::fmt::Debug);
assert_impl_all!(Duplex<'static, Sendable>: Send, Sync, std::fmt::Debug);
assert_not_impl_any!(Transmitter<'static, Syncable>: Send, Clone);
assert_not_impl_any!(Receiver<'static, Syncable>: Send, Clone);
assert_not_impl_any!(Interrupt<Syncable>: Send, Clone);
assert_impl_all!(Transmitter<'static, Neither>: Sync);
assert_impl_all!(Receiver<'static, Neither>: Sync);
assert_impl_all!(Interrupt<Neither>: Sync);
assert_impl_all!(Error: Send, Sync, Copy, std::error::Error);

/// A `Hal` that is neither: it is never held, so it does not matter.
struct LocalHal(#[expect(dead_code, reason = "what it holds makes it what it is")] Rc<()>);

// SAFETY: nothing of it is ever called.
unsafe impl virtio_drivers::Hal for LocalHal {
    fn dma_alloc(_: usize, _: virtio_drivers::BufferDirection) -> (u64, std::ptr::NonNull<u8>) {
        (0, std::ptr::NonNull::dangling())
    }

    unsafe fn dma_dealloc(_: u64, _: std::ptr::NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_: u64, _: usize) -> std::ptr::NonNull<u8> {
        std::ptr::NonNull::dangling()
    }

    unsafe fn share(_: std::ptr::NonNull<[u8]>, _: virtio_drivers::BufferDirection) -> u64 {
        0
    }

    unsafe fn unshare(_: u64, _: std::ptr::NonNull<[u8]>, _: virtio_drivers::BufferDirection) {}
}

assert_impl_all!(NetDevice<LocalHal, Both, 16, 16>: Send, Sync);

#[cfg(feature = "alloc")]
mod drop_in {
    use super::*;
    use virtio_drivers::device::net::{RxBuffer as OldRxBuffer, TxBuffer as OldTxBuffer, VirtIONet as Old};
    use virtio_drivers::transport::pci::PciTransport;
    use virtio_drivers::transport::{SomeTransport, mmio::MmioTransport};
    use virtio_net_c::{RxBuffer, TxBuffer, VirtIONet};

    type Card<T> = VirtIONet<TestHal, T, 16>;

    assert_not_impl_any!(Card<Neither>: Send, Sync);
    assert_impl_all!(Card<Sendable>: Send);
    assert_not_impl_any!(Card<Sendable>: Sync);
    assert_impl_all!(Card<Syncable>: Sync);
    assert_not_impl_any!(Card<Syncable>: Send);
    assert_impl_all!(Card<Both>: Send, Sync);
    assert_impl_all!(VirtIONet<LocalHal, Both, 16>: Send, Sync);
    assert_impl_all!(RxBuffer: Send, Sync);
    assert_impl_all!(TxBuffer: Send, Sync);
    assert_not_impl_any!(RxBuffer: Clone);
    assert_not_impl_any!(TxBuffer: Clone);

    fn is_static<T: 'static>() {}

    #[test]
    fn no_larger_than_the_original() {
        is_static::<RxBuffer>();
        is_static::<TxBuffer>();
        fn check<const N: usize>(limit: usize) {
            let ours = [
                size_of::<VirtIONet<TestHal, MmioTransport<'static>, N>>(),
                size_of::<VirtIONet<TestHal, PciTransport, N>>(),
                size_of::<VirtIONet<TestHal, SomeTransport<'static>, N>>(),
            ];
            let theirs = [
                size_of::<Old<TestHal, MmioTransport<'static>, N>>(),
                size_of::<Old<TestHal, PciTransport, N>>(),
                size_of::<Old<TestHal, SomeTransport<'static>, N>>(),
            ];
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!(ours <= theirs, "queues of {N}: {ours} bytes, the original {theirs}");
            }
            // The figures of the documentation.
            assert!(ours[0] <= limit, "queues of {N}: {} bytes", ours[0]);
        }
        check::<16>(1936);
        check::<256>(26896);
        check::<1024>(106_768);
        assert!(size_of::<RxBuffer>() <= size_of::<OldRxBuffer>().max(24));
        assert!(size_of::<TxBuffer>() <= size_of::<OldTxBuffer>());
    }
}

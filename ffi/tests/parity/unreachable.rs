// A `Hal` and a transport that nobody calls: only their types count.

use std::marker::PhantomData;
use std::ptr::NonNull;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub struct NoHal;

// SAFETY: nothing of it is ever called.
unsafe impl Hal for NoHal {
    fn dma_alloc(_: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        unreachable!()
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        unreachable!()
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!()
    }

    unsafe fn share(_: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        unreachable!()
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {
        unreachable!()
    }
}

/// A transport that has the auto traits of `M`.
pub struct Like<M>(PhantomData<M>);

impl<M> Transport for Like<M> {
    fn device_type(&self) -> DeviceType {
        unreachable!()
    }

    fn read_device_features(&mut self) -> u64 {
        unreachable!()
    }

    fn write_driver_features(&mut self, _: u64) {
        unreachable!()
    }

    fn max_queue_size(&mut self, _: u16) -> u32 {
        unreachable!()
    }

    fn notify(&mut self, _: u16) {
        unreachable!()
    }

    fn get_status(&self) -> DeviceStatus {
        unreachable!()
    }

    fn set_status(&mut self, _: DeviceStatus) {
        unreachable!()
    }

    fn set_guest_page_size(&mut self, _: u32) {
        unreachable!()
    }

    fn requires_legacy_layout(&self) -> bool {
        unreachable!()
    }

    fn queue_set(&mut self, _: u16, _: u32, _: PhysAddr, _: PhysAddr, _: PhysAddr) {
        unreachable!()
    }

    fn queue_unset(&mut self, _: u16) {
        unreachable!()
    }

    fn queue_used(&mut self, _: u16) -> bool {
        unreachable!()
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        unreachable!()
    }

    fn read_config_generation(&self) -> u32 {
        unreachable!()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, _: usize) -> Result<T> {
        unreachable!()
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        unreachable!()
    }
}

//! The virtio-mmio slots of QEMU's `virt` board, and what the drivers need of the kernel: memory for DMA.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ptr::NonNull;
use levitate_hal::memory;
use virtio_drivers::transport::mmio::{MmioError, MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, DeviceTypeError, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// Distance between two slots, and the size of each.
const SLOT_SIZE: usize = 0x200;

/// The transport of a device that is there for as long as the kernel runs.
pub type StaticMmioTransport = MmioTransport<'static>;

/// Looks into each slot and gives its device to the driver.
pub fn init() {
    for slot in memory::VIRTIO_MMIO.step_by(SLOT_SIZE) {
        probe(slot);
    }
    if crate::net::mac_address().is_none() {
        crate::println!("VirtIO Net: no device");
    }
    if crate::block::capacity().is_none() {
        crate::println!("VirtIO Blk: no device");
    }
}

fn probe(slot: usize) {
    let Some(header) = NonNull::new(memory::to_virtual(slot).cast::<VirtIOHeader>()) else {
        return;
    };
    // SAFETY: the slot's registers are mapped for good, and each slot is probed once.
    let transport = match unsafe { StaticMmioTransport::new(header, SLOT_SIZE) } {
        Ok(transport) => transport,
        // Device ID 0 is an empty slot (virtio 1.2, 4.2.2).
        Err(MmioError::InvalidDeviceID(DeviceTypeError::InvalidDeviceType(0))) => return,
        Err(error) => {
            crate::println!("VirtIO: slot {slot:#x}: {error}");
            return;
        }
    };
    match transport.device_type() {
        DeviceType::Network => crate::net::init(transport),
        DeviceType::Block => crate::block::init(transport),
        other => crate::verbose!("VirtIO: slot {slot:#x}: no driver for {other:?}"),
    }
}

/// Memory for DMA comes from the heap. Device addresses are physical; pointers are not (see `levitate_hal::memory`).
pub struct VirtioHal;

fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(memory::PAGE)?, memory::PAGE).ok().filter(|layout| layout.size() > 0)
}

fn device_address(pointer: *const u8) -> PhysAddr {
    let physical = memory::to_physical(pointer);
    assert!(physical.is_some(), "{pointer:p} is not memory that a device may use");
    physical.unwrap_or_default() as PhysAddr
}

// SAFETY: `dma_alloc` gives zeroed pages of the heap that nobody else has, `mmio_phys_to_virt` an address that is mapped.
unsafe impl Hal for VirtioHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: the layout's size is not 0.
        let pointer = layout(pages).map(|layout| unsafe { alloc_zeroed(layout) }).and_then(NonNull::new);
        match pointer {
            Some(pointer) => (device_address(pointer.as_ptr()), pointer),
            // Address 0 is the trait's way to say that there is no memory.
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, pointer: NonNull<u8>, pages: usize) -> i32 {
        let Some(layout) = layout(pages) else {
            return -1;
        };
        // SAFETY: by the trait's contract the pointer came from `dma_alloc` with the same number of pages.
        unsafe { dealloc(pointer.as_ptr(), layout) };
        0
    }

    unsafe fn mmio_phys_to_virt(physical: PhysAddr, _: usize) -> NonNull<u8> {
        let pointer = NonNull::new(memory::to_virtual(physical as usize));
        pointer.unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        device_address(buffer.cast().as_ptr())
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {
        // Devices read and write RAM itself, coherent with the caches: nothing was copied, nothing is to be undone.
    }
}

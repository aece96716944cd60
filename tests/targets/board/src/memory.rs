//! Memory for devices and, where the image has one, the heap: both are parts of the image.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

const DMA_BYTES: usize = 1 << 20;

#[repr(align(4096))]
struct Arena<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: each part is given to one owner.
unsafe impl<const BYTES: usize> Sync for Arena<BYTES> {}

static DMA: Arena<DMA_BYTES> = Arena(UnsafeCell::new([0; DMA_BYTES]));
static DMA_USED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    /// Virtual minus physical address, from the linker script.
    safe static image_offset: usize;
}

fn physical(pointer: *const u8) -> PhysAddr {
    pointer.addr().wrapping_sub(image_offset) as PhysAddr
}

/// The machine, as drivers ask for it.
pub struct Machine;

// SAFETY: pages are part of the image, zero and given out once; devices have physical addresses, and all of them are mapped one
// to one.
unsafe impl Hal for Machine {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let start = DMA_USED.fetch_add(pages * PAGE_SIZE, Ordering::Relaxed);
        if start + pages * PAGE_SIZE > DMA_BYTES {
            return (0, NonNull::dangling());
        }
        // SAFETY: the place was just found to be inside, and not null.
        let pages = unsafe { NonNull::new_unchecked(DMA.0.get().cast::<u8>().add(start)) };
        (physical(pages.as_ptr()), pages)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // The image is at its end.
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        physical(buffer.cast().as_ptr())
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

#[cfg(feature = "heap")]
mod heap {
    use talc::TalcLock;
    use talc::source::Manual;

    const BYTES: usize = 256 << 10;

    static HEAP: super::Arena<BYTES> = super::Arena(core::cell::UnsafeCell::new([0; BYTES]));

    #[global_allocator]
    static ALLOCATOR: TalcLock<spin::Mutex<()>, Manual> = TalcLock::new(Manual);

    /// Gives the heap its memory. Called once.
    pub fn init() {
        // SAFETY: nobody else uses the arena.
        let _ = unsafe { ALLOCATOR.lock().claim(HEAP.0.get().cast(), BYTES) };
    }
}

#[cfg(feature = "heap")]
pub use heap::init;

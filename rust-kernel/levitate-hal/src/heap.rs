//! The heap: all RAM behind the image. Memory for DMA comes from it too, because on this machine devices see all of RAM and
//! are coherent with the caches (`dma-coherent` in the device tree).

use talc::TalcLock;
use talc::source::Manual;

#[global_allocator]
static HEAP: TalcLock<levitate_utils::Spinlock<()>, Manual> = TalcLock::new(Manual);

/// Gives the heap its memory.
///
/// # Safety
///
/// The memory must be mapped, and nobody else may use it from now on.
pub unsafe fn init(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise, passed on.
    let claimed = unsafe { HEAP.lock().claim(start, size) };
    assert!(claimed.is_some(), "RAM too small for a heap");
}

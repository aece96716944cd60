//! A heap that costs next to nothing, so that what is measured of a driver that allocates is the driver: freed blocks wait in a
//! list for each power of two, and fresh ones are cut from the end.

use crate::machine;
use crate::spy::{TALLY, tally};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;

const CLASSES: usize = 30;
const SMALLEST: usize = 16;

struct Lists {
    free: [*mut u8; CLASSES],
    fresh: usize,
}

/// The heap of one CPU, without a lock.
pub struct Heap(UnsafeCell<Lists>);

// SAFETY: one CPU runs, and no interrupt handler allocates.
unsafe impl Sync for Heap {}

impl Heap {
    /// All of the machine's memory for it.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Lists { free: [ptr::null_mut(); CLASSES], fresh: machine::HEAP.0 }))
    }
}

/// The exponent of the block that holds such a layout, aligned to its own size.
#[inline(always)]
fn class(layout: Layout) -> usize {
    let bytes = layout.size().max(layout.align()).max(SMALLEST);
    (usize::BITS - (bytes - 1).leading_zeros()) as usize
}

// SAFETY: a block is handed out once until it is freed, is as large as its class says and aligned to that.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        tally(&TALLY.allocations);
        let class = class(layout);
        if class >= CLASSES {
            return ptr::null_mut();
        }
        // SAFETY: one CPU runs. A free block holds the next one's address.
        unsafe {
            let lists = &mut *self.0.get();
            let block = lists.free[class];
            if !block.is_null() {
                lists.free[class] = block.cast::<*mut u8>().read();
                return block;
            }
            let start = lists.fresh.next_multiple_of(1 << class);
            if start + (1 << class) > machine::HEAP.0 + machine::HEAP.1 {
                return ptr::null_mut();
            }
            lists.fresh = start + (1 << class);
            start as *mut u8
        }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let class = class(layout);
        // SAFETY: the block is nobody's any more, and large enough for an address.
        unsafe {
            let lists = &mut *self.0.get();
            pointer.cast::<*mut u8>().write(lists.free[class]);
            lists.free[class] = pointer;
        }
    }
}

//! Blocks of the heap whose lack is an error, and which are filled where they lie: what is large is never on the stack of a
//! kernel.

use alloc::alloc::alloc;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, slice_from_raw_parts_mut};

/// A block for a value that is to be written there, or `None` where the heap has none.
pub(crate) fn room<T>() -> Option<Box<MaybeUninit<T>>> {
    const { assert!(size_of::<T>() != 0) };
    // SAFETY: the block is allocated as a box is, and need not hold a value.
    block(Layout::new::<T>()).map(|block| unsafe { Box::from_raw(block.cast().as_ptr()) })
}

/// The same for so many values.
pub(crate) fn room_for<T>(count: usize) -> Option<Box<[MaybeUninit<T>]>> {
    let block = block(Layout::array::<T>(count).ok()?)?;
    // SAFETY: as above.
    Some(unsafe { Box::from_raw(slice_from_raw_parts_mut(block.cast().as_ptr(), count)) })
}

/// A block of the heap. There is none of no bytes.
fn block(layout: Layout) -> Option<NonNull<u8>> {
    if layout.size() == 0 {
        return None;
    }
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { alloc(layout) })
}

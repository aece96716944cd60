//! Blocks of the heap whose lack is an error, and which are filled where they lie: what is large is never on the stack of a
//! kernel.

use alloc::alloc::alloc;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::mem::MaybeUninit;

/// A block for a value that is to be written there, or `None` where the heap has none.
pub(crate) fn room<T>() -> Option<Box<MaybeUninit<T>>> {
    const { assert!(size_of::<T>() != 0) };
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(Layout::new::<T>()) };
    // SAFETY: a block that is there was allocated as a box is, and need not hold a value.
    (!block.is_null()).then(|| unsafe { Box::from_raw(block.cast()) })
}

/// The same for so many values.
pub(crate) fn room_for<T>(count: usize) -> Option<Box<[MaybeUninit<T>]>> {
    let layout = Layout::array::<T>(count).ok().filter(|layout| layout.size() != 0)?;
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(layout) };
    let values = core::ptr::slice_from_raw_parts_mut(block.cast(), count);
    // SAFETY: as above.
    (!block.is_null()).then(|| unsafe { Box::from_raw(values) })
}

//! Where the drop-ins keep their driver: they are returned by value, on stacks and into structures that were made for the original, and the driver's
//! state is larger than the original's own. So it is one block of the heap, or, in a build without one, part of the value.

use super::virtio_drivers::Result;

/// The driver, in its place. Whether its owner is `Unpin` must not depend on where that is: the owner has `PhantomData` of the transport.
#[cfg(feature = "alloc")]
pub(crate) type Placed<T> = alloc::boxed::Box<T>;
/// The driver, in its place.
#[cfg(not(feature = "alloc"))]
pub(crate) type Placed<T> = T;

/// Moves the value to a block of the heap. `DmaError` where there is none: the value is dropped.
#[cfg(feature = "alloc")]
pub(crate) fn place<T>(value: T) -> Result<Placed<T>> {
    use super::virtio_drivers::Error;
    use alloc::alloc::alloc;
    use alloc::boxed::Box;
    use core::alloc::Layout;

    const { assert!(size_of::<T>() != 0) };
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    if block.is_null() {
        return Err(Error::DmaError);
    }
    // SAFETY: the block is new, and has the size and the alignment.
    unsafe { block.write(value) };
    // SAFETY: it was allocated as a box is.
    Ok(unsafe { Box::from_raw(block) })
}

/// Leaves the value where it is.
#[cfg(not(feature = "alloc"))]
pub(crate) fn place<T>(value: T) -> Result<Placed<T>> {
    Ok(value)
}

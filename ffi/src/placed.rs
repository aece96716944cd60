//! Where the drop-ins keep their driver: they are kept in structures that were made for the original, and the driver's state is larger than the
//! original's own. So it is one block of the heap, or, in a build without one, part of the value.

use super::driver::NetDevice;
use super::virtio_drivers::{Hal, Result};
use crate::sys::virtio_net;

/// The driver, in its place. Whether its owner is `Unpin` must not depend on where that is: the owner has `PhantomData` of the transport.
#[cfg(feature = "alloc")]
pub(crate) type Placed<T> = alloc::boxed::Box<T>;
/// The driver, in its place.
#[cfg(not(feature = "alloc"))]
pub(crate) type Placed<T> = T;

/// Moves the driver to a block of the heap. `DmaError` where there is none: the value is dropped.
#[cfg(feature = "alloc")]
pub(crate) fn place<H: Hal, T, const TX: usize, const RX: usize>(
    value: NetDevice<H, T, TX, RX>,
) -> Result<Placed<NetDevice<H, T, TX, RX>>> {
    use super::virtio_drivers::Error;
    use alloc::alloc::alloc;
    use alloc::boxed::Box;
    use core::alloc::Layout;

    // SAFETY: the size is not zero.
    let block = unsafe { alloc(Layout::new::<NetDevice<H, T, TX, RX>>()) }.cast::<NetDevice<H, T, TX, RX>>();
    if block.is_null() {
        return Err(Error::DmaError);
    }
    // SAFETY: the block is new, and has the size and the alignment.
    unsafe { block.write(value) };
    // SAFETY: it was allocated as a box is.
    let mut placed = unsafe { Box::from_raw(block) };
    // C is told where the host is, once and for all.
    placed.handle();
    Ok(placed)
}

/// Leaves the value where it is.
#[cfg(not(feature = "alloc"))]
pub(crate) fn place<H: Hal, T, const TX: usize, const RX: usize>(
    value: NetDevice<H, T, TX, RX>,
) -> Result<Placed<NetDevice<H, T, TX, RX>>> {
    Ok(value)
}

/// The driver's handle, with the context set to where the host is: known since [`place`] where the place is on the heap.
#[inline]
pub(crate) fn handle<H: Hal, T, const TX: usize, const RX: usize>(
    net: &mut Placed<NetDevice<H, T, TX, RX>>,
) -> *mut virtio_net {
    #[cfg(feature = "alloc")]
    return net.handle_in_place();
    #[cfg(not(feature = "alloc"))]
    return net.handle();
}

//! Where the drop-ins keep their driver: they are kept in structures that were made for the original, and the driver's state is
//! larger than the original's own. So it is one block of the heap, where it is set up and stays, because it grows with the queue,
//! and the stacks of kernels do not. In a build without a heap it is part of the value: it is set up in the result and moved
//! once, to the caller, so that the stack holds it twice.

use super::driver::{NetDevice, Options};
use super::translate::translate;
use super::virtio_drivers::transport::Transport;
use super::virtio_drivers::{Hal, Result};
use crate::sys::virtio_net;

/// The driver, in its place. Whether its owner is `Unpin` must not depend on where that is: the owner has `PhantomData` of the
/// transport.
#[cfg(feature = "alloc")]
pub(crate) type Placed<T> = alloc::boxed::Box<T>;
/// The driver, in its place.
#[cfg(not(feature = "alloc"))]
pub(crate) type Placed<T> = T;

/// Sets a driver up that is never split, in a block of the heap. `DmaError` where there is none, before anything is asked of the
/// device.
#[cfg(feature = "alloc")]
pub(crate) fn place<H: Hal, T: Transport, const TX: usize, const RX: usize>(
    transport: T,
    options: Options,
) -> Result<Placed<NetDevice<H, T, TX, RX>>> {
    let mut block = crate::heap::room().ok_or(super::virtio_drivers::Error::DmaError)?;
    NetDevice::set_up_whole_in(&mut block, transport, options).map_err(translate)?;
    // SAFETY: the driver is set up.
    let mut placed = unsafe { block.assume_init() };
    // C is told where the host is, once and for all.
    placed.handle();
    Ok(placed)
}

/// The owner of a driver that is never split: made by `own`, which may not look at the driver yet, and completed by `adopt`.
/// `net_of` is the driver in it.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) fn owner_of<H: Hal, T: Transport, O, const TX: usize, const RX: usize>(
    transport: T,
    options: Options,
    own: impl FnOnce(Placed<NetDevice<H, T, TX, RX>>) -> O,
    _net_of: impl FnOnce(&mut O) -> &mut Placed<NetDevice<H, T, TX, RX>>,
    adopt: impl FnOnce(&mut O),
) -> Result<O> {
    let mut owner = own(place(transport, options)?);
    adopt(&mut owner);
    Ok(owner)
}

/// The same without a heap: the driver is set up in its owner, and that in the result, so that it is moved only once, to the
/// caller.
#[cfg(not(feature = "alloc"))]
#[inline(always)]
pub(crate) fn owner_of<H: Hal, T: Transport, O, const TX: usize, const RX: usize>(
    transport: T,
    options: Options,
    own: impl FnOnce(Placed<NetDevice<H, T, TX, RX>>) -> O,
    net_of: impl FnOnce(&mut O) -> &mut Placed<NetDevice<H, T, TX, RX>>,
    adopt: impl FnOnce(&mut O),
) -> Result<O> {
    let mut made = Ok(own(NetDevice::vacant(transport)));
    if let Ok(owner) = &mut made {
        match net_of(owner).set_up_whole(options) {
            Ok(()) => adopt(owner),
            Err((error, transport)) => {
                // SAFETY: the owner is not dropped, because its driver was not set up; it has nothing else yet that must be.
                unsafe { (&raw mut made).write(Err(translate(error))) };
                drop(transport);
            }
        }
    }
    made
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

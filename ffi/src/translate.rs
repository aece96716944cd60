//! What the two drop-ins share: the original's errors for the driver's, and the original's limits.

use super::virtio_drivers::Error;
use crate::Error as DriverError;
use crate::sys::*;

/// Bytes of a receive buffer at least, header included: the largest frame without a tag, and the header.
pub(crate) const MIN_BUFFER_LEN: usize = 1526;
/// Bytes of the longest frame.
pub(crate) const MOST_FRAME: usize = 65_535;
/// How often a full queue is looked at before `send` gives up, and frames in flight before `drop` does.
pub(crate) const WAIT_LOOKS: usize = 1_000_000;

/// Refuses to compile a queue that cannot be, as the original does.
pub(crate) const fn check_queue_size(size: usize) {
    assert!(
        size.is_power_of_two() && size <= VIRTIO_NET_MAX_SLOTS as usize,
        "QUEUE_SIZE is a power of two up to 32,768"
    );
}

/// The original's error for a status code. Not in line: the errors of every call come here.
#[cold]
#[inline(never)]
pub(crate) fn translate(error: DriverError) -> Error {
    match error.code() {
        VIRTIO_NET_ERROR_QUEUE_FULL => Error::QueueFull,
        VIRTIO_NET_ERROR_NOT_READY => Error::NotReady,
        VIRTIO_NET_ERROR_NO_MEMORY | VIRTIO_NET_ERROR_DMA_ADDRESS => Error::DmaError,
        VIRTIO_NET_ERROR_CONFIG_SPACE => Error::ConfigSpaceTooSmall,
        VIRTIO_NET_ERROR_UNSUPPORTED => Error::Unsupported,
        VIRTIO_NET_ERROR_SLOT => Error::WrongToken,
        VIRTIO_NET_ERROR_INVALID_ARGUMENT
        | VIRTIO_NET_ERROR_OPTIONS
        | VIRTIO_NET_ERROR_STORAGE
        | VIRTIO_NET_ERROR_FRAME_EMPTY
        | VIRTIO_NET_ERROR_FRAME_TOO_LONG
        | VIRTIO_NET_ERROR_BUFFER_TOO_SMALL => Error::InvalidParam,
        _ => Error::IoError,
    }
}

//! The driver's status codes as Rust errors, and its version.

use crate::sys;
use core::ffi::CStr;
use core::fmt;

/// The version of the C interface that the driver in this image was compiled with, major and minor: the C code's own answer.
#[must_use]
pub fn abi_version() -> (u16, u16) {
    // SAFETY: the function takes nothing and returns a constant.
    let version = unsafe { sys::virtio_net_abi_version() };
    ((version >> 16) as u16, version as u16)
}

/// A negative status code of the driver: `VIRTIO_NET_ERROR_*` in [`sys`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error(i32);

impl Error {
    /// The frame queue has no free slot now.
    pub const QUEUE_FULL: Self = Self(sys::VIRTIO_NET_ERROR_QUEUE_FULL);
    /// The device broke a rule or asked for a reset: `recover`.
    pub const NEEDS_RESET: Self = Self(sys::VIRTIO_NET_ERROR_NEEDS_RESET);
    /// The driver was stopped, or never came up.
    pub const STATE: Self = Self(sys::VIRTIO_NET_ERROR_STATE);
    /// The buffer is smaller than the received frame, which stays where it is.
    pub const BUFFER_TOO_SMALL: Self = Self(sys::VIRTIO_NET_ERROR_BUFFER_TOO_SMALL);

    /// The device has returned nothing yet.
    #[cfg(all(feature = "alloc", any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13")))]
    pub(crate) const NOT_READY: Self = Self(sys::VIRTIO_NET_ERROR_NOT_READY);

    /// A count, or the error that a negative number stands for.
    #[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
    pub(crate) fn check(code: i32) -> Result<u32, Self> {
        u32::try_from(code).map_err(|_| Self(code))
    }

    /// The status code, a negative number.
    #[must_use]
    pub fn code(self) -> i32 {
        self.0
    }

    /// The code's name in C, such as `VIRTIO_NET_ERROR_QUEUE_FULL`.
    #[must_use]
    pub fn name(self) -> &'static str {
        // SAFETY: the function returns a static string for every number.
        text(unsafe { CStr::from_ptr(sys::virtio_net_status_name(self.0)) })
    }

    /// A sentence about the code.
    #[must_use]
    pub fn text(self) -> &'static str {
        // SAFETY: the function returns a static string for every number.
        text(unsafe { CStr::from_ptr(sys::virtio_net_status_text(self.0)) })
    }
}

/// The texts are ASCII; should one ever not be, its name is worth less than a kernel that goes on.
fn text(bytes: &'static CStr) -> &'static str {
    bytes.to_str().unwrap_or("?")
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Error {}

/// Which register or ring field caused the last error, what was found there, and what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorDetail {
    /// The error.
    pub error: Error,
    /// `VIRTIO_NET_FIELD_*` in [`sys`].
    pub field: u32,
    /// 0 for the receive queue, 1 for the transmit queue, where the field belongs to a queue.
    pub queue: u32,
    /// What was found.
    pub found: u64,
    /// What was wanted.
    pub wanted: u64,
}

impl ErrorDetail {
    #[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
    pub(crate) fn from_c(detail: &sys::virtio_net_error_detail) -> Option<Self> {
        (detail.code < 0).then_some(Self {
            error: Error(detail.code),
            field: detail.field,
            queue: detail.queue,
            found: detail.found,
            wanted: detail.wanted,
        })
    }
}

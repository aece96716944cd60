//! A virtio network driver written in C, for kernels written in Rust.
//!
//! [`VirtIONet`] has the interface of `virtio_drivers::device::net::VirtIONet`: change the `use` line and keep the rest, `Hal` and
//! transports included; [`VirtIONetRaw`] has that of its namesake. [`NetDevice`] is the driver's own interface, without a heap and without a wait: frames copied, or written and read
//! in place. [`sys`] is the C interface itself, as `include/virtio_net.h` documents it.
//!
//! # Features
//!
//! - `alloc` (default): [`VirtIONet`], [`TxBuffer`] and [`RxBuffer`].
//! - `virtio-drivers-0_12` (default): `Hal` and `Transport` of that version of virtio-drivers.
//! - `smoltcp-0_14`: `smoltcp::phy::Device` for [`NetDevice`] and [`VirtIONet`].
//! - `log`: log lines of the driver, under the target `virtio_net_c`.
#![no_std]
#![warn(missing_docs)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[allow(missing_docs, non_camel_case_types, clippy::undocumented_unsafe_blocks)]
#[rustfmt::skip]
mod bindings;
#[allow(non_camel_case_types)]
mod platform;

/// The C interface. `include/virtio_net.h` and `include/virtio_net_platform.h` are its documentation.
pub mod sys {
    pub use super::bindings::*;
    pub use super::platform::*;
}

/// What the lock is made of; its test puts a model checker's in their place.
#[cfg(feature = "virtio-drivers-0_12")]
mod atomics {
    pub(crate) use core::hint::spin_loop;
    pub(crate) use core::sync::atomic::{AtomicPtr, Ordering};
}

mod error;
mod layout;

pub use error::{Error, ErrorDetail, abi_version};

#[cfg(feature = "virtio-drivers-0_12")]
use virtio_drivers_0_12 as virtio_drivers;

#[cfg(feature = "virtio-drivers-0_12")]
mod driver;
#[cfg(feature = "virtio-drivers-0_12")]
mod frames;
#[cfg(feature = "virtio-drivers-0_12")]
mod lock;
#[cfg(feature = "virtio-drivers-0_12")]
mod raw;
#[cfg(feature = "virtio-drivers-0_12")]
mod split;
#[cfg(feature = "virtio-drivers-0_12")]
mod thunks;
#[cfg(feature = "virtio-drivers-0_12")]
mod translate;

#[cfg(feature = "virtio-drivers-0_12")]
pub use raw::VirtIONetRaw;

#[cfg(feature = "virtio-drivers-0_12")]
pub use driver::{Info, Link, Mmio, NetDevice, Options, Statistics};
#[cfg(feature = "virtio-drivers-0_12")]
pub use frames::{Packets, RxBurst, RxFrame, RxFrames, RxFramesMut, TxBurst, TxFrame, TxSlot};
#[cfg(feature = "virtio-drivers-0_12")]
pub use split::{Duplex, Interrupts, Receiver, Transmitter};

#[cfg(all(feature = "virtio-drivers-0_12", feature = "alloc"))]
mod buffer;
#[cfg(all(feature = "virtio-drivers-0_12", feature = "alloc"))]
mod compat;

#[cfg(all(feature = "virtio-drivers-0_12", feature = "alloc"))]
pub use buffer::{RxBuffer, TxBuffer, VirtioNetHdr};
#[cfg(all(feature = "virtio-drivers-0_12", feature = "alloc"))]
pub use compat::VirtIONet;

#[cfg(all(feature = "virtio-drivers-0_12", feature = "smoltcp-0_14"))]
mod phy;

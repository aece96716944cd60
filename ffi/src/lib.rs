//! A virtio network driver written in C, for kernels written in Rust.
//!
//! [`VirtIONet`] has the interface of `virtio_drivers::device::net::VirtIONet`: change the `use` line and keep the rest, `Hal` and
//! transports included; [`VirtIONetRaw`] has that of its namesake. [`NetDevice`] is the driver's own interface, without a heap and without a wait: frames copied, or written and read
//! in place. [`sys`] is the C interface itself, as `include/virtio_net.h` documents it.
//!
//! # Features
//!
//! - `alloc` (default): [`VirtIONet`], [`TxBuffer`] and [`RxBuffer`].
//! - `virtio-drivers-0_12` (default): `Hal` and `Transport` of virtio-drivers 0.12, in the module `v0_12`.
//! - `virtio-drivers-0_13`: those of 0.13, in the module `v0_13`.
//! - `smoltcp-0_14`: `smoltcp::phy::Device` for [`NetDevice`] and [`VirtIONet`].
//! - `log`: log lines of the driver, under the target `virtio_net_c`.
//!
//! What a module of a version offers is here at the root too: that of 0.12 where its feature is on, else that of 0.13. Cargo adds up the features
//! that all crates of a build ask for. So a library that must work beside others names its module (`virtio_net_c::v0_13::VirtIONet`); a
//! kernel need not.
#![no_std]
#![warn(missing_docs)]
#![allow(
    clippy::duplicate_mod,
    reason = "the source over virtio-drivers is compiled once for each of its versions"
)]

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
#[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
mod atomics {
    pub(crate) use core::hint::spin_loop;
    pub(crate) use core::sync::atomic::{AtomicPtr, Ordering};
}

/// Cards that were given an address. One counter for the image, whichever versions of virtio-drivers there are.
#[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
static CARDS: core::sync::atomic::AtomicU16 = core::sync::atomic::AtomicU16::new(1);

mod error;
mod layout;

pub use error::{Error, ErrorDetail, abi_version};

#[cfg(feature = "virtio-drivers-0_12")]
pub mod v0_12;
#[cfg(feature = "virtio-drivers-0_13")]
pub mod v0_13;

#[cfg(feature = "virtio-drivers-0_12")]
pub use v0_12::*;
#[cfg(all(feature = "virtio-drivers-0_13", not(feature = "virtio-drivers-0_12")))]
pub use v0_13::*;

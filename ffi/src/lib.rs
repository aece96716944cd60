//! A virtio network driver written in C, for kernels written in Rust.
//!
//! # In the place of virtio-drivers' network device
//!
//! `VirtIONet` has the interface of `virtio_drivers::device::net::VirtIONet`: change the `use` line and keep the rest, `Hal` and
//! transports included. `VirtIONetRaw` has that of its namesake.
//!
#![cfg_attr(
    all(feature = "alloc", any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13")),
    doc = "```standalone_crate"
)]
#![cfg_attr(
    not(all(feature = "alloc", any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))),
    doc = "```ignore"
)]
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/doc.rs"));
//! # fn main() -> Result<(), virtio_drivers::Error> {
//! # let (_plug, card, transport) = plug();
//! use virtio_net_c::VirtIONet; // was: virtio_drivers::device::net::VirtIONet
//!
//! let mut net = VirtIONet::<MyHal, _, 16>::new(transport, 2048)?;
//! net.send(net.new_tx_buffer(60))?;
//! # assert!(card.deliver(&[1; 64]));
//! let frame = net.receive()?;
//! assert_eq!(frame.packet_len(), 64);
//! net.recycle_rx_buffer(frame)?;
//! # assert_eq!(card.sent().len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # The driver's own interface
//!
//! [`NetDevice`] needs no heap and does not wait. Frames are copied, or written and read in place, alone or in bursts that cost
//! one call into C to begin and one to end. [`NetDevice::split`] makes three handles of it for three processors: transmit,
//! receive, and the interrupt.
//!
#![cfg_attr(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"), doc = "```standalone_crate")]
#![cfg_attr(not(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13")), doc = "```ignore")]
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/doc.rs"));
//! # fn main() -> Result<(), virtio_net_c::Error> {
//! # let (_plug, card, transport) = plug();
//! use virtio_net_c::{Link, NetDevice, Options, Packets};
//!
//! let mut net = NetDevice::<MyHal, _, 256, 256>::new(transport, Options::new())?;
//! assert_eq!(net.link()?, Link::Up);
//! println!("{:02x?}, mtu {}", net.mac_address(), net.mtu());
//!
//! net.send(&[0x55; 60])?;                          // copied
//! let mut frame = net.reserve()?;                  // in place
//! frame[..60].fill(0x55);
//! frame.send(60)?;
//! # assert_eq!(card.sent(), [[0x55; 60], [0x55; 60]]);
//! # assert!(card.deliver(&[1; 64]) && card.deliver(&[2; 99]));
//!
//! let mut room = Packets::<32>::new();
//! for frame in &net.peek_burst(&mut room)? {       // up to 32 received frames, in place
//!     println!("{} bytes", frame.len());
//! }                                                // the buffers go back to the card, all at once
//! # assert_eq!(net.stats().rx_frames, 2);
//! # Ok(())
//! # }
//! ```
//!
//! [`sys`] is the C interface itself, as `include/virtio_net.h` documents it.
//!
//! # Features
//!
//! - `alloc` (default): [`VirtIONet`], [`TxBuffer`] and [`RxBuffer`]; and the drop-ins keep their state in a block of the heap.
//! - `virtio-drivers-0_12` (default): `Hal` and `Transport` of virtio-drivers 0.12, in the module `v0_12`.
//! - `virtio-drivers-0_13`: those of 0.13, in the module `v0_13`.
//! - `smoltcp-0_14`: `smoltcp::phy::Device` for [`NetDevice`] and [`VirtIONet`].
//! - `simd`: frames of 128 bytes and more are copied by vector registers (NEON, SSE2), by the calls that copy and by no others:
//!   `send`, `receive` and their bursts of all types here, and [`TxBuffer::from`]. The kernel must have switched these registers
//!   on, and save them in interrupt entries, or make no such call in interrupt handlers nor be interrupted by one that does. Only
//!   the kernel knows that, so no library should ask for it. The build stops for a target whose code must not use them.
//! - `log`: log lines of the driver, under the target `virtio_net_c`. Without it the C code is compiled without any, and never
//!   calls the `log` of a table that is made by hand ([`sys`]).
//!
//! What a module of a version offers is here at the root too: that of 0.12 where its feature is on, else that of 0.13. Cargo adds
//! up the features that all crates of a build ask for. So a library that must work beside others names its module
//! (`virtio_net_c::v0_13::VirtIONet`); a kernel need not.
#![no_std]
#![warn(missing_docs)]
#![allow(
    clippy::duplicate_mod,
    reason = "the source over virtio-drivers is compiled once for each of its versions"
)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[allow(non_camel_case_types, clippy::undocumented_unsafe_blocks)]
#[rustfmt::skip]
mod bindings;
#[allow(non_camel_case_types)]
mod platform;

/// The C interface, item by item. `include/virtio_net.h` has it in order, with what concerns several calls: threads, ownership,
/// and the errors of a whole section.
pub mod sys {
    pub use super::bindings::*;
    pub use super::platform::*;
}

/// What the lock and the receive pool are made of; their tests put a model checker's in their place.
#[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
mod atomics {
    pub(crate) use core::hint::spin_loop;
    #[cfg(feature = "alloc")]
    pub(crate) use core::sync::atomic::{AtomicBool, AtomicIsize as AtomicCount, AtomicU32};
    /// Holds more than there can be slots and processors.
    #[cfg(feature = "alloc")]
    pub(crate) type Count = isize;
    pub(crate) use core::sync::atomic::{AtomicPtr, Ordering};
}

/// Cards that were given an address. One counter for the image, whichever versions of virtio-drivers there are.
#[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
static CARDS: core::sync::atomic::AtomicU16 = core::sync::atomic::AtomicU16::new(1);

/// What [`quarantined_bytes`] tells. One counter for the image, likewise.
#[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
static QUARANTINED: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);

/// Bytes of DMA memory that drivers which are gone have left in quarantine: never given back to their `Hal`, because the device
/// did not confirm its reset and may still use it. It counts all drivers of this image and only grows. Any processor may ask, at
/// any time.
#[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
pub fn quarantined_bytes() -> usize {
    QUARANTINED.load(core::sync::atomic::Ordering::Relaxed)
}

/// Counts so much more.
#[cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
fn quarantine(bytes: usize) {
    if bytes != 0 {
        QUARANTINED.fetch_add(bytes, core::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(all(doctest, feature = "alloc", any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13")))]
#[doc = include_str!("../README.md")]
struct Readme;

mod error;
#[cfg(all(feature = "alloc", any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13")))]
mod heap;
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

//! Everything that is written in terms of virtio-drivers: one source, compiled once for each of its versions that is asked for.
//!
//! Each version's `Hal` and `Transport` are traits of their own, so what is generic over them exists once for each version too.
//! `super` says which version it is; the modules below name their neighbours, and virtio-drivers, by `super` as well.

use super::virtio_drivers;

mod driver;
mod frames;
mod header;
mod lock;
mod placed;
mod raw;
mod split;
mod thunks;
mod translate;

pub use driver::{Info, Link, Mmio, NetDevice, Options, Statistics};
pub use frames::{Packets, RxBurst, RxFrame, RxFrames, RxFramesMut, TxBurst, TxFrame, TxSlot};
pub use header::VirtioNetHdr;
pub use raw::VirtIONetRaw;
pub use split::{Duplex, Interrupts, Receiver, Transmitter};

#[cfg(feature = "alloc")]
mod buffer;
#[cfg(feature = "alloc")]
mod compat;
#[cfg(feature = "alloc")]
mod pool;

#[cfg(feature = "alloc")]
pub use buffer::{RxBuffer, TxBuffer};
#[cfg(feature = "alloc")]
pub use compat::VirtIONet;

#[cfg(feature = "smoltcp-0_14")]
mod phy;

/// The names of `virtio_drivers::device::net`, and no others: `use virtio_net_c::net::*` takes the place of
/// `use virtio_drivers::device::net::*`.
pub mod net {
    pub use super::{VirtIONetRaw, VirtioNetHdr};

    #[cfg(feature = "alloc")]
    pub use super::{RxBuffer, TxBuffer, VirtIONet};
}

//! The NIC driver of the crate `virtio-drivers`, so that the kernel's feature `rust-net` can put it in the C driver's
//! place without a change in `net.rs`.
#![no_std]

pub use virtio_drivers::device::net::VirtIONet;

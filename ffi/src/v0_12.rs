//! The driver over `Hal` and `Transport` of virtio-drivers 0.12.

pub use virtio_drivers_0_12 as virtio_drivers;

#[path = "on_virtio_drivers.rs"]
mod on_virtio_drivers;

pub use on_virtio_drivers::*;

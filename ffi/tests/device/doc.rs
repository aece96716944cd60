// For the examples in the documentation, which include this file at their root: the card of the tests, and names for its parts.
// (A comment that belongs to the file could not be included.)

#[cfg(feature = "virtio-drivers-0_12")]
extern crate virtio_drivers_0_12 as virtio_drivers;
#[cfg(not(feature = "virtio-drivers-0_12"))]
extern crate virtio_drivers_0_13 as virtio_drivers;

#[path = "mod.rs"]
mod device;

use device::{FakeTransport, TestHal as MyHal, frame};

/// A machine with a modern card, and the transport to it.
fn plug() -> (device::Plug, std::sync::Arc<device::Card>, FakeTransport) {
    let (plug, card) = device::machine(device::MODERN);
    let transport = FakeTransport::new(&card);
    (plug, card, transport)
}

//! The driver against a device that nobody of this project wrote: `NetDevice`, the drop-in `VirtIONet`, and smoltcp over both.
#![cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

extern crate smoltcp_0_14 as smoltcp;
#[cfg(feature = "virtio-drivers-0_12")]
extern crate virtio_drivers_0_12 as virtio_drivers;
#[cfg(not(feature = "virtio-drivers-0_12"))]
extern crate virtio_drivers_0_13 as virtio_drivers;

#[path = "../device/mod.rs"]
mod device;

mod bring_up;
mod bursts;
mod hostile;
mod interrupts;
mod raw;
mod raw_receive;
mod receive;
mod smoltcp_peer;
mod split;
mod transmit;
mod types;

#[cfg(feature = "alloc")]
mod drop_in;
#[cfg(feature = "alloc")]
mod lifetime;
#[cfg(feature = "alloc")]
mod random;
#[cfg(feature = "alloc")]
mod threads;

use device::{Card, FakeTransport, TestHal};
use std::sync::Arc;
use virtio_net_c::{Error, NetDevice, Options};

/// The driver under test, with the queue size as its number.
type Net<const N: usize> = NetDevice<TestHal, FakeTransport, N, N>;
#[cfg(feature = "alloc")]
type DropIn<const N: usize> = virtio_net_c::VirtIONet<TestHal, FakeTransport, N>;

/// The size of the drop-in's buffers, as LevitateOS and most others have it.
#[cfg(feature = "alloc")]
const BUFFER_LENGTH: usize = 2048;

fn try_net<const N: usize>(card: &Arc<Card>) -> Result<Net<N>, Error> {
    NetDevice::new(FakeTransport::new(card), Options::new())
}

fn net<const N: usize>(card: &Arc<Card>) -> Net<N> {
    try_net(card).unwrap()
}

#[cfg(feature = "alloc")]
fn drop_in<const N: usize>(card: &Arc<Card>) -> DropIn<N> {
    virtio_net_c::VirtIONet::new(FakeTransport::new(card), BUFFER_LENGTH).unwrap()
}

/// The next frame, as a vector of its own.
fn receive<const N: usize>(net: &mut Net<N>) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1518];
    let length = net.receive(&mut buffer).unwrap()?;
    buffer.truncate(length);
    Some(buffer)
}

//! Memory that a device may still write when its driver is gone is counted to the byte. Alone in its program, because the
//! count is one for all drivers.
#![cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

#[cfg(feature = "virtio-drivers-0_12")]
extern crate virtio_drivers_0_12 as virtio_drivers;
#[cfg(not(feature = "virtio-drivers-0_12"))]
extern crate virtio_drivers_0_13 as virtio_drivers;

#[path = "device/mod.rs"]
mod device;

use device::{Card, FakeTransport, LEGACY, MODERN, Plug, TestHal, machine};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use virtio_net_c::{NetDevice, Options, VirtIONetRaw, quarantined_bytes};

type Net = NetDevice<TestHal, FakeTransport, 16, 16>;
type Raw = VirtIONetRaw<TestHal, FakeTransport, 16>;

fn net(card: &Arc<Card>) -> Option<Net> {
    Net::new(FakeTransport::new(card), Options::new().reset_limit(100)).ok()
}

/// How a driver ends, with a card that confirms so many more resets.
type End = fn(&Plug, &Arc<Card>, usize);

#[test]
fn what_the_device_may_still_write_is_counted() {
    let ends: [(End, usize); 5] = [(drop_net, 9), (drop_net, 0), (fail, 1), (drop_raw, 9), (drop_raw, 0)];
    for kind in [MODERN, LEGACY] {
        for (end, resets) in ends {
            let before = quarantined_bytes();
            let (plug, card) = machine(kind);
            plug.expect_leak();
            end(&plug, &card, resets);
            assert_eq!(quarantined_bytes() - before, plug.live().0 * 4096);
            assert_eq!(plug.live().0 == 0, resets == 9);
        }
    }
}

fn drop_net(_: &Plug, card: &Arc<Card>, resets: usize) {
    let net = net(card).unwrap();
    card.change(|config| config.resets = resets);
    drop(net);
}

/// There is memory for a ring and a part of the buffers, and the reset after that is not confirmed.
fn fail(plug: &Plug, card: &Arc<Card>, resets: usize) {
    plug.alloc_budget.store(3, Ordering::Relaxed);
    card.change(|config| config.resets = resets);
    assert!(net(card).is_none());
}

/// Some of its memory is under a frame that was copied, and under a long one.
fn drop_raw(_: &Plug, card: &Arc<Card>, resets: usize) {
    let mut net = Raw::new(FakeTransport::new(card)).unwrap();
    net.send(&[1; 60]).unwrap();
    net.send(&[2; 9000]).unwrap();
    card.change(|config| config.resets = resets);
    drop(net);
}

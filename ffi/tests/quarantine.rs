//! How drivers end, with a device that confirms its reset and with one that does not: memory that it may still use is counted to
//! the byte and stays where it is, and its transport is not dropped. Alone in its program, because the count is one for all
//! drivers.
#![cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

#[cfg(feature = "virtio-drivers-0_12")]
extern crate virtio_drivers_0_12 as virtio_drivers;
#[cfg(not(feature = "virtio-drivers-0_12"))]
extern crate virtio_drivers_0_13 as virtio_drivers;

#[path = "device/mod.rs"]
mod device;

use device::{Card, Config, FakeTransport, LEGACY, MODERN, Plug, TestHal, machine};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use virtio_net_c::{NetDevice, Options, VirtIONetRaw, quarantined_bytes};

type Net = NetDevice<TestHal, FakeTransport, 16, 16>;
type Raw = VirtIONetRaw<TestHal, FakeTransport, 16>;
#[cfg(feature = "alloc")]
type DropIn = virtio_net_c::VirtIONet<TestHal, FakeTransport, 16>;

/// One test at a time: the count is one for all.
static COUNT: Mutex<()> = Mutex::new(());

fn options() -> Options {
    Options::new().reset_limit(100)
}

fn net(card: &Arc<Card>) -> Option<Net> {
    Net::new(FakeTransport::new(card), options()).ok()
}

fn raw(card: &Arc<Card>) -> Option<Raw> {
    Raw::new(FakeTransport::new(card)).ok()
}

#[cfg(feature = "alloc")]
fn drop_in(card: &Arc<Card>) -> Option<DropIn> {
    DropIn::with_options(FakeTransport::new(card), 2048, options()).ok()
}

/// What becomes of the resets from now on. All but the first are not confirmed when the driver asks.
const RESETS: [fn(&mut Config); 3] = [|_| (), |config| config.resets = 0, |config| config.ignored_resets = 1];

/// Makes a driver and ends it, with a card that is changed in between. The number of buffers that were shared for the device.
type End = fn(&Arc<Card>, fn(&mut Config)) -> usize;

#[test]
fn what_the_device_may_still_use_is_counted_and_kept() {
    let _alone = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    let ends: &[End] = &[
        drop_net,
        drop_raw,
        #[cfg(feature = "alloc")]
        drop_drop_in,
    ];
    for (kind, end) in [MODERN, LEGACY].iter().flat_map(|kind| ends.iter().map(move |end| (*kind, end))) {
        for (index, change) in RESETS.into_iter().enumerate() {
            check(kind, index == 0, |_, card| end(card, change));
        }
    }
}

/// Runs what ends a driver, whose last reset is confirmed or not, and which has memory at its end.
fn check(kind: device::Kind, confirmed: bool, end: impl FnOnce(&Plug, &Arc<Card>) -> usize) {
    let before = quarantined_bytes();
    let (plug, card) = machine(kind);
    plug.expect_leak();
    let shared = end(&plug, &card);
    let (pages, still_shared) = plug.live();
    assert_eq!(quarantined_bytes() - before, pages * 4096);
    assert_eq!((pages == 0, card.dropped()), (confirmed, usize::from(confirmed)));
    assert_eq!(still_shared, if confirmed { 0 } else { shared });
}

fn drop_net(card: &Arc<Card>, change: fn(&mut Config)) -> usize {
    let net = net(card).unwrap();
    card.change(change);
    drop(net);
    0
}

/// Some of its memory is under a frame that was copied, and under a long one; two buffers are the caller's.
fn drop_raw(card: &Arc<Card>, change: fn(&mut Config)) -> usize {
    let (mut room, mut frame) = ([0; 2048], [0; 256]);
    let mut net = raw(card).unwrap();
    net.send(&[1; 60]).unwrap();
    net.send(&[2; 9000]).unwrap();
    let header = net.fill_buffer_header(&mut frame).unwrap();
    // SAFETY: both buffers stay in place for longer than the driver lives, and the card of the test writes nothing.
    unsafe {
        net.receive_begin(&mut room).unwrap();
        net.transmit_begin(&frame[..header + 60]).unwrap();
    }
    card.change(change);
    drop(net);
    2
}

/// A receive buffer outlives the driver, and two frames are in flight: one that was copied, and one in its own buffer.
#[cfg(feature = "alloc")]
fn drop_drop_in(card: &Arc<Card>, change: fn(&mut Config)) -> usize {
    let mut net = drop_in(card).unwrap();
    net.send(net.new_tx_buffer(60)).unwrap();
    net.send(net.new_tx_buffer(1500)).unwrap();
    assert!(card.deliver(&[3; 64]));
    let lent = net.receive().unwrap();
    card.change(change);
    drop(net);
    assert_eq!(lent.packet(), [3; 64]);
    1
}

/// A recovery fails after its reset, so that the device is reset when the driver is dropped.
#[test]
#[cfg(feature = "alloc")]
fn a_driver_whose_recovery_failed_leaves_nothing() {
    let _alone = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in [MODERN, LEGACY] {
        check(kind, true, |_, card| {
            let mut net = drop_in(card).unwrap();
            card.change(|config| config.queue_max = 0);
            assert!(net.recover().is_err());
            0
        });
    }
}

/// Brings a driver up in vain.
type Attempt = fn(&Arc<Card>) -> bool;

const ATTEMPTS: &[Attempt] = &[
    |card| net(card).is_none(),
    |card| raw(card).is_none(),
    #[cfg(feature = "alloc")]
    |card| drop_in(card).is_none(),
];

/// There is memory for one ring, and the reset after that is the second one.
#[test]
fn a_set_up_in_vain_ends_like_a_driver() {
    let _alone = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    for attempt in ATTEMPTS {
        for (kind, resets) in [(MODERN, 2), (MODERN, 1), (LEGACY, 2), (LEGACY, 1)] {
            check(kind, resets == 2, |plug, card| {
                plug.alloc_budget.store(1, Ordering::Relaxed);
                card.change(|config| config.resets = resets);
                assert!(attempt(card));
                0
            });
        }
    }
}

/// Set-up fails before there is memory, and the device ignores the reset after that: the drop of a transport would wait for it.
#[test]
fn the_transport_of_a_device_that_ignores_its_last_reset_is_not_dropped() {
    let _alone = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    for attempt in ATTEMPTS {
        for (kind, resets) in [(MODERN, 2), (MODERN, 1), (LEGACY, 2), (LEGACY, 1)] {
            let before = quarantined_bytes();
            let (plug, card) = machine(kind);
            card.change(|config| {
                config.refuses_features = true; // which a legacy device cannot
                config.queue_max = 0;
                config.resets = resets;
            });
            assert!(attempt(&card));
            assert_eq!((quarantined_bytes() - before, plug.live()), (0, (0, 0)));
            assert_eq!(card.dropped(), resets - 1);
        }
    }
}

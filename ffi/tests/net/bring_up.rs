//! Set-up and its failures (virtio 1.2, 3.1 and 5.1.5).

use crate::device::{
    Card, Config, FakeTransport, KINDS, Kind, LEGACY, MODERN, Machine, TestHal, feature, frame, machine,
};
use crate::{Net, net, receive, try_net};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use virtio_net_c::sys::*;
use virtio_net_c::{Error, Link, Mmio, NetDevice, Options};

fn code<T>(result: Result<T, Error>) -> i32 {
    result.err().map_or(0, Error::code)
}

#[test]
fn every_kind_comes_up() {
    fn check<const N: usize>(kind: Kind) {
        let (plug, card) = machine(kind);
        let mut net = net::<N>(&card);
        assert!(card.is_running());
        assert_eq!(net.mac_address(), [0x52, 0x54, 0, 0xab, 0xcd, 0xef]);
        let info = net.info();
        assert_eq!((info.legacy, info.features), (kind.legacy, card.accepted()), "{}", kind.name);
        assert_eq!(info.header_length, if kind.legacy { 10 } else { 12 });
        assert_eq!((info.tx_slots, info.rx_slots), (N, N), "{}", kind.name);
        assert_eq!((info.tx_buffer_bytes, info.rx_buffer_bytes), (1518, 1518));
        assert_eq!(net.link().unwrap(), Link::Up);
        assert!(net.check().is_ok());
        assert_eq!(card.buffers(), N, "receive buffers of {}", kind.name);
        drop(net);
        assert_eq!(card.dropped(), 1);
        assert!(!card.is_running(), "{} was not reset", kind.name);
        assert_eq!(plug.live(), (0, 0));
    }
    for kind in KINDS {
        check::<1>(kind);
        check::<2>(kind);
        check::<16>(kind);
        check::<256>(kind);
        check::<512>(kind);
    }
    check::<1024>(MODERN);
    check::<1024>(KINDS[2]);
}

#[test]
fn accepts_what_it_must_and_nothing_else() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let net = net::<16>(&card);
        let accepted = card.accepted();
        assert_eq!(accepted & !feature::SERVED, 0, "{}", kind.name);
        assert_eq!(accepted & feature::VERSION_1 != 0, !kind.legacy, "{}", kind.name);
        let always = feature::MAC | feature::STATUS | kind.extra;
        assert_eq!(accepted & always, always, "{}", kind.name);
        assert_eq!(net.info().device_features & 0xffff_ffff, Config::new(kind).features & 0xffff_ffff);
    }
}

#[test]
fn a_mask_leaves_features_out() {
    let (_plug, card) = machine(MODERN);
    let options = Options::new().feature_mask(feature::MAC);
    let net = NetDevice::<TestHal, _, 16, 16>::new(FakeTransport::new(&card), options).unwrap();
    assert_eq!(card.accepted(), feature::MAC | feature::VERSION_1);
    drop(net);
}

#[test]
fn mtu_and_link_are_told() {
    for (mtu, accepted) in [(1400, true), (1500, true), (9000, false), (20, false)] {
        let (_plug, card) = machine(MODERN);
        card.change(|config| {
            config.features |= feature::MTU;
            config.mtu = mtu;
            config.link = 0;
        });
        let mut net = net::<16>(&card);
        assert_eq!(card.accepted() & feature::MTU != 0, accepted, "MTU {mtu}");
        assert_eq!(net.info().mtu, if accepted { mtu } else { 1500 });
        assert_eq!((net.mtu(), net.features()), (net.info().mtu, card.accepted()));
        assert_eq!(net.link().unwrap(), Link::Down);
        card.change(|config| config.link = 1);
        assert_eq!(net.link().unwrap(), Link::Up);
    }
}

#[test]
fn takes_fewer_slots_where_the_device_has_fewer() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        card.change(|config| config.queue_max = 64);
        let mut net = net::<256>(&card);
        let slots = net.info().tx_slots;
        let in_chains = kind.legacy && kind.extra == 0;
        assert_eq!(slots, if in_chains { 32 } else { 64 }, "{}", kind.name);
        assert_eq!(card.queue_size(1), 64);
        for number in 0..slots as u32 {
            net.send(&frame(60, number)).unwrap();
        }
        assert_eq!(net.send(&frame(60, 99)), Err(Error::QUEUE_FULL));
        assert_eq!(card.sent().len(), slots);
        for number in 0..slots as u32 {
            assert!(card.deliver(&frame(60, number)));
        }
        assert!(!card.deliver(&frame(60, 99)));
        for number in 0..slots as u32 {
            assert_eq!(receive(&mut net), Some(frame(60, number)));
        }
    }
}

#[test]
fn odd_queue_sizes_are_rounded_down() {
    let (_plug, card) = machine(MODERN);
    card.change(|config| config.queue_max = 100);
    assert_eq!(net::<256>(&card).info().rx_slots, 64);
}

/// What goes wrong on the device's side: each is an error, after which the transport is dropped and all memory is back.
#[test]
fn failures_give_everything_back() {
    type Change = fn(&mut Config);
    let cases: [(i32, Kind, Change); 8] = [
        (VIRTIO_NET_ERROR_FEATURES, MODERN, |config| config.refuses_features = true),
        (VIRTIO_NET_ERROR_FEATURES, MODERN, |config| config.features &= !feature::VERSION_1),
        (VIRTIO_NET_ERROR_NO_ADDRESS, MODERN, |config| config.features &= !feature::MAC),
        (VIRTIO_NET_ERROR_NO_ADDRESS, LEGACY, |config| config.mac = [0xff; 6]),
        (VIRTIO_NET_ERROR_QUEUE_MISSING, MODERN, |config| config.queue_max = 0),
        (VIRTIO_NET_ERROR_QUEUE_MISSING, LEGACY, |config| config.queue_max = 1),
        (VIRTIO_NET_ERROR_CONFIG_SPACE, MODERN, |config| config.config_bytes = 5),
        (VIRTIO_NET_ERROR_CONFIG_SPACE, LEGACY, |config| config.config_bytes = 7),
    ];
    for (expected, kind, change) in cases {
        let (plug, card) = machine(kind);
        card.change(change);
        assert_eq!(code(try_net::<16>(&card)), expected);
        assert_eq!((card.dropped(), plug.live()), (1, (0, 0)), "after {expected}");
        assert!(!card.is_running());
    }
}

#[test]
fn an_address_can_be_given() {
    let mac = [2, 1, 2, 3, 4, 5];
    let (_plug, card) = machine(LEGACY);
    card.change(|config| config.features &= !feature::MAC);
    let options = Options::new().fallback_mac(mac);
    let net = NetDevice::<TestHal, _, 16, 16>::new(FakeTransport::new(&card), options).unwrap();
    assert_eq!(net.mac_address(), mac);
    assert_eq!(card.accepted() & feature::MAC, 0);
}

#[test]
fn wrong_sizes_are_refused() {
    fn refused<const TX: usize, const RX: usize>(options: Options) -> i32 {
        let (plug, card) = machine(MODERN);
        let result = NetDevice::<TestHal, _, TX, RX>::new(FakeTransport::new(&card), options);
        assert_eq!((card.dropped(), plug.calls.alloc.load(Ordering::Relaxed)), (usize::from(result.is_err()), 0));
        code(result)
    }
    let wrong = VIRTIO_NET_ERROR_OPTIONS;
    assert_eq!(refused::<0, 16>(Options::new()), wrong);
    assert_eq!(refused::<16, 0>(Options::new()), wrong);
    assert_eq!(refused::<16, 3>(Options::new()), wrong);
    assert_eq!(refused::<24, 16>(Options::new()), wrong);
    assert_eq!(refused::<16, 100>(Options::new()), wrong);
    assert_eq!(refused::<16, 16>(Options::new().rx_buffer_bytes(1513)), wrong);
    assert_eq!(refused::<16, 16>(Options::new().tx_buffer_bytes(59)), wrong);
    assert_eq!(refused::<16, 16>(Options::new().rx_buffer_bytes(65536)), wrong);
    assert_eq!(refused::<16, 16>(Options::new().rx_headroom(257)), wrong);
}

#[test]
fn a_slow_reset_is_waited_for() {
    for kind in [MODERN, LEGACY] {
        let (_plug, card) = machine(kind);
        card.change(|config| config.reset_reads = 1000);
        drop(net::<16>(&card));
        assert_eq!(card.dropped(), 1);
        assert!(!card.is_running());
    }
}

#[test]
fn a_reset_that_never_completes_at_set_up() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        // Somebody before left the device running.
        std::mem::forget(net::<16>(&card));
        let left = plug.live();
        plug.expect_leak();
        card.change(|config| config.resets = 0);
        assert_eq!(code(try_net::<16>(&card)), VIRTIO_NET_ERROR_RESET_TIMEOUT);
        assert_eq!(card.dropped(), 0, "a transport's drop may wait for ever");
        assert_eq!(plug.live(), left, "memory was taken before the reset");
    }
}

#[test]
fn a_reset_that_never_completes_at_the_end_keeps_the_memory() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let options = Options::new().reset_limit(100);
        let net = NetDevice::<TestHal, _, 16, 16>::new(FakeTransport::new(&card), options).unwrap();
        let before = plug.live();
        plug.expect_leak();
        card.change(|config| config.resets = 0);
        drop(net);
        assert_eq!(card.dropped(), 0);
        assert_eq!(plug.live(), before, "the device may still write it");
        // And it does: into memory that is still its own.
        assert!(card.deliver(&frame(1514, 1)));
    }
}

#[test]
fn a_failed_set_up_whose_reset_hangs_keeps_the_memory() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        plug.expect_leak();
        // Enough for a ring and a part of the buffers.
        plug.alloc_budget.store(3, Ordering::Relaxed);
        card.change(|config| config.resets = 1);
        assert_eq!(code(try_net::<16>(&card)), VIRTIO_NET_ERROR_NO_MEMORY);
        assert_eq!(card.dropped(), 0);
        assert!(plug.live().0 >= 3, "the device may still write it");
    }
}

#[test]
fn every_allocation_may_fail() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        let mut failures = 0;
        for budget in 0.. {
            plug.alloc_budget.store(budget, Ordering::Relaxed);
            let result = try_net::<16>(&card);
            if result.is_ok() {
                break;
            }
            failures += 1;
            assert_eq!(code(result), VIRTIO_NET_ERROR_NO_MEMORY, "after {budget} allocations");
            assert_eq!((card.dropped(), plug.live()), (failures, (0, 0)), "after {budget} allocations");
        }
        assert!(failures >= 4);
    }
}

#[test]
fn scattered_memory_will_do() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        // The ring of a legacy device needs its pages together: 32 entries take two.
        plug.longest_run.store(2, Ordering::Relaxed);
        let mut net: Net<16> = net(&card);
        for round in 0..100 {
            net.send(&frame(1514, round)).unwrap();
            assert_eq!(card.sent(), [frame(1514, round)]);
            assert!(card.deliver(&frame(1514, round)));
            assert_eq!(receive(&mut net), Some(frame(1514, round)));
        }
    }
}

#[test]
fn two_cards_are_two_cards() {
    let plug = Machine::plug();
    let cards = [MODERN, LEGACY].map(|kind| Card::new(&plug, Config::new(kind)));
    let mut nets = cards.each_ref().map(net::<16>);
    for (number, net) in (0..).zip(&mut nets) {
        net.send(&frame(100, number)).unwrap();
    }
    assert_eq!(cards.each_ref().map(|card| card.sent()), [[frame(100, 0)], [frame(100, 1)]]);
}

/// `NetDevice::new_mmio` looks at the registers first: memory that is no virtio slot, and a version nobody knows.
#[test]
fn no_mmio_slot() {
    let try_registers = |magic: u32, version: u32| {
        let mut registers = [0_u32; 128];
        (registers[0], registers[1]) = (magic, version);
        let first = NonNull::from(&mut registers).cast();
        // SAFETY: registers are memory here, there for longer than the driver.
        unsafe { NetDevice::<TestHal, Mmio, 4, 4>::new_mmio(first, Options::new()) }.unwrap_err()
    };
    assert_eq!(try_registers(0, 2).code(), VIRTIO_NET_ERROR_MAGIC);
    assert_eq!(try_registers(0x7472_6976, 3).code(), VIRTIO_NET_ERROR_DEVICE_VERSION);
    assert_eq!(try_registers(0x7472_6976, 2).code(), VIRTIO_NET_ERROR_NOT_NETWORK);
}

//! Transmit through `NetDevice`: copied and in place.

use crate::device::{KINDS, Kind, LEGACY, MODERN, frame, machine, number_of};
use crate::net;
use virtio_net_c::Error;
use virtio_net_c::sys::*;

fn lengths() -> impl Iterator<Item = usize> {
    (14..=80).chain([127, 128, 255, 256, 257, 511, 1000, 1499, 1500, 1513, 1514, 1517, 1518])
}

#[test]
fn every_length_arrives_as_it_is() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        for (number, length) in (0..).zip(lengths()) {
            net.send(&frame(length, number)).unwrap();
            assert_eq!(card.sent(), [frame(length, number)], "{}, {length} bytes", kind.name);
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    for kind in [MODERN, LEGACY] {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        let code = |result: Result<(), Error>| result.err().map(Error::code);
        assert_eq!(code(net.send(&[])), Some(VIRTIO_NET_ERROR_FRAME_EMPTY));
        assert_eq!(code(net.send(&[0; 13])), Some(VIRTIO_NET_ERROR_FRAME_EMPTY));
        assert_eq!(code(net.send(&[0; 1519])), Some(VIRTIO_NET_ERROR_FRAME_TOO_LONG));
        assert_eq!(code(net.reserve().unwrap().send(13)), Some(VIRTIO_NET_ERROR_FRAME_EMPTY));
        assert_eq!(code(net.reserve().unwrap().send(1519)), Some(VIRTIO_NET_ERROR_FRAME_TOO_LONG));
        assert_eq!(net.tx_free(), 16, "a refused frame keeps no slot");
        assert!(card.sent().is_empty());
    }
}

/// The ring fills, says so at once, and goes on when the device does; many times round, past the wrap of the 16-bit indices.
#[test]
fn the_ring_fills_and_empties() {
    fn check<const N: usize>(kind: Kind, rounds: usize) {
        let (_plug, card) = machine(kind);
        let mut net = net::<N>(&card);
        let mut number = 0;
        for _ in 0..rounds {
            assert_eq!(net.tx_free(), N);
            let first = number;
            for sent in 0..N {
                assert_eq!((net.tx_free(), net.tx_in_flight()), (N - sent, sent));
                net.send(&frame(60, number)).unwrap();
                number += 1;
            }
            assert_eq!((net.tx_free(), net.tx_in_flight()), (0, N));
            assert_eq!(net.send(&frame(60, u32::MAX)), Err(Error::QUEUE_FULL));
            assert_eq!(net.reserve().err(), Some(Error::QUEUE_FULL));
            let numbers: Vec<u32> = card.sent().iter().map(|frame| number_of(frame)).collect();
            assert_eq!(numbers, (first..number).collect::<Vec<_>>());
        }
        net.poll_tx().unwrap();
        let statistics = net.stats();
        assert_eq!(statistics.tx_completed, u64::from(number));
        assert_eq!((statistics.tx_frames, statistics.tx_bytes), (u64::from(number), u64::from(number) * 60));
        assert_eq!(statistics.tx_rekicks, 0);
    }
    for kind in KINDS {
        check::<1>(kind, 100);
        check::<2>(kind, 100);
        check::<16>(kind, 100);
        check::<256>(kind, 10);
    }
    check::<1024>(MODERN, 70);
    check::<256>(MODERN, 270);
}

/// The card returns buffers in whatever order: no slot is lost, and each frame is sent once.
#[test]
fn frames_may_complete_in_any_order() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        let mut random = crate::device::Random(kind.extra | 1);
        let (mut sent, mut done) = (0, Vec::new());
        while done.len() < 5000 {
            if random.below(3) != 0 && net.tx_free() != 0 {
                net.send(&frame(60, sent)).unwrap();
                sent += 1;
            } else if random.below(2) == 0 {
                card.take();
            } else if card.in_hand() != 0 {
                done.push(number_of(&card.finish(random.below(card.in_hand()))));
            }
            assert_eq!(net.tx_in_flight(), sent as usize - done.len());
            assert_eq!(net.tx_free(), 16 - net.tx_in_flight());
        }
        done.extend((0..card.in_hand()).map(|_| number_of(&card.finish(0))));
        done.extend(card.sent().iter().map(|frame| number_of(frame)));
        done.sort_unstable();
        assert_eq!(done, (0..sent).collect::<Vec<_>>());
    }
}

#[test]
fn frames_written_in_place() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        for (number, length) in (0..).zip(lengths()) {
            // One that is given up, which must leave no trace.
            let mut other = net.reserve().unwrap();
            other.fill(0xee);
            assert_eq!(other.as_ptr() as usize % 16, 0);
            drop(other);
            let mut reserved = net.reserve().unwrap();
            assert_eq!(reserved.len(), 1518);
            reserved[..length].copy_from_slice(&frame(length, number));
            reserved.send(length).unwrap();
            assert_eq!(card.sent(), [frame(length, number)], "{}, {length} bytes", kind.name);
        }
        assert_eq!(net.tx_free(), 16);
    }
}

#[test]
fn a_burst_costs_few_notifications() {
    let (_plug, card) = machine(MODERN);
    let mut net = net::<256>(&card);
    for number in 0..200 {
        net.send(&frame(60, number)).unwrap();
    }
    // With EVENT_IDX a card that has not looked yet is not told again (2.7.10).
    assert_eq!(card.notifications(crate::device::TX), 1);
    assert_eq!(card.sent().len(), 200);
    net.poll_tx().unwrap();
    net.send(&frame(60, 0)).unwrap();
    assert_eq!(card.notifications(crate::device::TX), 2);
}

/// The same notification as it gets lost where a processor reads the device's wish too early: `poll_tx` repeats it.
#[test]
fn a_lost_notification_is_repeated() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        for round in 0..3 {
            net.send(&frame(60, round)).unwrap();
            assert!(card.take());
            net.send(&frame(60, round + 100)).unwrap();
            card.doze(crate::device::TX);
            assert_eq!(card.finish(0), frame(60, round));
            assert!(!card.take());
            for _ in 0..4 {
                net.poll_tx().unwrap();
            }
            assert_eq!(card.sent(), [frame(60, round + 100)], "{}", kind.name);
        }
    }
}

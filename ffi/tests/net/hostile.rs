//! A device that breaks the rules: no panic, no frame invented, and a way back.

use crate::device::{Card, HEADER_ROOM, KINDS, RX, TX, frame, machine};
use crate::{Net, net, receive};
use virtio_net_c::Error;
use virtio_net_c::sys::*;

fn works<const N: usize>(net: &mut Net<N>, card: &Card, what: &str) {
    for number in 0..3 * N as u32 {
        net.send(&frame(100, number)).unwrap();
        assert_eq!(card.sent(), [frame(100, number)], "{what}");
        assert!(card.deliver(&frame(100, number)), "{what}");
        assert_eq!(receive(net), Some(frame(100, number)), "{what}");
    }
    while card.deliver(&frame(60, 0)) {}
    assert_eq!(net.rx_ready(), N, "{what}: a slot is lost");
    while receive(net).is_some() {}
}

/// Breaks a queue.
type Break = fn(&Card, usize);

/// Each way that makes a queue unusable.
const BREAKS: [(&str, Break); 5] = [
    ("an id out of range", |card, queue| card.forge(queue, 16, 100)),
    ("an id far out of range", |card, queue| card.forge(queue, 0x1_0003, 100)),
    ("all ones", |card, queue| card.forge(queue, u32::MAX, u32::MAX)),
    ("an index that jumps", |card, queue| card.jump(queue, 17)),
    ("an index that goes back", |card, queue| card.jump(queue, 0xffff)),
];

#[test]
fn a_broken_queue_is_found_and_recovered() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        for (round, (what, break_queue)) in (1..).zip(BREAKS) {
            works(&mut net, &card, what);
            let memory = plug.live();
            for queue in [RX, TX] {
                net.send(&frame(60, 1)).unwrap();
                break_queue(&card, queue);
                let broken = match queue {
                    RX => net.receive(&mut [0; 1518]).map(drop),
                    _ => net.poll_tx(),
                };
                assert_eq!(broken, Err(Error::NEEDS_RESET), "{what}, queue {queue}, {}", kind.name);
                let detail = net.last_error().unwrap();
                let fields = [VIRTIO_NET_FIELD_USED_ID, VIRTIO_NET_FIELD_USED_INDEX];
                assert!(fields.contains(&detail.field) && detail.queue == queue as u32, "{what}: {detail:?}");
                assert!(net.check().is_err());
                net.recover().unwrap();
                assert!(net.check().is_ok());
                works(&mut net, &card, what);
            }
            assert_eq!((net.stats().queues_broken, plug.live()), (2 * round, memory));
        }
    }
}

#[test]
fn an_id_given_twice_is_found() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        let mut id = 0;
        assert!(card.deliver_with(&[0; HEADER_ROOM - 2], &frame(60, 1), |head, length| {
            id = head;
            (head, length)
        }));
        card.forge(RX, id, 72);
        assert_eq!(receive(&mut net), Some(frame(60, 1)));
        // The buffer is the device's again, so the second element may even be right; if not, it is an error. It is never the same
        // frame.
        let again = net.receive(&mut [0; 1518]);
        assert!(matches!(again, Err(Error::NEEDS_RESET) | Ok(Some(_))), "{again:?}");
        net.recover().unwrap();
        works(&mut net, &card, kind.name);

        net.send(&frame(60, 3)).unwrap();
        net.send(&frame(60, 4)).unwrap();
        assert!(card.take() && card.take());
        card.finish(0);
        net.poll_tx().unwrap();
        card.forge(TX, 0, 0);
        let first = net.poll_tx();
        card.forge(TX, 0, 0);
        let second = net.poll_tx();
        assert!(first.is_err() || second.is_err(), "{}", kind.name);
        net.recover().unwrap();
        works(&mut net, &card, kind.name);
    }
}

#[test]
fn wrong_lengths_cost_one_frame() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        let header = net.info().header_length as u32;
        let too_long = 1518 + header + 1;
        let lengths = [0, 1, header, header + 13, too_long, 0x8000_0000, u32::MAX];
        for round in 0..10 {
            for (number, wrong) in (0..).zip(lengths) {
                assert!(card.deliver_with(&[0; HEADER_ROOM - 2], &frame(60, 999), |head, _| (head, wrong)));
                assert!(card.deliver(&frame(61, number)));
                assert_eq!(receive(&mut net), Some(frame(61, number)), "round {round}, length {wrong}");
                assert_eq!(receive(&mut net), None);
            }
        }
        let statistics = net.stats();
        assert_eq!((statistics.rx_dropped_short, statistics.rx_dropped_long), (40, 30), "{}", kind.name);
        // The shortest and the longest that are right.
        for length in [header + 14, 1518 + header] {
            assert!(card.deliver_with(&[0; HEADER_ROOM - 2], &frame(1518, 5), |head, _| (head, length)));
            assert_eq!(receive(&mut net), Some(frame(1518, 5)[..(length - header) as usize].to_vec()));
        }
        works(&mut net, &card, kind.name);
    }
}

#[test]
fn headers_that_nobody_agreed_on_cost_one_frame() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        for header in [[1, 0], [0, 1], [1, 4], [0, 0x80]] {
            let mut bytes = [0; HEADER_ROOM - 2];
            bytes[..2].copy_from_slice(&header);
            assert!(card.deliver_with(&bytes, &frame(60, 1), |head, length| (head, length)));
            assert_eq!(receive(&mut net), None);
        }
        assert_eq!(net.stats().rx_dropped_header, 4);
        works(&mut net, &card, kind.name);
    }
}

/// Devices get the length of a transmit buffer wrong, and it does not matter.
#[test]
fn transmit_lengths_do_not_matter() {
    let (_plug, card) = machine(KINDS[0]);
    let mut net = net::<16>(&card);
    for number in 0..100 {
        net.send(&frame(60, number)).unwrap();
        assert!(card.take());
        card.forge(TX, number % 16, u32::MAX - number);
        net.poll_tx().unwrap();
        assert_eq!(net.tx_free(), 16);
    }
}

#[test]
fn a_device_that_asks_for_a_reset_gets_one() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        for round in 1..4 {
            works(&mut net, &card, kind.name);
            net.send(&frame(60, 1)).unwrap();
            card.ask_for_reset();
            assert_eq!(net.check(), Err(Error::NEEDS_RESET));
            assert_eq!(net.send(&frame(60, 1)), Err(Error::NEEDS_RESET));
            assert_eq!(net.receive(&mut [0; 1518]), Err(Error::NEEDS_RESET));
            net.recover().unwrap();
            assert_eq!((net.stats().resets, net.stats().tx_lost), (round, round));
            works(&mut net, &card, kind.name);
        }
    }
}

#[test]
fn a_card_that_is_pulled_out() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        plug.expect_leak();
        let mut net = net::<16>(&card);
        net.send(&frame(60, 1)).unwrap();
        let memory = plug.live();
        card.change(|config| config.gone = true);
        for _ in 0..2 {
            assert_eq!(net.check().map_err(Error::code), Err(VIRTIO_NET_ERROR_DEVICE_GONE));
        }
        assert!(net.recover().is_err());
        drop(net);
        assert_eq!((card.dropped(), plug.live()), (0, memory), "nobody knows what it still writes");
    }
}

#[test]
fn a_recovery_that_fails_may_be_tried_again() {
    for kind in [KINDS[0], KINDS[3]] {
        let (plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        let mac = net.mac_address();
        works(&mut net, &card, kind.name);
        card.change(|config| config.resets = 0);
        assert_eq!(net.recover().map_err(Error::code), Err(VIRTIO_NET_ERROR_RESET_TIMEOUT));
        assert!(net.send(&frame(60, 1)).is_err());
        card.change(|config| config.resets = usize::MAX);
        card.change(|config| config.queue_max = 0);
        assert_eq!(net.recover().map_err(Error::code), Err(VIRTIO_NET_ERROR_QUEUE_MISSING));
        assert!(net.send(&frame(60, 1)).is_err());
        assert_eq!(net.mac_address(), mac);
        card.change(|config| config.queue_max = 256);
        net.recover().unwrap();
        works(&mut net, &card, kind.name);
        drop(net);
        assert_eq!((plug.live(), card.dropped()), ((0, 0), 1));
    }
}

#[cfg(feature = "alloc")]
mod drop_in {
    use super::*;
    use crate::device::Kind;
    use crate::{DropIn, drop_in};
    use virtio_drivers::Error;
    use virtio_net_c::TxBuffer;

    fn works<const N: usize>(net: &mut DropIn<N>, card: &Card, what: &str) {
        for number in 0..3 * N as u32 {
            for length in [60, 1514] {
                net.send(TxBuffer::from(&frame(length, number))).unwrap();
                assert_eq!(card.sent(), [frame(length, number)], "{what}");
            }
            assert!(card.deliver(&frame(100, number)), "{what}");
            let buffer = net.receive().unwrap();
            assert_eq!(buffer.packet(), frame(100, number), "{what}");
            net.recycle_rx_buffer(buffer).unwrap();
        }
        assert!(net.receive().is_err());
        assert_eq!(card.buffers(), N, "{what}: a slot is lost");
    }

    fn check(kind: Kind, what: &str, queue: usize, break_queue: Break) {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        works(&mut net, &card, what);
        net.send(TxBuffer::from(&frame(1000, 1))).unwrap();
        break_queue(&card, queue);
        let mut found = false;
        for _ in 0..4 {
            found |= matches!(net.receive(), Err(Error::IoError));
            found |= net.send(TxBuffer::from(&frame(1000, 1))) == Err(Error::IoError);
        }
        assert!(found, "{what}, queue {queue}, {}", kind.name);
        net.recover().unwrap();
        assert_eq!(plug.live().1, 0, "{what}: a lost frame stayed shared");
        works(&mut net, &card, what);
        assert_eq!(plug.live().1, 0, "{what}: a buffer stayed shared");
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }

    #[test]
    fn a_broken_queue_is_found_and_recovered() {
        for kind in KINDS {
            for (what, break_queue) in BREAKS {
                check(kind, what, RX, break_queue);
                check(kind, what, TX, break_queue);
            }
        }
    }

    /// The buffer is its holder's: the device must not fill it again.
    #[test]
    fn a_lent_buffer_given_again_is_found() {
        for kind in KINDS {
            let (_plug, card) = machine(kind);
            let mut net = drop_in::<16>(&card);
            let mut id = 0;
            assert!(card.deliver_with(&[0; HEADER_ROOM - 2], &frame(60, 2), |head, length| {
                id = head;
                (head, length)
            }));
            let buffer = net.receive().unwrap();
            card.forge(RX, id, 72);
            assert!(matches!(net.receive(), Err(Error::IoError)), "{}", kind.name);
            assert_eq!(net.last_error().unwrap().field, VIRTIO_NET_FIELD_USED_ID);
            net.recover().unwrap();
            assert_eq!(buffer.packet(), frame(60, 2));
            drop(buffer);
            let _ = net.receive();
            works(&mut net, &card, kind.name);
        }
    }

    /// A card may come back with other queues: the slots follow, once nobody holds a buffer of the old ones.
    #[test]
    fn a_recovery_may_change_the_queues() {
        for kind in KINDS {
            let (plug, card) = machine(kind);
            let mut net = drop_in::<64>(&card);
            for (round, entries) in [(0, 16), (1, 128), (2, 32), (3, 8)] {
                assert!(card.deliver(&frame(60, round)) && card.deliver(&frame(60, round + 10)));
                let kept = net.receive().unwrap();
                net.send(TxBuffer::from(&frame(900, 1))).unwrap();
                card.change(|config| config.queue_max = entries);
                assert!(net.recover().is_err(), "a buffer of the old queue is lent");
                assert_eq!(kept.packet(), frame(60, round));
                // What the drop-in has looked ahead at is held too.
                while let Ok(buffer) = net.receive() {
                    assert_eq!(buffer.packet(), frame(60, round + 10));
                    net.recycle_rx_buffer(buffer).unwrap();
                }
                assert!(net.recover().is_err());
                drop(kept);
                net.recover().unwrap();
                assert_eq!(plug.live().1, 0);
                let slots = card.buffers();
                let in_chains = kind.legacy && kind.extra == 0;
                assert_eq!(slots, if in_chains { entries as usize / 2 } else { entries as usize }.min(64));
                for number in 0..slots as u32 {
                    assert!(net.can_send());
                    net.send(TxBuffer::from(&frame(60, number))).unwrap();
                }
                assert!(!net.can_send());
                assert_eq!(card.sent().len(), slots);
                for number in 0..3 * slots as u32 {
                    assert!(card.deliver(&frame(60, number)));
                    let buffer = net.receive().unwrap();
                    assert_eq!(buffer.packet(), frame(60, number));
                    net.recycle_rx_buffer(buffer).unwrap();
                }
                assert!(net.receive().is_err());
                assert_eq!(card.buffers(), slots);
            }
            drop(net);
            assert_eq!(plug.live(), (0, 0));
        }
    }

    /// What comes back while the queue is broken is not lost for the time after.
    #[test]
    fn buffers_may_come_back_to_a_broken_queue() {
        for kind in KINDS {
            for queue in [RX, TX] {
                let (_plug, card) = machine(kind);
                let mut net = drop_in::<16>(&card);
                let mut kept = Vec::new();
                for number in 0..12 {
                    assert!(card.deliver(&frame(60, number)));
                    kept.push(net.receive().unwrap());
                }
                card.forge(queue, 99, 100);
                let _ = net.receive();
                let _ = net.poll();
                for (place, buffer) in kept.into_iter().enumerate() {
                    if place % 2 == 0 {
                        let _ = net.recycle_rx_buffer(buffer);
                    }
                }
                let _ = net.receive();
                let _ = net.send(TxBuffer::from(&frame(60, 0)));
                net.recover().unwrap();
                card.sent();
                assert!(net.receive().is_err());
                assert_eq!(card.buffers(), 16, "{}, queue {queue}", kind.name);
                works(&mut net, &card, kind.name);
            }
        }
    }

    #[test]
    fn a_broken_queue_ends_in_order() {
        for kind in KINDS {
            for (what, break_queue) in BREAKS {
                let (plug, card) = machine(kind);
                let mut net = drop_in::<16>(&card);
                net.send(TxBuffer::from(&frame(1000, 1))).unwrap();
                assert!(card.deliver(&frame(60, 2)));
                let buffer = net.receive().unwrap();
                break_queue(&card, RX);
                break_queue(&card, TX);
                let _ = net.receive();
                assert!(!net.can_recv());
                let _ = net.send(TxBuffer::from(&frame(60, 3)));
                drop(net);
                assert_eq!(buffer.packet(), frame(60, 2), "{what}");
                drop(buffer);
                assert_eq!(plug.live(), (0, 0), "{what}");
            }
        }
    }

    #[test]
    fn can_send_is_false_when_sending_would_fail() {
        let (_plug, card) = machine(KINDS[0]);
        let mut net = drop_in::<16>(&card);
        card.forge(TX, 99, 0);
        assert_eq!(
            net.send(TxBuffer::from(&frame(60, 1))).and_then(|()| net.send(TxBuffer::from(&frame(60, 1)))),
            Ok(())
        );
        for _ in 0..20 {
            let _ = net.send(TxBuffer::from(&frame(60, 1)));
        }
        assert!(!net.can_send());
    }

    /// Buffers that are lent when the device is reset stay their holder's: neither the device nor another frame gets into them.
    #[test]
    fn lent_buffers_survive_a_recovery() {
        for kind in KINDS {
            let (plug, card) = machine(kind);
            let mut net = drop_in::<16>(&card);
            let mut kept = Vec::new();
            for number in 0..6 {
                assert!(card.deliver(&frame(200, number)));
                kept.push(net.receive().unwrap());
            }
            net.recover().unwrap();
            for round in 0..4 {
                for number in 100..116 {
                    if !card.deliver(&frame(300, number)) {
                        break;
                    }
                }
                for (number, buffer) in (0..).zip(&kept) {
                    assert_eq!(buffer.packet(), frame(200, number), "round {round}: a lent buffer was written");
                }
                while let Ok(buffer) = net.receive() {
                    assert_eq!(buffer.packet_len(), 300);
                    net.recycle_rx_buffer(buffer).unwrap();
                }
            }
            for buffer in kept {
                net.recycle_rx_buffer(buffer).unwrap();
            }
            assert!(net.receive().is_err());
            assert_eq!(card.buffers(), 16, "{}", kind.name);
            works(&mut net, &card, kind.name);
            drop(net);
            assert_eq!(plug.live(), (0, 0));
        }
    }
}

//! The drop-in `VirtIONet`, call by call.

use crate::device::{
    FakeTransport, HEADER_ROOM, KINDS, Kind, LEGACY, MODERN, Machine, RX, TX, feature, frame, machine, number_of,
};
use crate::{BUFFER_LENGTH, DropIn, drop_in};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use virtio_drivers::Error;
use virtio_net_c::{Link, Options, RxBuffer, TxBuffer, VirtIONet};

/// What the drop-in shares instead of copying.
const LARGE: usize = 257;

fn shares(machine: &Machine) -> (usize, usize) {
    (machine.calls.share.load(Ordering::Relaxed), machine.calls.unshare.load(Ordering::Relaxed))
}

#[test]
fn comes_up_like_the_original() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        assert_eq!(net.mac_address(), [0x52, 0x54, 0, 0xab, 0xcd, 0xef]);
        assert!(net.can_send());
        assert!(!net.can_recv());
        assert!(matches!(net.receive(), Err(Error::NotReady)));
        assert_eq!(card.buffers(), 16);
        assert_eq!(net.info().rx_buffer_bytes, BUFFER_LENGTH - HEADER_ROOM);
        drop(net);
        assert_eq!((card.dropped(), plug.live(), shares(&plug)), (1, (0, 0), (0, 0)));
    }
}

/// What the original cannot tell.
#[test]
fn it_tells_more_than_the_original() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        card.change(|config| {
            config.features |= feature::MTU;
            config.mtu = 1300;
        });
        let mut net = drop_in::<16>(&card);
        assert_eq!((net.mtu(), net.features()), (1300, card.accepted()), "{}", kind.name);
        assert_eq!((net.link(), net.check()), (Ok(Link::Up), Ok(())));
        card.change(|config| config.link = 0);
        assert_eq!(net.link(), Ok(Link::Down));
        card.ask_for_reset();
        assert_eq!(net.check(), Err(Error::IoError));
        net.recover().unwrap();
        assert_eq!((net.check(), net.stats().device_needs_reset), (Ok(()), 1));
    }
}

#[test]
fn buffer_lengths_are_checked() {
    for (length, fits) in [(0, false), (11, false), (1525, false), (1526, true), (65547, true), (200_000, true)] {
        let (_plug, card) = machine(MODERN);
        let result = VirtIONet::<crate::TestHal, _, 2>::new(FakeTransport::new(&card), length);
        assert_eq!(result.is_ok(), fits, "{length} bytes");
        assert!(fits || matches!(result, Err(Error::InvalidParam)));
        assert_eq!(card.dropped(), usize::from(!fits));
    }
}

/// Unlike the safe driver the drop-in comes up without an address, as the original does; and each card has another.
#[test]
fn a_card_without_an_address_gets_one() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        card.change(|config| config.features &= !feature::MAC);
        let first = drop_in::<16>(&card).mac_address();
        let second = drop_in::<16>(&card).mac_address();
        assert!(first != second && first[0] == 2 && second[0] == 2, "{first:x?}, {second:x?}");
        let mac = [2, 9, 8, 7, 6, 5];
        let options = Options::new().fallback_mac(mac);
        let mut net = DropIn::<16>::with_options(FakeTransport::new(&card), BUFFER_LENGTH, options).unwrap();
        assert_eq!(net.mac_address(), mac);
        net.recover().unwrap();
        assert_eq!(net.mac_address(), mac);
    }
}

#[test]
fn errors_have_the_names_of_the_original() {
    fn error(change: impl FnOnce(&mut crate::device::Config), budget: usize) -> Error {
        let (plug, card) = machine(MODERN);
        plug.alloc_budget.store(budget, Ordering::Relaxed);
        card.change(change);
        let error = DropIn::<16>::new(FakeTransport::new(&card), BUFFER_LENGTH).err().unwrap();
        assert_eq!((card.dropped(), plug.live()), (1, (0, 0)));
        error
    }
    assert_eq!(error(|config| config.refuses_features = true, usize::MAX), Error::IoError);
    assert_eq!(error(|config| config.config_bytes = 3, usize::MAX), Error::ConfigSpaceTooSmall);
    assert_eq!(error(|_| (), 3), Error::DmaError);
}

#[test]
fn every_length_is_sent_as_it_is() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        let mut large = 0;
        for (number, length) in (0..).zip((14..300).chain([511, 512, 1000, 1513, 1514, 1518, 4000])) {
            let bytes = frame(length, number);
            let mut buffer = net.new_tx_buffer(length);
            assert_eq!((buffer.packet_len(), buffer.packet()), (length, &*vec![0; length]));
            buffer.packet_mut().copy_from_slice(&bytes);
            net.send(if number % 2 == 0 { buffer } else { TxBuffer::from(&bytes) }).unwrap();
            assert_eq!(card.sent(), [bytes], "{}, {length} bytes", kind.name);
            large += usize::from(length >= LARGE);
        }
        assert_eq!(shares(&plug).0, large);
        // The next look finds all of them done.
        assert!(matches!(net.receive(), Err(Error::NotReady)));
        assert_eq!(shares(&plug), (large, large));
    }
}

#[test]
fn wrong_lengths_are_refused() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        for length in [0, 1, 13, 65536, 100_000] {
            let buffer = net.new_tx_buffer(length);
            assert_eq!(net.send(buffer), Err(Error::InvalidParam), "{length} bytes");
        }
        assert_eq!((shares(&plug), plug.live().1), ((2, 2), 0));
        assert!(card.sent().is_empty());
        for number in 0..16 {
            net.send(TxBuffer::from(&frame(60, number))).unwrap();
        }
        assert!(!net.can_send());
    }
}

/// N frames fit, `can_send` says so before each and through a shared reference, and the next one is refused in bounded time.
#[test]
fn can_send_tells_the_truth() {
    fn check<const N: usize>(kind: Kind, length: usize) {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<N>(&card);
        for round in 0..3 {
            let mut sent = 0;
            while net.can_send() {
                net.send(TxBuffer::from(&frame(length, sent))).unwrap();
                sent += 1;
                assert!(sent <= N as u32);
            }
            assert_eq!(sent, N as u32, "{} with frames of {length}", kind.name);
            if round == 0 && N <= 16 {
                let start = Instant::now();
                assert_eq!(net.send(TxBuffer::from(&frame(length, sent))), Err(Error::QueueFull));
                assert!(start.elapsed() < Duration::from_secs(5));
            }
            // One comes back: there is room for one.
            assert!(card.take());
            let shared = &net;
            assert!(!shared.can_send());
            assert_eq!(card.finish(0), frame(length, 0));
            assert!(shared.can_send());
            net.send(TxBuffer::from(&frame(length, sent))).unwrap();
            assert!(!net.can_send());
            let numbers: Vec<u32> = card.sent().iter().map(|frame| number_of(frame)).collect();
            assert_eq!(numbers, (1..=sent).collect::<Vec<_>>());
        }
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }
    for kind in KINDS {
        check::<1>(kind, 60);
        check::<2>(kind, 60);
        check::<1>(kind, 1000);
        check::<2>(kind, 1000);
        check::<16>(kind, 256);
        check::<16>(kind, 257);
        check::<16>(kind, 1514);
    }
    for length in [60, 1514] {
        check::<256>(MODERN, length);
        check::<256>(KINDS[2], length);
        check::<256>(LEGACY, length);
    }
    check::<1024>(MODERN, 60);
}

/// A device with fewer entries than `QUEUE_SIZE` is a smaller card, not another one.
#[test]
fn a_smaller_device_is_filled_to_its_own_end() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        card.change(|config| config.queue_max = 32);
        let mut net = drop_in::<256>(&card);
        let slots = net.info().tx_slots as u32;
        assert!(slots == 16 || slots == 32);
        for length in [60, 1514] {
            for number in 0..slots {
                assert!(net.can_send());
                net.send(TxBuffer::from(&frame(length, number))).unwrap();
            }
            assert!(!net.can_send(), "{}", kind.name);
            assert_eq!(card.sent().len(), slots as usize);
            assert!(net.can_send());
        }
        let mut kept = Vec::new();
        for number in 0..slots {
            assert!(card.deliver(&frame(60, number)));
            kept.push(net.receive().unwrap());
        }
        assert!(!card.deliver(&frame(60, 0)));
        kept.drain(1..);
        assert!(net.receive().is_err());
        assert_eq!(card.buffers(), slots as usize - 1);
        for number in 0..10 * slots {
            assert!(card.deliver(&frame(60, number)));
            let buffer = net.receive().unwrap();
            net.recycle_rx_buffer(buffer).unwrap();
            assert!(card.buffers() >= slots as usize / 2 - 1, "{} of {slots} buffers", card.buffers());
        }
        drop((kept, net));
        assert_eq!(plug.live(), (0, 0));
    }
}

/// Buffers of frames that are on their way belong to the device: they are unshared once it has returned them, and once only.
#[test]
fn large_frames_stay_shared_until_they_are_sent() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        for number in 0..10 {
            net.send(TxBuffer::from(&frame(1514, number))).unwrap();
        }
        assert!(matches!(net.receive(), Err(Error::NotReady)));
        assert_eq!((shares(&plug), plug.live().1), ((10, 0), 10));
        while card.take() {}
        // In another order than they were sent.
        for number in [9, 0, 4] {
            let place = number - [9, 0].iter().filter(|done| **done < number && number == 4).count();
            assert_eq!(card.finish(place), frame(1514, number as u32));
        }
        assert!(matches!(net.receive(), Err(Error::NotReady)));
        assert_eq!((shares(&plug), plug.live().1), ((10, 3), 7));
        card.sent();
        assert!(matches!(net.receive(), Err(Error::NotReady)));
        assert_eq!((shares(&plug), plug.live().1), ((10, 10), 0));
        drop(net);
        assert_eq!(shares(&plug), (10, 10));
    }
}

#[test]
fn received_frames_are_whole() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        for (number, length) in (0..).zip((60..200).chain([1000, 1500, 1513, 1514])) {
            let bytes = frame(length, number);
            assert!(!net.can_recv());
            assert!(card.deliver(&bytes));
            assert!(net.can_recv());
            let mut buffer = net.receive().unwrap();
            assert!(!net.can_recv());
            assert_eq!((buffer.packet_len(), buffer.packet()), (length, &bytes[..]));
            let header = if kind.legacy { HEADER_ROOM - 2 } else { HEADER_ROOM };
            assert_eq!(buffer.as_bytes().len(), header + BUFFER_LENGTH - HEADER_ROOM, "the whole buffer");
            assert_eq!(&buffer.as_bytes()[header..header + length], bytes);
            buffer.packet_mut().fill(0x11);
            buffer.as_bytes_mut()[header] = 0x22;
            assert_eq!((buffer.packet()[0], buffer.packet()[1]), (0x22, 0x11));
            // An answer may be longer than what it answers.
            buffer.as_bytes_mut().fill(0x33);
            net.recycle_rx_buffer(buffer).unwrap();
        }
        assert_eq!(shares(&plug), (0, 0), "received frames need no sharing");
    }
}

#[test]
fn the_header_can_be_read() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        // hdr_len, gso_size and checksum places are of no meaning without their flags, and may be anything (5.1.6.4.2).
        assert!(card.deliver_with(&[0, 0, 3, 2, 5, 4, 7, 6, 9, 8], &frame(60, 1), |id, length| (id, length)));
        let buffer = net.receive().unwrap();
        let header = format!("{:?}", buffer.header());
        let buffers = u16::from(!kind.legacy);
        let expected = format!(
            "hdr_len: {}, gso_size: {}, csum_start: {}, csum_offset: {}, num_buffers: {buffers}",
            0x203, 0x405, 0x607, 0x809
        );
        assert!(header.contains(&expected), "{header}");
    }
}

#[test]
fn buffers_come_back_in_any_order() {
    fn check<const N: usize>(kind: Kind) {
        let (_plug, card) = machine(kind);
        let mut net = drop_in::<N>(&card);
        let mut random = crate::device::Random(N as u64);
        let (mut delivered, mut received) = (0, 0);
        let mut kept: Vec<(u32, RxBuffer)> = Vec::new();
        for _ in 0..50 * N {
            while card.deliver(&frame(60, delivered)) {
                delivered += 1;
            }
            if random.below(2) == 0 {
                match net.receive() {
                    Ok(buffer) => {
                        assert_eq!(buffer.packet(), frame(60, received));
                        kept.push((received, buffer));
                        received += 1;
                    }
                    Err(error) => assert_eq!((error, received), (Error::NotReady, delivered)),
                }
            } else if !kept.is_empty() {
                let (number, buffer) = kept.swap_remove(random.below(kept.len()));
                assert_eq!(buffer.packet(), frame(60, number), "somebody wrote a buffer that was lent");
                net.recycle_rx_buffer(buffer).unwrap();
            }
        }
        assert!(received as usize > 10 * N);
    }
    for kind in KINDS {
        check::<1>(kind);
        check::<2>(kind);
        check::<16>(kind);
    }
    check::<256>(MODERN);
    check::<256>(LEGACY);
}

/// Whoever keeps every buffer starves the ring; it recovers with the first one, recycled or dropped.
#[test]
fn keeping_every_buffer_starves_the_ring() {
    fn check<const N: usize>(kind: Kind, recycle: bool) {
        let (_plug, card) = machine(kind);
        let mut net = drop_in::<N>(&card);
        for round in 0..5 {
            let mut kept = Vec::new();
            for number in 0..N as u32 {
                assert!(card.deliver(&frame(60, number)), "round {round}, frame {number} of {N}");
                kept.push(net.receive().unwrap());
            }
            assert!(!card.deliver(&frame(60, 0)), "there should be no buffer left");
            assert!(matches!(net.receive(), Err(Error::NotReady)));
            assert!(!card.deliver(&frame(60, 0)));
            for (number, buffer) in (0..).zip(&kept) {
                assert_eq!(buffer.packet(), frame(60, number));
            }
            let back = |net: &mut DropIn<N>, buffer| {
                if recycle {
                    net.recycle_rx_buffer(buffer).unwrap()
                }
            };
            back(&mut net, kept.pop().unwrap());
            assert!(recycle || net.can_recv(), "behind the gate nobody would look for the dropped buffer");
            assert!(matches!(net.receive(), Err(Error::NotReady)));
            assert!(card.deliver(&frame(60, 99)), "one buffer is back");
            let buffer = net.receive().unwrap();
            assert_eq!(buffer.packet(), frame(60, 99));
            kept.push(buffer);
            for buffer in kept {
                back(&mut net, buffer);
            }
            assert!(matches!(net.receive(), Err(Error::NotReady)));
            assert_eq!(card.buffers(), N, "round {round}: all are back");
        }
    }
    for kind in KINDS {
        for recycle in [true, false] {
            check::<1>(kind, recycle);
            check::<2>(kind, recycle);
            check::<16>(kind, recycle);
            check::<256>(kind, recycle);
        }
    }
    check::<1024>(MODERN, false);
}

/// Recycled buffers go back a few at a time, but the ring never runs dry for that: half of it at most is held back.
#[test]
fn the_ring_is_refilled_while_frames_flow() {
    fn check<const N: usize>() {
        let (_plug, card) = machine(MODERN);
        let mut net = drop_in::<N>(&card);
        for number in 0..10 * N as u32 {
            assert!(card.deliver(&frame(60, number)));
            let buffer = net.receive().unwrap();
            net.recycle_rx_buffer(buffer).unwrap();
            assert!(card.buffers() >= N / 2, "{} of {N} buffers", card.buffers());
        }
    }
    check::<1>();
    check::<2>();
    check::<4>();
    check::<8>();
    check::<16>();
    check::<256>();
}

/// The more buffers a caller keeps, the sooner each other one must be back with the device.
#[test]
fn little_is_held_back_from_a_caller_who_keeps_much() {
    fn check<const N: usize>() {
        let (_plug, card) = machine(MODERN);
        let mut net = drop_in::<N>(&card);
        let enough = |out: usize| {
            assert!(card.buffers() >= (N - out).min(N / 2), "{} of {N} buffers, {out} kept", card.buffers());
        };
        let next = |net: &mut DropIn<N>| {
            assert!(card.deliver(&frame(60, 1)));
            net.receive().unwrap()
        };
        for keep in 0..N {
            let kept: Vec<_> = (0..keep).map(|_| next(&mut net)).collect();
            for _ in 0..2 * N {
                let buffer = next(&mut net);
                enough(keep + 1);
                net.recycle_rx_buffer(buffer).unwrap();
                enough(keep);
            }
            // A few are held back now, perhaps; keeping more brings them home.
            let more: Vec<_> = (0..N - keep)
                .map(|count| {
                    let buffer = next(&mut net);
                    enough(keep + count + 1);
                    buffer
                })
                .collect();
            for (place, buffer) in more.into_iter().chain(kept).enumerate() {
                net.recycle_rx_buffer(buffer).unwrap();
                enough(N - place - 1);
            }
        }
    }
    check::<1>();
    check::<2>();
    check::<4>();
    check::<16>();
    check::<64>();
}

/// Dropped buffers are found by every call that comes along, not by `receive` alone.
#[test]
fn any_call_brings_dropped_buffers_home() {
    type Act = fn(&mut DropIn<16>, RxBuffer);
    let acts: [Act; 3] = [
        |net, _| net.send(TxBuffer::from(&frame(60, 1))).unwrap(),
        |net, _| net.poll().unwrap(),
        |net, last| net.recycle_rx_buffer(last).unwrap(),
    ];
    for act in acts {
        let (_plug, card) = machine(MODERN);
        let mut net = drop_in::<16>(&card);
        let mut kept: Vec<_> = (0..16)
            .map(|number| {
                assert!(card.deliver(&frame(60, number)));
                net.receive().unwrap()
            })
            .collect();
        let last = kept.pop().unwrap();
        drop(kept);
        assert_eq!(card.buffers(), 0);
        act(&mut net, last);
        assert!(card.buffers() >= 8);
    }
}

/// Frames that wait in the look-ahead count for `can_recv`, and are not there twice.
#[test]
fn frames_seen_ahead_are_counted_once() {
    let (_plug, card) = machine(MODERN);
    let mut net = drop_in::<16>(&card);
    for number in 0..16 {
        assert!(card.deliver(&frame(60, number)));
    }
    for number in 0..16 {
        assert!(net.can_recv());
        let buffer = net.receive().unwrap();
        assert_eq!(buffer.packet(), frame(60, number));
        net.recycle_rx_buffer(buffer).unwrap();
    }
    assert!(!net.can_recv());
    assert!(matches!(net.receive(), Err(Error::NotReady)));
    assert_eq!(net.stats().rx_frames, 16);
}

/// Kernels unwrap what `receive` returns where `can_recv` was true. What is no frame does not count, until it has taken every
/// buffer.
#[test]
fn can_recv_promises_a_frame() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        let plain = [0; HEADER_ROOM - 2];
        let (mut checksum, mut offload) = (plain, plain);
        (checksum[0], offload[1]) = (1, 4);
        let bad = |number: u32| match number % 4 {
            0 => card.deliver_with(&plain, &frame(60, number), |id, _| (id, 9)),
            1 => card.deliver_with(&plain, &frame(60, number), |id, _| (id, 4000)),
            2 => card.deliver_with(&checksum, &frame(60, number), |id, length| (id, length)),
            _ => card.deliver_with(&offload, &frame(60, number), |id, length| (id, length)),
        };
        let mut random = crate::device::Random(kind.extra);
        for round in 0..200 {
            for number in 0..random.below(8) as u32 {
                assert!(bad(number + round));
                assert!(!net.can_recv(), "{}: {number} in round {round}", kind.name);
            }
            assert!(card.deliver(&frame(300, round)));
            assert!(net.can_recv());
            let buffer = net.receive().unwrap();
            assert_eq!(buffer.packet(), frame(300, round));
            net.recycle_rx_buffer(buffer).unwrap();
            assert!(!net.can_recv());
        }
        assert!(matches!(net.receive(), Err(Error::NotReady)));
        // All of them at once: the device would wait for ever.
        for number in 0..16 {
            assert!(!net.can_recv() && bad(number));
        }
        assert!(net.can_recv() && matches!(net.receive(), Err(Error::NotReady)) && !net.can_recv());
        assert_eq!(card.buffers(), 16);
    }
}

/// Nobody has to send again for the buffers of sent frames to come back, nor for a lost notification to be repeated.
#[test]
fn receiving_looks_after_sent_frames() {
    let (plug, card) = machine(MODERN);
    let mut net = drop_in::<16>(&card);
    net.send(TxBuffer::from(&frame(1000, 1))).unwrap();
    assert_eq!((card.sent().len(), plug.live().1), (1, 1));
    assert!(matches!(net.receive(), Err(Error::NotReady)));
    assert_eq!(plug.live().1, 0);
    assert_eq!(card.notifications(TX), 1);
}

/// A device that sleeps over a frame, because a notification was left out, is woken by whoever goes on polling for frames.
#[test]
fn a_lost_notification_is_repeated() {
    for kind in KINDS {
        for length in [60, 1000] {
            let (_plug, card) = machine(kind);
            let mut net = drop_in::<16>(&card);
            for round in 0..3 {
                net.send(TxBuffer::from(&frame(length, round))).unwrap();
                assert!(card.take());
                // The card is awake, so that it is not told of this one.
                net.send(TxBuffer::from(&frame(length, round + 100))).unwrap();
                card.doze(TX);
                assert_eq!(card.finish(0), frame(length, round));
                assert!(!card.take());
                for _ in 0..4 {
                    assert!(matches!(net.receive(), Err(Error::NotReady)));
                }
                assert_eq!(card.sent(), [frame(length, round + 100)], "{}, {length} bytes", kind.name);
            }
        }
    }
}

/// Whoever calls `receive` and `send` only where `can_recv` and `can_send` say so must not be stuck when a notification is lost:
/// the card waits for it, as its event index or flag shows by now.
#[test]
fn gates_lead_out_of_a_lost_notification() {
    fn behind_the_gates<const N: usize>(net: &mut DropIn<N>) {
        for _ in 0..8 {
            if net.can_recv() {
                assert!(matches!(net.receive(), Err(Error::NotReady)));
            }
        }
    }
    fn check<const N: usize>(kind: Kind) {
        let (_plug, card) = machine(kind);
        let mut net = drop_in::<N>(&card);
        for round in 0..4 {
            for number in 0..N as u32 {
                assert!(card.deliver(&frame(60, number)), "{}, round {round}", kind.name);
            }
            // The last of these publishes buffers to a card that is awake and has used all that it knew of.
            for _ in 0..N {
                let buffer = net.receive().unwrap();
                net.recycle_rx_buffer(buffer).unwrap();
            }
            card.doze_late(RX);
            behind_the_gates(&mut net);
            assert!(card.deliver(&frame(61, 1)), "{}, round {round}: the card sleeps", kind.name);
            let buffer = net.receive().unwrap();
            net.recycle_rx_buffer(buffer).unwrap();
            behind_the_gates(&mut net);

            net.send(TxBuffer::from(&frame(60, 0))).unwrap();
            assert!(card.take());
            card.finish(0);
            let mut sent = 0;
            while net.can_send() {
                sent += 1;
                net.send(TxBuffer::from(&frame(if sent % 2 == 0 { 60 } else { 900 }, sent))).unwrap();
            }
            card.doze_late(TX);
            behind_the_gates(&mut net);
            assert_eq!(card.sent().len(), N, "{}, round {round}: the card sleeps", kind.name);
            assert!(net.can_send());
        }
    }
    for kind in KINDS {
        check::<1>(kind);
        check::<2>(kind);
        check::<16>(kind);
        check::<64>(kind);
    }
}

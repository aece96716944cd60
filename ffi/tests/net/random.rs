//! A random workload against an oracle that is as simple as can be: lists of numbers.

use crate::device::{Card, KINDS, Kind, MODERN, Random, feature, frame, machine, number_of};
use crate::drop_in;
use std::collections::{HashSet, VecDeque};
use virtio_drivers::Error;
use virtio_net_c::{RxBuffer, TxBuffer};

/// Lengths of frames: small and large ones, and the ends of both.
const LENGTHS: [usize; 8] = [18, 60, 64, 256, 257, 600, 1513, 1514];

fn made(number: u32) -> Vec<u8> {
    frame(LENGTHS[number as usize * 5 % 8], number)
}

/// What must be true of the driver, besides what the machine checks by itself.
#[derive(Default)]
struct Oracle {
    next_sent: u32,
    /// Sent by the driver, not yet seen by the card. The card reads in order.
    on_their_way: VecDeque<u32>,
    next_delivered: u32,
    /// Delivered by the card, not yet received. The driver receives in order.
    waiting: VecDeque<u32>,
    kept: Vec<(u32, RxBuffer)>,
    finished: HashSet<u32>,
}

impl Oracle {
    fn deliver(&mut self, card: &Card) {
        if card.deliver(&made(self.next_delivered)) {
            self.waiting.push_back(self.next_delivered);
            self.next_delivered += 1;
        }
    }
}

fn check<const N: usize>(kind: Kind, steps: u32) {
    let (plug, card) = machine(kind);
    let mut net = drop_in::<N>(&card);
    let mut random = Random(N as u64 ^ kind.extra);
    let mut oracle = Oracle::default();
    // Busy times of either side follow each other, so that rings fill and run dry.
    let mut mood = [1; 6];
    for step in 0..steps {
        if step % 500 == 0 {
            mood = mood.map(|_| 1 + random.below(8));
        }
        let mut choice = random.below(mood.iter().sum());
        let action = mood.iter().position(|weight| {
            let chosen = choice < *weight;
            choice = choice.wrapping_sub(*weight);
            chosen
        });
        match action {
            Some(0) => {
                let room = oracle.on_their_way.len() + card.in_hand() < N;
                assert_eq!(net.can_send(), room, "step {step} of {}", kind.name);
                if room {
                    net.send(TxBuffer::from(&made(oracle.next_sent))).unwrap();
                    oracle.on_their_way.push_back(oracle.next_sent);
                    oracle.next_sent += 1;
                }
            }
            Some(1) => {
                assert_eq!(card.take(), !oracle.on_their_way.is_empty(), "a notification is missing, step {step}");
                oracle.on_their_way.pop_front();
            }
            Some(2) if card.in_hand() != 0 => {
                let bytes = card.finish(random.below(card.in_hand()));
                assert_eq!(bytes, made(number_of(&bytes)));
                assert!(oracle.finished.insert(number_of(&bytes)), "a frame was sent twice");
            }
            Some(3) => oracle.deliver(&card),
            Some(4) => match net.receive() {
                Ok(buffer) => {
                    let number = oracle.waiting.pop_front().unwrap();
                    assert_eq!(buffer.packet(), made(number), "step {step}");
                    oracle.kept.push((number, buffer));
                }
                Err(error) => assert_eq!((error, oracle.waiting.len()), (Error::NotReady, 0), "step {step}"),
            },
            Some(5) if !oracle.kept.is_empty() => {
                let place = random.below(oracle.kept.len());
                let (number, buffer) = oracle.kept.swap_remove(place);
                assert_eq!(buffer.packet(), made(number), "a lent buffer was written, step {step}");
                if random.below(3) != 0 {
                    net.recycle_rx_buffer(buffer).unwrap();
                }
            }
            _ => {}
        }
        assert!(net.can_recv() || oracle.waiting.is_empty(), "step {step}");
        // With nothing waiting it sends nobody to look, unless the ring is starved. Without EVENT_IDX a device that sleeps over
        // nothing looks like one that was not told of something: one look more decides that.
        if oracle.waiting.is_empty() && card.buffers() != 0 && net.can_recv() {
            assert_eq!(kind.extra & feature::EVENT_IDX, 0, "step {step}");
            assert!(matches!(net.receive(), Err(Error::NotReady)));
            assert!(!net.can_recv(), "step {step}");
        }
    }
    // At rest everything has arrived, and every slot is where it was.
    oracle.kept.clear();
    for bytes in card.sent() {
        assert!(oracle.finished.insert(number_of(&bytes)));
    }
    assert_eq!(oracle.finished.len(), oracle.next_sent as usize);
    while let Ok(buffer) = net.receive() {
        assert_eq!(buffer.packet(), made(oracle.waiting.pop_front().unwrap()));
        net.recycle_rx_buffer(buffer).unwrap();
    }
    assert_eq!((oracle.waiting.len(), card.buffers(), plug.live().1), (0, N, 0));
    let statistics = net.stats();
    assert_eq!(statistics.tx_frames, u64::from(oracle.next_sent));
    assert_eq!(statistics.rx_frames, u64::from(oracle.next_delivered));
    assert_eq!(statistics.tx_lost + statistics.rx_lost + statistics.queues_broken, 0);
    let (sent, delivered) = (oracle.next_sent, oracle.next_delivered);
    assert!(
        sent > steps / 40 && delivered > steps / 40,
        "{sent} sent, {delivered} delivered in {steps} steps, {}",
        kind.name
    );
    drop(net);
    assert_eq!((card.dropped(), plug.live()), (1, (0, 0)));
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice() {
    check::<16>(MODERN, 100_000);
}

#[test]
fn nor_with_other_kinds_and_sizes() {
    for kind in KINDS {
        check::<1>(kind, 5_000);
        check::<2>(kind, 5_000);
        check::<4>(kind, 5_000);
        check::<16>(kind, 10_000);
        check::<256>(kind, 20_000);
    }
}

//! Moving the driver, dropping it, and buffers that outlive it.

use crate::device::{
    Card, Config, FakeTransport, KINDS, Kind, LEGACY, MODERN, Machine, RX, TX, TestHal, frame, machine,
};
use crate::{BUFFER_LENGTH, DropIn, Net, drop_in, net, receive};
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use virtio_net_c::{NetDevice, Options, TxBuffer};

/// Moves a value to another address and leaves nonsense where it was.
fn move_away<T>(value: T) -> Box<T> {
    let mut old = Box::new(MaybeUninit::new(value));
    // SAFETY: the value was just written, and is not used at its old place any more.
    let new = Box::new(unsafe { old.assume_init_read() });
    // SAFETY: the bytes are the box's own.
    unsafe { std::ptr::write_bytes((&raw mut *old).cast::<u8>(), 0x5a, size_of::<T>()) };
    assert!(!std::ptr::addr_eq(&raw const *old, &raw const *new));
    new
}

fn exchange<const N: usize>(net: &mut Net<N>, card: &Card, number: u32) {
    net.send(&frame(1000, number)).unwrap();
    assert_eq!(card.sent(), [frame(1000, number)]);
    assert!(card.deliver(&frame(900, number)));
    assert_eq!(receive(net), Some(frame(900, number)));
    assert!(net.check().is_ok());
}

fn exchange_drop_in<const N: usize>(net: &mut DropIn<N>, card: &Card, number: u32) {
    for length in [60, 1000] {
        net.send(TxBuffer::from(&frame(length, number))).unwrap();
        assert_eq!(card.sent(), [frame(length, number)]);
        assert!(card.deliver(&frame(length, number)));
        let buffer = net.receive().unwrap();
        assert_eq!(buffer.packet(), frame(length, number));
        net.recycle_rx_buffer(buffer).unwrap();
    }
}

#[test]
fn the_driver_may_be_moved() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut boxed = move_away(net::<16>(&card));
        exchange(&mut boxed, &card, 1);
        let mut again = move_away(*boxed);
        exchange(&mut again, &card, 2);
        // A vector moves its values whenever it grows.
        let mut nets = vec![*again];
        let machine = Arc::clone(card.machine());
        let mut cards = vec![card];
        for number in 1..10 {
            let card = Card::new(&machine, Config::new(kind));
            nets.push(net::<16>(&card));
            cards.push(card);
            for (net, card) in nets.iter_mut().zip(&cards) {
                exchange(net, card, number);
            }
        }
        nets.swap(2, 7);
        cards.swap(2, 7);
        drop(nets.remove(0));
        cards.remove(0);
        for (net, card) in nets.iter_mut().zip(&cards) {
            exchange(net, card, 10);
        }
    }
}

#[test]
fn the_drop_in_may_be_moved() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut boxed = move_away(drop_in::<16>(&card));
        exchange_drop_in(&mut boxed, &card, 1);
        boxed.send(TxBuffer::from(&frame(1200, 7))).unwrap();
        assert!(card.deliver(&frame(60, 8)));
        let kept = boxed.receive().unwrap();
        // With a frame on its way and a buffer lent.
        let mut again = move_away(*boxed);
        assert_eq!((card.sent(), kept.packet()), (vec![frame(1200, 7)], &*frame(60, 8)));
        again.recycle_rx_buffer(kept).unwrap();
        exchange_drop_in(&mut again, &card, 2);
        drop(again);
    }
}

#[test]
fn the_driver_may_live_in_a_static() {
    static NET: Mutex<Option<DropIn<256>>> = Mutex::new(None);
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        *NET.lock().unwrap() = Some(drop_in(&card));
        for number in 0..300 {
            let mut lock = NET.lock().unwrap();
            exchange_drop_in(lock.as_mut().unwrap(), &card, number);
        }
        // Also from another thread.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                plug.select();
                exchange_drop_in(NET.lock().unwrap().as_mut().unwrap(), &card, 300);
            });
        });
        *NET.lock().unwrap() = None;
        assert_eq!((card.dropped(), plug.live()), (1, (0, 0)));
    }
}

#[test]
fn made_and_dropped_a_hundred_times() {
    fn check<const N: usize>(kind: Kind) {
        let (plug, card) = machine(kind);
        for round in 0..100 {
            if round % 2 == 0 {
                let mut net = net::<N>(&card);
                exchange(&mut net, &card, round);
            } else {
                let mut net = drop_in::<N>(&card);
                exchange_drop_in(&mut net, &card, round);
            }
            assert_eq!((plug.live(), card.dropped()), ((0, 0), round as usize + 1));
        }
    }
    for kind in KINDS {
        check::<16>(kind);
    }
    check::<256>(MODERN);
    check::<256>(KINDS[4]);
}

/// `drop` waits for a device that sends, as the original's `send` does.
#[test]
fn dropping_with_frames_on_their_way() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        for number in 0..12 {
            net.send(TxBuffer::from(&frame(if number % 2 == 0 { 60 } else { 1514 }, number))).unwrap();
        }
        // A few are done and not taken back, some are in the card's hand.
        for _ in 0..8 {
            assert!(card.take());
        }
        for _ in 0..4 {
            card.finish(0);
        }
        let start = Instant::now();
        drop(net);
        assert!(start.elapsed() < Duration::from_secs(5), "the wait has a limit");
        assert_eq!((card.dropped(), plug.live()), (1, (0, 0)));
    }
}

#[test]
fn dropping_waits_for_a_card_that_sends() {
    let (plug, card) = machine(MODERN);
    let mut net = drop_in::<16>(&card);
    for number in 0..16 {
        net.send(TxBuffer::from(&frame(1000, number))).unwrap();
    }
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(5));
            card.sent()
        });
        drop(net);
        sender.join().unwrap()
    });
    assert_eq!(sent, (0..16).map(|number| frame(1000, number)).collect::<Vec<_>>());
    assert_eq!(plug.live(), (0, 0));
}

/// A device that confirms no reset keeps what it may still touch: the pool, and the frames in their own buffers.
#[test]
fn dropping_over_a_hanging_reset() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        plug.expect_leak();
        let mut net = drop_in::<16>(&card);
        for number in 0..8 {
            net.send(TxBuffer::from(&frame(1514, number))).unwrap();
        }
        assert!(card.deliver(&frame(60, 1)));
        let buffer = net.receive().unwrap();
        let before = plug.live();
        card.change(|config| config.resets = 0);
        let start = Instant::now();
        drop(net);
        assert!(start.elapsed() < Duration::from_secs(5), "the waits have limits");
        assert_eq!((card.dropped(), plug.live()), (0, before));
        assert_eq!(buffer.packet(), frame(60, 1));
        // The device goes on as if nothing had happened.
        assert_eq!(card.sent(), (0..8).map(|number| frame(1514, number)).collect::<Vec<_>>());
        assert!(card.deliver(&frame(1514, 1)));
        assert_eq!(buffer.packet(), frame(60, 1));
        drop(buffer);
        assert_eq!(plug.live(), before, "the device may still write its neighbours");
    }
}

#[test]
fn buffers_outlive_the_driver() {
    for kind in KINDS {
        for last_first in [false, true] {
            let (plug, card) = machine(kind);
            let mut net = drop_in::<16>(&card);
            let mut kept: Vec<_> = (0..10)
                .map(|number| {
                    assert!(card.deliver(&frame(60 + number as usize, number)));
                    (number, net.receive().unwrap())
                })
                .collect();
            // Of the ten one is recycled and one dropped before.
            net.recycle_rx_buffer(kept.remove(3).1).unwrap();
            drop(kept.remove(5));
            let with_driver = plug.live().0;
            let rings = [RX, TX].map(|queue| card.ring(queue));
            assert!(rings.iter().all(|ring| plug.is_live(*ring)));
            drop(net);
            let pool = plug.live().0;
            assert_eq!(card.dropped(), 1);
            assert!(pool != 0 && pool < with_driver, "the transmit pool is back, the receive pool is not");
            assert!(!rings.iter().any(|ring| plug.is_live(*ring)), "the rings are back");
            if last_first {
                kept.reverse();
            }
            while let Some((number, mut buffer)) = kept.pop() {
                assert_eq!(plug.live().0, pool);
                assert_eq!(buffer.packet(), frame(60 + number as usize, number));
                buffer.as_bytes_mut().fill(0);
            }
            assert_eq!(plug.live(), (0, 0));
        }
    }
}

#[test]
fn the_last_buffer_may_go_on_another_thread() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<16>(&card);
        let kept: Vec<_> = (0..16)
            .map(|number| {
                assert!(card.deliver(&frame(60, number)));
                net.receive().unwrap()
            })
            .collect();
        let workers: Vec<_> = (0..)
            .zip(kept)
            .map(|(number, buffer)| {
                std::thread::spawn(move || {
                    assert_eq!(buffer.packet(), frame(60, number));
                    drop(buffer);
                })
            })
            .collect();
        drop(net);
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(plug.live(), (0, 0));
    }
}

/// A buffer knows its driver: given to another one it goes home.
#[test]
fn a_buffer_given_to_another_driver_goes_home() {
    for kind in KINDS {
        let plug = Machine::plug();
        let cards = [(); 2].map(|()| Card::new(&plug, Config::new(kind)));
        let mut nets = cards.each_ref().map(drop_in::<16>);
        for round in 0..40 {
            for card in &cards {
                assert!(card.deliver(&frame(60, round)), "{} in round {round}", kind.name);
            }
            let [first, second] = nets.each_mut().map(|net| net.receive().unwrap());
            nets[1].recycle_rx_buffer(first).unwrap();
            nets[0].recycle_rx_buffer(second).unwrap();
        }
        for (net, card) in nets.iter_mut().zip(&cards) {
            assert!(net.receive().is_err());
            assert_eq!(card.buffers(), 16, "{}", kind.name);
        }
        // One whose driver is gone, to the driver that came after it.
        assert!(cards[0].deliver(&frame(60, 77)));
        let orphan = nets[0].receive().unwrap();
        drop(nets);
        let mut after = drop_in::<16>(&cards[0]);
        assert_eq!(orphan.packet(), frame(60, 77));
        after.recycle_rx_buffer(orphan).unwrap();
        assert!(after.receive().is_err());
        assert_eq!(cards[0].buffers(), 16);
        drop(after);
        assert_eq!(plug.live(), (0, 0));
    }
}

/// Frames that `receive` looked ahead at and nobody took, at the end.
#[test]
fn dropping_with_frames_seen_ahead() {
    let (plug, card) = machine(MODERN);
    let mut net = drop_in::<64>(&card);
    for number in 0..20 {
        assert!(card.deliver(&frame(60, number)));
    }
    let buffer = net.receive().unwrap();
    let other = net.receive().unwrap();
    net.recycle_rx_buffer(other).unwrap();
    drop(net);
    assert_eq!(buffer.packet(), frame(60, 0));
    drop(buffer);
    assert_eq!(plug.live(), (0, 0));
}

#[test]
fn every_allocation_of_the_drop_in_may_fail() {
    let (plug, card) = machine(LEGACY);
    for budget in 0.. {
        plug.alloc_budget.store(budget, std::sync::atomic::Ordering::Relaxed);
        let result = DropIn::<16>::new(FakeTransport::new(&card), BUFFER_LENGTH);
        if result.is_ok() {
            break;
        }
        assert_eq!(plug.live(), (0, 0));
    }
}

#[test]
fn a_slot_that_was_forgotten_costs_nothing_but_itself() {
    let (plug, card) = machine(MODERN);
    let mut net = NetDevice::<TestHal, _, 4, 4>::new(FakeTransport::new(&card), Options::new()).unwrap();
    assert!(card.deliver(&frame(60, 0)));
    std::mem::forget(net.peek().unwrap().unwrap());
    std::mem::forget(net.reserve().unwrap());
    let mut net = move_away(net);
    for number in 1..20 {
        net.send(&frame(60, number)).unwrap();
        assert_eq!(card.sent(), [frame(60, number)]);
        assert!(card.deliver(&frame(60, number)));
        let lent = net.peek().unwrap().unwrap();
        assert_eq!(&*lent, &frame(60, number));
    }
    assert_eq!((card.buffers(), net.tx_free()), (3, 3));
    drop(net);
    assert_eq!(plug.live(), (0, 0));
}

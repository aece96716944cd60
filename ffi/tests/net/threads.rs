//! The card on a thread of its own: the driver waits and is waited for as on a machine.

use crate::device::{KINDS, Kind, frame, machine, number_of};
use crate::{drop_in, net, receive};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use virtio_drivers::Error;
use virtio_net_c::TxBuffer;

const FRAMES: u32 = 2_000;
const LIMIT: Duration = Duration::from_secs(60);

/// Ends the echo, also where the driver's side panics.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the card as an echo beside `driver`, until that returns.
fn beside_an_echo(kind: Kind, driver: impl FnOnce(&std::sync::Arc<crate::device::Card>)) {
    let (_plug, card) = machine(kind);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut queued = std::collections::VecDeque::new();
            while !done.load(Ordering::Relaxed) {
                queued.extend(card.sent());
                while queued.front().is_some_and(|frame: &Vec<u8>| card.deliver(frame)) {
                    queued.pop_front();
                }
                std::thread::yield_now();
            }
        });
        let _end = AtEnd(&done);
        driver(&card);
    });
}

/// `send` waits for a slot where the ring is full, and the card empties it meanwhile.
#[test]
fn the_drop_in_beside_a_card_at_work() {
    for kind in KINDS {
        beside_an_echo(kind, |card| {
            let mut net = drop_in::<16>(card);
            let start = Instant::now();
            let (mut sent, mut received) = (0, 0);
            while received < FRAMES {
                assert!(start.elapsed() < LIMIT, "{}: {sent} sent, {received} received", kind.name);
                if sent < FRAMES && sent - received < 64 {
                    let length = 60 + sent as usize * 7 % 1455;
                    match net.send(TxBuffer::from(&frame(length, sent))) {
                        Ok(()) => sent += 1,
                        Err(error) => assert_eq!(error, Error::QueueFull),
                    }
                }
                match net.receive() {
                    Ok(buffer) => {
                        let length = 60 + received as usize * 7 % 1455;
                        assert_eq!((number_of(buffer.packet()), buffer.packet_len()), (received, length));
                        assert_eq!(buffer.packet(), frame(length, received));
                        received += 1;
                        net.recycle_rx_buffer(buffer).unwrap();
                    }
                    Err(error) => {
                        assert_eq!(error, Error::NotReady);
                        std::thread::yield_now();
                    }
                }
            }
        });
    }
}

#[test]
fn the_driver_beside_a_card_at_work() {
    for kind in KINDS {
        beside_an_echo(kind, |card| {
            let mut net = net::<16>(card);
            let start = Instant::now();
            let (mut sent, mut received) = (0, 0);
            while received < FRAMES {
                assert!(start.elapsed() < LIMIT, "{}: {sent} sent, {received} received", kind.name);
                if sent < FRAMES && sent - received < 64 && net.send(&frame(300, sent)).is_ok() {
                    sent += 1;
                }
                match receive(&mut net) {
                    Some(bytes) => {
                        assert_eq!(bytes, frame(300, received));
                        received += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
        });
    }
}

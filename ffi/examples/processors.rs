//! One card on three processors: one sends, one receives, one takes the interrupts. No lock lies between them on the way of a
//! packet.
//!
//! In a kernel `Hal` and the transport are its own, and the card is real. Here threads are the processors, and a fourth one is
//! the card: `cargo run -p virtio-net-c --example processors`.

extern crate virtio_drivers_0_12 as virtio_drivers;

#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the card of the tests")]
#[path = "../tests/device/mod.rs"]
mod device;

use device::{Card, FakeTransport, MODERN, RX, TestHal, machine};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, yield_now};
use virtio_net_c::sys::VIRTIO_NET_EVENT_CONFIG;
use virtio_net_c::{Error, Interrupts, NetDevice, Options, Packets, Receiver, Transmitter};

const FRAMES: usize = 10_000;
const FRAME: [u8; 60] = [0x5a; 60];

/// What the processors tell each other.
#[derive(Default)]
struct Signals {
    /// The receiver has something to do.
    received: AtomicBool,
    /// Everything was received.
    done: AtomicBool,
}

fn send(mut tx: Transmitter<'_, FakeTransport>) -> Result<(), Error> {
    let mut sent = 0;
    while sent < FRAMES {
        match tx.send_burst(&[FRAME; 32][..32.min(FRAMES - sent)]) {
            Ok(count) => sent += count,
            Err(Error::QUEUE_FULL) => yield_now(),
            Err(error) => return Err(error),
        }
    }
    while tx.in_flight() != 0 {
        tx.poll()?;
        yield_now();
    }
    Ok(())
}

fn receive(mut rx: Receiver<'_, FakeTransport>, signals: &Signals) -> Result<usize, Error> {
    let mut room = Packets::<32>::new();
    let mut received = 0;
    // What came before does not interrupt.
    signals.received.store(rx.enable_interrupts()?, Ordering::Release);
    while received < FRAMES {
        if !signals.received.swap(false, Ordering::Acquire) {
            yield_now(); // a kernel would sleep
            continue;
        }
        // Until there is none: that asks for the next interrupt.
        loop {
            let burst = rx.peek_burst(&mut room)?;
            if burst.is_empty() {
                break;
            }
            received += burst.iter().filter(|frame| **frame == FRAME).count();
        }
    }
    signals.done.store(true, Ordering::Release);
    Ok(received)
}

/// The handler. On a processor that also sends or receives it would use `try_acknowledge`.
fn interrupt(interrupts: &mut Interrupts<'_, TestHal, FakeTransport, 256, 256>, signals: &Signals) {
    let events = interrupts.acknowledge();
    if events & VIRTIO_NET_EVENT_CONFIG != 0 {
        println!("link {:?}", interrupts.link());
    }
    signals.received.store(true, Ordering::Release);
}

/// The card: sends what it is given, and receives as many frames from elsewhere.
fn play_card(card: &Card, done: &AtomicBool, sent: &AtomicUsize) {
    let mut delivered = 0;
    while !done.load(Ordering::Acquire) || sent.load(Ordering::Relaxed) < FRAMES {
        sent.fetch_add(card.sent().len(), Ordering::Relaxed);
        delivered += usize::from(delivered < FRAMES && card.deliver(&FRAME));
        yield_now();
    }
}

fn main() -> Result<(), Error> {
    let (_machine, card) = machine(MODERN);
    let mut net = NetDevice::<TestHal, _, 256, 256>::new(FakeTransport::new(&card), Options::new())?;
    let (signals, sent) = (Signals::default(), AtomicUsize::new(0));

    let (tx, rx, mut interrupts) = net.split();
    let received = scope(|scope| {
        scope.spawn(|| play_card(&card, &signals.done, &sent));
        let sender = scope.spawn(|| send(tx));
        let receiver = scope.spawn(|| receive(rx, &signals));
        let mut seen = 0;
        while !receiver.is_finished() {
            if card.interrupts(RX) != seen {
                seen = card.interrupts(RX);
                interrupt(&mut interrupts, &signals);
            }
            yield_now();
        }
        let received = receiver.join().unwrap_or(Ok(0))?;
        sender.join().unwrap_or(Ok(()))?;
        Ok(received)
    })?;

    // The borrow of the handles is over: the driver is whole again.
    let stats = net.stats();
    println!("{received} received, {} sent, {} interrupts", stats.tx_frames, stats.interrupts);
    assert_eq!((received, sent.into_inner()), (FRAMES, FRAMES));
    net.check()
}

#[test]
fn runs() -> Result<(), Error> {
    main()
}

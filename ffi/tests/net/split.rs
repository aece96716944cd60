//! The driver's handles on threads of their own: transmit, receive and the interrupt at once, over a transport that must be
//! reached by one of them at a time.

use crate::device::{Card, FakeTransport, KINDS, Kind, MODERN, RX, TX, TestHal, frame, machine, number_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver as Mailbox, Sender, channel};
use std::thread::{scope, yield_now};
use std::time::{Duration, Instant};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{PhysAddr, Result};
use virtio_net_c::sys::*;
use virtio_net_c::{Error, Interrupts, Link, NetDevice, Options, Packets, Receiver, Transmitter};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const LIMIT: Duration = Duration::from_secs(60);

/// A transport that notices when two calls of it are on their way at once, and stays in each for a while so that they would be.
struct Alone {
    inner: FakeTransport,
    entered: AtomicBool,
    intruded: Arc<AtomicBool>,
    /// Told of each notification, which goes on when the answer has come.
    doorbell: Option<(Sender<()>, Mailbox<()>)>,
}

impl Alone {
    fn new(card: &Arc<Card>) -> Self {
        let intruded = Arc::new(AtomicBool::new(false));
        Self { inner: FakeTransport::new(card), entered: AtomicBool::new(false), intruded, doorbell: None }
    }

    fn enter(&self) {
        if self.entered.swap(true, Ordering::Relaxed) {
            self.intruded.store(true, Ordering::Relaxed);
        }
        for _ in 0..50 {
            std::hint::spin_loop();
        }
        self.entered.store(false, Ordering::Relaxed);
    }
}

impl Transport for Alone {
    fn device_type(&self) -> DeviceType {
        self.inner.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        self.inner.read_device_features()
    }

    fn write_driver_features(&mut self, features: u64) {
        self.inner.write_driver_features(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.inner.max_queue_size(queue)
    }

    fn notify(&mut self, queue: u16) {
        self.enter();
        if let Some((rung, go_on)) = &self.doorbell {
            rung.send(()).unwrap();
            go_on.recv().unwrap();
        }
        self.inner.notify(queue);
    }

    fn get_status(&self) -> DeviceStatus {
        self.enter();
        self.inner.get_status()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.inner.set_status(status);
    }

    fn set_guest_page_size(&mut self, bytes: u32) {
        self.inner.set_guest_page_size(bytes);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.inner.requires_legacy_layout()
    }

    fn queue_set(&mut self, queue: u16, size: u32, table: PhysAddr, avail: PhysAddr, used: PhysAddr) {
        self.inner.queue_set(queue, size, table, avail, used);
    }

    fn queue_unset(&mut self, queue: u16) {
        self.inner.queue_unset(queue);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.inner.queue_used(queue)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        self.enter();
        self.inner.ack_interrupt()
    }

    fn read_config_generation(&self) -> u32 {
        self.enter();
        self.inner.read_config_generation()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        self.enter();
        self.inner.read_config_space(offset)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> Result<()> {
        self.inner.write_config_space(offset, value)
    }
}

type Net<const N: usize> = NetDevice<TestHal, Alone, N, N>;

fn net<const N: usize>(transport: Alone) -> Net<N> {
    NetDevice::new(transport, Options::new()).unwrap()
}

fn length_of(number: u32) -> usize {
    60 + number as usize * 7 % 200
}

/// What the threads of one run know of each other.
struct Run<'a> {
    card: &'a Card,
    frames: u32,
    start: Instant,
    received: AtomicU32,
    woken: AtomicBool,
    failed: AtomicBool,
}

/// Ends the other threads where one panics.
struct Watch<'a>(&'a AtomicBool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Run<'_> {
    fn goes_on(&self) -> bool {
        !self.failed.load(Ordering::Relaxed) && self.start.elapsed() < LIMIT
    }

    /// The card: checks what is sent, and delivers as many frames of its own.
    fn serve(&self) {
        let _watch = Watch(&self.failed);
        let (mut sent, mut delivered) = (0, 0);
        while (sent < self.frames || self.received.load(Ordering::Relaxed) < self.frames) && self.goes_on() {
            for bytes in self.card.sent() {
                assert_eq!(bytes, frame(length_of(sent), sent), "frame {sent} is another");
                sent += 1;
            }
            for _ in 0..16 {
                let more = delivered < self.frames;
                delivered += u32::from(more && self.card.deliver(&frame(length_of(!delivered), !delivered)));
            }
            yield_now();
        }
        assert_eq!((sent, delivered), (self.frames, self.frames));
    }

    /// In place and copied, alone and in bursts.
    fn transmit(&self, mut tx: Transmitter<'_, Alone>) {
        let _watch = Watch(&self.failed);
        let mut room = Packets::<8>::new();
        let mut sent = 0;
        while sent < self.frames && self.goes_on() {
            let left = (self.frames - sent) as usize;
            let outcome = match sent % 3 {
                0 => tx.send(&frame(length_of(sent), sent)).map(|()| 1),
                1 => {
                    let frames = [sent, sent + 1].map(|number| frame(length_of(number), number));
                    tx.send_burst(&frames[..left.min(2)])
                }
                _ => tx.reserve_burst(&mut room, left.min(8)).and_then(|mut burst| {
                    while burst.remaining() != 0 {
                        let number = sent + burst.written() as u32;
                        let mut slot = burst.next().unwrap();
                        let bytes = frame(length_of(number), number);
                        slot[..bytes.len()].copy_from_slice(&bytes);
                        slot.finish(bytes.len());
                    }
                    burst.send()
                }),
            };
            match outcome {
                Ok(count) => sent += count as u32,
                Err(error) => {
                    assert_eq!(error, Error::QUEUE_FULL);
                    yield_now();
                }
            }
        }
        while tx.in_flight() != 0 && self.goes_on() {
            tx.poll().unwrap();
            yield_now();
        }
        assert_eq!((sent, tx.in_flight()), (self.frames, 0));
    }

    /// Sleeps until the interrupt's thread wakes it, where there is nothing to do.
    fn receive(&self, mut rx: Receiver<'_, Alone>) {
        let _watch = Watch(&self.failed);
        let mut room = Packets::<8>::new();
        let mut received = 0;
        let mut buffer = [0; 1518];
        let mut waiting = rx.enable_interrupts().unwrap();
        while received < self.frames && self.goes_on() {
            if !waiting && !self.woken.swap(false, Ordering::Acquire) {
                yield_now();
                continue;
            }
            waiting = false;
            loop {
                let burst = rx.peek_burst(&mut room).unwrap();
                if burst.is_empty() {
                    break;
                }
                for lent in &burst {
                    assert_eq!(lent, frame(length_of(!received), !received), "frame {received} is another");
                    received += 1;
                }
                drop(burst);
                if let Some(length) = rx.receive(&mut buffer).unwrap() {
                    assert_eq!((number_of(&buffer), length), (!received, length_of(!received)));
                    received += 1;
                }
            }
            self.received.store(received, Ordering::Relaxed);
        }
        assert_eq!(received, self.frames);
    }

    /// Acknowledges each interrupt of the card and wakes the receiver; asks for the link meanwhile.
    fn interrupt<const N: usize>(&self, mut interrupts: Interrupts<'_, TestHal, Alone, N, N>) {
        let _watch = Watch(&self.failed);
        let mut seen = 0;
        while self.received.load(Ordering::Relaxed) < self.frames && self.goes_on() {
            let raised = self.card.interrupts(RX);
            if raised != seen {
                seen = raised;
                let event =
                    if seen % 2 == 0 { Some(interrupts.acknowledge()) } else { interrupts.try_acknowledge() };
                if event.is_none() {
                    interrupts.acknowledge();
                }
                self.woken.store(true, Ordering::Release);
            }
            assert_eq!(interrupts.link(), Ok(Link::Up));
            assert!(interrupts.stats().rx_frames <= u64::from(self.frames));
            yield_now();
        }
    }
}

fn everybody_at_once<const N: usize>(kind: Kind, frames: u32) {
    let (_plug, card) = machine(kind);
    let transport = Alone::new(&card);
    let intruded = Arc::clone(&transport.intruded);
    let mut net = net::<N>(transport);
    let run = Run {
        card: &card,
        frames,
        start: Instant::now(),
        received: AtomicU32::new(0),
        woken: AtomicBool::new(false),
        failed: AtomicBool::new(false),
    };
    let (tx, rx, interrupts) = net.split();
    scope(|scope| {
        scope.spawn(|| run.serve());
        scope.spawn(|| run.transmit(tx));
        scope.spawn(|| run.interrupt(interrupts));
        run.receive(rx);
    });
    assert!(!intruded.load(Ordering::Relaxed), "two calls of the transport at once");
    let stats = net.stats();
    assert_eq!((stats.tx_frames, stats.rx_frames), (u64::from(frames), u64::from(frames)), "{}", kind.name);
    assert_eq!((stats.queues_broken, stats.device_needs_reset), (0, 0), "{}", kind.name);
    assert!(stats.interrupts > 0);
    // Whole again.
    net.recover().unwrap();
    net.send(&frame(60, 1)).unwrap();
    assert_eq!(card.sent(), [frame(60, 1)]);
}

#[test]
fn a_hundred_thousand_frames_each_way() {
    everybody_at_once::<256>(MODERN, 100_000);
}

#[test]
fn small_rings_of_every_kind() {
    for kind in KINDS {
        everybody_at_once::<2>(kind, 1000);
        everybody_at_once::<16>(kind, 2000);
    }
}

/// The handler interrupts a notification on its own processor, or so it looks to it.
#[test]
fn a_handler_that_must_not_wait() {
    let (_plug, card) = machine(MODERN);
    let ((rung, bell), (go_on, wait)) = (channel(), channel());
    let mut transport = Alone::new(&card);
    transport.doorbell = Some((rung, wait));
    // The notification of the receive buffers.
    go_on.send(()).unwrap();
    let mut net = net::<16>(transport);
    bell.recv().unwrap();
    assert_eq!(net.enable_interrupts(VIRTIO_NET_IRQ_RX), Ok(0));
    assert!(card.deliver(&frame(60, 0)));
    let (mut tx, _, mut interrupts) = net.split();
    scope(|scope| {
        scope.spawn(move || tx.send(&frame(60, 1)).unwrap());
        bell.recv().unwrap();
        let answers = [(); 3].map(|()| interrupts.try_acknowledge());
        // First let the other thread end, whatever the answers are.
        go_on.send(()).unwrap();
        assert_eq!(answers, [None; 3]);
    });
    assert_eq!(interrupts.try_acknowledge(), Some(VIRTIO_NET_EVENT_QUEUE));
    assert_eq!(interrupts.try_acknowledge(), Some(0));
    assert_eq!(interrupts.acknowledge(), 0);
    assert_eq!(net.stats().interrupts, 1);
}

#[test]
fn the_interrupt_tells_of_the_link() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(Alone::new(&card));
        let (_tx, _rx, mut interrupts) = net.split();
        assert_eq!(interrupts.link(), Ok(Link::Up));
        card.change(|config| config.link = 0);
        assert_eq!(interrupts.link(), Ok(Link::Down), "{}", kind.name);
        card.change(|config| config.config_bytes = 6);
        assert_eq!(interrupts.link().err().map(Error::code), Some(VIRTIO_NET_ERROR_CONFIG_SPACE));
    }
}

/// Each side has its own switch.
#[test]
fn interrupts_of_one_direction() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(Alone::new(&card));
        let (mut tx, mut rx, mut interrupts) = net.split();
        let count = || [RX, TX].map(|queue| card.interrupts(queue));
        assert_eq!(tx.enable_interrupts(), Ok(false));
        tx.send(&frame(60, 0)).unwrap();
        assert!(card.deliver(&frame(60, 0)));
        card.sent();
        assert_eq!(count(), [0, 1], "{}", kind.name);
        assert_eq!(interrupts.acknowledge(), VIRTIO_NET_EVENT_QUEUE);
        tx.disable_interrupts().unwrap();
        assert_eq!(rx.enable_interrupts(), Ok(true), "a frame waits");
        while rx.receive(&mut [0; 1518]).unwrap().is_some() {}
        tx.send(&frame(60, 0)).unwrap();
        card.sent();
        assert_eq!(tx.enable_interrupts(), Ok(true), "one was sent");
        tx.disable_interrupts().unwrap();
        assert!(card.deliver(&frame(60, 0)));
        assert_eq!(count(), [1, 1], "{}", kind.name);
        rx.disable_interrupts().unwrap();
        assert_eq!((rx.ready(), tx.free(), tx.in_flight()), (1, 16, 0));
        while rx.receive(&mut [0; 1518]).unwrap().is_some() {}
        assert!(card.deliver(&frame(60, 0)));
        tx.send(&frame(60, 0)).unwrap();
        card.sent();
        assert_eq!(count(), [1, 1], "{}: both are silent", kind.name);
    }
}

/// A driver that is borrowed for ever gets well again.
#[test]
fn united_handles_are_the_driver() {
    let (_plug, card) = machine(MODERN);
    let (_other_plug, other_card) = machine(MODERN);
    let mut other = net::<16>(Alone::new(&other_card));
    card.machine().select();
    let device: &'static mut Net<16> = Box::leak(Box::new(net(Alone::new(&card))));
    let address: *mut Net<16> = device;
    let (tx, mut rx, interrupts) = device.split();
    card.jump(RX, 17);
    assert_eq!(rx.peek().err(), Some(Error::NEEDS_RESET));
    let (other_tx, other_rx, _) = other.split();
    let (interrupts, tx, _) = interrupts.unite(tx, other_rx).expect_err("the receiver is another's");
    let (interrupts, _, rx) = interrupts.unite(other_tx, rx).expect_err("the transmitter is another's");
    let device = interrupts.unite(tx, rx).expect("all are of one driver");
    assert_eq!(device.last_error().map(|detail| detail.error.code()), Some(VIRTIO_NET_ERROR_USED_INDEX));
    device.recover().unwrap();
    device.send(&frame(60, 7)).unwrap();
    assert_eq!(card.sent(), [frame(60, 7)]);
    // SAFETY: the box that was leaked, whose borrow nobody uses any more.
    drop(unsafe { Box::from_raw(address) });
}

/// A direction that breaks leaves the other at work.
#[test]
fn one_direction_breaks() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(Alone::new(&card));
        let (mut tx, mut rx, _) = net.split();
        card.forge(RX, 99, 60);
        assert_eq!(rx.peek().err(), Some(Error::NEEDS_RESET));
        assert_eq!(rx.receive(&mut [0; 1518]), Err(Error::NEEDS_RESET));
        assert_eq!(rx.peek_burst(&mut Packets::<4>::new()).err(), Some(Error::NEEDS_RESET));
        assert_eq!((rx.enable_interrupts(), rx.ready()), (Err(Error::NEEDS_RESET), 0));
        tx.send(&frame(60, 3)).unwrap();
        assert_eq!(card.sent(), [frame(60, 3)], "{}", kind.name);
        assert_eq!(net.check(), Err(Error::NEEDS_RESET));
        net.recover().unwrap();
        assert_eq!(net.check(), Ok(()));
    }
}

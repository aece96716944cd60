//! Where ours differs from the original, and is meant to: the lines of the table in `docs/drop-in.md`, in its order.
//!
//! Each test shows both sides on the same card. Where the original waits for ever or panics, it does so on a thread of its own,
//! or caught.

use crate::device::{
    Card, Config, FakeTransport, HEADER_ROOM, KINDS, LEGACY, MODERN, Machine, RX, TX, feature, frame, machine,
};
use crate::{ends_by_itself, original, ours, served};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use virtio_drivers::Error;

/// A card for the original, whose faults do not count.
struct Forgiven(crate::device::Plug);

impl Drop for Forgiven {
    fn drop(&mut self) {
        self.0.take_faults();
        self.0.expect_leak();
    }
}

fn forgiving(change: impl FnOnce(&mut Config)) -> (Forgiven, Arc<Card>) {
    let (plug, card) = machine(MODERN);
    card.change(change);
    (Forgiven(plug), card)
}

fn strict(change: impl FnOnce(&mut Config)) -> (crate::device::Plug, Arc<Card>) {
    let (plug, card) = machine(MODERN);
    card.change(change);
    (plug, card)
}

fn shares(machine: &Machine) -> usize {
    machine.calls.share.load(Ordering::Relaxed)
}

const PLAIN: [u8; HEADER_ROOM - 2] = [0; HEADER_ROOM - 2];

/// Whether it panics. What it leaves behind is not used, nor dropped.
fn panics<T>(mut value: T, act: impl FnOnce(&mut T)) -> bool {
    let panicked = catch_unwind(AssertUnwindSafe(|| act(&mut value))).is_err();
    std::mem::forget(value);
    panicked
}

/// The MTU is told. It is agreed on, and longer frames are refused, only where the caller asks for that.
#[test]
fn d01_features() {
    let with_mtu = |config: &mut Config| (config.features, config.mtu) = (config.features | feature::MTU, 1400);
    let longer = frame(1514, 1);
    let begun = [vec![0; HEADER_ROOM], longer.clone()].concat();
    let (_plug, card) = forgiving(with_mtu);
    let mut theirs = original::net::<4>(&card);
    let agreed = feature::MAC | feature::STATUS | feature::EVENT_IDX | feature::VERSION_1;
    assert_eq!(card.accepted(), agreed | feature::INDIRECT_DESC);
    let (result, sent) = served(&card, || theirs.send(original::net::TxBuffer::from(&longer)));
    assert_eq!((result, &sent[0]), (Ok(()), &longer));
    drop(theirs);
    let (plug, card) = strict(with_mtu);
    let mut net = ours::net::<4>(&card);
    assert_eq!((card.accepted(), net.features()), (agreed, agreed));
    assert_eq!((net.mtu(), net.info().mtu, net.link().is_ok()), (1400, 1400, true));
    net.send(ours::net::TxBuffer::from(&longer)).unwrap();
    assert_eq!(card.sent(), std::slice::from_ref(&longer));
    let card = Card::new(&plug, card.config());
    let mut net = ours::raw::<4>(&card);
    net.send(&longer).unwrap();
    // SAFETY: the buffer outlives the driver.
    assert!(unsafe { net.transmit_begin(&begun) }.is_ok());
    assert_eq!((card.accepted() & feature::MTU, card.sent().len()), (0, 2));

    let card = Card::new(&plug, card.config());
    let options = virtio_net_c::Options::new().feature_mask(feature::MTU | feature::MAC);
    let mut net = ours::Net::<4>::with_options(FakeTransport::new(&card), 2048, options).unwrap();
    assert_ne!(card.accepted() & feature::MTU, 0);
    assert_eq!(net.send(ours::net::TxBuffer::from(&longer)), Err(Error::InvalidParam));
    net.send(ours::net::TxBuffer::from(&longer[..1418])).unwrap();
}

#[test]
fn d02_set_up_is_checked() {
    let refusing = |config: &mut Config| config.refuses_features = true;
    let (_plug, card) = forgiving(refusing);
    assert!(original::Net::<4>::new(FakeTransport::new(&card), 2048).is_ok(), "with features that were refused");
    let (_plug, card) = strict(refusing);
    assert_eq!(ours::Net::<4>::new(FakeTransport::new(&card), 2048).err(), Some(Error::IoError));

    // A device that needs a moment for its reset, and was in use before.
    let (_plug, card) = forgiving(|_| ());
    std::mem::forget(original::net::<4>(&card));
    card.change(|config| config.reset_reads = 10);
    assert_eq!(original::Net::<4>::new(FakeTransport::new(&card), 2048).err(), Some(Error::AlreadyUsed));
    let (plug, card) = strict(|_| ());
    plug.expect_leak();
    std::mem::forget(ours::net::<4>(&card));
    card.change(|config| config.reset_reads = 10);
    assert!(ours::Net::<4>::new(FakeTransport::new(&card), 2048).is_ok());

    // A device that says that it needs a reset: ours looks when nothing comes for long.
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<4>(&card);
    card.ask_for_reset();
    assert!((0..5000).all(|_| matches!(theirs.receive(), Err(Error::NotReady))));
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<4>(&card);
    card.ask_for_reset();
    assert!((0..5000).any(|_| matches!(net.receive(), Err(Error::IoError))));
    net.recover().unwrap();
    assert!(card.deliver(&frame(60, 1)) && net.receive().is_ok());
}

#[test]
fn d03_send_returns_once_the_frame_is_posted() {
    let (plug, card) = forgiving(|_| ());
    let (mut theirs, served_by) = (original::net::<16>(&card), Arc::clone(&card));
    let act = move || theirs.send(original::net::TxBuffer::from(&frame(60, 1))).unwrap();
    assert!(!ends_by_itself(&plug.0, act, || drop(served_by.sent())), "it waits for the device");

    let (plug, card) = strict(|_| ());
    let mut net = ours::net::<16>(&card);
    for number in 0..16 {
        net.send(ours::net::TxBuffer::from(&frame(60, number))).unwrap();
    }
    assert_eq!((card.sent().len(), shares(&plug)), (16, 0));

    // Shares a packet: header, frame, and the table of both where there are indirect descriptors.
    for (features, each) in [(feature::INDIRECT_DESC, 3), (0, 2)] {
        let (plug, card) =
            forgiving(|config| config.features = config.features & !feature::INDIRECT_DESC | features);
        let mut theirs = original::net::<16>(&card);
        let before = shares(&plug.0);
        served(&card, || theirs.send(original::net::TxBuffer::from(&frame(60, 1))).unwrap());
        assert_eq!(shares(&plug.0) - before, each);
    }
    let (plug, card) = strict(|_| ());
    let mut net = ours::net::<16>(&card);
    for (length, each) in [(60, 0), (256, 0), (257, 1), (1514, 1)] {
        let before = shares(&plug);
        net.send(ours::net::TxBuffer::from(&frame(length, 1))).unwrap();
        assert_eq!((card.sent().len(), shares(&plug) - before), (1, each));
    }
}

#[test]
fn d04_send_beside_requests() {
    let (plug, card) = forgiving(|_| ());
    let mut theirs = original::raw::<16>(&card);
    let mut buffer = vec![0; HEADER_ROOM];
    buffer.extend(frame(60, 1));
    // SAFETY: the buffer outlives the driver.
    unsafe { theirs.transmit_begin(&buffer) }.unwrap();
    assert_eq!(served(&card, || theirs.send(&frame(60, 2))).0, Err(Error::WrongToken));
    assert!(plug.0.live().1 > 1, "the device still has what `send` gave it");
    std::mem::forget(theirs);

    let (_plug, card) = strict(|_| ());
    let mut net = ours::raw::<16>(&card);
    // SAFETY: as above.
    let token = unsafe { net.transmit_begin(&buffer) }.unwrap();
    net.send(&frame(60, 2)).unwrap();
    assert_eq!(card.sent(), [frame(60, 1), frame(60, 2)]);
    // SAFETY: the buffer is the token's.
    assert_eq!(unsafe { net.transmit_complete(token, &buffer) }, Ok(0));
}

/// Ids and lengths that cannot be.
#[test]
fn d05_what_the_device_writes_is_checked() {
    let forged = |id: u32, length: u32| move |card: &Card| card.forge(RX, id, length);
    // An id beyond the queue.
    let (_plug, card) = forgiving(|_| ());
    let theirs = original::net::<16>(&card);
    forged(77, 100)(&card);
    assert!(panics(theirs, |net| drop(net.receive())));
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<16>(&card);
    forged(77, 100)(&card);
    assert!(matches!(net.receive(), Err(Error::IoError)));
    net.recover().unwrap();
    assert!(card.deliver(&frame(60, 1)) && net.receive().is_ok());

    // One that is cut to 16 bits first.
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<16>(&card);
    forged(0x10000, 100)(&card);
    assert!(theirs.receive().is_ok(), "a frame that nobody sent");
    std::mem::forget(theirs);
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<16>(&card);
    forged(0x10000, 100)(&card);
    assert!(matches!(net.receive(), Err(Error::IoError)));

    // The same one twice.
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<16>(&card);
    assert!(card.deliver(&frame(60, 1)));
    drop(theirs.receive().unwrap());
    forged(0, 100)(&card);
    assert!(card.deliver(&frame(60, 2)));
    assert!((0..100).all(|_| matches!(theirs.receive(), Err(Error::WrongToken))), "for ever");
    std::mem::forget(theirs);
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<16>(&card);
    assert!(card.deliver(&frame(60, 1)));
    drop(net.receive().unwrap());
    forged(0, 100)(&card);
    assert!(matches!(net.receive(), Err(Error::IoError)));
    net.recover().unwrap();
    assert!(card.deliver(&frame(60, 2)) && net.receive().is_ok());

    // A length below the header's, and one above the buffer's.
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<4>(&card);
    for _ in 0..4 {
        assert!(card.deliver_with(&PLAIN, &frame(60, 1), |id, _| (id, 5)));
        assert!(matches!(theirs.receive(), Err(Error::IoError)));
    }
    assert!(!card.deliver(&frame(60, 2)), "every slot is lost");
    let (_plug, card) = forgiving(|_| ());
    let theirs = original::net::<4>(&card);
    assert!(card.deliver_with(&PLAIN, &frame(60, 1), |id, _| (id, 5000)));
    assert!(panics(theirs, |net| drop(net.receive().unwrap().packet().to_vec())));
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<4>(&card);
    for length in [5, 5000].repeat(10) {
        assert!(card.deliver_with(&PLAIN, &frame(60, 1), |id, _| (id, length)));
        assert!(matches!(net.receive(), Err(Error::NotReady)));
    }
    assert!(card.deliver(&frame(60, 2)) && net.receive().is_ok());
}

/// 200 requests to a device that looks at none of them.
#[test]
fn d06_notifications() {
    let buffer = [vec![0; HEADER_ROOM], frame(60, 1)].concat();
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::raw::<256>(&card);
    for _ in 0..200 {
        // SAFETY: the buffer outlives the driver.
        unsafe { theirs.transmit_begin(&buffer) }.unwrap();
    }
    assert_eq!(card.notifications(TX), 200);
    std::mem::forget(theirs);
    let (_plug, card) = strict(|_| ());
    let mut net = ours::raw::<256>(&card);
    for _ in 0..200 {
        // SAFETY: as above.
        unsafe { net.transmit_begin(&buffer) }.unwrap();
    }
    assert_eq!(card.notifications(TX), 1);
}

// d07, the barrier between avail.idx and avail_event, shows on no x86 machine: tests/abi looks for it in the objects.

#[test]
fn d08_interrupts() {
    fn exchange(card: &Card, receive: impl FnOnce()) {
        assert!(card.deliver(&frame(60, 1)));
        receive();
    }
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<16>(&card);
    theirs.disable_interrupts();
    for _ in 0..10 {
        exchange(&card, || theirs.receive().and_then(|buffer| theirs.recycle_rx_buffer(buffer)).unwrap());
        served(&card, || theirs.send(original::net::TxBuffer::from(&frame(60, 1))).unwrap());
    }
    assert_eq!((card.interrupts(RX), card.interrupts(TX)), (10, 10), "with EVENT_IDX it cannot be silenced");
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<16>(&card);
    // From the start, as the original; then as told.
    for (told, enabled) in [(false, true), (true, false), (true, true), (true, false)] {
        let before = (card.interrupts(RX), card.interrupts(TX));
        match (told, enabled) {
            (false, _) => {}
            (true, true) => net.enable_interrupts(),
            (true, false) => net.disable_interrupts(),
        }
        for _ in 0..10 {
            exchange(&card, || net.receive().and_then(|buffer| net.recycle_rx_buffer(buffer)).unwrap());
            assert!(net.receive().is_err());
            net.send(ours::net::TxBuffer::from(&frame(60, 1))).unwrap();
            assert_eq!(card.sent().len(), 1);
        }
        let now = (card.interrupts(RX) - before.0, card.interrupts(TX) - before.1);
        assert_eq!(now, (if enabled { 10 } else { 0 }, 0));
    }

    // The raw ones: both directions, and ours can be silenced.
    macro_rules! raw_interrupts {
        ($net:ident, $card:ident) => {{
            let mut memory = vec![0; 2048];
            let before = ($card.interrupts(RX), $card.interrupts(TX));
            for _ in 0..10 {
                // SAFETY: the buffer is there until its token is completed.
                let token = unsafe { $net.receive_begin(&mut memory) }.unwrap();
                assert!($card.deliver(&frame(60, 1)) && $net.poll_receive() == Some(token));
                // SAFETY: as above.
                unsafe { $net.receive_complete(token, &mut memory) }.unwrap();
                served(&$card, || $net.send(&frame(60, 1))).0.unwrap();
                let _ = $net.poll_transmit();
            }
            ($card.interrupts(RX) - before.0, $card.interrupts(TX) - before.1)
        }};
    }
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::raw::<16>(&card);
    assert_eq!(raw_interrupts!(theirs, card), (10, 10));
    theirs.disable_interrupts();
    assert_eq!(raw_interrupts!(theirs, card), (10, 10));
    drop(theirs);
    let (_plug, card) = strict(|_| ());
    let mut net = ours::raw::<16>(&card);
    assert_eq!(raw_interrupts!(net, card), (10, 10));
    net.disable_interrupts();
    assert_eq!(raw_interrupts!(net, card), (0, 0));
    net.enable_interrupts();
    assert_eq!(raw_interrupts!(net, card), (10, 10));
}

#[test]
fn d09_a_device_with_smaller_queues() {
    let small = |config: &mut Config| config.queue_max = 8;
    let (_plug, card) = forgiving(small);
    assert_eq!(original::Net::<16>::new(FakeTransport::new(&card), 2048).err(), Some(Error::InvalidParam));
    let (_plug, card) = strict(small);
    let net = ours::net::<16>(&card);
    assert_eq!((net.info().tx_slots, card.buffers()), (8, 8));
    // Without a queue there is no card, on either side.
    let (_plug, card) = forgiving(|config| config.queue_max = 0);
    assert_eq!(original::Net::<16>::new(FakeTransport::new(&card), 2048).err(), Some(Error::InvalidParam));
    let (_plug, card) = strict(|config| config.queue_max = 0);
    assert_eq!(ours::Net::<16>::new(FakeTransport::new(&card), 2048).err(), Some(Error::IoError));
}

#[test]
fn d10_the_end_unshares_what_is_posted() {
    let mut memory = vec![0; 2048];
    let sent = [vec![0; HEADER_ROOM], frame(60, 1)].concat();
    let (plug, card) = forgiving(|_| ());
    let mut theirs = original::raw::<16>(&card);
    // SAFETY: the buffers outlive the driver.
    unsafe { (theirs.receive_begin(&mut memory).unwrap(), theirs.transmit_begin(&sent).unwrap()) };
    drop(theirs);
    assert_eq!(plug.0.live().1, 2);
    drop(plug);
    let (plug, card) = strict(|_| ());
    let mut net = ours::raw::<16>(&card);
    // SAFETY: as above.
    unsafe { (net.receive_begin(&mut memory).unwrap(), net.transmit_begin(&sent).unwrap()) };
    drop(net);
    assert_eq!(plug.live(), (0, 0));
}

#[test]
fn d11_a_full_ring() {
    let (plug, card) = forgiving(|_| ());
    let (mut theirs, served_by) = (original::net::<2>(&card), Arc::clone(&card));
    let act = move || theirs.send(original::net::TxBuffer::from(&frame(60, 1))).unwrap();
    assert!(!ends_by_itself(&plug.0, act, || drop(served_by.sent())));
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<2>(&card);
    for number in 0..2 {
        net.send(ours::net::TxBuffer::from(&frame(60, number))).unwrap();
    }
    assert!(!net.can_send());
    assert_eq!(net.send(ours::net::TxBuffer::from(&frame(60, 2))), Err(Error::QueueFull));
    assert_eq!(card.sent().len(), 2);
    net.send(ours::net::TxBuffer::from(&frame(60, 2))).unwrap();
}

/// The original has sent when `send` returns; ours sends until its end.
#[test]
fn d12_the_end_right_after_send() {
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<16>(&card);
    let (_, sent) = served(&card, || theirs.send(original::net::TxBuffer::from(&frame(60, 1))).unwrap());
    assert_eq!(sent.len(), 1);
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<16>(&card);
    net.send(ours::net::TxBuffer::from(&frame(60, 1))).unwrap();
    assert!(net.stats().tx_completed == 0 && card.in_hand() == 0, "nothing is sent yet");
    let (_, sent) = served(&card, || drop(net));
    assert_eq!(sent, [frame(60, 1)]);
}

#[test]
fn d13_empty_and_short_frames() {
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::raw::<16>(&card);
    let (result, sent) = served(&card, || theirs.send(&[]));
    assert_eq!((result, sent), (Ok(()), vec![Vec::new()]), "a header with no frame");
    let (result, sent) = served(&card, || theirs.send(&[1; 13]));
    assert_eq!((result, sent.len()), (Ok(()), 1));
    let (_plug, card) = strict(|_| ());
    let mut net = ours::raw::<16>(&card);
    assert_eq!((net.send(&[]), net.send(&[1; 13])), (Err(Error::InvalidParam), Err(Error::InvalidParam)));
    let card = Card::new(card.machine(), Config::new(MODERN));
    let mut net = ours::net::<16>(&card);
    assert_eq!(net.send(ours::net::TxBuffer::from(&[1; 13])), Err(Error::InvalidParam));
}

#[test]
fn d14_the_least_buffer() {
    for (bytes, original_takes, ours_takes) in [(1525, false, false), (1526, false, true), (1528, true, true)] {
        let (_plug, card) = forgiving(|_| ());
        assert_eq!(original::Net::<4>::new(FakeTransport::new(&card), bytes).is_ok(), original_takes, "{bytes}");
        let (_plug, card) = strict(|_| ());
        assert_eq!(ours::Net::<4>::new(FakeTransport::new(&card), bytes).is_ok(), ours_takes, "{bytes}");
    }
}

#[test]
fn d15_requests_completed_in_another_order() {
    let buffers = [1, 2].map(|number| [vec![0; HEADER_ROOM], frame(60, number)].concat());
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::raw::<16>(&card);
    // SAFETY: the buffers outlive the driver, and are the tokens'.
    unsafe {
        let tokens = buffers.each_ref().map(|buffer| theirs.transmit_begin(buffer).unwrap());
        assert_eq!(card.sent().len(), 2);
        assert_eq!(theirs.transmit_complete(tokens[1], &buffers[1]), Err(Error::WrongToken));
    }
    std::mem::forget(theirs);
    let (_plug, card) = strict(|_| ());
    let mut net = ours::raw::<16>(&card);
    // SAFETY: as above.
    unsafe {
        let tokens = buffers.each_ref().map(|buffer| net.transmit_begin(buffer).unwrap());
        assert_eq!(card.sent().len(), 2);
        assert_eq!(net.transmit_complete(tokens[1], &buffers[1]), Ok(0));
        assert_eq!(net.transmit_complete(tokens[0], &buffers[0]), Ok(0));
    }
}

#[test]
fn d16_waiting_beside_posted_buffers() {
    let mut memory = vec![0; 2048];
    let (plug, card) = forgiving(|_| ());
    let (mut theirs, feeder) = (original::raw::<16>(&card), Arc::clone(&card));
    let mut posted = vec![0; 2048];
    let act = move || {
        // SAFETY: the buffer outlives the driver, which is forgotten, with the buffer that it still has.
        unsafe { theirs.receive_begin(&mut posted) }.unwrap();
        let waited = Box::leak(vec![0; 2048].into_boxed_slice());
        assert_eq!(theirs.receive_wait(waited), Err(Error::WrongToken), "a caller's memory stays with the device");
        std::mem::forget((theirs, posted));
    };
    assert!(!ends_by_itself(&plug.0, act, || {
        let _ = feeder.deliver(&frame(60, 1));
    }));
    let (_plug, card) = strict(|_| ());
    let mut net = ours::raw::<16>(&card);
    let mut other = vec![0; 2048];
    // SAFETY: the buffer outlives the driver.
    unsafe { net.receive_begin(&mut memory) }.unwrap();
    assert_eq!(net.receive_wait(&mut other), Err(Error::AlreadyUsed));
    drop(net);
}

#[test]
fn d17_a_card_without_an_address() {
    let nameless = |config: &mut Config| (config.features, config.mac) = (config.features & !feature::MAC, [0; 6]);
    let (_plug, card) = forgiving(nameless);
    assert_eq!(original::net::<4>(&card).mac_address(), [0; 6]);
    let (_plug, card) = strict(nameless);
    let mac = ours::net::<4>(&card).mac_address();
    let other = ours::raw::<4>(&card).mac_address();
    assert!(mac[0] == 2 && other[0] == 2 && mac != other, "local addresses: {mac:x?}, {other:x?}");
}

#[test]
fn d18_a_buffer_that_is_dropped() {
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<4>(&card);
    for number in 0..4 {
        assert!(card.deliver(&frame(60, number)));
        drop(theirs.receive().unwrap());
    }
    assert!(!card.deliver(&frame(60, 9)), "no buffer is left");
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<4>(&card);
    for number in 0..100 {
        assert!(card.deliver(&frame(60, number)));
        drop(net.receive().unwrap());
    }
}

#[test]
fn d19_a_buffer_given_to_another_driver() {
    let (_plug, card) = forgiving(|_| ());
    let other = Card::new(card.machine(), Config::new(MODERN));
    let (mut theirs, mut neighbour) = (original::net::<4>(&card), original::net::<4>(&other));
    assert!(card.deliver(&frame(60, 1)));
    let buffer = theirs.receive().unwrap();
    assert_eq!(neighbour.recycle_rx_buffer(buffer), Err(Error::QueueFull), "and it is lost to both");
    assert!(theirs.receive().is_err());
    assert_eq!(card.buffers(), 3);
    let (plug, card) = strict(|_| ());
    let other = Card::new(&plug, Config::new(MODERN));
    let (mut net, mut neighbour) = (ours::net::<4>(&card), ours::net::<4>(&other));
    assert!(card.deliver(&frame(60, 1)));
    let buffer = net.receive().unwrap();
    assert_eq!(neighbour.recycle_rx_buffer(buffer), Ok(()));
    assert!(net.receive().is_err());
    assert_eq!((card.buffers(), other.buffers()), (4, 4));
}

/// Fields that were not agreed on: a frame that needs a checksum completed is no frame.
#[test]
fn d20_headers_that_were_not_agreed_on() {
    let odd =
        |card: &Card| card.deliver_with(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], &frame(60, 1), |id, length| (id, length));
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<4>(&card);
    assert!(odd(&card));
    assert!(theirs.can_recv() && theirs.receive().is_ok());
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<4>(&card);
    assert!(odd(&card));
    assert!(!net.can_recv() && matches!(net.receive(), Err(Error::NotReady)));
    assert_eq!(net.stats().rx_dropped_header, 1);
    let options = virtio_net_c::Options::new().trust_header();
    let card = Card::new(card.machine(), Config::new(MODERN));
    let mut trusting = ours::Net::<4>::with_options(FakeTransport::new(&card), 2048, options).unwrap();
    assert!(odd(&card));
    assert!(trusting.can_recv() && trusting.receive().is_ok());
    // Whoever has the raw driver sees the header. What the buffer holds before it is unshared is not the device's, and not
    // judged.
    let card = Card::new(card.machine(), Config::new(MODERN));
    let (mut raw, mut memory) = (ours::raw::<4>(&card), vec![0xff; 2048]);
    // SAFETY: the buffer is there until its token is completed.
    let token = unsafe { raw.receive_begin(&mut memory) }.unwrap();
    assert!(odd(&card));
    // SAFETY: as above.
    assert_eq!((unsafe { raw.receive_complete(token, &mut memory) }, memory[0]), (Ok((HEADER_ROOM, 60)), 1));
}

#[test]
fn d21_a_queue_of_one() {
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::net::<1>(&card);
    assert!(!theirs.can_send());
    assert_eq!(theirs.send(original::net::TxBuffer::from(&frame(60, 1))), Err(Error::QueueFull));
    let (_plug, card) = strict(|_| ());
    let mut net = ours::net::<1>(&card);
    assert!(net.can_send());
    net.send(ours::net::TxBuffer::from(&frame(60, 1))).unwrap();
    assert_eq!(card.sent(), [frame(60, 1)]);
}

#[test]
fn d22_the_last_slot_can_be_used() {
    let buffer = [vec![0; HEADER_ROOM], frame(60, 1)].concat();
    let direct = |config: &mut Config| config.features &= !feature::INDIRECT_DESC;
    let (_plug, card) = forgiving(direct);
    let mut theirs = original::raw::<4>(&card);
    for _ in 0..3 {
        // SAFETY: the buffer outlives the driver.
        unsafe { theirs.transmit_begin(&buffer) }.unwrap();
    }
    assert!(!theirs.can_send());
    // SAFETY: as above.
    assert!(unsafe { theirs.transmit_begin(&buffer) }.is_ok(), "though there was one");
    std::mem::forget(theirs);
    let (_plug, card) = strict(direct);
    let mut net = ours::raw::<4>(&card);
    for _ in 0..4 {
        assert!(net.can_send());
        // SAFETY: as above.
        unsafe { net.transmit_begin(&buffer) }.unwrap();
    }
    assert!(!net.can_send());
}

/// A legacy device without ANY_LAYOUT wants the header in a descriptor of its own (5.1.6.6). The card says what it finds.
#[test]
fn d23_the_header_of_legacy_devices() {
    let (plug, card) = machine(LEGACY);
    let mut theirs = original::net::<16>(&card);
    plug.take_faults();
    assert!(card.deliver(&frame(60, 1)) && theirs.receive().is_ok());
    assert!(plug.take_faults().iter().any(|fault| fault.contains("1 descriptors")));
    drop(theirs);
    drop(Forgiven(plug));
    let (_plug, card) = machine(LEGACY);
    let mut net = ours::net::<16>(&card);
    assert!(card.deliver(&frame(60, 1)) && net.receive().is_ok());
}

/// The buffer of a frame from a legacy device is two bytes shorter: its header is, and a frame has the same room on either kind.
#[test]
fn d24_bytes_of_a_legacy_buffer() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut theirs = original::net::<4>(&card);
        assert!(card.deliver(&frame(60, 1)));
        assert_eq!(theirs.receive().unwrap().as_bytes().len(), 2048);
        drop(theirs);
        drop(Forgiven(plug));
        let (_plug, card) = machine(kind);
        let mut net = ours::net::<4>(&card);
        assert!(card.deliver(&frame(60, 1)));
        let buffer = net.receive().unwrap();
        assert_eq!(buffer.as_bytes().len(), if kind.legacy { 2046 } else { 2048 });
    }
}

/// A raw queue that broke: the original's next call panics, ours gives every buffer back and goes on.
#[test]
fn d25_a_broken_raw_queue() {
    let mut memory = vec![0; 2048];
    let (_plug, card) = forgiving(|_| ());
    let mut theirs = original::raw::<4>(&card);
    // SAFETY: the buffer outlives the driver.
    let token = unsafe { theirs.receive_begin(&mut memory) }.unwrap();
    card.forge(RX, 3, 100);
    assert_eq!(theirs.poll_receive(), Some(3), "a token that nobody has");
    // SAFETY: as above.
    let panicked = panics(theirs, |net| {
        // SAFETY: as above.
        let _ = unsafe { net.receive_complete(3, &mut [0; 2048]) };
    });
    assert!(panicked && token == 0);
    let (_plug, card) = strict(|_| ());
    let mut net = ours::raw::<4>(&card);
    // SAFETY: as above.
    let token = unsafe { net.receive_begin(&mut memory) }.unwrap();
    card.forge(RX, 3, 100);
    assert_eq!(net.poll_receive(), Some(token));
    // SAFETY: the buffer is the token's.
    assert_eq!(unsafe { net.receive_complete(token, &mut memory) }, Err(Error::IoError));
    // SAFETY: as above.
    let token = unsafe { net.receive_begin(&mut memory) }.unwrap();
    assert!(card.deliver(&frame(60, 1)));
    // SAFETY: as above.
    assert_eq!(unsafe { net.receive_complete(token, &mut memory) }, Ok((HEADER_ROOM, 60)));
}

/// Frames longer than any Ethernet has are sent on both sides, up to what a frame can be.
#[test]
fn d26_the_longest_frames() {
    for kind in KINDS {
        let longer = [2032, 2033, 4080, 4081, 9018, 65_535].map(|length| frame(length, 1));
        let (plug, card) = machine(kind);
        let mut theirs = original::raw::<16>(&card);
        for frame in &longer {
            let (result, sent) = served(&card, || theirs.send(frame));
            assert!(result.is_ok() && sent == std::slice::from_ref(frame), "{}", kind.name);
        }
        let (result, sent) = served(&card, || theirs.send(&[1; 65_536]));
        assert_eq!((result, sent.len()), (Ok(()), 1));
        drop(theirs);
        drop(Forgiven(plug));
        let (plug, card) = machine(kind);
        let mut net = ours::raw::<16>(&card);
        let before = plug.live();
        for frame in &longer {
            net.send(frame).unwrap();
            assert_eq!(card.sent(), std::slice::from_ref(frame), "{}", kind.name);
        }
        let too_long = [vec![0; HEADER_ROOM], vec![1; 65_536]].concat();
        assert_eq!(net.send(&too_long[HEADER_ROOM..]), Err(Error::InvalidParam));
        // SAFETY: the buffer is refused.
        assert_eq!(unsafe { net.transmit_begin(&too_long) }, Err(Error::InvalidParam));
        net.send(&longer[1]).unwrap();
        net.send(&longer[0]).unwrap();
        assert_eq!(plug.live().0 - before.0, 5, "four pages for short frames, and the last long one's");
        let card = Card::new(&plug, Config::new(kind));
        let mut net = ours::net::<16>(&card);
        net.send(ours::net::TxBuffer::from(&longer[5])).unwrap();
        assert_eq!(card.sent(), std::slice::from_ref(&longer[5]));
        assert_eq!(net.send(ours::net::TxBuffer::from(&too_long)), Err(Error::InvalidParam));
    }
}

/// The least that is a frame is its Ethernet header.
#[test]
fn d27_received_frames_without_an_ethernet_header() {
    for length in [0, 1, 13] {
        let (_plug, card) = forgiving(|_| ());
        let mut theirs = original::net::<4>(&card);
        assert!(card.deliver(&frame(length, 1)));
        assert_eq!(theirs.receive().unwrap().packet(), frame(length, 1));
        drop(theirs);
        let (plug, card) = strict(|_| ());
        let mut net = ours::net::<4>(&card);
        assert!(card.deliver(&frame(length, 1)));
        assert!(!net.can_recv() && matches!(net.receive(), Err(Error::NotReady)));
        assert_eq!(net.stats().rx_dropped_short, 1);
        assert!(card.deliver(&frame(14, 2)));
        assert_eq!(net.receive().unwrap().packet(), frame(14, 2));

        let mut memory = vec![0; 2048];
        let (_forgiven, card) = forgiving(|_| ());
        let mut theirs = original::raw::<4>(&card);
        // SAFETY: the buffer outlives the drivers, and is the token's.
        let token = unsafe { theirs.receive_begin(&mut memory) }.unwrap();
        assert!(card.deliver(&frame(length, 1)));
        // SAFETY: as above.
        assert_eq!(unsafe { theirs.receive_complete(token, &mut memory) }, Ok((HEADER_ROOM, length)));
        drop(theirs);
        plug.select();
        let card = Card::new(&plug, Config::new(MODERN));
        let mut net = ours::raw::<4>(&card);
        // SAFETY: as above.
        let token = unsafe { net.receive_begin(&mut memory) }.unwrap();
        assert!(card.deliver(&frame(length, 1)));
        assert_eq!(net.poll_receive(), Some(token));
        // SAFETY: as above.
        assert_eq!(unsafe { net.receive_complete(token, &mut memory) }, Err(Error::IoError));
    }
}

/// No frame is longer than 65,535 bytes, so no more of a buffer can be used.
#[test]
fn d28_buffers_above_the_longest_frame() {
    for (bytes, kept) in [(65_546, 65_546), (65_547, 65_547), (65_548, 65_547), (200_000, 65_547)] {
        let longest = frame(1514, 1);
        let (_plug, card) = forgiving(|_| ());
        let mut theirs = original::Net::<4>::new(FakeTransport::new(&card), bytes).unwrap();
        assert!(card.deliver(&longest));
        assert_eq!(theirs.receive().unwrap().as_bytes().len(), bytes / 8 * 8, "whole words");
        drop(theirs);
        let (_plug, card) = strict(|_| ());
        let mut net = ours::Net::<4>::new(FakeTransport::new(&card), bytes).unwrap();
        for longest in [longest, frame(kept - HEADER_ROOM, 2)] {
            assert!(card.deliver(&longest));
            let buffer = net.receive().unwrap();
            assert_eq!((buffer.as_bytes().len(), buffer.packet()), (kept, &longest[..]));
        }
    }
}

/// What the configuration space holds without the feature is no address (virtio 1.2, 5.1.4.2).
#[test]
fn d29_an_address_that_the_device_does_not_vouch_for() {
    let nameless = |config: &mut Config| config.features &= !feature::MAC;
    let (_plug, card) = forgiving(nameless);
    assert_eq!(original::net::<4>(&card).mac_address(), card.config().mac);
    let (_plug, card) = strict(nameless);
    let mac = ours::net::<4>(&card).mac_address();
    assert_eq!(mac[0], 2, "a local address: {mac:x?}");
}

/// A transport that is not the legacy one, and a device that does not offer VERSION_1, and is content with what it gets.
#[test]
fn d30_a_modern_transport_without_version_1() {
    let old = |config: &mut Config| config.features &= !feature::VERSION_1;
    let (_plug, card) = forgiving(old);
    let mut theirs = original::net::<4>(&card);
    assert!(card.deliver(&frame(60, 1)));
    assert_eq!(theirs.receive().unwrap().as_bytes()[10..70], frame(60, 1), "behind a header of 10 bytes");
    drop(theirs);
    let (_plug, card) = strict(old);
    assert_eq!(ours::Net::<4>::new(FakeTransport::new(&card), 2048).err(), Some(Error::IoError));
    assert_eq!(ours::Raw::<4>::new(FakeTransport::new(&card)).err(), Some(Error::IoError));
}

/// `begin_init` cannot be counted: what it does is in the trait, and generic.
#[test]
fn d31_what_the_transport_is_asked() {
    let (plug, card) = forgiving(|_| ());
    drop(original::net::<4>(&card));
    assert_eq!(card.finish_init_calls.load(Ordering::Relaxed), 1);
    let unset = plug.0.take_faults().into_iter().filter(|fault| fault.starts_with("queue_unset")).count();
    assert_eq!(unset, 2);
    // The strict card takes `queue_unset` for a fault.
    let (_plug, card) = strict(|_| ());
    drop(ours::net::<4>(&card));
    assert_eq!(card.finish_init_calls.load(Ordering::Relaxed), 0);
}

/// Pages of DMA memory, and buffers of the heap that are shared, as the section "Memory" of `docs/drop-in.md` tells them.
#[test]
fn memory() {
    let (plug, card) = forgiving(|_| ());
    let theirs = original::net::<256>(&card);
    assert_eq!(plug.0.live(), (6, 256));
    drop(theirs);
    let (plug, card) = strict(|_| ());
    let net = ours::net::<256>(&card);
    assert_eq!(plug.live(), (172, 0));
    drop(net);
    let card = Card::new(&plug, Config::new(MODERN));
    let mut net = ours::raw::<256>(&card);
    assert_eq!(plug.live(), (4, 0));
    net.send(&frame(60, 1)).unwrap();
    assert_eq!(plug.live(), (8, 0));
    assert_eq!(card.sent().len(), 1);
}

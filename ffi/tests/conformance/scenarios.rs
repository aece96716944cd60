// Compiled twice, with `net` the original's module and ours. What is equal by the interface's contract is written down; what is
// allowed to differ is in `differences.rs`.

use crate::device::{Card, Config, FakeTransport, HEADER_ROOM, Kind, Machine, TestHal, frame, machine};
use crate::served;
use std::sync::Arc;
use virtio_drivers::{Error, Result};

pub type Net<const N: usize> = net::VirtIONet<TestHal, FakeTransport, N>;
pub type Raw<const N: usize> = net::VirtIONetRaw<TestHal, FakeTransport, N>;

const BUFFER: usize = 2048;

pub fn net<const N: usize>(card: &Arc<Card>) -> Net<N> {
    Net::new(FakeTransport::new(card), BUFFER).unwrap()
}

pub fn raw<const N: usize>(card: &Arc<Card>) -> Raw<N> {
    Raw::new(FakeTransport::new(card)).unwrap()
}

/// The end of a scenario: what the original did against the rules does not count.
fn forgive(plug: &Machine) {
    plug.take_faults();
    plug.expect_leak();
}

fn told<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => format!("{error:?}"),
    }
}

pub fn bring_up(kind: Kind) -> Vec<String> {
    let mut log = Vec::new();
    for mac in [[2, 1, 2, 3, 4, 5], [0x52, 0x54, 0, 0xff, 0xee, 0xdd]] {
        let (plug, card) = machine(kind);
        card.change(|config| config.mac = mac);
        let mut net = net::<16>(&card);
        log.push(format!("{:x?} {} {}", net.mac_address(), net.can_send(), net.can_recv()));
        log.push(told(net.receive()));
        log.push(format!("{} buffers, running: {}", card.buffers(), card.is_running()));
        drop(net);
        forgive(&plug);
        let (plug, card) = machine(kind);
        card.change(|config| config.mac = mac);
        let raw = raw::<16>(&card);
        log.push(format!("{:x?} {} {:?}", raw.mac_address(), raw.can_send(), raw.poll_receive()));
        log.push(format!("{} buffers, running: {}", card.buffers(), card.is_running()));
        drop(raw);
        forgive(&plug);
    }
    log
}

pub fn frames_both_ways(kind: Kind) -> Vec<String> {
    let (plug, card) = machine(kind);
    let mut net = net::<16>(&card);
    let mut log = Vec::new();
    for (number, length) in (0..).zip((14..70).chain([255, 256, 257, 1000, 1513, 1514])) {
        let bytes = frame(length, number);
        let mut buffer = net.new_tx_buffer(length);
        log.push(format!("{} {:?}", buffer.packet_len(), buffer.packet().iter().all(|byte| *byte == 0)));
        buffer.packet_mut().copy_from_slice(&bytes);
        let buffer = if number % 2 == 0 { buffer } else { net::TxBuffer::from(buffer.packet()) };
        let (sent, seen) = served(&card, || net.send(buffer));
        log.push(format!("{} {:x?} {}", told(sent), seen, net.can_send()));

        assert!(card.deliver(&bytes));
        log.push(format!("{} ready", net.can_recv()));
        let mut buffer = net.receive().unwrap();
        let header = buffer.as_bytes().len() - buffer.packet().len();
        log.push(format!("{} {:x?} {:?}", buffer.packet_len(), buffer.packet(), buffer.header()));
        let header = header.min(if kind.legacy { HEADER_ROOM - 2 } else { HEADER_ROOM });
        log.push(format!("{:x?}", &buffer.as_bytes()[header..header + length]));
        buffer.packet_mut()[0] = 0x77;
        buffer.as_bytes_mut()[header + 1] = 0x78;
        log.push(format!("{:x?} {}", &buffer.packet()[..2], if kind.legacy { 0 } else { buffer.as_bytes().len() }));
        log.push(format!("{} {}", told(net.recycle_rx_buffer(buffer)), net.can_recv()));
    }
    drop(net);
    forgive(&plug);
    log
}

pub fn buffers_in_any_order(kind: Kind) -> Vec<String> {
    let (plug, card) = machine(kind);
    let mut net = net::<16>(&card);
    let mut random = crate::device::Random(kind.extra | 7);
    let mut log = Vec::new();
    let (mut kept, mut number) = (Vec::new(), 0);
    for _ in 0..600 {
        match random.below(3) {
            // One buffer stays with the card, whatever is held back.
            0 if kept.len() < 7 && card.deliver(&frame(60, number)) => {
                number += 1;
                let buffer = net.receive().unwrap();
                log.push(format!("{:x?}", buffer.packet()));
                kept.push(buffer);
            }
            1 if !kept.is_empty() => {
                let buffer = kept.swap_remove(random.below(kept.len()));
                log.push(format!("{:x?}", buffer.packet()));
                log.push(told(net.recycle_rx_buffer(buffer)));
            }
            _ => log.push(told(net.receive())),
        }
    }
    log.push(format!("{number} frames, {} kept", kept.len()));
    for buffer in kept {
        log.push(told(net.recycle_rx_buffer(buffer)));
    }
    log.push(told(net.receive()));
    log.push(format!("{} buffers", card.buffers()));
    drop(net);
    forgive(&plug);
    log
}

/// Past the end of the 16-bit indices would take long with a thread for each frame: past the rings' ends.
pub fn a_long_run(kind: Kind) -> Vec<String> {
    let (plug, card) = machine(kind);
    let mut net = net::<4>(&card);
    let mut log = Vec::new();
    let (_, sent) = served(&card, || {
        for number in 0..400 {
            log.push(told(net.send(net::TxBuffer::from(&frame(60 + number as usize, number)))));
            assert!(card.deliver(&frame(60, number)));
            let buffer = net.receive().unwrap();
            log.push(format!("{:x?}", buffer.packet()));
            log.push(told(net.recycle_rx_buffer(buffer)));
        }
    });
    log.extend(sent.iter().map(|frame| format!("{frame:x?}")));
    drop(net);
    forgive(&plug);
    log
}

/// Each on a card that nobody has used before.
pub fn wrong_arguments(kind: Kind) -> Vec<String> {
    let on_a_new_card = |change: &dyn Fn(&Machine, &mut Config), make: &dyn Fn(&Arc<Card>) -> String| {
        let (plug, card) = machine(kind);
        card.change(|config| change(&plug, config));
        let outcome = make(&card);
        forgive(&plug);
        outcome
    };
    let net = |bytes: usize| move |card: &Arc<Card>| told(Net::<4>::new(FakeTransport::new(card), bytes));
    let raw = |card: &Arc<Card>| told(Raw::<4>::new(FakeTransport::new(card)));
    let nothing = |_: &Machine, _: &mut Config| ();
    let no_memory = |plug: &Machine, _: &mut Config| plug.alloc_budget.store(0, std::sync::atomic::Ordering::Relaxed);
    let mut log: Vec<_> = [0, 11, 1000, 1519, 1528, 4096].map(|bytes| on_a_new_card(&nothing, &net(bytes))).into();
    log.push(on_a_new_card(&no_memory, &net(BUFFER)));
    log.push(on_a_new_card(&no_memory, &raw));
    for bytes in [0, 3] {
        log.push(on_a_new_card(&move |_: &Machine, config: &mut Config| config.config_bytes = bytes, &raw));
    }
    log
}

/// The value moves, into a box, a vector, another thread, and buffers live on.
pub fn moved_and_dropped(kind: Kind) -> Vec<String> {
    let (plug, card) = machine(kind);
    let mut log = Vec::new();
    let mut nets = vec![Box::new(net::<16>(&card))];
    let mut exchange = |net: &mut Net<16>, number| {
        let (sent, seen) = served(&card, || net.send(net::TxBuffer::from(&frame(300, number))));
        assert!(card.deliver(&frame(60, number)));
        let buffer = net.receive().unwrap();
        log.push(format!("{} {seen:x?} {:x?}", told(sent), buffer.packet()));
        buffer
    };
    let first = exchange(&mut nets[0], 1);
    let mut net = *nets.remove(0);
    let second = exchange(&mut net, 2);
    let machine = Arc::clone(&plug);
    let (mut net, third) = std::thread::scope(|scope| {
        let moved = scope.spawn(|| {
            machine.select();
            let third = exchange(&mut net, 3);
            (net, third)
        });
        moved.join().unwrap()
    });
    log.push(told(net.recycle_rx_buffer(second)));
    drop(net);
    log.push(format!("{:x?} {:x?}", first.packet(), third.packet()));
    log.push(format!("{:?} {:?}", first.header(), third.packet_len()));
    drop((first, third));
    log.push(format!("{} pages", plug.live().0));
    forgive(&plug);
    log
}

fn with_header<const N: usize>(net: &Raw<N>, frame: &[u8]) -> Box<[u8]> {
    let mut buffer = vec![0xee; HEADER_ROOM];
    let header = net.fill_buffer_header(&mut buffer).unwrap();
    buffer.truncate(header);
    buffer.extend_from_slice(frame);
    buffer.into()
}

pub fn raw_tokens(kind: Kind) -> Vec<String> {
    let (plug, card) = machine(kind);
    let mut log = Vec::new();
    let mut memory = vec![vec![0_u8; 1600]; 16];
    let mut net = raw::<16>(&card);
    for bytes in [0, 9, 12, 100] {
        let mut buffer = vec![0xff; bytes];
        log.push(format!("{:?} {buffer:x?}", net.fill_buffer_header(&mut buffer)));
    }
    for buffer in &mut memory {
        // SAFETY: the buffers live longer than the driver, and are not touched until they are completed.
        log.push(format!("{:?}", unsafe { net.receive_begin(buffer) }));
    }
    // SAFETY: refused ones are not kept.
    log.push(format!("{:?}", unsafe { net.receive_begin(&mut [0; 1526]) }));
    // SAFETY: as above.
    log.push(format!("{:?}", unsafe { net.receive_begin(&mut [0; 1525]) }));
    // SAFETY: as above.
    log.push(format!("{:?}", unsafe { net.transmit_begin(&[0; 9]) }));
    let frames: Vec<_> = (0..16).map(|number| with_header(&net, &frame(60, number))).collect();
    for buffer in &frames {
        // SAFETY: as for the buffers to receive.
        log.push(format!("{:?}", unsafe { net.transmit_begin(buffer) }));
    }
    // SAFETY: as above.
    log.push(format!("{} {:?}", net.can_send(), unsafe { net.transmit_begin(&frames[0]) }));
    log.push(format!("{:?} {:?}", net.poll_transmit(), net.poll_receive()));
    // SAFETY: the buffer is the token's.
    log.push(format!("{:?}", unsafe { net.transmit_complete(0, &frames[0]) }));
    // SAFETY: as above.
    log.push(format!("{:?}", unsafe { net.receive_complete(0, &mut memory[0]) }));
    log.push(format!("{:x?}", card.sent()));
    for (token, buffer) in (0..).zip(&frames) {
        log.push(format!("{:?} {:?}", net.poll_transmit(), net.poll_transmit()));
        // SAFETY: as above.
        log.push(format!("{:?}", unsafe { net.transmit_complete(token, buffer) }));
    }
    for (token, buffer) in (0..).zip(&mut memory) {
        assert!(card.deliver(&frame(100 + usize::from(token), token.into())));
        log.push(format!("{:?} {:?}", net.poll_receive(), net.poll_receive()));
        // SAFETY: the call is refused.
        log.push(format!("{:?}", unsafe { net.receive_complete(token ^ 1, buffer) }));
        // SAFETY: the buffer is the token's.
        let lengths = unsafe { net.receive_complete(token, buffer) };
        let (header, length) = lengths.unwrap();
        log.push(format!("{lengths:?} {:x?}", &buffer[header..header + length]));
    }
    log.push(format!("{:?} {:?}", net.poll_transmit(), net.poll_receive()));
    drop(net);
    forgive(&plug);
    log
}

pub fn raw_frames_both_ways(kind: Kind) -> Vec<String> {
    let (plug, card) = machine(kind);
    let mut log = Vec::new();
    let mut memory = vec![0; 2048];
    let mut net = raw::<4>(&card);
    for (number, length) in (0..).zip((14..60).chain([64, 1000, 1514]).cycle().take(200)) {
        let buffer = with_header(&net, &frame(length, number));
        // SAFETY: the buffer is not touched until it is completed.
        let token = unsafe { net.transmit_begin(&buffer) }.unwrap();
        log.push(format!("{:x?} {}", card.sent(), net.poll_transmit() == Some(token)));
        // SAFETY: the buffer is the token's.
        log.push(format!("{:?}", unsafe { net.transmit_complete(token, &buffer) }));
        // SAFETY: as above.
        let token = unsafe { net.receive_begin(&mut memory) }.unwrap();
        assert!(card.deliver(&frame(length, number)));
        log.push(format!("{}", net.poll_receive() == Some(token)));
        // SAFETY: as above.
        let lengths = unsafe { net.receive_complete(token, &mut memory) };
        let (header, length) = lengths.unwrap();
        log.push(format!("{lengths:?} {:x?}", &memory[header..header + length]));
    }
    drop(net);
    forgive(&plug);
    log
}

/// `send` and `receive_wait` between requests, each of which is completed before.
pub fn raw_and_blocking_calls(kind: Kind) -> Vec<String> {
    let (plug, card) = machine(kind);
    let mut log = Vec::new();
    let mut memory = vec![0; 2048];
    let mut net = raw::<4>(&card);
    for number in 0..30 {
        let (sent, seen) = served(&card, || net.send(&frame(100, number)));
        log.push(format!("{} {seen:x?} {:?}", told(sent), net.poll_transmit()));
        let buffer = with_header(&net, &frame(200, number));
        // SAFETY: the buffer is not touched until it is completed.
        let token = unsafe { net.transmit_begin(&buffer) }.unwrap();
        log.push(format!("{:x?} {}", card.sent(), net.poll_transmit() == Some(token)));
        // SAFETY: the buffer is the token's.
        log.push(format!("{:?}", unsafe { net.transmit_complete(token, &buffer) }));
        let lengths = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !card.deliver(&frame(300, number)) {
                    std::thread::yield_now();
                }
            });
            net.receive_wait(&mut memory)
        });
        let (header, length) = lengths.unwrap();
        log.push(format!("{lengths:?} {:x?}", &memory[header..header + length]));
    }
    log.push(format!("{:?}", net.receive_wait(&mut [0; 1525])));
    drop(net);
    forgive(&plug);
    log
}

pub fn two_cards(kind: Kind) -> Vec<String> {
    let plug = Machine::plug();
    let cards = [1, 2].map(|last| {
        let mut config = Config::new(kind);
        config.mac[5] = last;
        Card::new(&plug, config)
    });
    let mut nets = cards.each_ref().map(net::<16>);
    let mut log = Vec::new();
    for number in 0..20 {
        for (net, card) in nets.iter_mut().zip(&cards) {
            let (sent, seen) = served(card, || net.send(net::TxBuffer::from(&frame(80, number))));
            assert!(card.deliver(&frame(90, number)));
            let buffer = net.receive().unwrap();
            log.push(format!("{:x?} {} {seen:x?} {:x?}", net.mac_address(), told(sent), buffer.packet()));
            log.push(told(net.recycle_rx_buffer(buffer)));
        }
    }
    log.push(format!("{}", matches!(nets[0].receive(), Err(Error::NotReady))));
    drop(nets);
    forgive(&plug);
    log
}

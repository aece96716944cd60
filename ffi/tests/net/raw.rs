//! The drop-in `VirtIONetRaw`: buffers of the caller, told apart by tokens.

use crate::device::{FakeTransport, HEADER_ROOM, KINDS, Kind, LEGACY, MODERN, Machine, RX, Random, frame, machine};
use crate::device::{TX, number_of};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use virtio_drivers::{BufferDirection, Error, Hal, PhysAddr};
use virtio_net_c::VirtIONetRaw;

/// Frames of `send` that may be on their way together.
const COPIES: usize = 16;

type Raw<const N: usize> = VirtIONetRaw<crate::TestHal, FakeTransport, N>;

fn raw<const N: usize>(card: &Arc<crate::Card>) -> Raw<N> {
    Raw::new(FakeTransport::new(card)).unwrap()
}

fn shares(machine: &Machine) -> (usize, usize) {
    (machine.calls.share.load(Ordering::Relaxed), machine.calls.unshare.load(Ordering::Relaxed))
}

/// A header and a frame in one buffer.
fn with_header<const N: usize>(net: &Raw<N>, frame: &[u8]) -> Box<[u8]> {
    let mut buffer = vec![0xee; HEADER_ROOM];
    let header = net.fill_buffer_header(&mut buffer).unwrap();
    buffer.truncate(header);
    buffer.extend_from_slice(frame);
    buffer.into()
}

fn begin<const N: usize>(net: &mut Raw<N>, buffer: &[u8]) -> Result<u16, Error> {
    // SAFETY: the tests keep their buffers on the heap until they are completed or the driver is gone.
    unsafe { net.transmit_begin(buffer) }
}

fn complete<const N: usize>(net: &mut Raw<N>, token: u16, buffer: &[u8]) -> Result<usize, Error> {
    // SAFETY: the tests tell the buffer that the token is of.
    unsafe { net.transmit_complete(token, buffer) }
}

fn offer<const N: usize>(net: &mut Raw<N>, buffer: &mut [u8]) -> Result<u16, Error> {
    // SAFETY: as for `begin`.
    unsafe { net.receive_begin(buffer) }
}

fn collect<const N: usize>(net: &mut Raw<N>, token: u16, buffer: &mut [u8]) -> Result<(usize, usize), Error> {
    // SAFETY: as for `complete`.
    unsafe { net.receive_complete(token, buffer) }
}

fn buffers<const N: usize>() -> Vec<Box<[u8]>> {
    vec![vec![0; 1526].into(); N]
}

/// Lets the driver wait for a frame on a thread of its own, while `act` is called until it has done its part. A wait without end
/// is a failure, not a hang.
pub fn wait_beside<const N: usize>(
    plug: &Arc<Machine>,
    mut net: Raw<N>,
    mut memory: Vec<u8>,
    mut act: impl FnMut() -> bool,
) -> (Raw<N>, Vec<u8>, Result<(usize, usize), Error>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let machine = Arc::clone(plug);
    std::thread::spawn(move || {
        machine.select();
        let waited = net.receive_wait(&mut memory);
        let _ = sender.send((net, memory, waited));
    });
    let limit = Instant::now() + Duration::from_secs(20);
    while !act() && Instant::now() < limit {
        std::thread::yield_now();
    }
    receiver.recv_timeout(Duration::from_secs(20)).unwrap()
}

#[test]
fn comes_up_with_no_buffer() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let net = raw::<16>(&card);
        assert_eq!(net.mac_address(), [0x52, 0x54, 0, 0xab, 0xcd, 0xef]);
        assert!(net.can_send() && net.poll_receive().is_none());
        assert_eq!(card.buffers(), 0);
        assert_eq!(net.fill_buffer_header(&mut [0; 9]), Err(Error::InvalidParam));
        assert_eq!(net.fill_buffer_header(&mut [0; 12]), Ok(if kind.legacy { 10 } else { 12 }));
        drop(net);
        assert_eq!((card.dropped(), plug.live(), shares(&plug)), (1, (0, 0), (0, 0)));
    }
}

/// Tokens index an array of the caller's: the first ones are in order, and each is below the queue's size and in use once.
#[test]
fn tokens_are_slots() {
    fn check<const N: usize>(kind: Kind) {
        let (plug, card) = machine(kind);
        let mut net = raw::<N>(&card);
        let mut memory = buffers::<N>();
        for (place, buffer) in (0..).zip(&mut memory) {
            assert_eq!(offer(&mut net, buffer), Ok(place), "{}", kind.name);
        }
        assert_eq!(offer(&mut net, &mut [0; 1526]), Err(Error::QueueFull));
        let frames: Vec<_> = (0..N as u32).map(|number| with_header(&net, &frame(60, number))).collect();
        for (place, buffer) in (0..).zip(&frames) {
            assert!(net.can_send());
            assert_eq!(begin(&mut net, buffer), Ok(place), "{}", kind.name);
        }
        assert!(!net.can_send());
        assert_eq!(begin(&mut net, &frames[0]), Err(Error::QueueFull));
        assert_eq!((plug.live().1, card.sent().len()), (2 * N, N));
        for (place, buffer) in (0..).zip(&frames) {
            assert_eq!(complete(&mut net, place, buffer), Ok(0));
            assert!(card.deliver(&frame(100, u32::from(place))));
            assert_eq!(net.poll_receive(), Some(place));
            let (header, length) = collect(&mut net, place, &mut memory[usize::from(place)]).unwrap();
            assert_eq!(memory[usize::from(place)][header..header + length], frame(100, u32::from(place)));
        }
        assert_eq!(shares(&plug), (2 * N + 2, 2 * N + 2), "{}", kind.name);
    }
    for kind in KINDS {
        check::<1>(kind);
        check::<2>(kind);
        check::<16>(kind);
        check::<256>(kind);
    }
}

#[test]
fn every_length_both_ways() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let mut memory = vec![0; 2048];
        for (number, length) in (0..).zip((14..100).chain([255, 256, 257, 1000, 1513, 1514])) {
            let buffer = with_header(&net, &frame(length, number));
            let token = begin(&mut net, &buffer).unwrap();
            assert_eq!(complete(&mut net, token, &buffer), Err(Error::NotReady));
            assert_eq!(net.poll_transmit(), None);
            assert_eq!(card.sent(), [frame(length, number)]);
            assert_eq!((net.poll_transmit(), net.poll_transmit()), (Some(token), Some(token)));
            assert_eq!(complete(&mut net, token, &buffer), Ok(0));
            assert_eq!(net.poll_transmit(), None);

            let token = offer(&mut net, &mut memory).unwrap();
            assert_eq!((net.poll_receive(), collect(&mut net, token, &mut memory)), (None, Err(Error::NotReady)));
            assert!(card.deliver(&frame(length, number)));
            assert_eq!(net.poll_receive(), Some(token));
            assert_eq!(collect(&mut net, token ^ 1, &mut memory), Err(Error::WrongToken));
            let (header, received) = collect(&mut net, token, &mut memory).unwrap();
            assert_eq!(memory[header..header + received], frame(length, number), "{}", kind.name);
            net.send(&frame(length, number)).unwrap();
            assert_eq!(card.sent(), [frame(length, number)]);
        }
        assert_eq!(plug.live().1, 0);
    }
}

#[test]
fn wrong_buffers_are_refused() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        let mut net = raw::<16>(&card);
        assert_eq!(offer(&mut net, &mut [0; 1525]), Err(Error::InvalidParam));
        let short = with_header(&net, &frame(13, 1));
        assert_eq!(begin(&mut net, &short), Err(Error::InvalidParam));
        assert_eq!(begin(&mut net, &short[..9]), Err(Error::InvalidParam));
        for length in [0, 13, 65_536] {
            assert_eq!(net.send(&vec![0; length]), Err(Error::InvalidParam), "{length} bytes");
        }
        let (shared, unshared) = shares(&plug);
        assert_eq!((shared, plug.live().1), (unshared, 0));
        assert!(card.sent().is_empty());
    }
}

/// Copied and posted frames in flight together, completed in any order: no token is mixed up.
#[test]
fn completions_in_any_order() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<16>(&card);
        let mut random = Random(kind.extra | 3);
        let mut open: Vec<Option<Box<[u8]>>> = (0..16).map(|_| None).collect();
        let (mut sent, mut seen) = (0, Vec::new());
        let mut copied = 0;
        for _ in 0..5000 {
            match random.below(5) {
                // With more, `send` would wait for the card.
                0 if net.can_send() && copied < COPIES => {
                    net.send(&frame(60, sent)).unwrap();
                    sent += 1;
                    copied += 1;
                }
                1 if net.can_send() => {
                    let buffer = with_header(&net, &frame(900, sent));
                    let token = begin(&mut net, &buffer).unwrap();
                    assert!(open[usize::from(token)].replace(buffer).is_none(), "token {token} is given twice");
                    sent += 1;
                }
                2 => drop(card.take()),
                3 if card.in_hand() != 0 => {
                    let frame = card.finish(random.below(card.in_hand()));
                    copied -= usize::from(frame.len() == 60);
                    seen.push(number_of(&frame));
                }
                _ => {
                    // Any of those that are done, not only the first.
                    let place = random.below(16);
                    if let Some(buffer) = open[place].take() {
                        match complete(&mut net, place as u16, &buffer) {
                            Ok(written) => assert_eq!(written, 0),
                            Err(error) => {
                                assert_eq!(error, Error::NotReady);
                                open[place] = Some(buffer);
                            }
                        }
                    }
                }
            }
        }
        seen.extend(card.sent().iter().map(|frame| number_of(frame)));
        seen.sort_unstable();
        assert_eq!(seen, (0..sent).collect::<Vec<_>>());
        while let Some(token) = net.poll_transmit() {
            let buffer = open[usize::from(token)].take().unwrap();
            complete(&mut net, token, &buffer).unwrap();
        }
        assert!(open.iter().all(Option::is_none) && plug.live().1 == 0, "{}", kind.name);
        for number in 0..COPIES as u32 {
            net.send(&frame(60, number)).unwrap();
        }
    }
}

/// One that has come back is not asked for, and the card finishes another one meanwhile: that can be completed too.
#[test]
fn a_completion_behind_another_one() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = raw::<16>(&card);
        let sent: Vec<_> = (0..3).map(|number| with_header(&net, &frame(60, number))).collect();
        let tokens: Vec<_> = sent.iter().map(|buffer| begin(&mut net, buffer).unwrap()).collect();
        while card.take() {}
        card.finish(0);
        assert_eq!(net.poll_transmit(), Some(tokens[0]));
        assert_eq!(complete(&mut net, tokens[1], &sent[1]), Err(Error::NotReady));
        card.finish(0);
        assert_eq!(complete(&mut net, tokens[1], &sent[1]), Ok(0));
        assert_eq!(complete(&mut net, tokens[0], &sent[0]), Ok(0));
        assert_eq!(net.poll_transmit(), None);
        card.finish(0);
        assert_eq!(complete(&mut net, tokens[2], &sent[2]), Ok(0));
    }
}

/// A frame of `send` has a token that nobody was told, also when it has come back beside a request.
#[test]
fn the_token_of_a_copy_is_nobodys() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<16>(&card);
        let buffer = with_header(&net, &frame(60, 1));
        let token = begin(&mut net, &buffer).unwrap();
        net.send(&frame(60, 0)).unwrap();
        assert_eq!(card.sent().len(), 2);
        assert_eq!(net.poll_transmit(), Some(token));
        for other in (0..16).filter(|other| *other != token) {
            assert_eq!(complete(&mut net, other, &buffer), Err(Error::NotReady));
        }
        assert_eq!(shares(&plug), (1, 0));
        assert_eq!(complete(&mut net, token, &buffer), Ok(0));
        assert_eq!((net.poll_transmit(), shares(&plug)), (None, (1, 1)));
        net.send(&frame(60, 2)).unwrap();
        assert_eq!(card.sent().len(), 1);
    }
}

/// Looks that find nothing repeat a notification that the card has missed.
#[test]
fn a_lost_notification_is_repeated() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = raw::<16>(&card);
        for round in 0..3 {
            let sent = [round, round + 100].map(|number| with_header(&net, &frame(60, number)));
            let first = begin(&mut net, &sent[0]).unwrap();
            assert!(card.take());
            // The card is awake, so that it is not told of this one.
            let second = begin(&mut net, &sent[1]).unwrap();
            card.doze(TX);
            card.finish(0);
            assert!(!card.take());
            assert_eq!(net.poll_transmit(), Some(first));
            assert_eq!(complete(&mut net, first, &sent[0]), Ok(0));
            for _ in 0..4 {
                assert_eq!(net.poll_transmit(), None);
            }
            assert_eq!(card.sent(), [frame(60, round + 100)], "{}", kind.name);
            assert_eq!(complete(&mut net, second, &sent[1]), Ok(0));
        }
        let mut buffers = buffers::<2>();
        let mut token = offer(&mut net, &mut buffers[0]).unwrap();
        for round in 0..3 {
            assert!(card.deliver(&frame(60, round)), "{}: the card sleeps", kind.name);
            assert!(collect(&mut net, token, &mut buffers[0]).is_ok());
            // Published to a card that is awake and has used all that it knew of.
            token = offer(&mut net, &mut buffers[0]).unwrap();
            card.doze_late(RX);
            for _ in 0..4 {
                assert_eq!(collect(&mut net, token, &mut buffers[0]), Err(Error::NotReady));
            }
        }
        assert!(card.deliver(&frame(60, 9)), "{}: the card sleeps", kind.name);
        assert!(collect(&mut net, token, &mut buffers[0]).is_ok());
    }
}

/// A stranger would fill his buffer and wait beside others; ours says that this cannot work.
#[test]
fn waiting_for_a_frame() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<16>(&card);
        let mut memory = vec![0; 1600];
        for number in 0..20 {
            let waited;
            (net, memory, waited) = wait_beside(&plug, net, memory, || card.deliver(&frame(700, number)));
            let (header, length) = waited.unwrap();
            assert_eq!(memory[header..header + length], frame(700, number));
        }
        let token = offer(&mut net, &mut memory).unwrap();
        let refused;
        (net, _, refused) = wait_beside(&plug, net, vec![0; 1526], || true);
        assert_eq!(refused, Err(Error::AlreadyUsed));
        assert!(card.deliver(&frame(60, 0)));
        collect(&mut net, token, &mut memory).unwrap();
        assert_eq!(plug.live().1, 0);
    }
}

#[test]
fn a_hostile_device() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let mut memory = vec![0; 1600];
        let header = net.info().header_length as u32;
        for (round, wrong) in (0..).zip([0, header, header + 13, 1601, u32::MAX]) {
            let token = offer(&mut net, &mut memory).unwrap();
            assert!(card.deliver_with(&[0; HEADER_ROOM - 2], &frame(60, 1), |head, _| (head, wrong)));
            assert_eq!(collect(&mut net, token, &mut memory), Err(Error::IoError), "length {wrong}");
            assert_eq!((plug.live().1, shares(&plug).1), (0, 2 * round + 1));
            let token = offer(&mut net, &mut memory).unwrap();
            assert!(card.deliver(&frame(61, 2)));
            assert_eq!(collect(&mut net, token, &mut memory), Ok((header as usize, 61)));
        }
        // A header that `trust_header` lets pass, as the original does.
        let token = offer(&mut net, &mut memory).unwrap();
        assert!(card.deliver_with(&[1, 4, 0, 0, 0, 0, 0, 0, 0, 0], &frame(60, 3), |head, length| (head, length)));
        assert_eq!(collect(&mut net, token, &mut memory), Ok((header as usize, 60)));
        assert_eq!(memory[..2], [1, 4]);
        // A queue that breaks while a call waits for it: the buffer is the caller's again.
        let waited;
        (net, memory, waited) = wait_beside(&plug, net, memory, || {
            let posted = card.buffers() != 0;
            if posted {
                card.forge(RX, 77, 100);
            }
            posted
        });
        assert_eq!(waited, Err(Error::IoError));
        assert_eq!(plug.live().1, 0, "{}", kind.name);
        let token = offer(&mut net, &mut memory).unwrap();
        assert!(card.deliver(&frame(500, 4)));
        assert_eq!(collect(&mut net, token, &mut memory), Ok((header as usize, 500)));
        // A transmit queue that breaks: what was posted comes back, and the next request brings the card up again.
        for by_poll in [true, false] {
            let buffer = with_header(&net, &frame(60, 5));
            let token = begin(&mut net, &buffer).unwrap();
            card.forge(TX, 77, 100);
            if by_poll {
                assert_eq!(net.poll_transmit(), Some(token));
            }
            assert_eq!(complete(&mut net, token, &buffer), Err(Error::IoError), "{}", kind.name);
            assert_eq!((net.poll_transmit(), plug.live().1), (None, 0));
            let token = begin(&mut net, &buffer).unwrap();
            assert_eq!(card.sent(), [frame(60, 5)]);
            assert_eq!(complete(&mut net, token, &buffer), Ok(0));
        }
        drop(net);
        assert_eq!((plug.live(), card.dropped()), ((0, 0), 1));
    }
}

/// Whoever only ever polls learns that the queue is broken: each buffer comes back once, with an error, and then all is well
/// again.
#[test]
fn polling_tells_of_a_broken_queue() {
    type Break = fn(&crate::Card);
    let breaks: [Break; 3] =
        [|card| card.forge(RX, 77, 100), |card| card.forge(RX, 0x1_0000, 100), |card| card.jump(RX, 9)];
    for kind in KINDS {
        for break_it in breaks {
            let (plug, card) = machine(kind);
            let mut net = raw::<4>(&card);
            let mut memory = buffers::<4>();
            for buffer in &mut memory {
                offer(&mut net, buffer).unwrap();
            }
            let sent = with_header(&net, &frame(60, 1));
            let out = begin(&mut net, &sent).unwrap();
            assert_eq!(net.poll_receive(), None);
            break_it(&card);
            let mut back = Vec::new();
            while let Some(token) = net.poll_receive() {
                assert_eq!(collect(&mut net, token, &mut memory[usize::from(token)]), Err(Error::IoError));
                back.push(token);
            }
            back.sort_unstable();
            assert_eq!(back, [0, 1, 2, 3], "{}", kind.name);
            // What the card had of the other queue is back too, and the next request brings the card up.
            assert_eq!(net.poll_transmit(), Some(out));
            assert_eq!(complete(&mut net, out, &sent), Err(Error::IoError));
            assert!(net.can_send());
            assert_eq!((plug.live().1, card.dropped()), (0, 0));
            for (number, buffer) in (0..).zip(&mut memory) {
                let token = offer(&mut net, buffer).unwrap();
                assert!(card.deliver(&frame(300, number)));
                assert_eq!(net.poll_receive(), Some(token));
                let (header, length) = collect(&mut net, token, buffer).unwrap();
                assert_eq!(buffer[header..header + length], frame(300, number));
                net.send(&frame(60, number)).unwrap();
                assert_eq!(card.sent(), [frame(60, number)]);
            }
        }
    }
}

/// A buffer that the device may still write is not the caller's, whatever is asked.
#[test]
fn a_reset_that_hangs_keeps_the_buffers() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let mut memory = buffers::<4>();
        let token = offer(&mut net, &mut memory[0]).unwrap();
        let sent = with_header(&net, &frame(60, 1));
        let out = begin(&mut net, &sent).unwrap();
        net.send(&frame(60, 2)).unwrap();
        card.change(|config| config.resets = 0);
        card.forge(RX, 77, 100);
        assert_eq!(net.poll_receive(), Some(token));
        for _ in 0..3 {
            assert_eq!(collect(&mut net, token, &mut memory[0]), Err(Error::NotReady));
            assert_eq!(complete(&mut net, out, &sent), Err(Error::NotReady));
            assert_eq!((net.poll_receive(), net.poll_transmit(), net.can_send()), (None, None, false));
            assert_eq!(offer(&mut net, &mut memory[1]), Err(Error::IoError));
            assert_eq!(begin(&mut net, &sent), Err(Error::IoError));
            assert_eq!(net.send(&frame(60, 3)), Err(Error::IoError));
        }
        assert_eq!(plug.live().1, 2);
        card.change(|config| config.resets = usize::MAX);
        assert_eq!(collect(&mut net, token, &mut memory[0]), Err(Error::IoError));
        assert_eq!(complete(&mut net, out, &sent), Err(Error::IoError));
        assert_eq!(plug.live().1, 0);
        net.send(&frame(60, 4)).unwrap();
        assert_eq!(card.sent(), [frame(60, 4)]);
        let token = offer(&mut net, &mut memory[1]).unwrap();
        assert!(card.deliver(&frame(60, 5)));
        assert!(collect(&mut net, token, &mut memory[1]).is_ok());
    }
}

/// Each buffer is with the device, on its way back, or back and unseen: the end takes all of them.
#[test]
fn dropping_with_buffers_everywhere() {
    for kind in KINDS {
        for confirmed in [true, false] {
            let (plug, card) = machine(kind);
            let mut net = raw::<16>(&card);
            let mut memory = buffers::<8>();
            for buffer in &mut memory {
                offer(&mut net, buffer).unwrap();
            }
            let frames: Vec<_> = (0..8).map(|number| with_header(&net, &frame(900, number))).collect();
            for buffer in &frames {
                begin(&mut net, buffer).unwrap();
                net.send(&frame(60, 9)).unwrap();
            }
            for _ in 0..6 {
                assert!(card.take());
                card.finish(0);
            }
            // One of them is told of by a call for another.
            assert!(card.deliver(&frame(60, 1)) && card.deliver(&frame(60, 2)));
            assert_eq!(collect(&mut net, 5, &mut memory[5]), Err(Error::WrongToken));
            assert!(net.poll_transmit().is_some());
            let before = plug.live();
            assert_eq!(before.1, 16);
            if !confirmed {
                plug.expect_leak();
                card.change(|config| config.resets = 0);
            }
            let start = Instant::now();
            drop(net);
            assert!(start.elapsed() < Duration::from_secs(20), "the waits have limits");
            let expected = if confirmed { (0, 0) } else { before };
            assert_eq!((plug.live(), card.dropped()), (expected, usize::from(confirmed)), "{}", kind.name);
        }
    }
}

/// A driver that is dropped right after `send` has sent.
#[test]
fn dropping_waits_for_a_card_that_sends() {
    let (plug, card) = machine(MODERN);
    let mut net = raw::<16>(&card);
    for number in 0..8 {
        net.send(&frame(500, number)).unwrap();
    }
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(5));
            card.sent()
        });
        drop(net);
        sender.join().unwrap()
    });
    assert_eq!(sent, (0..8).map(|number| frame(500, number)).collect::<Vec<_>>());
    assert_eq!(plug.live(), (0, 0));
}

/// DMA memory for `send` is taken by its first call, and little of it; where there are no four pages together, one does.
#[test]
fn sending_takes_memory_when_it_is_used() {
    fn pages<const N: usize>(run: usize) -> usize {
        let (plug, card) = machine(MODERN);
        let mut net = raw::<N>(&card);
        let before = plug.live().0;
        let buffer = with_header(&net, &frame(60, 1));
        let token = begin(&mut net, &buffer).unwrap();
        assert_eq!((card.sent().len(), complete(&mut net, token, &buffer)), (1, Ok(0)));
        assert_eq!(plug.live().0, before);
        plug.alloc_budget.store(0, Ordering::Relaxed);
        assert_eq!(net.send(&frame(60, 2)), Err(Error::DmaError));
        plug.alloc_budget.store(usize::MAX, Ordering::Relaxed);
        plug.longest_run.store(run, Ordering::Relaxed);
        for number in 0..50 {
            net.send(&frame(1518, number)).unwrap();
            assert_eq!(card.sent(), [frame(1518, number)]);
        }
        plug.live().0 - before
    }
    assert_eq!((pages::<1>(9), pages::<2>(9), pages::<16>(9), pages::<256>(9), pages::<256>(1)), (1, 1, 4, 4, 1));
}

/// More of it is taken for more frames on their way, up to a limit; where there is no more, and behind the limit, `send` waits.
#[test]
fn sending_takes_memory_as_it_is_needed() {
    for (slots_first, run, budget) in [(32, 4, usize::MAX), (8, 4, 1), (8, 1, usize::MAX)] {
        let (plug, card) = machine(MODERN);
        let mut net = raw::<64>(&card);
        let before = plug.live().0;
        plug.longest_run.store(run, Ordering::Relaxed);
        plug.alloc_budget.store(budget, Ordering::Relaxed);
        for round in 0..10 {
            for number in 0..slots_first {
                net.send(&frame(700, number)).unwrap();
            }
            assert_eq!(plug.live().0 - before, if run == 1 { 4 } else { slots_first as usize / 2 });
            if round == 0 {
                let asked = plug.calls.alloc.load(Ordering::Relaxed);
                assert_eq!(net.send(&frame(700, 0)), Err(Error::QueueFull));
                assert!(plug.calls.alloc.load(Ordering::Relaxed) - asked <= 2, "asked for memory while it waited");
                assert!(net.can_send(), "for requests there are slots");
            }
            assert_eq!(card.sent(), (0..slots_first).map(|number| frame(700, number)).collect::<Vec<_>>());
        }
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }
}

thread_local! {
    /// Where the buffers are that [`Low`] shares: an IOMMU may put one at address 0.
    static LOW: RefCell<Vec<NonNull<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A `Hal` that shares buffers at 0, 1, 2 …
struct Low;

// SAFETY: DMA memory is the machine's; no card reads what is shared.
unsafe impl Hal for Low {
    fn dma_alloc(pages: usize, direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        crate::TestHal::dma_alloc(pages, direction)
    }

    unsafe fn dma_dealloc(address: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: as for this one.
        unsafe { crate::TestHal::dma_dealloc(address, memory, pages) }
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        LOW.with_borrow_mut(|low| {
            low.push(buffer);
            low.len() as PhysAddr - 1
        })
    }

    unsafe fn unshare(address: PhysAddr, buffer: NonNull<[u8]>, _: BufferDirection) {
        LOW.with_borrow_mut(|low| {
            assert_eq!(low[address as usize], buffer);
            low[address as usize] = NonNull::from(&mut [][..]);
        });
    }
}

/// The end tells the caller's buffers from those of `send` wherever they are shared.
#[test]
fn any_address_may_be_shared() {
    let (plug, card) = machine(MODERN);
    let mut net = VirtIONetRaw::<Low, _, 8>::new(FakeTransport::new(&card)).unwrap();
    let sent: Vec<Box<[u8]>> = (0..3).map(|_| vec![0; 72].into()).collect();
    let mut memory = buffers::<2>();
    // SAFETY: the buffers outlive the driver.
    unsafe {
        net.transmit_begin(&sent[0]).unwrap();
        net.transmit_begin(&sent[1]).unwrap();
        net.receive_begin(&mut memory[0]).unwrap();
        net.send(&frame(60, 1)).unwrap();
        net.send(&frame(9000, 1)).unwrap();
        net.transmit_begin(&sent[2]).unwrap();
    }
    drop(net);
    assert_eq!(LOW.with_borrow(|low| low.iter().map(|buffer| buffer.len()).collect::<Vec<_>>()), [0; 4]);
    assert_eq!(plug.live(), (0, 0));
}

/// The longest frame fits a buffer that has room for it and the header, and for nothing more.
#[test]
fn the_longest_frame_arrives_whole() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let header = net.info().header_length;
        for more in [0, 1, 1000] {
            let mut memory = vec![0; header + 65_535 + more];
            let token = offer(&mut net, &mut memory).unwrap();
            assert!(card.deliver(&frame(65_535, 1)));
            assert_eq!(collect(&mut net, token, &mut memory), Ok((header, 65_535)), "{}", kind.name);
            assert_eq!(memory[header..header + 65_535], frame(65_535, 1));
        }
    }
}

/// Frames that no buffer of `send` holds have memory of their own, one at a time, which goes back in every way out.
#[test]
fn sending_long_frames() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let before = plug.live().0;
        for length in [2033, 4080, 4081, 9018, 65_535].into_iter().cycle().take(20) {
            net.send(&frame(length, 1)).unwrap();
            assert_eq!(plug.live().0 - before, (16 + length).div_ceil(4096));
            assert_eq!(card.sent(), [frame(length, 1)], "{}", kind.name);
            assert_eq!(net.poll_transmit(), None);
            assert_eq!(plug.live().0, before);
        }

        // The device sends none: the next long one waits with a limit, requests and short ones do not.
        net.send(&frame(9000, 1)).unwrap();
        let buffer = with_header(&net, &frame(60, 2));
        let token = begin(&mut net, &buffer).unwrap();
        net.send(&frame(60, 3)).unwrap();
        if kind.name == KINDS[0].name {
            assert_eq!(net.send(&frame(9000, 4)), Err(Error::QueueFull));
        }
        assert_eq!(card.sent(), [frame(9000, 1), frame(60, 2), frame(60, 3)]);
        assert_eq!((net.poll_transmit(), complete(&mut net, token, &buffer)), (Some(token), Ok(0)));
        let short = plug.live().0;

        // No memory in one piece; no slot.
        plug.longest_run.store(4, Ordering::Relaxed);
        assert_eq!(net.send(&frame(65_535, 1)), Err(Error::DmaError));
        plug.longest_run.store(usize::MAX, Ordering::Relaxed);
        let buffers = [5, 6, 7, 8].map(|number| with_header(&net, &frame(60, number)));
        let tokens = buffers.each_ref().map(|buffer| begin(&mut net, buffer).unwrap());
        assert_eq!(net.send(&frame(9000, 1)), Err(Error::QueueFull));
        assert_eq!(card.sent().len(), 4);
        for (token, buffer) in tokens.into_iter().zip(&buffers) {
            assert_eq!(complete(&mut net, token, buffer), Ok(0));
        }
        assert_eq!(plug.live().0, short);

        // A device that breaks a rule; one that is reset only later; the end.
        net.send(&frame(9000, 1)).unwrap();
        card.forge(TX, 77, 0);
        net.send(&frame(9000, 2)).unwrap();
        assert_eq!((card.sent(), plug.live().0), (vec![frame(9000, 2)], short + 3), "{}", kind.name);
        net.send(&frame(9000, 3)).unwrap();
        card.forge(TX, 77, 0);
        card.change(|config| config.resets = 0);
        assert_eq!(net.send(&frame(9000, 4)), Err(Error::IoError));
        assert_eq!(plug.live().0, short + 3, "the device may still read it");
        card.change(|config| config.resets = usize::MAX);
        net.send(&frame(9000, 5)).unwrap();
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }
}

/// Who only ever sends comes out of a broken queue too; where the device confirms no reset, with an error instead of a long wait.
#[test]
fn sending_over_a_broken_queue() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        for round in 0..4 {
            for number in 0..4 {
                net.send(&frame(60, number)).unwrap();
            }
            card.forge(TX, 77, 0);
            if round == 3 {
                card.change(|config| config.resets = 0);
                let start = Instant::now();
                assert_eq!(net.send(&frame(60, 8)), Err(Error::IoError));
                assert!(start.elapsed() < Duration::from_secs(5));
                card.change(|config| config.resets = usize::MAX);
            }
            net.send(&frame(60, 9)).unwrap();
            assert_eq!(card.sent(), [frame(60, 9)], "{}", kind.name);
        }
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }
}

/// Slots of the caller's own requests are nobody's to wait for; those of `send` come back behind them.
#[test]
fn sending_beside_requests() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let frames: Vec<_> = (0..4).map(|number| with_header(&net, &frame(900, number))).collect();
        let tokens: Vec<_> = frames[..3].iter().map(|buffer| begin(&mut net, buffer).unwrap()).collect();
        net.send(&frame(60, 7)).unwrap();
        assert!(!net.can_send());
        assert_eq!(begin(&mut net, &frames[3]), Err(Error::QueueFull));
        assert_eq!(card.sent().len(), 4);
        // One slot is free, because nobody completes what `send` has sent.
        assert!(net.can_send());
        let last = begin(&mut net, &frames[3]).unwrap();
        let start = Instant::now();
        assert_eq!(net.send(&frame(60, 8)), Err(Error::QueueFull));
        assert!(start.elapsed() < Duration::from_millis(500), "these slots are the caller's to give back");
        assert_eq!(card.sent().len(), 1);
        for (token, buffer) in tokens.into_iter().chain([last]).zip(&frames) {
            assert_eq!(complete(&mut net, token, buffer), Ok(0), "{}", kind.name);
        }
        for number in 0..4 {
            net.send(&frame(60, number)).unwrap();
        }
        assert_eq!((card.sent().len(), net.poll_transmit(), plug.live().1), (4, None, 0));
        assert!(net.can_send());
    }
}

// ------------------------------------------------------------------------------------- between poll and completion

/// Posts frames of these numbers.
fn begin_all<const N: usize>(net: &mut Raw<N>, numbers: std::ops::Range<u32>) -> Vec<(u16, Box<[u8]>)> {
    let buffers = numbers.map(|number| with_header(net, &frame(900, number)));
    let buffers: Vec<_> = buffers.collect();
    buffers.into_iter().map(|buffer| (begin(net, &buffer).unwrap(), buffer)).collect()
}

/// What was told of stays that, and its slot nobody else's, whatever is posted before it is completed.
#[test]
fn a_token_is_told_until_it_is_completed() {
    fn check<const N: usize>(kind: Kind) {
        let (plug, card) = machine(kind);
        let mut net = raw::<N>(&card);
        for round in 0..20 {
            let (first, sent) = begin_all(&mut net, 0..1).remove(0);
            assert_eq!(card.sent(), [frame(900, 0)]);
            for _ in 0..3 {
                assert_eq!(net.poll_transmit(), Some(first));
                assert_eq!(net.can_send(), N > 1, "{}", kind.name);
            }
            let others = begin_all(&mut net, 1..N as u32);
            assert!(others.iter().all(|(token, _)| *token != first && usize::from(*token) < N));
            if round % 2 == 0 {
                assert_eq!(net.poll_transmit(), Some(first));
            }
            assert!(!net.can_send());
            let before = shares(&plug);
            let more = with_header(&net, &frame(60, 0));
            assert_eq!(begin(&mut net, &more), Err(Error::QueueFull), "{}", kind.name);
            assert_eq!((shares(&plug), plug.live().1), ((before.0 + 1, before.1 + 1), N));
            if round % 3 == 0 {
                assert_eq!(net.poll_transmit(), Some(first));
            }
            assert_eq!(complete(&mut net, first, &sent), Ok(0));
            assert_eq!(plug.live().1, N - 1);
            assert!(net.can_send());
            assert_eq!((net.poll_transmit(), complete(&mut net, first, &sent)), (None, Err(Error::NotReady)));
            assert_eq!(card.sent(), (1..N as u32).map(|number| frame(900, number)).collect::<Vec<_>>());
            for (token, buffer) in &others {
                assert_eq!(net.poll_transmit(), Some(*token));
                assert_eq!(complete(&mut net, *token, buffer), Ok(0));
            }
            assert_eq!((net.poll_transmit(), plug.live().1), (None, 0));
        }
    }
    for kind in KINDS {
        check::<1>(kind);
        check::<2>(kind);
        check::<16>(kind);
    }
}

/// Others are completed first, in any order, and tokens that are nobody's are not.
#[test]
fn completing_others_than_the_one_told() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<8>(&card);
        let mut random = Random(5);
        for round in 0..200 {
            let mut open = begin_all(&mut net, 0..6);
            let mut done = Vec::new();
            assert_eq!(card.sent().len(), 6);
            while !open.is_empty() {
                if random.below(2) == 0 {
                    let told = net.poll_transmit().unwrap();
                    assert!(open.iter().any(|(token, _)| *token == told), "{}: {told} is done", kind.name);
                    assert_eq!(net.poll_transmit(), Some(told));
                }
                let free = (0..8).filter(|token| open.iter().all(|(other, _)| other != token));
                for token in free.chain(done.iter().copied()).chain([8, 0x7fff, 0xffff]) {
                    assert_eq!(complete(&mut net, token, &open[0].1), Err(Error::NotReady), "round {round}");
                }
                let (token, buffer) = open.swap_remove(random.below(open.len()));
                assert_eq!((complete(&mut net, token, &buffer), plug.live().1), (Ok(0), open.len()));
                done.push(token);
            }
            assert_eq!(net.poll_transmit(), None);
        }
        assert_eq!(net.stats().tx_lost, 0);
    }
}

/// `send` beside a request that was told of, with buffers of its own that come back before it, between, and behind it.
#[test]
fn sending_beside_a_request_that_was_told_of() {
    // Each bit is a request or a frame of `send`, in the order in which they are posted; none is all of one kind.
    for (kind, order) in KINDS.into_iter().flat_map(|kind| (1..31).map(move |order| (kind, order))) {
        for backwards in [false, true] {
            let (plug, card) = machine(kind);
            let mut net = raw::<8>(&card);
            let mut open = Vec::new();
            for number in 0..5 {
                if order >> number & 1 != 0 {
                    open.extend(begin_all(&mut net, number..number + 1));
                } else {
                    net.send(&frame(60, number)).unwrap();
                }
            }
            while card.take() {}
            while card.in_hand() != 0 {
                card.finish(if backwards { card.in_hand() - 1 } else { 0 });
            }
            let requests = open.len();
            for left in (1..=requests).rev() {
                let told = net.poll_transmit().unwrap();
                net.send(&frame(60, 9)).unwrap();
                if left % 2 != 0 {
                    assert_eq!(card.sent(), [frame(60, 9)]);
                    net.send(&frame(2000, 8)).unwrap();
                    net.send(&frame(3000, 7)).unwrap();
                    assert_eq!(card.sent().len(), 2);
                }
                let place = open.iter().position(|(token, _)| *token == told).unwrap();
                let (token, buffer) = open.swap_remove(place);
                assert_eq!(complete(&mut net, token, &buffer), Ok(0), "{}: order {order:b}", kind.name);
                assert_eq!(plug.live().1, left - 1);
                card.sent();
            }
            assert_eq!(net.poll_transmit(), None);
            assert!(net.can_send());
            // All eight slots are there again.
            let all = begin_all(&mut net, 0..8);
            assert_eq!(card.sent().len(), 8);
            assert!(all.iter().all(|(token, buffer)| complete(&mut net, *token, buffer) == Ok(0)));
        }
    }
}

/// What happens at random, and what must come of it.
struct Told<const N: usize> {
    net: Raw<N>, // goes before its machine
    card: Arc<crate::Card>,
    plug: crate::device::Plug,
    random: Random,
    /// Requests by token: the number of the frame, and its buffer.
    open: Vec<Option<(u32, Box<[u8]>)>>,
    /// Numbers of frames that the card has finished.
    finished: Vec<u32>,
    /// Numbers of requests that it had when it was reset.
    lost: Vec<u32>,
    /// Frames of `send` that it has not finished.
    copies: usize,
    next: u32,
    /// It broke a rule, and nothing was posted since.
    is_reset: bool,
}

impl<const N: usize> Told<N> {
    fn new(kind: Kind) -> Self {
        let (plug, card) = machine(kind);
        let net = raw(&card);
        let open = (0..N).map(|_| None).collect();
        let (finished, lost) = (Vec::new(), Vec::new());
        Self {
            net,
            card,
            plug,
            random: Random(N as u64),
            open,
            finished,
            lost,
            copies: 0,
            next: 0,
            is_reset: false,
        }
    }

    fn requests(&self) -> usize {
        self.open.iter().flatten().count()
    }

    fn is_full(&self) -> bool {
        self.requests() + self.copies == N
    }

    fn begin(&mut self) {
        let buffer = with_header(&self.net, &frame(900, self.next));
        // Of a device that was reset nothing is known before it is up again.
        let promised = self.net.can_send() && !self.is_reset;
        self.is_reset = false;
        match begin(&mut self.net, &buffer) {
            Ok(token) => {
                let before = self.open[usize::from(token)].replace((self.next, buffer));
                assert!(before.is_none(), "token {token} is given twice");
                self.next += 1;
            }
            Err(error) => {
                assert_eq!(error, Error::QueueFull);
                assert!(self.is_full() && !promised);
            }
        }
    }

    fn send(&mut self) {
        if !self.is_full() && self.copies < COPIES {
            self.net.send(&frame(60, self.next)).unwrap();
            self.is_reset = false;
            self.copies += 1;
            self.next += 1;
        }
    }

    /// The device breaks a rule while it has a frame, and the driver notices.
    fn break_a_rule(&mut self) {
        let with_card = |number: &u32| !self.finished.contains(number) && !self.lost.contains(number);
        let begun: Vec<u32> = self.open.iter().flatten().map(|(number, _)| *number).filter(with_card).collect();
        if begun.len() + self.copies == 0 {
            return;
        }
        self.card.forge(TX, 77, 0);
        assert_eq!(complete(&mut self.net, N as u16, &[]), Err(Error::NotReady));
        self.lost.extend(begun);
        self.copies = 0;
        self.is_reset = true;
    }

    fn finish(&mut self) {
        while self.card.take() {}
        if self.card.in_hand() != 0 {
            let frame = self.card.finish(self.random.below(self.card.in_hand()));
            self.copies -= usize::from(frame.len() == 60);
            self.finished.push(number_of(&frame));
        }
    }

    fn is_lost(&self, token: usize) -> bool {
        self.open[token].as_ref().is_some_and(|(number, _)| self.lost.contains(number))
    }

    fn is_done(&self, token: usize) -> bool {
        self.is_lost(token) || self.open[token].as_ref().is_some_and(|(number, _)| self.finished.contains(number))
    }

    fn poll(&mut self) {
        match self.net.poll_transmit() {
            Some(token) => {
                assert!(self.is_done(token.into()));
                assert_eq!(self.net.poll_transmit(), Some(token));
                match self.random.below(4) {
                    0 => self.complete(token.into()),
                    1 => {
                        // Where it takes frames of `send` back, another one may be the next.
                        self.begin();
                        assert!(self.net.poll_transmit().is_some_and(|token| self.is_done(token.into())));
                    }
                    _ => {}
                }
            }
            None => assert!((0..N).all(|token| !self.is_done(token))),
        }
    }

    fn complete(&mut self, token: usize) {
        let (is_done, is_lost) = (self.is_done(token), self.is_lost(token));
        let unshared = shares(&self.plug).1;
        let buffer = self.open[token].as_ref().map_or(&[][..], |(_, buffer)| buffer);
        let outcome = if is_lost { Err(Error::IoError) } else { Ok(0) };
        let expected = if is_done { outcome } else { Err(Error::NotReady) };
        assert_eq!(complete(&mut self.net, token as u16, buffer), expected);
        assert_eq!(shares(&self.plug).1 - unshared, usize::from(is_done));
        if is_done {
            self.open[token] = None;
        }
    }

    fn run(mut self) {
        for _ in 0..3000 {
            match self.random.below(128) {
                0..32 => self.begin(),
                32..48 => self.send(),
                48..80 => self.finish(),
                80..112 => self.poll(),
                112 => self.break_a_rule(),
                _ => {
                    let token = self.random.below(N);
                    self.complete(token);
                }
            }
            assert_eq!(self.plug.live().1, self.requests());
            assert!(!self.net.can_send() || !self.is_full() || self.is_reset);
        }
        assert!(self.next > 100 && self.net.stats().queues_broken > 1);
        // The end finds some told, some that have come back, and some that have not.
        let Self { plug, net, open, .. } = self;
        drop(net);
        assert_eq!(plug.live(), (0, 0));
        drop(open);
    }
}

#[test]
fn what_was_told_beside_all_else() {
    for kind in KINDS {
        Told::<1>::new(kind).run();
        Told::<2>::new(kind).run();
        Told::<16>::new(kind).run();
    }
}

/// The device is reset, whoever notices that it broke a rule: what it had sent before, and was told of, is no error.
#[test]
fn a_reset_beside_a_request_that_was_told_of() {
    type Notice = fn(&mut Raw<8>, &crate::Card, &(u16, Box<[u8]>));
    let notices: [(&str, Notice); 4] = [
        ("another completion", |net, card, (token, buffer)| {
            card.forge(TX, 77, 0);
            assert_eq!(complete(net, *token, buffer), Err(Error::IoError));
        }),
        ("send", |net, card, (token, buffer)| {
            card.forge(TX, 77, 0);
            net.send(&frame(60, 5)).unwrap();
            assert_eq!(complete(net, *token, buffer), Err(Error::IoError));
        }),
        ("receive", |net, card, (token, buffer)| {
            let mut memory = vec![0; 1526];
            let empty = offer(net, &mut memory).unwrap();
            card.forge(RX, 77, 100);
            assert_eq!(collect(net, empty, &mut memory), Err(Error::IoError));
            assert_eq!(complete(net, *token, buffer), Err(Error::IoError));
        }),
        ("receive, and a request then", |net, card, (token, buffer)| {
            let mut memory = vec![0; 1526];
            let empty = offer(net, &mut memory).unwrap();
            card.forge(RX, 77, 100);
            assert_eq!(collect(net, empty, &mut memory), Err(Error::IoError));
            for (new, sent) in begin_all(net, 20..23) {
                assert_ne!(new, *token);
                card.sent();
                assert_eq!(complete(net, new, &sent), Ok(0));
            }
            assert_eq!(complete(net, *token, buffer), Err(Error::IoError));
        }),
    ];
    for (kind, (name, notice)) in KINDS.into_iter().flat_map(|kind| notices.map(|notice| (kind, notice))) {
        let (plug, card) = machine(kind);
        let mut net = raw::<8>(&card);
        for round in 0..3 {
            let open = begin_all(&mut net, 0..5);
            for _ in 0..4 {
                assert!(card.take());
            }
            // The first one is told of, the second one came later, two are with the card and one it has not seen.
            card.finish(0);
            assert_eq!(net.poll_transmit(), Some(open[0].0));
            notice(&mut net, &card, &open[2]);
            let before = plug.live().1;
            if round == 1 {
                assert!(net.poll_transmit().is_some());
            }
            assert_eq!(complete(&mut net, open[0].0, &open[0].1), Ok(0), "{}: {name}", kind.name);
            for (token, buffer) in [&open[1], &open[3], &open[4]] {
                assert_eq!(complete(&mut net, *token, buffer), Err(Error::IoError), "{}: {name}", kind.name);
            }
            assert_eq!((before, plug.live().1), (4, 0));
            assert!(net.can_send());
            let again = with_header(&net, &frame(60, 9));
            let token = begin(&mut net, &again).unwrap();
            assert!(card.sent().contains(&frame(60, 9)));
            assert_eq!((net.poll_transmit(), complete(&mut net, token, &again)), (Some(token), Ok(0)));
        }
    }
}

/// Where the device does not confirm a reset, what it has sent before is the caller's all the same.
#[test]
fn a_reset_that_hangs_beside_a_request_that_was_told_of() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let open = begin_all(&mut net, 0..3);
        for _ in 0..3 {
            assert!(card.take());
        }
        card.finish(0);
        assert_eq!(net.poll_transmit(), Some(open[0].0));
        card.change(|config| config.resets = 0);
        card.forge(TX, 77, 0);
        assert_eq!(complete(&mut net, open[1].0, &open[1].1), Err(Error::NotReady));
        let more = with_header(&net, &frame(60, 9));
        assert_eq!(begin(&mut net, &more), Err(Error::IoError));
        assert_eq!(complete(&mut net, open[0].0, &open[0].1), Ok(0), "{}", kind.name);
        assert_eq!((net.poll_transmit(), plug.live().1), (None, 2));
        card.change(|config| config.resets = usize::MAX);
        for (token, buffer) in &open[1..] {
            assert_eq!(complete(&mut net, *token, buffer), Err(Error::IoError));
        }
        assert_eq!(plug.live().1, 0);
    }
}

/// The same for what came back behind frames of `send`, short and long ones.
#[test]
fn a_reset_that_hangs_behind_copies() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        net.send(&frame(60, 1)).unwrap();
        net.send(&frame(9000, 2)).unwrap();
        let open = begin_all(&mut net, 3..5);
        for _ in 0..3 {
            assert!(card.take());
            card.finish(0);
        }
        assert_eq!(complete(&mut net, open[1].0, &open[1].1), Err(Error::NotReady));
        card.change(|config| config.resets = 0);
        card.forge(TX, 77, 0);
        assert_eq!(net.poll_transmit(), Some(open[0].0), "{}", kind.name);
        assert_eq!(complete(&mut net, open[0].0, &open[0].1), Ok(0));
        assert_eq!((net.poll_transmit(), plug.live().1), (None, 1));
        card.change(|config| config.resets = usize::MAX);
        assert_eq!(net.poll_transmit(), Some(open[1].0));
        assert_eq!(complete(&mut net, open[1].0, &open[1].1), Err(Error::IoError));
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }
}

/// The end takes the buffer of a token that was told of back once, beside all others or alone.
#[test]
fn dropping_with_a_token_told() {
    for (kind, count) in KINDS.into_iter().flat_map(|kind| [1, 2, 4].map(|count| (kind, count))) {
        for more in 0..3 {
            let (plug, card) = machine(kind);
            let mut net = raw::<4>(&card);
            let open = begin_all(&mut net, 0..count);
            assert!(card.take());
            card.finish(0);
            assert_eq!(net.poll_transmit(), Some(open[0].0));
            match more {
                0 => {}
                1 if count < 4 => net.send(&frame(60, 1)).unwrap(),
                _ => assert_eq!(complete(&mut net, 9, &[]), Err(Error::NotReady)),
            }
            if more == 1 {
                card.sent();
                assert_eq!(net.poll_transmit(), Some(open[0].0));
            }
            drop(net);
            assert_eq!((shares(&plug), plug.live()), ((count as usize, count as usize), (0, 0)), "{}", kind.name);
        }
    }
}

/// What a panic in the transport leaves behind, a frame that is posted and that nobody remembers, is never seen: it ends the
/// program, in whichever language `notify` is called from.
#[test]
fn a_panic_of_the_transport_is_not_caught() {
    const CHILD: &str = "TRANSPORT_PANICS";
    if std::env::var_os(CHILD).is_some() {
        let (_plug, card) = machine(MODERN);
        let mut net = raw::<4>(&card);
        // Once each slot was used, the quick way sends, whose notification is made in Rust.
        for number in 0..8 {
            net.send(&frame(60, number)).unwrap();
            assert_eq!(card.sent().len(), 1);
        }
        card.notify_panics.store(true, Ordering::Relaxed);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| net.send(&frame(60, 1))));
        eprintln!("went on after it: {}", caught.is_err());
        card.notify_panics.store(false, Ordering::Relaxed);
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "raw::a_panic_of_the_transport_is_not_caught", "--nocapture"]).env(CHILD, "1");
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the transport's own panic") && said.contains("cannot unwind"), "{said}");
    assert!(!output.status.success() && !said.contains("went on"), "{said}");
}
/// A request that was told of while a reset was pending stays its owner's where a receive buffer brings the device up again.
#[test]
fn receiving_revives_beside_a_request_that_was_told_of() {
    for kind in [MODERN, LEGACY] {
        let (plug, card) = machine(kind);
        let mut memory = vec![0; 1526];
        let mut net = raw::<4>(&card);
        let open = begin_all(&mut net, 0..3);
        for _ in 0..3 {
            assert!(card.take());
        }
        card.finish(0);
        card.change(|config| config.resets = 0);
        card.forge(TX, 77, 0);
        assert_eq!(complete(&mut net, open[1].0, &open[1].1), Err(Error::NotReady));
        assert_eq!(net.poll_transmit(), Some(open[0].0));
        card.change(|config| config.resets = usize::MAX);
        offer(&mut net, &mut memory).unwrap();
        let (token, sent) = begin_all(&mut net, 3..4).remove(0);
        assert!(open.iter().all(|(other, _)| *other != token), "{}: token {token} is given twice", kind.name);
        assert_eq!(complete(&mut net, open[0].0, &open[0].1), Ok(0), "{}", kind.name);
        for (other, buffer) in &open[1..] {
            assert_eq!(complete(&mut net, *other, buffer), Err(Error::IoError));
        }
        assert_eq!((card.sent().len(), complete(&mut net, token, &sent)), (1, Ok(0)));
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }
}

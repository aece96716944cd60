//! The drop-in `VirtIONetRaw`: buffers of the caller, told apart by tokens.

use crate::device::{FakeTransport, HEADER_ROOM, KINDS, Kind, LEGACY, MODERN, Machine, RX, Random, frame, machine};
use crate::device::{TX, number_of};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use virtio_drivers::Error;
use virtio_net_c::VirtIONetRaw;

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

/// Lets the driver wait for a frame on a thread of its own, while `act` is called until it has done its part. A wait without end is a
/// failure, not a hang.
fn wait_beside<const N: usize>(
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
        for length in [0, 13, 1519] {
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
        for _ in 0..5000 {
            match random.below(5) {
                0 if net.can_send() => {
                    net.send(&frame(60, sent)).unwrap();
                    sent += 1;
                }
                1 if net.can_send() => {
                    let buffer = with_header(&net, &frame(900, sent));
                    let token = begin(&mut net, &buffer).unwrap();
                    assert!(open[usize::from(token)].replace(buffer).is_none(), "token {token} is given twice");
                    sent += 1;
                }
                2 => drop(card.take()),
                3 if card.in_hand() != 0 => seen.push(number_of(&card.finish(random.below(card.in_hand())))),
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
        for number in 0..16 {
            net.send(&frame(60, number)).unwrap();
        }
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
        card.forge(TX, 77, 100);
        let buffer = with_header(&net, &frame(60, 5));
        let outcome = begin(&mut net, &buffer).and_then(|token| {
            assert_eq!(net.poll_transmit(), None);
            begin(&mut net, &buffer).map(|_| token)
        });
        assert_eq!(outcome, Err(Error::IoError), "{}", kind.name);
        // What the device may still have stays shared: only the caller knows the buffer.
        plug.expect_leak();
        drop(net);
        assert_eq!((plug.live().0, card.dropped()), (0, 1));
    }
}

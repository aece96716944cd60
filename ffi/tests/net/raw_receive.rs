//! Receiving by the drop-in `VirtIONetRaw`: what it remembers of the next filled buffer from one call to the next.

use crate::device::{FakeTransport, HEADER_ROOM, KINDS, Kind, RX, Random, TX, frame, machine};
use crate::raw::wait_beside;
use std::sync::atomic::Ordering;
use virtio_drivers::Error;
use virtio_net_c::VirtIONetRaw;

type Raw<const N: usize> = VirtIONetRaw<crate::TestHal, FakeTransport, N>;

fn raw<const N: usize>(card: &std::sync::Arc<crate::Card>) -> Raw<N> {
    Raw::new(FakeTransport::new(card)).unwrap()
}

fn offer<const N: usize>(net: &mut Raw<N>, buffer: &mut [u8]) -> Result<u16, Error> {
    // SAFETY: the tests keep their buffers on the heap until they are completed or the driver is gone.
    unsafe { net.receive_begin(buffer) }
}

fn collect<const N: usize>(net: &mut Raw<N>, token: u16, buffer: &mut [u8]) -> Result<(usize, usize), Error> {
    // SAFETY: the tests tell the buffer that the token is of.
    unsafe { net.receive_complete(token, buffer) }
}

fn buffers<const N: usize>() -> Vec<Box<[u8]>> {
    vec![vec![0; 1526].into(); N]
}

/// Asked twice, it tells the same.
fn poll<const N: usize>(net: &Raw<N>) -> Option<u16> {
    let told = net.poll_receive();
    assert_eq!(net.poll_receive(), told);
    told
}

/// The next frame is this one.
fn expect<const N: usize>(net: &mut Raw<N>, memory: &mut [Box<[u8]>], wanted: &[u8]) -> u16 {
    let token = poll(net).unwrap();
    let buffer = &mut memory[usize::from(token)];
    let (header, length) = collect(net, token, buffer).unwrap();
    assert_eq!(&buffer[header..header + length], wanted);
    token
}

/// Bursts of every size, frames that come between two polls, wrong tokens in between, and buffers that go back one by one.
#[test]
fn bursts() {
    fn check<const N: usize>(kind: Kind) {
        let (plug, card) = machine(kind);
        let mut net = raw::<N>(&card);
        let mut memory = buffers::<N>();
        let mut random = Random(N as u64);
        let mut spare: Vec<usize> = (0..N).rev().collect();
        let (mut delivered, mut taken) = (0, 0);
        while taken < 1500 {
            for _ in 0..=random.below(2 * N) {
                let Some(index) = spare.pop() else { break };
                // Tokens are the places of the buffers: the slot that is free is not always the last one that came back.
                let token = offer(&mut net, &mut memory[index]).unwrap();
                if usize::from(token) != index {
                    memory.swap(usize::from(token), index);
                    let place = spare.iter().position(|spare| *spare == usize::from(token)).unwrap();
                    spare[place] = index;
                }
            }
            for _ in 0..random.below(2 * N + 1) {
                delivered += u32::from(card.deliver(&frame(60 + (delivered as usize & 63), delivered)));
            }
            for _ in 0..=random.below(2 * N) {
                if taken == delivered {
                    assert_eq!(poll(&net), None);
                    assert_eq!(collect(&mut net, 0, &mut [0; 1526]), Err(Error::NotReady));
                    break;
                }
                let token = poll(&net).unwrap();
                if random.below(4) == 0 {
                    assert_eq!(collect(&mut net, token ^ 1, &mut [0; 1526]), Err(Error::WrongToken));
                    assert_eq!(poll(&net), Some(token));
                }
                if random.below(4) == 0 {
                    delivered += u32::from(card.deliver(&frame(60 + (delivered as usize & 63), delivered)));
                }
                let wanted = frame(60 + (taken as usize & 63), taken);
                assert_eq!(expect(&mut net, &mut memory, &wanted), token, "{} {N}", kind.name);
                spare.push(usize::from(token));
                taken += 1;
            }
        }
        assert_eq!(plug.live().1, N - spare.len());
        let (shared, unshared) = (&plug.calls.share, &plug.calls.unshare);
        assert_eq!(shared.load(Ordering::Relaxed) - unshared.load(Ordering::Relaxed), N - spare.len());
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }
    for kind in KINDS {
        check::<1>(kind);
        check::<2>(kind);
        check::<16>(kind);
        check::<256>(kind);
    }
}

/// The card names the buffers in another order than they were posted in: what is told is the one that can be completed.
#[test]
fn out_of_order() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = raw::<16>(&card);
        let mut memory = buffers::<16>();
        let mut random = Random(kind.extra | 1);
        for _ in 0..100 {
            let mut tokens: Vec<_> = memory.iter_mut().map(|buffer| offer(&mut net, buffer).unwrap()).collect();
            let mut place_of = [0; 16];
            for (place, token) in tokens.iter().enumerate() {
                place_of[usize::from(*token)] = place;
            }
            let mut order = Vec::new();
            let bytes = net.info().header_length as u32 + 60;
            while !tokens.is_empty() || !order.is_empty() {
                if !tokens.is_empty() {
                    let token = tokens.swap_remove(random.below(tokens.len()));
                    card.forge(RX, token.into(), bytes);
                    order.push(token);
                }
                if random.below(3) == 0 {
                    assert_eq!(poll(&net), order.first().copied());
                }
                while random.below(2) == 0 && !order.is_empty() {
                    let token = order.remove(0);
                    for other in order.iter().chain(&tokens) {
                        assert_eq!(collect(&mut net, *other, &mut []), Err(Error::WrongToken));
                    }
                    if random.below(2) == 0 {
                        assert_eq!(poll(&net), Some(token));
                    }
                    let buffer = &mut memory[place_of[usize::from(token)]];
                    assert_eq!(collect(&mut net, token, buffer).map(|(_, length)| length), Ok(60), "{}", kind.name);
                }
            }
            assert_eq!(poll(&net), None);
        }
    }
}

/// A card that breaks a rule, of either queue, while the next buffer is known: each comes back once, with an error, and nothing
/// is told that cannot be completed.
#[test]
fn a_broken_rule_behind_a_known_buffer() {
    for kind in KINDS {
        for (by_transmit, again) in [(false, false), (false, true), (true, false), (true, true)] {
            let (plug, card) = machine(kind);
            let mut net = raw::<8>(&card);
            let mut memory = buffers::<8>();
            for buffer in &mut memory {
                offer(&mut net, buffer).unwrap();
            }
            for number in 0..3 {
                assert!(card.deliver(&frame(60, number)));
            }
            assert_eq!(expect(&mut net, &mut memory, &frame(60, 0)), 0);
            assert_eq!(poll(&net), Some(1));
            let mut back = Vec::new();
            if by_transmit {
                card.forge(TX, 77, 0);
                assert_eq!(net.poll_transmit(), None);
            } else {
                card.forge(RX, 77, 100);
                for number in 1..3 {
                    assert_eq!(expect(&mut net, &mut memory, &frame(60, number)), number as u16);
                }
            }
            // The next request brings the card up; what it had before comes back all the same.
            if again && by_transmit {
                net.send(&frame(60, 9)).unwrap();
            }
            while let Some(token) = poll(&net) {
                assert_eq!(collect(&mut net, token, &mut memory[usize::from(token)]), Err(Error::IoError));
                back.push(token);
            }
            back.sort_unstable();
            let lost = if by_transmit { 1..8 } else { 3..8 };
            assert_eq!(back, lost.collect::<Vec<_>>(), "{}", kind.name);
            assert_eq!(plug.live().1, 0);
            for turn in 0..20 {
                let token = offer(&mut net, &mut memory[0]).unwrap();
                assert!(card.deliver(&frame(100, turn)));
                assert_eq!(poll(&net), Some(token));
                let (header, length) = collect(&mut net, token, &mut memory[0]).unwrap();
                assert_eq!(memory[0][header..header + length], frame(100, turn));
            }
        }
    }
}

/// The slot of a buffer that is known to be next gets another meaning by a reset: nobody is told of it before it is filled.
#[test]
fn nothing_is_known_after_a_reset() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let mut memory = buffers::<4>();
        for round in 0..8 {
            let tokens: Vec<_> = memory.iter_mut().map(|buffer| offer(&mut net, buffer).unwrap()).collect();
            assert!(card.deliver(&frame(60, 1)) && card.deliver(&frame(60, 2)));
            assert_eq!(poll(&net), Some(tokens[0]));
            assert!(collect(&mut net, tokens[0], &mut memory[0]).is_ok());
            let known = poll(&net).unwrap();
            assert_eq!(known, tokens[1]);
            card.forge(TX, 77, 0);
            assert_eq!(net.poll_transmit(), None);
            // By tokens, without a poll, in another order.
            for place in [3, 1, 2] {
                let token = tokens[(place + round) % 3 + 1];
                let buffer = &mut memory[tokens.iter().position(|one| *one == token).unwrap()];
                assert_eq!(collect(&mut net, token, buffer), Err(Error::IoError), "{}", kind.name);
            }
            assert_eq!(poll(&net), None);
            let token = offer(&mut net, &mut memory[0]).unwrap();
            assert_eq!(poll(&net), None);
            assert!(card.deliver(&frame(60, 3)));
            assert_eq!(poll(&net), Some(token));
            assert!(collect(&mut net, token, &mut memory[0]).is_ok());
        }
    }
}

/// A card that does not confirm its reset may still write all it has: nothing is told that could not be completed.
#[test]
fn nothing_is_known_while_a_reset_hangs() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let mut memory = buffers::<4>();
        for buffer in &mut memory {
            offer(&mut net, buffer).unwrap();
        }
        assert!(card.deliver(&frame(60, 1)) && card.deliver(&frame(60, 2)));
        expect(&mut net, &mut memory, &frame(60, 1));
        assert_eq!(poll(&net), Some(1));
        card.change(|config| config.resets = 0);
        card.forge(TX, 77, 0);
        assert_eq!(net.poll_transmit(), None);
        for _ in 0..3 {
            assert_eq!(poll(&net), None, "{}", kind.name);
            assert_eq!(collect(&mut net, 1, &mut memory[1]), Err(Error::NotReady));
        }
        assert_eq!(plug.live().1, 3);
        card.change(|config| config.resets = usize::MAX);
        for token in [1, 2, 3] {
            assert_eq!(collect(&mut net, token, &mut memory[usize::from(token)]), Err(Error::IoError));
        }
        assert_eq!((poll(&net), plug.live().1), (None, 0));
    }
}

/// The element of a buffer that is known to be next names another one suddenly: a wrong token once, and then the truth.
#[test]
fn an_element_that_changes() {
    use vm_memory::{Bytes, GuestAddress};
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<8>(&card);
        let mut memory = buffers::<8>();
        for buffer in &mut memory {
            offer(&mut net, buffer).unwrap();
        }
        let entries = u64::from(card.queue_size(RX));
        let available = card.ring(RX) + 16 * entries;
        let end = available + 6 + 2 * entries;
        let used = if kind.legacy { end.next_multiple_of(4096) } else { end.next_multiple_of(64) };
        let bytes = net.info().header_length as u32 + 60;
        for token in [0, 1, 2] {
            card.forge(RX, token, bytes);
        }
        assert!(collect(&mut net, 0, &mut memory[0]).is_ok());
        assert_eq!(poll(&net), Some(1));
        plug.memory().write_obj(6_u32.to_le(), GuestAddress(used + 4 + 8)).unwrap();
        assert_eq!(collect(&mut net, 1, &mut memory[1]), Err(Error::WrongToken), "{}", kind.name);
        assert_eq!(poll(&net), Some(6));
        assert!(collect(&mut net, 6, &mut memory[6]).is_ok());
        assert_eq!(poll(&net), Some(2));
        assert!(collect(&mut net, 2, &mut memory[2]).is_ok());
        assert_eq!((poll(&net), collect(&mut net, 1, &mut memory[1])), (None, Err(Error::NotReady)));
        drop(net); // before the buffers that it has
    }
}

/// Waiting begins with nothing known, whatever came before.
#[test]
fn waiting_after_bursts() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<8>(&card);
        let mut memory = buffers::<8>();
        for buffer in &mut memory {
            offer(&mut net, buffer).unwrap();
        }
        for number in 0..8 {
            assert!(card.deliver(&frame(80, number)));
        }
        for number in 0..8 {
            assert_eq!(net.receive_wait(&mut [0; 1526]), Err(Error::AlreadyUsed));
            expect(&mut net, &mut memory, &frame(80, number));
        }
        let mut waited = vec![0; 1526];
        for number in 0..8 {
            let outcome;
            (net, waited, outcome) = wait_beside(&plug, net, waited, || card.deliver(&frame(90, number)));
            let (header, length) = outcome.unwrap();
            assert_eq!(waited[header..header + length], frame(90, number), "{}", kind.name);
            assert_eq!(poll(&net), None);
        }
        assert_eq!(plug.live().1, 0);
    }
}

/// Of a buffer that is longer than any frame the same part is shared and unshared, with a header in front and without an error.
#[test]
fn long_buffers() {
    for kind in KINDS {
        let (plug, card) = machine(kind);
        let mut net = raw::<4>(&card);
        let header = net.info().header_length;
        for more in [0, 1, 12, 13, 5000] {
            for refused in [false, true] {
                let mut memory = vec![0x77; header + 65_535 + more];
                let token = offer(&mut net, &mut memory).unwrap();
                let head = if refused { u32::MAX } else { header as u32 + 65_535 };
                assert!(card.deliver_with(&[0; HEADER_ROOM - 2], &frame(65_535, 1), |id, _| (id, head)));
                assert_eq!(poll(&net), Some(token));
                let outcome = collect(&mut net, token, &mut memory);
                assert_eq!(
                    outcome,
                    if refused { Err(Error::IoError) } else { Ok((header, 65_535)) },
                    "{}",
                    kind.name
                );
                assert_eq!(memory[header..header + 65_535], frame(65_535, 1));
                assert!(memory[header + 65_535..].iter().all(|byte| *byte == 0x77));
                assert_eq!(plug.live().1, 0);
            }
        }
        let mut memory = vec![0; header + 70_000];
        let _ = offer(&mut net, &mut memory).unwrap();
        drop(net);
        assert_eq!(plug.live(), (0, 0));
    }
}

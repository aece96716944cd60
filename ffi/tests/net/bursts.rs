//! Bursts through `NetDevice`: several frames for one call, copied and in place.

use crate::device::{KINDS, MODERN, RX, TX, frame, machine, number_of};
use crate::net;
use virtio_net_c::sys::*;
use virtio_net_c::{Error, Packets};

fn numbers(frames: &[Vec<u8>]) -> Vec<u32> {
    frames.iter().map(|frame| number_of(frame)).collect()
}

#[test]
fn copied_frames_arrive_in_order() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<128>(&card);
        for count in [0, 1, 2, 31, 32, 33, 64, 65, 100, 128] {
            let frames: Vec<Vec<u8>> = (0..count).map(|number| frame(60 + number as usize, number)).collect();
            assert_eq!(net.send_burst(&frames), Ok(frames.len()));
            assert_eq!(card.sent(), frames, "{}, {count} frames", kind.name);
        }
    }
}

/// Though the calls into C take 32 frames at most.
#[test]
fn a_burst_notifies_once() {
    let (_plug, card) = machine(KINDS[1]);
    let mut net = net::<128>(&card);
    let frames: Vec<Vec<u8>> = (0..100).map(|number| frame(60, number)).collect();
    assert_eq!(net.send_burst(&frames), Ok(100));
    assert_eq!((card.notifications(TX), card.sent().len()), (1, 100));
}

/// What was posted is told to the device, also where a later part of the burst is not.
#[test]
fn a_burst_ends_where_it_must() {
    let (_plug, card) = machine(MODERN);
    let mut net = net::<64>(&card);
    let good: Vec<Vec<u8>> = (0..100).map(|number| frame(60, number)).collect();
    assert_eq!(net.send_burst(&good), Ok(64), "the slots do not suffice");
    assert_eq!(net.send_burst(&good), Err(Error::QUEUE_FULL));
    assert_eq!(numbers(&card.sent()), (0..64).collect::<Vec<_>>());
    for bad in [0, 1, 31, 32, 33, 50] {
        let mut frames = good.clone();
        frames[bad].truncate(13);
        let outcome = net.send_burst(&frames);
        if bad == 0 {
            assert_eq!(outcome.err().map(Error::code), Some(VIRTIO_NET_ERROR_FRAME_EMPTY));
        } else {
            assert_eq!(outcome, Ok(bad));
        }
        assert_eq!(card.sent(), good[..bad], "up to {bad}");
        assert_eq!(net.tx_free(), 64);
    }
}

#[test]
fn written_in_place_and_sent_together() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        let mut room = Packets::<32>::new();
        let mut number = 0;
        for round in 0..2000 {
            let wanted = 1 + round % 20;
            let mut burst = net.reserve_burst(&mut room, wanted).unwrap();
            assert_eq!((burst.remaining(), burst.written()), (wanted.min(16), 0));
            let mut written = Vec::new();
            while let Some(mut slot) = burst.next() {
                assert_eq!((slot.len(), slot.as_ptr() as usize % 16), (1518, 0));
                let bytes = frame(60 + number as usize % 1455, number);
                slot[..bytes.len()].copy_from_slice(&bytes);
                slot.finish(bytes.len());
                written.push(bytes);
                number += 1;
            }
            assert_eq!((burst.remaining(), burst.written()), (0, written.len()));
            assert_eq!(burst.send(), Ok(written.len()));
            assert_eq!(card.sent(), written, "{}, round {round}", kind.name);
        }
        assert_eq!((net.tx_free(), net.stats().tx_frames), (16, u64::from(number)));
    }
}

#[test]
fn a_burst_in_place_notifies_once() {
    let (_plug, card) = machine(KINDS[1]);
    let mut net = net::<64>(&card);
    let mut room = Packets::<32>::new();
    let mut burst = net.reserve_burst(&mut room, 32).unwrap();
    while let Some(mut slot) = burst.next() {
        slot[..14].fill(1);
        slot.finish(14);
    }
    assert_eq!(burst.send(), Ok(32));
    assert_eq!((card.notifications(TX), card.sent().len()), (1, 32));
}

/// Written or not, sent or not: no slot stays behind, and nothing is sent that was not meant to be.
#[test]
fn what_is_not_sent_is_given_back() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        let mut room = Packets::<16>::new();
        for count in 0..=16 {
            for written in 0..=count {
                for send in [true, false] {
                    let mut burst = net.reserve_burst(&mut room, count).unwrap();
                    for number in 0..written as u32 {
                        // One that is looked at and dropped is offered again.
                        let place = burst.next().unwrap().as_ptr();
                        let mut slot = burst.next().unwrap();
                        assert_eq!(slot.as_ptr(), place);
                        slot[..60].copy_from_slice(&frame(60, number));
                        slot.finish(60);
                    }
                    assert_eq!((burst.written(), burst.remaining()), (written, count - written));
                    let posted = if send { written } else { 0 };
                    if send {
                        assert_eq!(burst.send(), Ok(written));
                    } else {
                        drop(burst);
                    }
                    assert_eq!(numbers(&card.sent()), (0..posted as u32).collect::<Vec<_>>());
                    assert_eq!(net.tx_free(), 16, "{} of {count} written", written);
                }
            }
        }
    }
}

#[test]
fn a_bad_length_ends_the_burst() {
    let (_plug, card) = machine(MODERN);
    let mut net = net::<16>(&card);
    let mut room = Packets::<16>::new();
    for (length, code) in [
        (0, VIRTIO_NET_ERROR_FRAME_EMPTY),
        (13, VIRTIO_NET_ERROR_FRAME_EMPTY),
        (1519, VIRTIO_NET_ERROR_FRAME_TOO_LONG),
        (usize::MAX, VIRTIO_NET_ERROR_FRAME_TOO_LONG),
        (0x1_0000_003c, VIRTIO_NET_ERROR_FRAME_TOO_LONG),
    ] {
        for bad in 0..4 {
            let mut burst = net.reserve_burst(&mut room, 6).unwrap();
            for number in 0..4 {
                let mut slot = burst.next().unwrap();
                slot[..60].copy_from_slice(&frame(60, number));
                slot.finish(if number == bad { length } else { 60 });
            }
            match burst.send() {
                Ok(posted) => assert_eq!(posted, bad as usize),
                Err(error) => assert_eq!((error.code(), bad), (code, 0)),
            }
            assert_eq!(numbers(&card.sent()), (0..bad).collect::<Vec<_>>());
            assert_eq!(net.tx_free(), 16);
        }
    }
}

#[test]
fn reservations_know_their_limits() {
    let (_plug, card) = machine(MODERN);
    let mut net = net::<16>(&card);
    let mut room = Packets::<4>::new();
    assert_eq!(net.reserve_burst(&mut room, usize::MAX).unwrap().remaining(), 4);
    assert_eq!(net.reserve_burst(&mut Packets::<0>::new(), 4).unwrap().remaining(), 0);
    for number in 0..14 {
        net.send(&frame(60, number)).unwrap();
    }
    assert_eq!(net.reserve_burst(&mut room, 4).unwrap().remaining(), 2, "as many as are free");
    net.send_burst(&[frame(60, 14), frame(60, 15)]).unwrap();
    assert_eq!(net.reserve_burst(&mut room, 4).err(), Some(Error::QUEUE_FULL));
    assert_eq!(card.sent().len(), 16);
}

#[test]
fn lent_in_place_and_given_back_together() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        let mut room = Packets::<8>::new();
        assert!(net.peek_burst(&mut room).unwrap().is_empty());
        let (mut delivered, mut received) = (0_u32, 0_u32);
        let bytes = |number: u32| frame(60 + number as usize * 3 % 1455, number);
        for round in 0..1000 {
            for _ in 0..round % 17 {
                delivered += u32::from(card.deliver(&bytes(delivered)));
            }
            let waiting = (delivered - received) as usize;
            let mut burst = net.peek_burst(&mut room).unwrap();
            assert_eq!(burst.len(), waiting.min(8), "{}, round {round}", kind.name);
            assert_eq!((burst.iter().len(), burst.is_empty()), (burst.len(), waiting == 0));
            for (lent, number) in burst.iter().zip(received..) {
                assert_eq!((lent, lent.as_ptr() as usize % 16), (&*bytes(number), 0));
            }
            for lent in &mut burst {
                lent.fill(0xee);
            }
            assert!(burst.iter().all(|lent| lent.iter().all(|byte| *byte == 0xee)));
            received += burst.len() as u32;
            drop(burst);
            assert_eq!(card.buffers(), 16 - (delivered - received) as usize, "the buffers are posted again");
        }
        assert!(received > 5000, "{received} frames");
    }
}

#[test]
fn a_burst_is_posted_again_at_once() {
    let (_plug, card) = machine(KINDS[1]);
    let mut net = net::<16>(&card);
    let mut room = Packets::<16>::new();
    while card.deliver(&frame(60, 0)) {}
    let before = card.notifications(RX);
    assert_eq!(net.peek_burst(&mut room).unwrap().len(), 16);
    assert_eq!((card.notifications(RX) - before, card.buffers()), (1, 16));
}

#[test]
fn received_into_many_buffers() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<128>(&card);
        let mut buffers = vec![[0; 1518]; 100];
        let mut lengths = [0; 100];
        for count in [0, 1, 31, 32, 33, 63, 64, 65, 100] {
            for number in 0..count {
                assert!(card.deliver(&frame(60 + number as usize, number)));
            }
            assert_eq!(net.receive_burst(&mut buffers, &mut lengths), Ok(count as usize), "{}", kind.name);
            for number in 0..count {
                let place = number as usize;
                assert_eq!(buffers[place][..lengths[place]], frame(60 + place, number), "{}", kind.name);
            }
        }
        for number in 0..70 {
            assert!(card.deliver(&frame(60, number)));
        }
        assert_eq!(net.receive_burst(&mut buffers, &mut lengths[..33]), Ok(33), "as many as there are lengths for");
        assert_eq!(net.receive_burst(&mut buffers[..7], &mut lengths), Ok(7), "as many as there are buffers");
        assert_eq!((net.rx_ready(), number_of(&buffers[6])), (30, 39));
    }
}

#[test]
fn a_small_buffer_ends_the_burst() {
    let (_plug, card) = machine(MODERN);
    let mut net = net::<64>(&card);
    for number in 0..40 {
        assert!(card.deliver(&frame(if number == 35 { 600 } else { 60 }, number)));
    }
    let (mut small, mut lengths) = (vec![[0; 599]; 50], [0; 50]);
    assert_eq!(net.receive_burst(&mut small, &mut lengths), Ok(35));
    assert_eq!(net.receive_burst(&mut small, &mut lengths), Err(Error::BUFFER_TOO_SMALL));
    assert_eq!(net.receive(&mut [0; 600]), Ok(Some(600)), "it stays");
    assert_eq!(net.receive_burst(&mut small, &mut lengths), Ok(4));
    // No later buffer takes what an earlier one had no room for.
    for bad in [1, 10, 31, 32, 33] {
        let mut buffers = vec![vec![0; 1518]; 64];
        buffers[bad].truncate(99);
        for number in 0..40 {
            assert!(card.deliver(&frame(100, number)));
        }
        assert_eq!(net.receive_burst(&mut buffers, &mut [0; 64]), Ok(bad));
        assert_eq!((number_of(&buffers[bad - 1]), net.rx_ready()), (bad as u32 - 1, 40 - bad));
        assert_eq!(net.receive_burst(&mut small, &mut lengths), Ok(40 - bad));
    }
}

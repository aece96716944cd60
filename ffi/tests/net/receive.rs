//! Receive through `NetDevice`: copied and in place.

use crate::device::{FakeTransport, KINDS, Kind, MODERN, TestHal, frame, machine};
use crate::{net, receive};
use virtio_net_c::{Error, NetDevice, Options};

#[test]
fn every_length_arrives_as_it_is() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        assert_eq!(receive(&mut net), None);
        for (number, length) in (0..).zip((14..=130).chain([256, 1000, 1500, 1513, 1514, 1518])) {
            assert!(card.deliver(&frame(length, number)));
            assert_eq!(receive(&mut net), Some(frame(length, number)), "{}, {length} bytes", kind.name);
            assert_eq!(receive(&mut net), None);
        }
    }
}

#[test]
fn in_order_and_round_the_ring() {
    fn check<const N: usize>(kind: Kind, rounds: u32) {
        let (_plug, card) = machine(kind);
        let mut net = net::<N>(&card);
        let (mut delivered, mut received) = (0, 0);
        for _ in 0..rounds {
            while card.deliver(&frame(60, delivered)) {
                delivered += 1;
            }
            assert_eq!((delivered - received, net.rx_ready()), (N as u32, N), "{}", kind.name);
            while let Some(bytes) = receive(&mut net) {
                assert_eq!(bytes, frame(60, received));
                received += 1;
            }
            assert_eq!(received, delivered);
        }
        assert_eq!(net.stats().rx_frames, u64::from(received));
        assert_eq!(net.stats().rx_bytes, u64::from(received) * 60);
    }
    for kind in KINDS {
        check::<1>(kind, 50);
        check::<2>(kind, 50);
        check::<16>(kind, 50);
        check::<256>(kind, 10);
    }
    check::<1024>(MODERN, 66);
}

#[test]
fn a_small_buffer_loses_nothing() {
    let (_plug, card) = machine(MODERN);
    let mut net = net::<16>(&card);
    assert!(card.deliver(&frame(600, 1)));
    assert_eq!(net.receive(&mut [0; 599]), Err(Error::BUFFER_TOO_SMALL));
    assert_eq!(receive(&mut net), Some(frame(600, 1)));
    assert_eq!(receive(&mut net), None);
}

#[test]
fn frames_read_in_place() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        assert!(net.peek().unwrap().is_none());
        for number in 0..500 {
            let length = 60 + number as usize * 3 % 1455;
            assert!(card.deliver(&frame(length, number)));
            let mut lent = net.peek().unwrap().unwrap();
            assert_eq!((&*lent, lent.as_ptr() as usize % 16), (&*frame(length, number), 0));
            lent.fill(0);
            drop(lent);
            assert_eq!(card.buffers(), 16, "the buffer is posted again");
        }
    }
}

#[test]
fn headroom_moves_the_frame() {
    let (_plug, card) = machine(MODERN);
    let options = Options::new().rx_headroom(2).rx_buffer_bytes(9014).tx_buffer_bytes(9014);
    let mut net = NetDevice::<TestHal, _, 4, 8>::new(FakeTransport::new(&card), options).unwrap();
    assert_eq!((net.info().tx_slots, net.info().rx_slots), (4, 8));
    for number in 0..20 {
        assert!(card.deliver(&frame(9014, number)));
        let lent = net.peek().unwrap().unwrap();
        assert_eq!((&*lent, lent.as_ptr() as usize % 16), (&*frame(9014, number), 2));
        drop(lent);
        net.send(&frame(9014, number)).unwrap();
        assert_eq!(card.sent(), [frame(9014, number)]);
    }
}

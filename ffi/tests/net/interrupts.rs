//! Interrupts, as `virtio-queue` decides on them from what the driver wrote (virtio 1.2, 2.7.7 and 2.7.10).

use crate::device::{KINDS, RX, TX, frame, machine};
use crate::{net, receive};
use virtio_net_c::sys::*;

/// Nobody who polls is interrupted, not even after more completions than a 16-bit index has.
#[test]
fn polling_interrupts_nobody() {
    for kind in [KINDS[0], KINDS[1], KINDS[3]] {
        let (_plug, card) = machine(kind);
        let mut net = net::<256>(&card);
        let mut buffer = [0; 1518];
        for number in 0..70_000 / 64 {
            for _ in 0..64 {
                net.send(&frame(14, number)).unwrap();
                assert!(card.deliver(&frame(14, number)));
                assert_eq!(net.receive(&mut buffer).unwrap(), Some(14));
            }
            while card.take() {
                card.finish(0);
            }
        }
        assert_eq!((card.interrupts(RX), card.interrupts(TX)), (0, 0), "{}", kind.name);
        assert_eq!(net.ack_interrupt(), 0);
    }
}

#[test]
fn an_interrupt_for_each_direction_asked_for() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        assert_eq!(net.enable_interrupts(VIRTIO_NET_IRQ_RX).unwrap(), 0);
        net.send(&frame(60, 1)).unwrap();
        assert_eq!(card.sent().len(), 1);
        assert_eq!((card.interrupts(RX), card.interrupts(TX)), (0, 0), "{}", kind.name);
        assert!(card.deliver(&frame(60, 1)));
        assert_eq!((card.interrupts(RX), card.interrupts(TX)), (1, 0), "{}", kind.name);
        assert_eq!(net.ack_interrupt(), VIRTIO_NET_EVENT_QUEUE);
        assert_eq!(net.ack_interrupt(), 0);
        while receive(&mut net).is_some() {}
        // It is asked for again by receiving until there is none.
        assert!(card.deliver(&frame(60, 2)));
        assert_eq!(card.interrupts(RX), 2, "{}", kind.name);
        // What waits already is told instead.
        net.disable_interrupts(VIRTIO_NET_IRQ_RX).unwrap();
        assert_eq!(net.enable_interrupts(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX).unwrap() & VIRTIO_NET_IRQ_RX, 1);
        while receive(&mut net).is_some() {}
        net.poll_tx().unwrap();
        net.send(&frame(60, 3)).unwrap();
        assert_eq!(card.sent().len(), 1);
        assert_eq!(card.interrupts(TX), 1, "{}", kind.name);
        assert!(net.ack_interrupt() & VIRTIO_NET_EVENT_QUEUE != 0);
        net.disable_interrupts(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX).unwrap();
        let before = (card.interrupts(RX), card.interrupts(TX));
        net.send(&frame(60, 4)).unwrap();
        card.sent();
        assert!(card.deliver(&frame(60, 4)));
        assert_eq!((card.interrupts(RX), card.interrupts(TX)), before, "{}", kind.name);
        assert_eq!(net.stats().interrupts, 2);
    }
}

/// The switch is not lost when the device is reset.
#[test]
fn a_recovery_keeps_interrupts_apart() {
    for kind in KINDS {
        let (_plug, card) = machine(kind);
        let mut net = net::<16>(&card);
        net.recover().unwrap();
        assert!(card.deliver(&frame(60, 1)));
        assert_eq!(card.interrupts(RX), 0, "{}", kind.name);
    }
}

#[cfg(feature = "alloc")]
mod drop_in {
    use super::*;
    use crate::device::Kind;
    use crate::{DropIn, drop_in};
    use virtio_drivers::transport::InterruptStatus;
    use virtio_net_c::TxBuffer;

    fn take_all<const N: usize>(net: &mut DropIn<N>) {
        while let Ok(buffer) = net.receive() {
            net.recycle_rx_buffer(buffer).unwrap();
        }
    }

    fn check<const N: usize>(kind: Kind) {
        let (_plug, card) = machine(kind);
        let mut net = drop_in::<N>(&card);
        // Unasked, as in the original, and again after each frame.
        for round in 1..=3 {
            assert!(card.deliver(&frame(60, 0)));
            assert_eq!(card.interrupts(RX), round, "{}", kind.name);
            assert!(net.ack_interrupt() == InterruptStatus::QUEUE_INTERRUPT);
            net.receive().and_then(|buffer| net.recycle_rx_buffer(buffer)).unwrap();
        }
        net.disable_interrupts();
        assert!(card.deliver(&frame(60, 0)));
        take_all(&mut net);
        assert!(card.interrupts(RX) == 3 && net.ack_interrupt() == InterruptStatus::empty());
        for round in 4..=60 {
            net.enable_interrupts();
            take_all(&mut net);
            net.send(TxBuffer::from(&frame(60, 1))).unwrap();
            assert_eq!((card.sent().len(), card.interrupts(TX)), (1, 0), "nobody waits for sent frames");
            assert!(card.deliver(&frame(60, 1)));
            assert_eq!(card.interrupts(RX), round, "{}, round {round}", kind.name);
            assert!(net.ack_interrupt() == InterruptStatus::QUEUE_INTERRUPT);
            net.disable_interrupts();
            take_all(&mut net);
            for number in 0..N as u32 / 2 {
                assert!(card.deliver(&frame(60, number)));
                net.send(TxBuffer::from(&frame(60, number))).unwrap();
            }
            assert_eq!(card.sent().len(), N / 2);
            take_all(&mut net);
            assert_eq!((card.interrupts(RX), card.interrupts(TX)), (round, 0), "{} is not silent", kind.name);
        }
        card.ask_for_reset();
        assert!(net.ack_interrupt() == InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT);
    }

    #[test]
    fn the_drop_in_can_silence_the_device() {
        for kind in KINDS {
            check::<4>(kind);
            check::<16>(kind);
            check::<256>(kind);
        }
    }
}

//! An echo in place: frames are read where the card has put them, answered where it will fetch them, thirty-two for each call.
//!
//! In a kernel `Hal` and the transport are its own, and the card is real. Here both ends are:
//! `cargo run -p virtio-net-c --example echo`.

extern crate virtio_drivers_0_12 as virtio_drivers;

#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the card of the tests")]
#[path = "../tests/device/mod.rs"]
mod device;

use device::{Card, FakeTransport, MODERN, TestHal, machine};
use virtio_net_c::{Error, Link, NetDevice, Options, Packets, Receiver, Transmitter};

/// Answers the frames that wait, and returns how many. The answers of those for which there is no slot are lost, as on any
/// Ethernet.
fn answer<T>(
    rx: &mut Receiver<'_, T>,
    tx: &mut Transmitter<'_, T>,
    mac: [u8; 6],
    rooms: &mut [Packets<32>; 2],
) -> Result<usize, Error> {
    let [lent, reserved] = rooms;
    let received = rx.peek_burst(lent)?;
    let mut answers = match tx.reserve_burst(reserved, received.len()) {
        Ok(burst) => burst,
        Err(Error::QUEUE_FULL) => return Ok(0),
        Err(error) => return Err(error),
    };
    for frame in &received {
        let Some(mut slot) = answers.next() else { break };
        let Some(room) = slot.get_mut(..frame.len()) else { continue };
        room.copy_from_slice(frame);
        room.copy_within(6..12, 0);
        room[6..12].copy_from_slice(&mac);
        slot.finish(frame.len());
    }
    // One notification at most. `received` gives its buffers back at the end of this function, with another.
    answers.send()
}

/// What a peer sends, and what it gets back.
fn play_peer(card: &Card, mac: [u8; 6], number: u8) -> bool {
    let peer = [2, 0, 0, 0, 0, 1];
    let mut frame = [mac, peer].concat();
    frame.extend([0x88, 0xb5]);
    frame.resize(60 + usize::from(number), number);
    card.deliver(&frame)
}

fn main() -> Result<(), Error> {
    let (_machine, card) = machine(MODERN);
    let mut net = NetDevice::<TestHal, _, 64, 64>::new(FakeTransport::new(&card), Options::new())?;
    assert_eq!(net.link()?, Link::Up);
    let mac = net.mac_address();
    println!("{mac:02x?}, mtu {}, features {:#x}", net.mtu(), net.features());

    let (mut tx, mut rx, _) = net.split();
    let mut rooms = [Packets::new(), Packets::new()];
    let mut answered = 0;
    for round in 0..100 {
        let asked = (0..20).filter(|number| play_peer(&card, mac, round + number)).count();
        answered += answer(&mut rx, &mut tx, mac, &mut rooms)?;
        let answers = card.sent();
        assert_eq!(answers.len(), asked);
        assert!(answers.iter().all(|frame| frame[6..12] == mac && frame[5] == 1));
    }
    let stats = net.stats();
    println!("{answered} frames answered, {} notifications", stats.tx_kicks + stats.rx_kicks);
    assert_eq!((stats.tx_frames, stats.rx_frames), (2000, 2000));
    Ok(())
}

#[test]
fn runs() -> Result<(), Error> {
    main()
}

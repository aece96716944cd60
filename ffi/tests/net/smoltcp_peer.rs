//! smoltcp on both ends: over the driver on the guest's side, and over nothing but two queues behind the card.
#![cfg(feature = "smoltcp-0_14")]

use crate::device::{Card, FakeTransport, KINDS, Kind, TestHal, feature, machine};
use crate::net;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{icmp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, IpAddress, IpCidr, IpEndpoint, Ipv4Address,
};
use std::collections::VecDeque;
use virtio_net_c::{Duplex, NetDevice, Options};

const GUEST: Ipv4Address = Ipv4Address::new(10, 9, 8, 1);
const PEER: Ipv4Address = Ipv4Address::new(10, 9, 8, 2);
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const PORT: u16 = 7777;
const ROUNDS: usize = 60;

/// The peer's end of the cable.
#[derive(Default)]
struct Cable {
    to_peer: VecDeque<Vec<u8>>,
    from_peer: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);
struct Room<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Cable {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Room<'_>)> {
        Some((Received(self.to_peer.pop_front()?), Room(&mut self.from_peer)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        Some(Room(&mut self.from_peer))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

fn interface(device: &mut impl Device, mac: [u8; 6], address: Ipv4Address) -> Interface {
    let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
    let mut interface = Interface::new(config, device, Instant::ZERO);
    interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address.into(), 24)).unwrap());
    interface
}

fn udp_socket(sockets: &mut SocketSet<'_>) -> SocketHandle {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 16384]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(PORT).unwrap();
    sockets.add(socket)
}

fn icmp_socket(sockets: &mut SocketSet<'_>, ident: u16) -> SocketHandle {
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 8], vec![0; 16384]);
    let mut socket = icmp::Socket::new(buffer(), buffer());
    socket.bind(icmp::Endpoint::Ident(ident)).unwrap();
    sockets.add(socket)
}

/// Lengths from nothing to what fills a frame: 1,500 less the headers of IP and UDP or ICMP.
fn payload(round: usize) -> Vec<u8> {
    (0..round * 25 % 1473).map(|place| (place * 3 + round) as u8).chain([round as u8]).take(1472).collect()
}

/// The guest pings the peer and sends it datagrams, which the peer returns; then the peer pings the guest.
fn talk(card: &Card, mac: [u8; 6], device: &mut impl Device) {
    let mut cable = Cable::default();
    let mut guest = interface(device, mac, GUEST);
    let mut peer = interface(&mut cable, PEER_MAC, PEER);
    let (mut guest_sockets, mut peer_sockets) = (SocketSet::new(vec![]), SocketSet::new(vec![]));
    let (guest_udp, peer_udp) = (udp_socket(&mut guest_sockets), udp_socket(&mut peer_sockets));
    let (guest_icmp, peer_icmp) = (icmp_socket(&mut guest_sockets, 1), icmp_socket(&mut peer_sockets, 2));
    let mut now = 0;
    let mut turn = |guest_sockets: &mut SocketSet<'_>, peer_sockets: &mut SocketSet<'_>| {
        now += 1;
        let time = Instant::from_millis(now);
        guest.poll(time, device, guest_sockets);
        cable.to_peer.extend(card.sent());
        peer.poll(time, &mut cable, peer_sockets);
        while cable.from_peer.front().is_some_and(|frame| card.deliver(frame)) {
            cable.from_peer.pop_front();
        }
        assert!(now < 100_000, "the answer does not come");
    };

    for round in 0..ROUNDS {
        let sent = payload(round);
        let socket = guest_sockets.get_mut::<udp::Socket>(guest_udp);
        socket.send_slice(&sent, IpEndpoint::new(PEER.into(), PORT)).unwrap();
        loop {
            turn(&mut guest_sockets, &mut peer_sockets);
            let socket = peer_sockets.get_mut::<udp::Socket>(peer_udp);
            if let Ok((received, from)) = socket.recv() {
                let (answer, endpoint) = (received.to_vec(), from.endpoint);
                assert_eq!((&answer, endpoint.addr), (&sent, IpAddress::from(GUEST)));
                socket.send_slice(&answer, endpoint).unwrap();
            }
            if let Ok((received, _)) = guest_sockets.get_mut::<udp::Socket>(guest_udp).recv() {
                assert_eq!(received, sent);
                break;
            }
        }
        let caps = ChecksumCapabilities::default();
        for (handle, to, from_guest) in [(guest_icmp, PEER, true), (peer_icmp, GUEST, false)] {
            let ident = if from_guest { 1 } else { 2 };
            let sockets = if from_guest { &mut guest_sockets } else { &mut peer_sockets };
            let request = Icmpv4Repr::EchoRequest { ident, seq_no: round as u16, data: &sent };
            let socket = sockets.get_mut::<icmp::Socket>(handle);
            let bytes = socket.send(request.buffer_len(), to.into()).unwrap();
            request.emit(&mut Icmpv4Packet::new_unchecked(bytes), &caps);
            loop {
                turn(&mut guest_sockets, &mut peer_sockets);
                let sockets = if from_guest { &mut guest_sockets } else { &mut peer_sockets };
                let Ok((bytes, from)) = sockets.get_mut::<icmp::Socket>(handle).recv() else { continue };
                let packet = Icmpv4Packet::new_checked(bytes).unwrap();
                let reply = Icmpv4Repr::EchoReply { ident, seq_no: round as u16, data: &sent };
                assert_eq!((Icmpv4Repr::parse(&packet, &caps).unwrap(), from), (reply, to.into()));
                break;
            }
        }
    }
}

fn over_the_driver<const N: usize>(kind: Kind) {
    let (_plug, card) = machine(kind);
    let mut net = net::<N>(&card);
    assert_eq!(net.capabilities().max_transmission_unit, 1514);
    let mac = net.mac_address();
    talk(&card, mac, &mut net);
    net.poll_tx().unwrap();
    assert_eq!((net.tx_free(), card.buffers()), (N, N), "a token keeps a slot");
}

/// The same while somebody else has the interrupt.
fn over_both_directions<const N: usize>(kind: Kind) {
    let (_plug, card) = machine(kind);
    let mut net = net::<N>(&card);
    let mac = net.mac_address();
    let (transmitter, receiver, mut interrupts) = net.split();
    let mut duplex = Duplex { transmitter, receiver };
    duplex.receiver.enable_interrupts().unwrap();
    talk(&card, mac, &mut duplex);
    assert_eq!(interrupts.acknowledge(), virtio_net_c::sys::VIRTIO_NET_EVENT_QUEUE);
    duplex.transmitter.poll().unwrap();
    assert_eq!((duplex.transmitter.free(), card.buffers()), (N, N), "a token keeps a slot");
}

/// What smoltcp may rely on: the length of a frame with its header, and how many of them there is room for.
#[test]
fn capabilities_are_the_driver_s() {
    let (_plug, card) = machine(KINDS[0]);
    let check = |capabilities: DeviceCapabilities, frame: usize, burst: usize| {
        assert_eq!((capabilities.max_transmission_unit, capabilities.max_burst_size), (frame, Some(burst)));
        assert_eq!(capabilities.medium, Medium::Ethernet);
        // The device computes none.
        assert!(capabilities.checksum.ipv4.rx() && capabilities.checksum.ipv4.tx());
        assert!(capabilities.checksum.udp.rx() && capabilities.checksum.tcp.tx());
    };
    let make = |options| NetDevice::<TestHal, _, 8, 32>::new(FakeTransport::new(&card), options).unwrap();
    check(make(Options::new()).capabilities(), 1514, 8);
    check(make(Options::new().tx_buffer_bytes(1000)).capabilities(), 1000, 8);
    card.change(|config| (config.queue_max, config.mtu) = (4, 1200));
    check(make(Options::new()).capabilities(), 1514, 4);
    card.change(|config| config.features |= feature::MTU);
    let mut net = make(Options::new());
    check(net.capabilities(), 1214, 4);
    let (transmitter, receiver, _) = net.split();
    check(Duplex { transmitter, receiver }.capabilities(), 1214, 4);
    drop(net);
    #[cfg(feature = "alloc")]
    check(crate::drop_in::<16>(&card).capabilities(), 1214, 4);
}

#[test]
fn smoltcp_over_the_driver() {
    for kind in KINDS {
        over_both_directions::<2>(kind);
        over_both_directions::<16>(kind);
        over_the_driver::<2>(kind);
        over_the_driver::<16>(kind);
    }
    over_the_driver::<256>(KINDS[0]);
}

/// One token may be used inside of the other's call.
#[test]
fn tokens_nest() {
    let (_plug, card) = machine(KINDS[0]);
    let mut drop_in =
        virtio_net_c::VirtIONet::<crate::TestHal, _, 4>::new(FakeTransport::new(&card), 2048).unwrap();
    for number in 0..40 {
        assert!(card.deliver(&crate::device::frame(60, number)));
        let (received, room) = Device::receive(&mut drop_in, Instant::ZERO).unwrap();
        if number % 2 == 0 {
            room.consume(60, |answer| received.consume(|bytes| answer.copy_from_slice(bytes)));
        } else {
            received.consume(|bytes| room.consume(60, |answer| answer.copy_from_slice(bytes)));
        }
        assert_eq!(card.sent(), [crate::device::frame(60, number)]);
    }
}

/// The token for the answer is held while the frame is read; both may also be dropped unused.
#[test]
fn tokens_may_be_dropped() {
    let (_plug, card) = machine(KINDS[0]);
    let mut net = net::<4>(&card);
    for number in 0..20 {
        assert!(Device::receive(&mut net, Instant::ZERO).is_none());
        assert!(card.deliver(&crate::device::frame(60, number)));
        let (received, room) = Device::receive(&mut net, Instant::ZERO).unwrap();
        if number % 2 == 0 {
            room.consume(60, |bytes| bytes.copy_from_slice(&crate::device::frame(60, number)));
            received.consume(|bytes| assert_eq!(bytes, crate::device::frame(60, number)));
            assert_eq!(card.sent(), [crate::device::frame(60, number)]);
        } else {
            drop((received, room));
            assert!(card.sent().is_empty());
        }
        drop(Device::transmit(&mut net, Instant::ZERO).unwrap());
        net.poll_tx().unwrap();
        assert_eq!((net.tx_free(), card.buffers()), (4, 4));
    }
    // With no room for the answer the frame waits.
    for number in 0..4 {
        net.send(&crate::device::frame(60, number)).unwrap();
    }
    assert!(card.deliver(&crate::device::frame(60, 99)));
    assert!(Device::receive(&mut net, Instant::ZERO).is_none());
    assert!(Device::transmit(&mut net, Instant::ZERO).is_none());
    card.sent();
    let (received, _room) = Device::receive(&mut net, Instant::ZERO).unwrap();
    received.consume(|bytes| assert_eq!(bytes, crate::device::frame(60, 99)));
}

/// Polling for frames looks after those that were sent.
#[test]
fn a_lost_notification_is_repeated() {
    use crate::device::{TX, frame};

    let (_plug, card) = machine(KINDS[0]);
    let mut net = net::<16>(&card);
    net.send(&frame(60, 1)).unwrap();
    assert!(card.take());
    net.send(&frame(60, 2)).unwrap();
    card.doze(TX);
    card.finish(0);
    for _ in 0..4 {
        assert!(Device::receive(&mut net, Instant::ZERO).is_none());
    }
    assert_eq!(card.sent(), [frame(60, 2)]);
}

#[cfg(feature = "alloc")]
mod drop_in {
    use super::*;
    use crate::drop_in;

    fn over_the_drop_in<const N: usize>(kind: Kind) {
        let (plug, card) = machine(kind);
        let mut net = drop_in::<N>(&card);
        assert_eq!(net.capabilities().max_transmission_unit, 1514);
        let mac = net.mac_address();
        talk(&card, mac, &mut net);
        assert!(net.receive().is_err());
        assert_eq!((card.buffers(), plug.live().1), (N, 0));
    }

    #[test]
    fn smoltcp_over_the_drop_in() {
        for kind in KINDS {
            over_the_drop_in::<2>(kind);
            over_the_drop_in::<16>(kind);
        }
        over_the_drop_in::<256>(KINDS[0]);
    }

    #[test]
    fn tokens_may_be_dropped() {
        let (_plug, card) = machine(KINDS[0]);
        let mut net = drop_in::<4>(&card);
        for number in 0..20 {
            assert!(card.deliver(&crate::device::frame(60, number)));
            let (received, room) = Device::receive(&mut net, Instant::ZERO).unwrap();
            if number % 2 == 0 {
                room.consume(60, |bytes| bytes.copy_from_slice(&crate::device::frame(60, number)));
                received.consume(|bytes| assert_eq!(bytes, crate::device::frame(60, number)));
                assert_eq!(card.sent(), [crate::device::frame(60, number)]);
            } else {
                drop((received, room));
            }
            assert!(Device::receive(&mut net, Instant::ZERO).is_none());
            assert_eq!(card.buffers(), 4);
        }
        for number in 0..4 {
            net.send(virtio_net_c::TxBuffer::from(&crate::device::frame(60, number))).unwrap();
        }
        assert!(card.deliver(&crate::device::frame(60, 99)));
        assert!(Device::receive(&mut net, Instant::ZERO).is_none());
        assert!(Device::transmit(&mut net, Instant::ZERO).is_none());
        card.sent();
        assert!(Device::receive(&mut net, Instant::ZERO).is_some());
    }
}

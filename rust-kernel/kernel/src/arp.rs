//! Address resolution by hand, with raw frames through `net.rs` and no network stack: the plainest use of the driver.

use crate::{net, stack};
use core::net::Ipv4Addr;
use levitate_hal::time::Deadline;
use levitate_utils::mac::Mac;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
};

/// How long an answer may take, and after how long the question is asked again.
const LIMIT_MS: u64 = 2000;
const REPEAT_MS: u64 = 500;
/// The shortest Ethernet frame without its check sequence (IEEE 802.3, 3.2.7); shorter ones are padded.
const FRAME: usize = 60;

/// Asks who has `target` and prints the answer.
pub fn show(target: Ipv4Addr) -> bool {
    let Some(mac) = net::mac_address() else {
        crate::println!("ARP: no network device");
        return false;
    };
    match resolve(EthernetAddress(mac), target) {
        Some(answer) => {
            crate::println!("ARP: {target} is at {}", Mac(answer.0));
            true
        }
        None => {
            crate::println!("ARP: {target}: no answer");
            false
        }
    }
}

/// Sends requests and looks at what comes in. Frames that are no answer are dropped meanwhile: the senders repeat them.
fn resolve(own: EthernetAddress, target: Ipv4Addr) -> Option<EthernetAddress> {
    let frame = request(own, stack::address(), target);
    let limit = Deadline::after_ms(LIMIT_MS);
    let mut repeat = Deadline::after_ms(0);
    while !limit.passed() {
        if repeat.passed() && net::can_send() && net::send(&frame).is_ok() {
            repeat = Deadline::after_ms(REPEAT_MS);
        }
        if net::can_recv()
            && let Some(frame) = net::receive()
            && let Some(answer) = answer(&frame, target)
        {
            return Some(answer);
        }
    }
    None
}

/// An ARP request (RFC 826). Without an address of our own it is a probe, with 0.0.0.0 as the sender (RFC 5227, 1.1).
fn request(own: EthernetAddress, own_address: Option<Ipv4Addr>, target: Ipv4Addr) -> [u8; FRAME] {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: own,
        source_protocol_addr: own_address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let ethernet =
        EthernetRepr { src_addr: own, dst_addr: EthernetAddress::BROADCAST, ethertype: EthernetProtocol::Arp };
    let mut bytes = [0; FRAME];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.emit(&mut frame);
    arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

fn answer(frame: &[u8], target: Ipv4Addr) -> Option<EthernetAddress> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    let packet = ArpPacket::new_checked(frame.payload()).ok()?;
    match ArpRepr::parse(&packet).ok()? {
        ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr,
            source_protocol_addr,
            ..
        } if source_protocol_addr == target => Some(source_hardware_addr),
        _ => None,
    }
}

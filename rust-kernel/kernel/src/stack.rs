//! The network stack: smoltcp on the NIC, with DHCP and ping. It answers ARP and ping by itself whenever it is polled.

use crate::net::{self, NetDevice};
use crate::netinfo;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use levitate_hal::time::{Deadline, now_us};
use levitate_utils::Spinlock;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{dhcpv4, icmp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, Icmpv4Packet, Icmpv4Repr, IpAddress, IpCidr, Ipv4Cidr};

/// The most frames taken in by one poll: a flood must not keep the caller.
const POLL_BUDGET: usize = 64;
/// Bytes in an echo request, as elsewhere: with the ICMP header they make 64.
const PING_DATA: usize = 56;
const PING_IDENT: u16 = 0x4c4f;
const PING_LIMIT_MS: u64 = 1000;
const PING_INTERVAL_MS: u64 = 200;

/// What the DHCP server gave.
#[derive(Clone, Copy, Debug)]
struct Lease {
    address: Ipv4Cidr,
    gateway: Option<Ipv4Addr>,
    dns: Option<Ipv4Addr>,
}

struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    dhcp: SocketHandle,
    icmp: SocketHandle,
    lease: Option<Lease>,
}

static STACK: Spinlock<Option<Stack>> = Spinlock::new(None);

/// Starts the stack, if there is a NIC. The DHCP client runs from the first poll on.
pub fn init() {
    *STACK.lock() = net::with_device(Stack::new);
}

/// Takes in and sends out what there is.
pub fn poll() {
    if let Some(stack) = STACK.lock().as_mut() {
        stack.poll();
    }
}

/// Our address, once there is a lease.
pub fn address() -> Option<Ipv4Addr> {
    lease().map(|lease| lease.address.address())
}

/// The gateway, once there is a lease that names one.
pub fn gateway() -> Option<Ipv4Addr> {
    lease().and_then(|lease| lease.gateway)
}

fn lease() -> Option<Lease> {
    STACK.lock().as_ref().and_then(|stack| stack.lease)
}

/// Asks for a lease and prints it, or why there is none.
pub fn show_dhcp(limit_ms: u64) -> bool {
    if STACK.lock().is_none() {
        return false;
    }
    if netinfo::link_up() == Some(false) {
        crate::println!("VirtIO Net: link down");
        return false;
    }
    if let Some(stack) = STACK.lock().as_mut() {
        stack.lease = None;
        stack.sockets.get_mut::<dhcpv4::Socket<'_>>(stack.dhcp).reset();
    }
    let limit = Deadline::after_ms(limit_ms);
    while !limit.passed() {
        poll();
        if let Some(lease) = lease() {
            crate::println!("DHCP: {} gateway {} dns {}", lease.address, OrNone(lease.gateway), OrNone(lease.dns));
            return true;
        }
    }
    crate::println!("DHCP: no server answered");
    false
}

struct OrNone(Option<Ipv4Addr>);

impl core::fmt::Display for OrNone {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// Sends `count` echo requests, one after the other, and prints the answers. True when all were answered.
pub fn show_ping(target: Ipv4Addr, count: u16) -> bool {
    if address().is_none() {
        crate::println!("Ping: no address yet, try 'dhcp'");
        return false;
    }
    let mut answered = 0;
    for sequence in 1..=count {
        if sequence > 1 {
            let pause = Deadline::after_ms(PING_INTERVAL_MS);
            while !pause.passed() {
                poll();
            }
        }
        match ping(target, sequence) {
            Some(time_us) => {
                crate::println!("Ping: {target} seq {sequence} {} bytes time {time_us} us", PING_DATA + 8);
                answered += 1;
            }
            None => crate::println!("Ping: {target} seq {sequence} no answer"),
        }
    }
    answered == count
}

/// Sends one echo request and returns the time its answer took, in microseconds.
fn ping(target: Ipv4Addr, sequence: u16) -> Option<u64> {
    STACK.lock().as_mut()?.send_ping(target, sequence)?;
    let start = now_us();
    let limit = Deadline::after_ms(PING_LIMIT_MS);
    while !limit.passed() {
        let mut guard = STACK.lock();
        let stack = guard.as_mut()?;
        stack.poll();
        if stack.take_pong(target, sequence) {
            return Some(now_us() - start);
        }
    }
    None
}

fn instant() -> Instant {
    Instant::from_micros(now_us() as i64)
}

impl Stack {
    fn new(device: &mut NetDevice) -> Self {
        let mac = EthernetAddress(device.mac_address());
        let mut config = Config::new(mac.into());
        config.random_seed =
            now_us() ^ u64::from_le_bytes([mac.0[0], mac.0[1], mac.0[2], mac.0[3], mac.0[4], mac.0[5], 0, 0]);
        let interface = Interface::new(config, device, instant());
        let mut sockets = SocketSet::new(Vec::new());
        let mut dhcp = dhcpv4::Socket::new();
        let mut retry = dhcp.get_retry_config();
        retry.discover_timeout = Duration::from_secs(1);
        retry.initial_request_timeout = Duration::from_secs(1);
        dhcp.set_retry_config(retry);
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 1024]);
        let mut icmp = icmp::Socket::new(buffer(), buffer());
        // Only an unspecified or second endpoint is refused.
        let _ = icmp.bind(icmp::Endpoint::Ident(PING_IDENT));
        let (dhcp, icmp) = (sockets.add(dhcp), sockets.add(icmp));
        Self { interface, sockets, dhcp, icmp, lease: None }
    }

    fn poll(&mut self) {
        let Self { interface, sockets, .. } = self;
        net::with_device(|device| {
            let now = instant();
            interface.poll_maintenance(now);
            for _ in 0..POLL_BUDGET {
                if interface.poll_ingress_single(now, device, sockets) == PollIngressSingleResult::None {
                    break;
                }
            }
            interface.poll_egress(now, device, sockets);
        });
        self.follow_dhcp();
    }

    fn follow_dhcp(&mut self) {
        match self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.dhcp).poll() {
            Some(dhcpv4::Event::Configured(config)) => {
                self.lease = Some(Lease {
                    address: config.address,
                    gateway: config.router,
                    dns: config.dns_servers.first().copied(),
                });
            }
            Some(dhcpv4::Event::Deconfigured) => self.lease = None,
            None => return,
        }
        let lease = self.lease;
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            if let Some(lease) = lease {
                // The list was just emptied, so there is room.
                let _ = addresses.push(IpCidr::Ipv4(lease.address));
            }
        });
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(gateway) = lease.and_then(|lease| lease.gateway) {
            // The default route was just removed, so there is room.
            let _ = routes.add_default_ipv4_route(gateway);
        }
    }

    fn send_ping(&mut self, target: Ipv4Addr, sequence: u16) -> Option<()> {
        let data: [u8; PING_DATA] = core::array::from_fn(|index| index as u8);
        let request = Icmpv4Repr::EchoRequest { ident: PING_IDENT, seq_no: sequence, data: &data };
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.icmp);
        let buffer = socket.send(request.buffer_len(), IpAddress::Ipv4(target)).ok()?;
        request.emit(&mut Icmpv4Packet::new_unchecked(buffer), &ChecksumCapabilities::default());
        Some(())
    }

    /// Whether the answer to this request has come. Answers to earlier ones are dropped.
    fn take_pong(&mut self, target: Ipv4Addr, sequence: u16) -> bool {
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.icmp);
        while let Ok((bytes, from)) = socket.recv() {
            let Ok(packet) = Icmpv4Packet::new_checked(bytes) else {
                continue;
            };
            let reply = Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default());
            if let Ok(Icmpv4Repr::EchoReply { seq_no, data, .. }) = reply
                && from == IpAddress::Ipv4(target)
                && seq_no == sequence
                && data.len() == PING_DATA
            {
                return true;
            }
        }
        false
    }
}

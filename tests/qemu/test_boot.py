"""Scripted boots: what the kernel prints is compared with what the machine was made of, all of it chosen at random."""

import ipaddress

import pytest
from machine import Machine, line
from scapy.all import rdpcap
from scapy.layers.dhcp import DHCP
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from wire import Wire

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5


def random_mac(chosen):
    """A unicast address, local or not."""
    return bytes([chosen.randrange(256) & 0xFE, *chosen.randbytes(5)]).hex(":")


class UserNetwork:
    """QEMU's own network in a random private range: its gateway, name server and first lease are all moved."""

    def __init__(self, chosen):
        block = ipaddress.ip_network(chosen.choice(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]))
        prefix = chosen.randint(18, 27)
        start = int(block.network_address) + (chosen.randrange(1 << 32) & int(block.hostmask))
        self.range = ipaddress.ip_network((start, prefix), strict=False)
        first = int(self.range.network_address)
        gateway, dns, lease = (first + n for n in chosen.sample(range(1, self.range.num_addresses - 17), 3))
        self.gateway, self.dns, self.lease = map(ipaddress.ip_address, (gateway, dns, lease))
        # The network's own address as a peer: 52:55 and the IPv4 address.
        self.gateway_mac = b"\x52\x55" + self.gateway.packed

    def __str__(self):
        return f"user,net={self.range},host={self.gateway},dns={self.dns},dhcpstart={self.lease}"


def check_lines(text, mac, network, disk):
    contents = disk.read_bytes()
    line(text, f"VirtIO Net: MAC={mac}")
    line(text, f"VirtIO Blk: {len(contents) // 512} sectors")
    line(text, f"Disk: sector 0: {contents[:32].hex()}")
    line(text, f"DHCP: {network.lease}/{network.range.prefixlen} gateway {network.gateway} dns {network.dns}")
    line(text, f"ARP: {network.gateway} is at {network.gateway_mac.hex(':')}")
    assert f"Ping: {network.gateway} seq 1 " in text
    line(text, "CHECK: ok")


def check_capture(path, mac, network):
    packets = rdpcap(str(path))
    sent = [packet for packet in packets if packet.src == mac]
    received = [packet for packet in packets if packet.src == network.gateway_mac.hex(":")]
    assert sent and received and len(sent) + len(received) == len(packets)

    def dhcp(side):
        options = [dict(o for o in p[DHCP].options if len(o) == 2) for p in side if p.haslayer(DHCP)]
        return [o["message-type"] for o in options]

    assert dhcp(sent)[0] == DISCOVER and REQUEST in dhcp(sent)
    assert OFFER in dhcp(received) and ACK in dhcp(received)
    asked = [p for p in sent if p.haslayer(ARP) and p[ARP].op == 1 and p[ARP].pdst == str(network.gateway)]
    answered = [p for p in received if p.haslayer(ARP) and p[ARP].op == 2 and p[ARP].psrc == str(network.gateway)]
    assert asked and answered and all(p[ARP].hwsrc == mac and p.dst == "ff:ff:ff:ff:ff:ff" for p in asked)
    pinged = [bytes(p[ICMP].payload) for p in sent if p.haslayer(ICMP) and p[ICMP].type == 8]
    echoed = [bytes(p[ICMP].payload) for p in received if p.haslayer(ICMP) and p[ICMP].type == 0]
    assert pinged and echoed == pinged
    assert all(p[IP].src == str(network.lease) for p in sent if p.haslayer(ICMP))


@pytest.mark.parametrize("attempt", range(3))
def test_scripted_boot(modern, attempt, chosen, disk, tmp_path):
    mac, network, pcap = random_mac(chosen), UserNetwork(chosen), tmp_path / "boot.pcap"
    with Machine(append="check", modern=modern, cpus=1 + attempt % 2, network=str(network), mac=mac, disk=disk,
                 pcap=pcap) as machine:
        check_lines(machine.ended(), mac, network, disk)
    check_capture(pcap, mac, network)


def test_default_mac(modern):
    """The address QEMU gives its first device, on its default network."""
    with Machine(append="check", modern=modern) as machine:
        text = machine.ended()
    line(text, "VirtIO Net: MAC=52:54:00:12:34:56")
    line(text, "DHCP: 10.0.2.15/24 gateway 10.0.2.2 dns 10.0.2.3")


def failed_check(text):
    return line(text, "CHECK: failed: (.+)")


def test_no_nic(modern, disk):
    with Machine(append="check", modern=modern, network=None, disk=disk) as machine:
        text = machine.ended()
    line(text, "VirtIO Net: no device")
    line(text, f"Disk: sector 0: {disk.read_bytes()[:32].hex()}")
    failed_check(text)


def test_no_disk(modern):
    with Machine(append="check", modern=modern) as machine:
        text = machine.ended()
    line(text, "VirtIO Blk: no device")
    line(text, "ARP: 10.0.2.2 is at 52:55:0a:00:02:02")
    failed_check(text)


def test_neither(modern):
    with Machine(append="check", modern=modern, network=None) as machine:
        text = machine.ended()
    line(text, "VirtIO Net: no device")
    line(text, "VirtIO Blk: no device")
    failed_check(text)


def test_link_down(modern, disk):
    """The link is down before the kernel looks: it says so, does not hang, and still reads its disk."""
    with Machine(append="check", modern=modern, disk=disk, paused=True) as machine:
        machine.qmp.execute("set_link", name="nic0", up=False)
        machine.qmp.execute("cont")
        text = machine.ended()
    line(text, "VirtIO Net: link down")
    line(text, f"Disk: sector 0: {disk.read_bytes()[:32].hex()}")
    failed_check(text)


def test_no_dhcp_server(modern, disk):
    """The frames go out, and nobody answers."""
    with Machine(append="check", modern=modern, network="wire", disk=disk) as machine:
        text = machine.ended()
        asked = Ether(Wire(machine.wire).receive(1))
    assert asked.haslayer(DHCP) and ("message-type", DISCOVER) in asked[DHCP].options
    line(text, "DHCP: no server answered")
    line(text, f"Disk: sector 0: {disk.read_bytes()[:32].hex()}")
    failed_check(text)


def test_device_takes_no_frame(modern, cpus, disk):
    """A port of a hub with no other port: QEMU leaves every frame in the ring. The kernel must not wait for ever."""
    with Machine(append="check", modern=modern, cpus=cpus, network="hubport,hubid=0", disk=disk) as machine:
        text = machine.ended()
    line(text, "DHCP: no server answered")
    line(text, f"Disk: sector 0: {disk.read_bytes()[:32].hex()}")
    failed_check(text)


def test_tiny_disk(chosen, tmp_path):
    """One sector is enough, and it is the whole disk."""
    disk = tmp_path / "sector.img"
    disk.write_bytes(chosen.randbytes(512))
    with Machine(append="check", disk=disk) as machine:
        text = machine.ended()
    line(text, "VirtIO Blk: 1 sectors")
    line(text, f"Disk: sector 0: {disk.read_bytes()[:32].hex()}")

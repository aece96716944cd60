"""A small network at the test's end of the wire: it leases one address by DHCP, asks by ARP, and pings."""

import time

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from wire import PATIENCE

BROADCAST = "ff:ff:ff:ff:ff:ff"


class Network:
    """The gateway of a network with one guest on it."""

    def __init__(self, wire, guest, gateway="192.168.77.1", gateway_mac="02:00:00:00:77:01", mask="255.255.255.0"):
        self.wire, self.guest, self.gateway, self.mac, self.mask = wire, guest, gateway, gateway_mac, mask
        self.guest_mac = None

    def send(self, packet):
        self.wire.send(bytes(packet).ljust(60, b"\0"))

    def receive_until(self, wanted, seconds=PATIENCE):
        """The first packet that is wanted; the guest's requests before it are answered."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            frame = self.wire.receive(left)
            if frame is None:
                break
            packet = Ether(frame)
            if wanted(packet):
                return packet
            self.answer(packet)
        raise AssertionError(f"the guest did not send what was waited for within {seconds} s")

    def answer(self, packet):
        if packet.haslayer(ARP) and packet[ARP].op == 1 and packet[ARP].pdst == self.gateway:
            self.send(Ether(src=self.mac, dst=packet.src) / ARP(op="is-at", hwsrc=self.mac, psrc=self.gateway,
                                                                hwdst=packet[ARP].hwsrc, pdst=packet[ARP].psrc))
        elif packet.haslayer(DHCP):
            self.lease({1: "offer", 3: "ack"}[dict(o for o in packet[DHCP].options if len(o) == 2)["message-type"]], packet)
        elif packet.haslayer(ICMP) and packet[ICMP].type == 8 and packet[IP].dst == self.gateway:
            self.send(Ether(src=self.mac, dst=packet.src) / IP(src=self.gateway, dst=packet[IP].src) /
                      ICMP(type=0, id=packet[ICMP].id, seq=packet[ICMP].seq) / bytes(packet[ICMP].payload))

    def lease(self, kind, request):
        self.guest_mac = request.src
        self.send(Ether(src=self.mac, dst=BROADCAST) / IP(src=self.gateway, dst="255.255.255.255") /
                  UDP(sport=67, dport=68) /
                  BOOTP(op=2, xid=request[BOOTP].xid, yiaddr=self.guest, siaddr=self.gateway, flags=request[BOOTP].flags,
                        chaddr=request[BOOTP].chaddr) /
                  DHCP(options=[("message-type", kind), ("server_id", self.gateway), ("lease_time", 3600),
                                ("subnet_mask", self.mask), ("router", self.gateway), ("name_server", self.gateway), "end"]))

    def serve_dhcp(self, seconds=PATIENCE):
        """Leases the guest its address; returns when the acknowledgement is out."""
        request = self.receive_until(lambda p: p.haslayer(DHCP) and ("message-type", 3) in p[DHCP].options, seconds)
        self.answer(request)

    def resolve(self):
        """Asks who has the guest's address, and returns what the guest says."""
        self.send(Ether(src=self.mac, dst=BROADCAST) / ARP(op="who-has", hwsrc=self.mac, psrc=self.gateway, pdst=self.guest))
        return self.receive_until(lambda p: p.haslayer(ARP) and p[ARP].op == 2 and p[ARP].psrc == self.guest)[ARP].hwsrc

    def ping(self, sequence, payload):
        """Sends an echo request and returns the echo reply."""
        self.send(Ether(src=self.mac, dst=self.guest_mac) / IP(src=self.gateway, dst=self.guest) /
                  ICMP(id=0x4C76, seq=sequence) / Raw(payload))
        return self.receive_until(lambda p: p.haslayer(ICMP) and p[ICMP].type == 0 and p[ICMP].seq == sequence)

"""The kernel on a network that the test plays: it takes a lease there, and answers ARP and ping from outside."""

from machine import PROMPT, Machine
from network import Network
from scapy.layers.inet import ICMP, IP
from test_boot import random_mac
from wire import Wire

# Up to the largest that fits a 1,500-byte packet.
PING_SIZES = [0, 1, 17, 56, 511, 512, 1000, 1471, 1472]


def test_answers_ping_from_outside(modern, cpus, chosen):
    mac = random_mac(chosen)
    with Machine(modern=modern, cpus=cpus, network="wire", mac=mac) as machine:
        network = Network(Wire(machine.wire), guest=f"192.168.77.{chosen.randint(2, 254)}")
        network.serve_dhcp()
        machine.expect(f"^DHCP: {network.guest}/24 gateway {network.gateway} dns {network.gateway}$")
        machine.expect(f"^{PROMPT}")
        assert network.resolve() == mac
        for sequence, size in enumerate(PING_SIZES, 1):
            payload = chosen.randbytes(size)
            reply = network.ping(sequence, payload)
            assert reply.src == mac and reply[IP].src == network.guest and reply[ICMP].id == 0x4C76
            assert bytes(reply[ICMP].payload)[:size] == payload and reply[IP].len == 28 + size
        machine.type("poweroff")
        machine.ended()


def test_many_pings(chosen, cpus):
    """The monitor waits for a key while two thousand requests come: each is answered, in order."""
    with Machine(network="wire", cpus=cpus) as machine:
        network = Network(Wire(machine.wire), guest="192.168.77.9")
        network.serve_dhcp()
        machine.expect(f"^{PROMPT}")
        network.resolve()
        for sequence in range(2000):
            payload = chosen.randbytes(chosen.randint(0, 1472))
            assert bytes(network.ping(sequence, payload)[ICMP].payload)[:len(payload)] == payload
        machine.type("poweroff")
        machine.ended()


def test_foreign_frames(modern, cpus, chosen):
    """Thousands of frames that mean nothing, from a bare header to more than Ethernet allows, cost nothing but time."""
    with Machine(modern=modern, cpus=cpus, network="wire") as machine:
        network = Network(Wire(machine.wire), guest="192.168.77.9")
        network.serve_dhcp()
        machine.expect(f"^{PROMPT}")
        network.resolve()
        for sequence in range(4):
            for _ in range(1000):
                header = chosen.choice([b"\xff" * 6, bytes.fromhex("525400123456")]) + chosen.randbytes(8)
                network.wire.send(header + chosen.randbytes(chosen.randint(0, 1600)))
            assert bytes(network.ping(sequence, b"still there?")[ICMP].payload)[:12] == b"still there?"
        machine.type("poweroff")
        machine.ended()

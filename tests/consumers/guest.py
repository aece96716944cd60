"""A guest that answers ARP and ping at 192.168.77.2 until `q` is typed, and a peer that tries it from outside."""

from machine import Machine
from network import BROADCAST, Network
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import checksum
from wire import PATIENCE, Wire

ADDRESS = "192.168.77.2"
BURST = 700  # more than the rings hold

# Other machines than the kernel's own: program, board, processor and firmware.
BOARDS = {"riscv64": ["qemu-system-riscv64", "-M", "virt", "-bios", "none"]}


class Guest(Machine):
    """A machine whose wire is held by the test."""

    def __init__(self, kernel, machine="aarch64", **arguments):
        super().__init__(kernel=kernel, network="wire", **arguments)
        if machine in BOARDS:
            first, last = self.command.index("qemu-system-aarch64"), self.command.index("-m")
            self.command[first:last] = BOARDS[machine]


class Peer(Network):
    """Counts what goes over the wire."""

    def __init__(self, guest, mac):
        super().__init__(Wire(guest.wire), ADDRESS)
        self.guest_mac = mac
        self.sent = self.answers = 0

    def send(self, packet):
        self.sent += 1
        super().send(packet)

    def check_resolve(self):
        assert self.resolve() == self.guest_mac
        self.answers += 1

    def check_ping(self, sequence, payload):
        reply = self.ping(sequence, payload)
        self.answers += 1
        assert (reply.src, reply.dst, reply[IP].src, reply[IP].dst) == (self.guest_mac, self.mac, ADDRESS, self.gateway)
        assert bytes(reply[ICMP].payload)[:len(payload)] == payload
        whole = bytes(reply)[14:14 + reply[IP].len]
        assert checksum(whole[:20]) == checksum(whole[20:]) == 0

    def send_foreign(self, chosen):
        """Frames that no guest may answer: for others, for nobody, cut short, and answers instead of questions."""
        to_guest = Ether(src=self.mac, dst=self.guest_mac)
        ping = IP(src=self.gateway, dst=ADDRESS) / ICMP(id=1, seq=1) / Raw(chosen.randbytes(40))
        for packet in (
                Ether(src=self.mac, dst=BROADCAST) / ARP(op=1, psrc=self.gateway, pdst="192.168.77.3"),
                Ether(src=self.mac, dst=BROADCAST) / ARP(op=2, psrc=self.gateway, pdst=ADDRESS),
                to_guest / IP(src=self.gateway, dst="192.168.77.3") / ICMP(id=1, seq=1),
                to_guest / IP(src=self.gateway, dst=ADDRESS) / ICMP(type=0, id=1, seq=1),
                Ether(src=self.mac, dst="02:00:00:00:99:99") / ping,
                to_guest / IP(bytes(ping)[:20] + b"\x08\0"),
                Ether(src=self.mac, dst=BROADCAST, type=chosen.choice((0x86DD, 0x88B5))) / chosen.randbytes(400)):
            self.send(packet)

    def burst(self):
        """Many questions at once: each is answered, once, in order."""
        askers = [f"192.168.{78 + i // 200}.{1 + i % 200}" for i in range(BURST)]
        self.wire.send(*(bytes(Ether(src=self.mac, dst=BROADCAST) /
                               ARP(op=1, hwsrc=self.mac, psrc=asker, pdst=ADDRESS)).ljust(60, b"\0") for asker in askers))
        answers = [Ether(self.wire.receive(PATIENCE))[ARP] for _ in askers]
        assert [(a.op, a.hwsrc, a.psrc, a.pdst) for a in answers] == [(2, self.guest_mac, ADDRESS, asker) for asker in askers]
        self.sent += BURST
        self.answers += BURST


def random_mac(chosen):
    return "52:54:" + ":".join(f"{byte:02x}" for byte in chosen.randbytes(4))


def check_guest(kernel, chosen, *, machine="aarch64", modern=False):
    """Boots a guest, and holds all that it says and sends to what it was given."""
    mac = random_mac(chosen)
    with Guest(kernel, machine, mac=mac, modern=modern) as guest:
        guest.expect(f"^VirtIO Net: MAC={mac}$")
        guest.expect(f"^VirtIO Net: {'modern' if modern else 'legacy'}$")
        peer = Peer(guest, mac)
        peer.check_resolve()
        for sequence, size in enumerate((0, 1, 1471, 1472, *(chosen.randint(2, 1470) for _ in range(20)))):
            peer.check_ping(sequence, chosen.randbytes(size))
        peer.send_foreign(chosen)
        peer.burst()
        peer.check_resolve()
        guest.type("q")
        text = guest.ended()
        assert peer.wire.receive(PATIENCE) is None, "an answer too many"
    assert f"\nReceived: {peer.sent}, sent: {peer.answers}\n" in text
    assert text.endswith("\nClosed, pages in use: 0\n")

"""Frames both ways at once, as fast as they go: none lost, none twice, none changed, in order, of every length."""

from exchange import DATA, PEER_MAC, TO_KERNEL, TO_PEER, Peer, destination, frame, seed_for_every_length
from machine import Machine, line
from scapy.utils import RawPcapReader
from test_boot import random_mac
from wire import PATIENCE, Wire

COUNT = 10_000


def recorded(path):
    with RawPcapReader(str(path)) as packets:
        return [data for data, _ in packets if data[12:14] == DATA]


def test_exchange(modern, cpus, chosen, tmp_path):
    mac, seed, pcap = random_mac(chosen), seed_for_every_length(chosen, COUNT), tmp_path / "exchange.pcap"
    mac_bytes = bytes.fromhex(mac.replace(":", ""))
    with Machine(append=f"exchange={COUNT} seed={seed}", modern=modern, cpus=cpus, network="wire", mac=mac, pcap=pcap) as machine:
        Peer(Wire(machine.wire), mac_bytes, seed, COUNT).run()
        text = machine.ended()
    line(text, f"Exchange: sent {COUNT} received {COUNT} lost 0 duplicate 0 corrupt 0 out-of-order 0")

    frames = recorded(pcap)
    sent = [data for data in frames if data[6:12] == mac_bytes]
    received = [data for data in frames if data[6:12] == PEER_MAC]
    assert len(sent) == len(received) == COUNT and len(frames) == 2 * COUNT
    for i in range(COUNT):
        assert sent[i] == frame(seed, TO_PEER, i, PEER_MAC, mac_bytes), f"frame {i} of the kernel"
        assert received[i] == frame(seed, TO_KERNEL, i, destination(mac_bytes, i), PEER_MAC), f"frame {i} of the peer"
    pcap.unlink()


def test_peer_that_rests(cpus, chosen):
    """The network takes nothing for a while, and the device still has frames when the kernel is through: none is lost."""
    count, seed, mac = 64, chosen.getrandbits(32), "525400123456"
    with Machine(append=f"exchange={count} seed={seed}", cpus=cpus, network="wire", wire_bytes=4096) as machine:
        Peer(Wire(machine.wire), bytes.fromhex(mac), seed, count, rest=5, left=12).run()
        text = machine.ended()
    line(text, f"Exchange: sent {count} received {count} lost 0 duplicate 0 corrupt 0 out-of-order 0")


def test_kernel_sees_faults(chosen):
    """The kernel's count is no constant: frames swapped, doubled and changed in one bit are each noticed."""
    count, seed, mac = 40, chosen.getrandbits(32), bytes.fromhex("525400123456")
    frames = [frame(seed, TO_KERNEL, i, mac, PEER_MAC) for i in range(count)]
    corrupt = []
    for position in (14, 18, 40, -1):
        changed = bytearray(frames[4])
        changed[position] ^= 1 << chosen.randrange(8)
        corrupt.append(bytes(changed))
    frames = [frames[1], frames[0], frames[2], frames[3], frames[3], frames[3], *corrupt, *frames[4:]]
    with Machine(append=f"exchange={count} seed={seed}", network="wire") as machine:
        wire = Wire(machine.wire)
        assert wire.receive(PATIENCE) is not None
        wire.send(*frames)
        while wire.receive(PATIENCE):
            pass
        text = machine.ended()
    line(text, f"Exchange: sent {count} received {count} lost 0 duplicate 2 corrupt 4 out-of-order 1")

"""The peer of the kernel's frame exchange (rust-kernel/levitate-utils/src/frames.rs), written from the description alone.

Frame i of a direction (1 kernel to peer, 2 peer to kernel) is: destination, source, ethertype 0x88b5, i (32 bits,
big-endian), then payload. With m = splitmix64(seed ^ direction ^ i), the frame has 60 + m % 1455 bytes, and byte k, from
18 on, is (m >> 8 * (k % 8)) + k modulo 256. The kernel first sends frames of ethertype 0x88b6 until the peer answers.
"""

import random
import struct
import threading
import time

from wire import PATIENCE

TO_PEER, TO_KERNEL = 1, 2
DATA, READY = b"\x88\xb5", b"\x88\xb6"
PEER_MAC = bytes.fromhex("020000000001")
BROADCAST = b"\xff" * 6
LENGTHS = range(60, 1515)
WORD = (1 << 64) - 1


def splitmix64(value):
    value = (value + 0x9E3779B97F4A7C15) & WORD
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & WORD
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & WORD
    return value ^ value >> 31


def length(seed, direction, index):
    return 60 + splitmix64(seed ^ direction ^ index) % 1455


def frame(seed, direction, index, destination, source):
    bits = splitmix64(seed ^ direction ^ index).to_bytes(8, "little")
    period = bytes((bits[k % 8] + k) & 0xFF for k in range(256))
    header = destination + source + DATA + struct.pack(">I", index)
    return header + (period * 6)[18:length(seed, direction, index)]


def seed_for_every_length(source: random.Random, count):
    """A seed whose frames, in each direction, have every length there is."""
    while True:
        seed = source.getrandbits(32)
        if all({length(seed, way, i) for i in range(count)} == set(LENGTHS) for way in (TO_PEER, TO_KERNEL)):
            return seed


def destination(kernel_mac, index):
    """Most frames go to the kernel's address, every eighth to all."""
    return BROADCAST if index % 8 == 7 else kernel_mac


class Peer:
    """Sends its frames as fast as they are taken, while it checks that the kernel's come whole, once, and in order. It takes
    none for the seconds of `rest` where only `left` are missing."""

    def __init__(self, wire, kernel_mac, seed, count, rest=0, left=0):
        self.wire, self.mac, self.seed, self.count = wire, kernel_mac, seed, count
        self.rest, self.left = rest, left
        self.failure = None

    def run(self):
        self._wait_until_ready()
        sender = threading.Thread(target=self._send, daemon=True)
        sender.start()
        self._receive()
        sender.join(PATIENCE)
        assert not sender.is_alive(), "the kernel stopped taking frames"
        assert self.failure is None, f"sending failed: {self.failure}"

    def _wait_until_ready(self):
        ready = self.wire.receive(PATIENCE)
        assert ready is not None, "the kernel never said that it is ready"
        assert ready[6:20] == self.mac + READY + self.mac, f"not a ready frame: {ready.hex()}"

    def _send(self):
        try:
            for start in range(0, self.count, 32):
                self.wire.send(*(frame(self.seed, TO_KERNEL, i, destination(self.mac, i), PEER_MAC)
                                 for i in range(start, min(start + 32, self.count))))
        except OSError as failure:
            self.failure = failure

    def _receive(self):
        index = 0
        while index < self.count:
            got = self.wire.receive(PATIENCE)
            assert got is not None, f"no frame {index} of {self.count}"
            if got[12:14] == READY:
                continue
            wanted = frame(self.seed, TO_PEER, index, PEER_MAC, self.mac)
            assert got == wanted, f"frame {index}: got {got.hex()}, wanted {wanted.hex()}"
            index += 1
            if index == self.count - self.left:
                time.sleep(self.rest)

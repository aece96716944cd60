"""One QEMU run of the bench kernel, and the peer at the other end of its wire.

The wire is `-netdev stream` over a socket pair: nothing gets lost on it, so a frame that is missing was lost by the driver or the
device. Frame `n` is destination, source, ethertype 0x88b5, two bytes of 0, `n` (little-endian), and anything up to its length.
"""

import re
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass

HEADER = b"\x02" * 12 + b"\x88\xb5\0\0"


@dataclass(frozen=True)
class Case:
    """See kernel/src/case.rs."""
    path: str
    direction: str
    length: int = 60
    offset: int = 0
    burst: int = 32
    queue: int = 256
    packets: int = 8192

    def __str__(self):
        return (f"{self.path}:{self.direction}:{self.length}:{self.offset}:{self.burst}:{self.queue}:{self.packets}")


def length(case, number):
    """Mixed lengths are a function of the number, as in kernel/c/bench.h."""
    return case.length or 60 + (((number * 2654435761) & 0xFFFFFFFF) >> 8) % 1455


def stream(case, first, count):
    """Frames of a case as the wire carries them: each behind its length."""
    parts = []
    filler = bytes(1514)
    for number in range(first, first + count):
        bytes_ = length(case, number)
        parts.append(struct.pack(">I", bytes_) + HEADER + struct.pack("<I", number) + filler[:bytes_ - 20])
    return b"".join(parts)


class Peer:
    """Sends and checks the frames of one case after the other."""

    def __init__(self, wire):
        self.wire = wire
        self.lost = {}
        self.rest = b""  # the machine may be sending the next case's frames already

    def send(self, case, first, count):
        self.wire.sendall(stream(case, first, count))

    def drain(self, case):
        """Reads the frames of a transmit case, and keeps how many of them were not what they should be."""
        wrong, number, data, at = 0, 0, self.rest, 0
        while number < case.packets:
            while number < case.packets and len(data) - at >= 4:
                bytes_, = struct.unpack_from(">I", data, at)
                if len(data) - at < 4 + bytes_:
                    break
                good = bytes_ == length(case, number) and data[at + 4:at + 20] == HEADER and \
                    data[at + 20:at + 24] == struct.pack("<I", number)
                wrong += not good
                number += 1
                at += 4 + bytes_
            if number < case.packets:
                try:
                    more = self.wire.recv(1 << 18)
                except (TimeoutError, ConnectionResetError):
                    break
                if not more:
                    break
                data, at = data[at:] + more, 0
        self.rest = data[at:]
        self.lost[case] = wrong + case.packets - number


def run(kernel, cases, *, modern=True, counting=True, device="", cpus=1, limit=120):
    """Runs cases one after the other in one machine, and returns what the kernel said of each."""
    console, console_qemu = socket.socketpair()
    wire, wire_qemu = socket.socketpair()
    for end in (wire, wire_qemu):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    wire.settimeout(limit)
    words = ",".join(f"arg={word}" for word in ["bench", *map(str, cases)])
    command = ["timeout", "--foreground", "--kill-after=5", str(limit), "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53",
               "-m", "256M", "-smp", str(cpus), "-nodefaults", "-display", "none", "-kernel", str(kernel),
               "-semihosting-config", f"enable=on,target=native,{words}",
               "-chardev", f"socket,id=console,fd={console_qemu.fileno()}", "-serial", "chardev:console",
               "-netdev", f"stream,id=net0,server=off,addr.type=fd,addr.str={wire_qemu.fileno()}",
               "-device", f"virtio-net-device,netdev=net0,mac=52:54:00:12:34:56{',' + device if device else ''}"]
    if modern:
        command += ["-global", "virtio-mmio.force-legacy=false"]
    if counting:
        command += ["-icount", "shift=0"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[console_qemu.fileno(), wire_qemu.fileno()])
    console_qemu.close()
    wire_qemu.close()
    peer = Peer(wire)
    by_name = {str(case): case for case in cases}
    results = {}
    try:
        for line in console.makefile("r", encoding="utf-8", errors="replace"):
            word, _, rest = line.strip().partition(" ")
            if word == "start":
                case = by_name[rest]
                if case.direction == "tx":
                    drain = threading.Thread(target=peer.drain, args=(case,), daemon=True)
                    drain.start()
            elif word == "more":
                peer.send(case, *map(int, rest.split()))
            elif word == "result":
                name, _, fields = rest.partition(" ")
                if case.direction == "tx":
                    drain.join(limit)
                results[by_name[name]] = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", fields)}
                results[by_name[name]]["lost"] = peer.lost.get(by_name[name], 0)
            elif word not in ("bench", "done"):
                raise RuntimeError(f"the bench kernel says: {line.strip()}")
    finally:
        wire.close()
        process.terminate()
        process.wait()
    missing = [str(case) for case in cases if case not in results]
    if missing:
        raise RuntimeError(f"the bench kernel ended without {' '.join(missing)}")
    return results

"""One QEMU run of the bench kernel, and the peer at the other end of its wire.

The wire is `-netdev socket` over a socket pair: nothing gets lost on it, so a frame that is missing was lost by the driver or the
device. (`-netdev stream` connects a little after the start, and throws away what is sent before.)

Frame `n` is destination, source, ethertype 0x88b5, two bytes of 0, `n` (little-endian), and anything up to its length.
"""

import contextlib
import re
import socket
import struct
import subprocess
import threading
import time
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
        self.trips = {}
        self.rest = b""  # the machine may be sending the next case's frames already

    def send(self, case, first, count):
        self.wire.sendall(stream(case, first, count))

    def _more(self):
        """What comes next, or nothing where nothing comes any more."""
        data, self.rest = self.rest, b""
        try:
            return data or self.wire.recv(1 << 18)
        except (TimeoutError, ConnectionResetError):
            return b""

    def drain(self, case):
        """Reads the frames of a transmit case, each of which must be whole, in order, and what it should be to the last byte;
        keeps how many were missing or were not."""
        wanted, at, good = memoryview(stream(case, 0, case.packets)), 0, None
        while at < len(wanted):
            data = self._more()
            if not data:
                break
            part = wanted[at:at + len(data)]
            if data[:len(part)] != part and good is None:
                good = at  # the rest is read all the same, so that the machine comes to its end
            at += len(part)
            self.rest = data[len(part):]
        good = at if good is None else good
        self.lost[case] = case.packets - sum(1 for end in ends(case) if end <= good)

    def echo(self, case):
        """Sends each frame when the one before has come back, and keeps how long each took, in seconds."""
        trips = []
        for number in range(case.packets):
            frame, got = stream(case, number, 1), b""
            began = time.perf_counter()
            self.wire.sendall(frame)
            while len(got) < len(frame):
                more = self._more()
                if not more:
                    return
                got += more
            trips.append(time.perf_counter() - began)
            if got != frame:
                return
        self.lost[case], self.trips[case] = 0, trips


def ends(case):
    """Where each frame ends in the stream."""
    at = 0
    for number in range(case.packets):
        at += 4 + length(case, number)
        yield at


class Machine:
    """QEMU with a console to read and a wire to be the other end of."""

    def __init__(self, arguments, *, modern=True, cpus=1, device="", limit=300):
        self.console, console = socket.socketpair()
        self.wire, wire = socket.socketpair()
        for end in (self.wire, wire):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.wire.settimeout(limit)
        command = ["timeout", "--foreground", "--kill-after=5", str(limit),
                   "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53",
                   "-smp", str(cpus), "-nodefaults", "-display", "none",
                   "-chardev", f"socket,id=console,fd={console.fileno()}", "-serial", "chardev:console",
                   "-netdev", f"socket,id=net0,fd={wire.fileno()}",
                   "-device", f"virtio-net-device,netdev=net0,mac=52:54:00:12:34:56{',' + device if device else ''}", *arguments]
        if modern:
            command += ["-global", "virtio-mmio.force-legacy=false"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[console.fileno(), wire.fileno()])
        console.close()
        wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.wire.close()
        self.console.close()
        self.process.terminate()
        self.process.wait()

    def lines(self):
        with self.console.makefile("r", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                yield line.strip()


def boot(arguments, limit=300):
    """What a machine prints whose frames are thrown away."""
    with Machine(arguments, cpus=2, limit=limit) as qemu:
        def swallow():
            with contextlib.suppress(OSError):
                while qemu.wire.recv(1 << 20):
                    pass
        threading.Thread(target=swallow, daemon=True).start()
        return "\n".join(qemu.lines())


def run(kernel, cases, *, modern=True, counting=True, device="", cpus=1, limit=300):
    """Runs cases one after the other in one machine, and returns what the kernel said of each."""
    words = ",".join(f"arg={word}" for word in ["bench", *map(str, cases)])
    arguments = ["-m", "256M", "-kernel", str(kernel), "-semihosting-config", f"enable=on,target=native,{words}"]
    if counting:
        arguments += ["-icount", "shift=0"]
    by_name = {str(case): case for case in cases}
    results, worker = {}, None
    with Machine(arguments, modern=modern, cpus=cpus, device=device, limit=limit) as qemu:
        peer = Peer(qemu.wire)
        for line in qemu.lines():
            word, _, rest = line.partition(" ")
            if word == "start":
                case = by_name[rest]
                peer.lost[case] = case.packets if case.direction.startswith("echo") else 0
                if case.direction.endswith("tx"):
                    worker = at_once(peer.drain, case)
            elif word in ("more", "echo"):
                worker = at_once(peer.send, case, *map(int, rest.split())) if word == "more" else at_once(peer.echo, case)
            elif word == "result":
                name, _, fields = rest.partition(" ")
                worker.join(limit)
                result = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", fields)}
                results[by_name[name]] = result | {"lost": peer.lost[case], "trips": peer.trips.get(case, [])}
            elif word not in ("bench", "done"):
                raise RuntimeError(f"the bench kernel says: {line}")
    missing = [str(case) for case in cases if case not in results]
    if missing:
        raise RuntimeError(f"the bench kernel ended without {' '.join(missing)}")
    return results


def at_once(work, *arguments):
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread

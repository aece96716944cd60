"""One QEMU run of the kernel as a test sees it: serial lines to wait for, a monitor (QMP), an end within a limit.

Serial port, QMP and a wire to a test's own network are socket pairs made before QEMU starts, so no output is lost. The serial
port is read at once, whatever the test does: one that nobody reads is full after some 300 characters, and then QEMU stands still,
its network with it.
"""

import json
import os
import queue
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

from wire import PATIENCE

REPOSITORY = Path(__file__).resolve().parents[2]
KERNEL = Path(os.environ.get("KERNEL", REPOSITORY / "target/aarch64-unknown-none/release/kernel"))
PROMPT = "levitate> "
CONTROL_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[78])|\r")
CURSOR_QUESTION = b"\x1b[6n"
FAR_CORNER = b"\x1b[999;999H"


class Qmp:
    """A client of QEMU's machine protocol: one command at a time, events are passed over."""

    def __init__(self, connection):
        connection.settimeout(PATIENCE)
        self.stream = connection.makefile("rw", encoding="utf-8")
        assert "QMP" in json.loads(self.stream.readline())
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            assert "error" not in answer, f"{command}: {answer['error']}"
            if "return" in answer:
                return answer["return"]


class Machine:
    """QEMU with the kernel in it. `network` is a -netdev value without its id, or None for no NIC, or "wire" for the test's
    own, which holds `wire_bytes` that the test has not taken; a `terminal` answers where its cursor is, without one the
    serial line is as dumb as a pipe."""

    def __init__(self, *, kernel=KERNEL, append="", modern=False, cpus=1, network="user", mac=None, disk=None,
                 pcap=None, paused=False, terminal=False, wire_bytes=None, limit=300):
        assert kernel.exists(), f"no kernel at {kernel}: './run.sh test qemu' builds it"
        self.terminal = terminal
        self.text = ""
        self.position = 0
        self.unanswered = b""
        self.arrived = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.serial, serial = socket.socketpair()
        monitor, self.monitor = socket.socketpair()
        self.wire, wire = socket.socketpair()
        if wire_bytes:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wire_bytes)
        self.passed = [serial, monitor, wire]
        command = ["timeout", "--foreground", "--kill-after=5", str(limit), "qemu-system-aarch64", "-M", "virt",
                   "-cpu", "cortex-a53", "-m", "512M", "-smp", str(cpus), "-nodefaults", "-display", "none",
                   "-kernel", str(kernel), "-append", append,
                   "-chardev", f"socket,id=console,fd={serial.fileno()}", "-serial", "chardev:console",
                   "-chardev", f"socket,id=qmp,fd={monitor.fileno()}", "-mon", "chardev=qmp,mode=control"]
        if modern:
            command += ["-global", "virtio-mmio.force-legacy=false"]
        if paused:
            command += ["-S"]
        if disk:
            command += ["-drive", f"if=none,id=disk0,format=raw,readonly=on,file={disk}",
                        "-device", "virtio-blk-device,drive=disk0"]
        if network == "wire":
            network = f"stream,server=off,addr.type=fd,addr.str={wire.fileno()}"
        if network:
            address = f",mac={mac}" if mac else ""
            command += ["-netdev", f"{network},id=net0", "-device", f"virtio-net-device,id=nic0,netdev=net0{address}"]
        if pcap:
            command += ["-object", f"filter-dump,id=dump0,netdev=net0,file={pcap}"]
        self.command = command
        self.limit = limit

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        pass_fds=[end.fileno() for end in self.passed])
        for end in self.passed:
            end.close()
        self.reader.start()
        try:
            self.qmp = Qmp(self.monitor)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.reader.join(PATIENCE)
        while not self.arrived.empty() and self._read(0):
            pass
        print(f"--- {' '.join(self.command)}\n{self.text}\n---")
        for end in (self.serial, self.monitor, self.wire):
            end.close()

    def _listen(self):
        """Takes what the serial port has as it comes; nothing at its end."""
        data = b"?"
        while data:
            try:
                data = self.serial.recv(65536)
                if self.terminal:
                    self._answer(data)
            except OSError:
                data = b""
            self.arrived.put(data)

    def _read(self, seconds):
        """Adds what the serial port had to the text, waiting for some; False at its end."""
        try:
            data = self.arrived.get(timeout=max(seconds, 0))
        except queue.Empty:
            return True
        if not data:
            self.arrived.put(data)
        # A control sequence may come in two parts; clean the whole of the unread text.
        raw = self.text[self.position:] + data.decode("utf-8", "replace")
        self.text = self.text[:self.position] + CONTROL_SEQUENCE.sub("", raw)
        return bool(data)

    def _answer(self, data):
        """Tells where the cursor is, each time that it is asked for. What comes at once, and in how many parts, is chance."""
        *asked, self.unanswered = (self.unanswered + data).split(CURSOR_QUESTION)
        for before in asked:
            column = 80 if before.endswith(FAR_CORNER) else len(PROMPT) + 1
            self.serial.sendall(b"\x1b[24;%dR" % column)

    def expect(self, pattern, seconds=PATIENCE):
        """Waits for text that matches (^ and $ are line ends), after what was last waited for."""
        expression = re.compile(pattern, re.MULTILINE)
        until = time.monotonic() + seconds
        alive = True
        while True:
            found = expression.search(self.text, self.position)
            if found:
                self.position = found.end()
                return found
            assert alive, f"QEMU ended without /{pattern}/"
            assert time.monotonic() < until, f"no /{pattern}/ within {seconds} s"
            alive = self._read(until - time.monotonic())

    def type(self, line):
        """Types a line at the monitor's prompt."""
        self.serial.sendall(line.encode() + b"\r")

    def command_output(self, line, seconds=PATIENCE):
        """Types a command and returns what it prints, up to the next prompt."""
        self.type(line)
        start = self.expect(rf"{re.escape(line)}\n", seconds).end()
        end = self.expect(rf"^{PROMPT}", seconds).start()
        return self.text[start:end]

    def ended(self):
        """Waits for the machine to turn itself off, and returns all that was printed."""
        until = time.monotonic() + self.limit
        while self._read(until - time.monotonic()):
            assert time.monotonic() < until, "the machine did not end"
        status = self.process.wait(timeout=PATIENCE)
        assert status == 0, f"QEMU ended with status {status} (124: not within {self.limit} s)"
        return self.text


def line(text, pattern):
    """The one line that matches."""
    found = re.findall(rf"^{pattern}$", text, re.MULTILINE)
    assert len(found) == 1, f"{len(found)} lines match /{pattern}/, not 1"
    return found[0]

"""run.sh as a user meets it: what it prints, its exit codes, and that it leaves nothing behind."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from machine import PROMPT, REPOSITORY
from scapy.all import rdpcap
from wire import PATIENCE

RUN = REPOSITORY / "run.sh"
# Seconds for a build and a boot beside whatever else the computer does: what hangs ends then, and nothing is told by it.
LIMIT = 900


def run(*arguments, cwd="/", **environment):
    return subprocess.run([RUN, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=LIMIT, cwd=cwd, env=os.environ | environment, check=False)


def running_with(word):
    """Command lines of live processes in which the word occurs."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if word in text and int(entry.parent.name) != os.getpid():
            lines.append(text)
    return lines


def test_check():
    result = run("--check")
    assert result.returncode == 0, result.stdout
    sector = (REPOSITORY / "build/disk.img").read_bytes()[:32].hex()
    for wanted in ("VirtIO Net: MAC=52:54:00:12:34:56", f"Disk: sector 0: {sector}",
                   "ARP: 10.0.2.2 is at 52:55:0a:00:02:02", "DHCP: 10.0.2.15/24 gateway 10.0.2.2", "CHECK: ok"):
        assert wanted in result.stdout
    assert re.search(r"^==> All seen in \d+ s: ", result.stdout, re.MULTILINE), result.stdout


def test_options_without_a_terminal(tmp_path):
    """No terminal means the scripted boot; a relative path is the caller's."""
    mac = "02:0a:0b:0c:0d:0e"
    result = run("--modern", "--mac", mac.upper(), "--smp", "2", "--pcap", "net.pcap", "--qemu-args",
                 "-set netdev.net0.net=10.99.0.0/16", cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert f"MAC={mac}" in result.stdout and "DHCP: 10.99." in result.stdout
    assert any(packet.src == mac for packet in rdpcap(str(tmp_path / "net.pcap")))


@pytest.mark.parametrize("arguments, reason", [
    ("-set netdev.net0.type=hubport -set netdev.net0.hubid=0", "no DHCP lease"),
    ("-set drive.disk0.file=/dev/null", "sector"),
    ("-netdev user,id=net0", "QEMU ended with status 1"),
])
def test_failing_check(arguments, reason):
    result = run("--check", "--qemu-args", arguments)
    assert result.returncode not in (0, None)
    assert re.search(f"^run.sh: check failed: .*{reason}", result.stdout, re.MULTILINE), result.stdout


def test_sector_of_another_disk(tmp_path):
    """The sector is compared with the image, not only looked for."""
    other = tmp_path / "other.img"
    other.write_bytes(os.urandom(4096))
    result = run("--check", "--qemu-args", f"-set drive.disk0.file={other}")
    assert result.returncode == 1 and "check failed: the sector printed" in result.stdout, result.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_leaves_nothing(number, tmp_path):
    """A signal during a boot that would last: the script ends at once, and QEMU and its files with it."""
    mark = f"mark-{os.getpid()}-{number}"
    process = subprocess.Popen([RUN, "--check", "--qemu-args", f"-S -name {mark}"], stdin=subprocess.DEVNULL,
                               env=os.environ | {"TMPDIR": str(tmp_path)})
    until = time.monotonic() + LIMIT
    while not any(text.startswith("qemu-system-aarch64") for text in running_with(mark)):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.2)
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE) == 128 + number
    assert running_with(mark) == [] and list(tmp_path.iterdir()) == []


def test_terminal_ends_in_the_monitor():
    child, terminal = pty.fork()
    if child == 0:
        os.execv(RUN, [str(RUN)])
    seen = b""
    sent = False
    until = time.monotonic() + LIMIT
    try:
        while select.select([terminal], [], [], max(until - time.monotonic(), 0))[0]:
            seen += os.read(terminal, 4096)
            if not sent and PROMPT.encode() in seen:
                os.write(terminal, b"poweroff\r")
                sent = True
        os.kill(child, signal.SIGKILL)
    except OSError:  # the terminal's other end is closed
        pass
    assert sent and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, seen.decode()


@pytest.mark.parametrize("arguments", [["--nonsense"], ["frobnicate"], ["--mac"], ["--driver", "perl"], ["test", "nonsense"]])
def test_wrong_arguments(arguments):
    """One line that says what is wrong, and nothing is built."""
    result = run(*arguments)
    assert result.returncode == 1 and len(result.stdout.splitlines()) == 1 and result.stdout.startswith("run.sh: ")


def test_help():
    for word in ("help", "--help", "-h"):
        result = run(word)
        assert result.returncode == 0 and "--pcap FILE" in result.stdout

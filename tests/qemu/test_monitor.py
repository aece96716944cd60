"""The serial monitor, typed at: every command, wrong ones, and the line editor."""

import pytest
from machine import CURSOR_QUESTION, FAR_CORNER, PROMPT, Machine
from test_boot import random_mac
from wire import PATIENCE


@pytest.fixture
def mac(chosen):
    return random_mac(chosen)


@pytest.fixture
def monitor(modern, mac, disk):
    """A machine at the prompt, on QEMU's own network."""
    with Machine(modern=modern, mac=mac, disk=disk) as machine:
        machine.expect(f"^{PROMPT}")
        yield machine
        machine.type("poweroff")
        machine.ended()


def test_commands(monitor, mac, disk):
    contents = disk.read_bytes()
    last = len(contents) // 512 - 1
    assert mac in monitor.command_output("mac")
    assert "up" in monitor.command_output("link")
    assert monitor.command_output("stats").strip()
    assert "10.0.2.2 is at 52:55:0a:00:02:02" in monitor.command_output("arp")
    assert "10.0.2.3 is at 52:55:0a:00:02:03" in monitor.command_output("arp 10.0.2.3")
    assert "10.0.2.15/24 gateway 10.0.2.2" in monitor.command_output("dhcp")
    assert "Ping: 10.0.2.2 seq 1 " in monitor.command_output("ping")
    pinged = monitor.command_output("ping 10.0.2.2 5")
    assert all(f"Ping: 10.0.2.2 seq {n} " in pinged for n in range(1, 6))
    assert contents[:32].hex() in monitor.command_output("disk")
    assert contents[512 * last:][:32].hex() in monitor.command_output(f"disk {last}")
    shown = monitor.command_output("help")
    assert all(word in shown for word in ("mac", "link", "stats", "arp", "dhcp", "ping", "disk", "help", "poweroff"))


def test_wrong_commands(monitor):
    """Each costs one line, and the prompt is back."""
    assert "frobnicate" in monitor.command_output("frobnicate")
    for wrong in ("ping nowhere", "arp 1.2.3", "disk -1", "disk 99999999", "ping 10.0.2.2 zero", "mac 1"):
        assert len(monitor.command_output(wrong).strip().splitlines()) == 1, wrong
    assert monitor.command_output("").strip() == ""


def test_terminal_hears_questions_in_parts():
    """The tests' own terminal: a question may come byte by byte, and two at once."""
    machine = Machine(terminal=True)
    kernel = machine.passed[0]
    kernel.settimeout(PATIENCE)
    machine.reader.start()
    heard = kernel.makefile("rb")
    for sent, answer in ((PROMPT.encode() + CURSOR_QUESTION, b"\x1b[24;11R"), (FAR_CORNER + CURSOR_QUESTION, b"\x1b[24;80R")):
        for byte in sent:
            kernel.send(bytes([byte]))
        assert heard.read(len(answer)) == answer
    kernel.send(FAR_CORNER + CURSOR_QUESTION + PROMPT.encode() + CURSOR_QUESTION)
    both = b"\x1b[24;80R\x1b[24;11R"
    assert heard.read(len(both)) == both


def test_serial_port_is_always_read():
    """Ten thousand characters, one by one, while the test does something else."""
    machine = Machine()
    kernel = machine.passed[0]
    kernel.settimeout(PATIENCE)
    machine.reader.start()
    for _ in range(10_000):
        kernel.send(b".")
    kernel.send(b"!")
    machine.expect(r"^\.{10000}!$")


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_line_editing(terminal, mac):
    """What is rubbed out with the backspace key, or moved over with the arrows, counts as edited."""
    with Machine(mac=mac, terminal=terminal) as machine:
        machine.expect(f"^{PROMPT}")
        for keys in (b"maxx\x7f\x7fc\r", b"mc\x1b[Da\r", b"help\x03", b"\x1b[A\r"):
            machine.serial.sendall(keys)
            if keys.endswith(b"\r"):
                machine.expect(f"MAC={mac}")
            machine.expect(f"^{PROMPT}")
        machine.type("poweroff")
        machine.ended()


def test_unanswered_arp_and_ping_end(monitor):
    """Nobody has this address: both commands give up by themselves."""
    monitor.command_output("arp 10.0.2.99")
    monitor.command_output("ping 10.0.2.99 1")


def test_link_goes_down_and_up(monitor):
    monitor.qmp.execute("set_link", name="nic0", up=False)
    assert "down" in monitor.command_output("link")
    monitor.qmp.execute("set_link", name="nic0", up=True)
    assert "up" in monitor.command_output("link")
    assert "Ping: 10.0.2.2 seq 1 " in monitor.command_output("ping 10.0.2.2 1")


def test_reset_button(monitor, mac):
    """The machine is reset while the driver runs: the next boot finds the same device and uses it."""
    monitor.qmp.execute("system_reset")
    monitor.expect(f"^VirtIO Net: MAC={mac}$")
    monitor.expect(f"^{PROMPT}")
    assert "Ping: 10.0.2.2 seq 1 " in monitor.command_output("ping 10.0.2.2 1")


def test_without_devices(modern):
    """No NIC and no disk: the monitor is there all the same, and each command says what is missing."""
    with Machine(modern=modern, network=None) as machine:
        machine.expect(f"^{PROMPT}")
        for command in ("mac", "link", "stats", "arp", "dhcp", "ping", "disk"):
            assert len(machine.command_output(command).strip().splitlines()) == 1, command
        machine.type("poweroff")
        machine.ended()

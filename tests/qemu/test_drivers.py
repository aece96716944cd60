"""One kernel with either driver of the network card: the same boot, the same lines, the same frames."""

import re

import pytest
from machine import KERNEL, REPOSITORY, Machine, line
from network import Network
from scapy.layers.inet import ICMP
from test_boot import UserNetwork, check_capture, check_lines, random_mac
from wire import Wire

KERNELS = {"c": KERNEL, "rust": REPOSITORY / "build/kernel-rust-net"}
# Symbols of the C driver, and of the network device in virtio-drivers.
IN_C, IN_RUST = b"\0virtio_net_init_versioned\0", b"6device3net"
WHO = {"c": r"driver in C, interface \d+\.\d+", "rust": "driver of virtio-drivers"}


@pytest.fixture(params=["c", "rust"])
def driver(request):
    return request.param


def test_which_driver_is_in_the_kernel(driver):
    """The interface's symbols are in one ELF, those of virtio-drivers' network device in the other, and never both."""
    elf = KERNELS[driver].read_bytes()
    assert (IN_C in elf, IN_RUST in elf) == (driver == "c", driver == "rust")


def test_either_driver(driver, modern, chosen, disk, tmp_path):
    mac, network, pcap = random_mac(chosen), UserNetwork(chosen), tmp_path / "boot.pcap"
    with Machine(kernel=KERNELS[driver], append="check", modern=modern, network=str(network), mac=mac, disk=disk,
                 pcap=pcap) as machine:
        text = machine.ended()
    line(text, f"VirtIO Net: {WHO[driver]}")
    check_lines(text, mac, network, disk)
    check_capture(pcap, mac, network)


def test_the_same_lines(modern, disk):
    """What the kernel prints differs in what the driver says of itself, and in times."""
    lines = {}
    for driver, kernel in KERNELS.items():
        with Machine(kernel=kernel, append="check", modern=modern, disk=disk) as machine:
            text = re.sub(r"time \d+ us", "time", machine.ended())
        own = rf"VirtIO Net: ({WHO[driver]}|(legacy|modern), queues .*)\n"
        lines[driver] = re.sub(own, "", text)
    assert lines["c"] == lines["rust"] and "CHECK: ok" in lines["c"]


def test_either_driver_answers(driver, modern, chosen):
    """Five hundred requests from outside, of every size."""
    with Machine(kernel=KERNELS[driver], modern=modern, network="wire") as machine:
        network = Network(Wire(machine.wire), guest="192.168.77.9")
        network.serve_dhcp()
        machine.expect("^levitate> ")
        network.resolve()
        for sequence in range(500):
            payload = chosen.randbytes(chosen.randint(0, 1472))
            assert bytes(network.ping(sequence, payload)[ICMP].payload)[:len(payload)] == payload
        machine.type("poweroff")
        machine.ended()

"""Builds the images and boots them; each sends back what a peer sends, and the peer compares byte for byte."""

import re
import select
import socket
import subprocess
import time
from itertools import combinations, product

import images
import pytest
import sizes
from images import AARCH64, FACTORS, IMAGES, VECTOR_IMAGES, Image, build
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from wire import PATIENCE, Wire

PEER = "02:00:00:00:00:01"
END = 0x88B6
LENGTHS = (60, 61, 63, 64, 127, 256, 257, 1000, 1513, 1514)
COUNT = 200
ALL = [*IMAGES, *VECTOR_IMAGES]


def test_every_pair_is_covered():
    """Of any two columns every two values meet in some row, so that no two of them disagree."""
    for one, other in combinations(FACTORS, 2):
        seen = {(getattr(image, one), getattr(image, other)) for image in IMAGES}
        missing = set(product(FACTORS[one], FACTORS[other])) - seen
        assert not missing, f"{one}, {other}: {sorted(missing)}"


def test_every_image_is_documented():
    """docs/targets.md has the tables, row by row."""
    text = (images.REPOSITORY / "docs/targets.md").read_text(encoding="utf-8")
    for image in ALL:
        target, *values = (getattr(image, factor) for factor in FACTORS)
        assert f"| `{target}` | {' | '.join(values)} |\n" in text


class Boot:
    """QEMU with an image in it, its serial port and a wire."""

    def __init__(self, image, modern, mac):
        self.serial, serial = socket.socketpair()
        self.wire, wire = socket.socketpair()
        self.passed = (serial, wire)
        self.text = ""
        self.image = image
        self.command = [
            "timeout", "--foreground", "--kill-after=5", "300", *images.machine(image, modern), "-kernel", str(build(image)),
            "-chardev", f"socket,id=console,fd={serial.fileno()}", "-serial", "chardev:console",
            "-netdev", f"stream,server=off,addr.type=fd,addr.str={wire.fileno()},id=net0",
            "-device", f"{images.nic(image)},netdev=net0,mac={mac}"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, pass_fds=[end.fileno() for end in self.passed])
        for end in self.passed:
            end.close()
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        print(f"--- {' '.join(self.command)}\n{self.text}\n---")
        self.serial.close()
        self.wire.close()

    def expect(self, pattern, seconds=PATIENCE):
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text, re.MULTILINE)):
            left = until - time.monotonic()
            assert left > 0, f"no /{pattern}/ within {seconds} s"
            if select.select([self.serial], [], [], left)[0]:
                data = self.serial.recv(65536)
                assert data, f"QEMU ended without /{pattern}/"
                self.text += data.decode("utf-8", "replace")
        return found

    def ended(self):
        assert self.process.wait(timeout=PATIENCE) == images.success(self.image)


def frames_for(chosen, mac):
    """Frames of chosen lengths, and of random ones, with random payload, to the card or to all."""
    lengths = [*LENGTHS, *(chosen.randint(60, 1514) for _ in range(COUNT - len(LENGTHS)))]
    for length in lengths:
        destination = chosen.choice((mac, "ff:ff:ff:ff:ff:ff"))
        head = Ether(dst=destination, src=PEER) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=7, dport=7)
        yield bytes(head / Raw(chosen.randbytes(length - len(head))))


def answer_to(frame, mac):
    answer = Ether(frame)
    answer.src, answer.dst = mac, answer.src
    return bytes(answer)


def exchange(image, modern, chosen):
    mac = ":".join(f"{byte:02x}" for byte in (0x52, 0x54, *chosen.randbytes(4)))
    with Boot(image, modern, mac) as machine:
        machine.expect(rf"^MAC={mac}\r?$")
        wire = Wire(machine.wire)
        sent = list(frames_for(chosen, mac))
        # As many at once as the card has buffers for; QEMU keeps the others until there is room.
        for start in range(0, COUNT, 20):
            wire.send(*sent[start:start + 20])
            for i in range(start, start + 20):
                got = wire.receive(PATIENCE)
                assert got == answer_to(sent[i], mac), f"frame {i} of {len(sent[i])} bytes: {got and got.hex()}"
        wire.send(bytes(Ether(dst=mac, src=PEER, type=END) / Raw(bytes(46))))
        machine.expect(rf"^echoed {COUNT}\r?$")
        machine.ended()
        assert wire.receive(PATIENCE) is None, "a frame too many"


def test_size():
    """Neither image has the other's driver in it. The table is printed, and in build/targets."""
    rows = sizes.write()
    print(sizes.table(rows))
    for card, here, absent in (("original", "virtio_drivers::queue", "virtio_net_"),
                               ("table", "virtio_net_", "virtio_drivers::queue")):
        names = output("llvm-nm-19", "--demangle", build(Image(AARCH64, card=card)))
        assert here in names and absent not in names
    # The driver is larger by what it does more; a jump would be a mistake.
    small = {row["device"]: row["sum"] for row in rows if row["opt-level"] == "s"}
    assert small["virtio-net-c, clang"] - small["virtio-drivers"] < 18 << 10


BOOTS = [(image, modern) for image in ALL for modern in ((True,) if image.card == "pci" else (False, True))]


every_image = pytest.mark.parametrize("image", ALL, ids=lambda image: image.name)


def output(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, timeout=600).stdout


@every_image
def test_links_as_asked(image):
    """A fixed image or one that can be moved, and none of the sections that the script throws away."""
    headers = output("llvm-readelf-19", "--file-headers", "--sections", "--relocations", build(image))
    moved = image.relocation == "pic"
    assert re.search(r"Type: +(\w+)", headers)[1] == ("DYN" if moved else "EXEC")
    assert bool(re.search(r"^[0-9a-f]{16} .*_RELATIVE", headers, re.MULTILINE)) == moved
    unwanted = set(re.findall(r"\] (\.(?:eh_frame|comment|note)\S*)", headers))
    # Rust's own build of its library has unwind tables, one of ours only notes about compilers.
    assert bool(unwanted) == (image.script == "keep"), unwanted


# What cannot be in a read-only section of code that may be moved: the address of something.
ABSOLUTE = r"R_(?:AARCH64_ABS(?:64|32)|X86_64_(?:64|32|32S)|RISCV_(?:64|32|HI20))\b"


@every_image
def test_c_is_position_independent_where_rust_is(image):
    """The operation tables of the C transports have addresses in them: read-only data, or where the image may change it."""
    relocations = output("llvm-readelf-19", "--relocations", images.archive(image))
    sections = re.split(r"^Relocation section '\.rela", relocations, flags=re.MULTILINE)
    fixed = {section.split("'")[0] for section in sections if re.search(ABSOLUTE, section)}
    fixed = {name for name in fixed if name.startswith((".rodata", ".text"))}
    assert bool(fixed) != (image.relocation == "pic" or image.architecture == "x86_64"), fixed
    assert "GOT" not in relocations
    symbols = output("llvm-readelf-19", "--symbols", images.archive(image))
    assert len(re.findall(r"GLOBAL HIDDEN +\d+ virtio_net_", symbols)) > 20
    assert not re.search(r"GLOBAL DEFAULT +\d+ ", symbols), "a symbol that can be replaced"


VECTOR_REGISTERS = {"aarch64": r"\t(?:[qdsv]\d+|\{ ?v\d+)", "x86_64": r"%[xyz]?mm\d|%st", "riscv64": r"^\s+f(?!ence)\w+"}
CALL = r"\t(?:blr?|call[lq]?|jalr?)\t"
FRAME_SET_UP = {"aarch64": r"\t(?:mov|add)\tx29, sp", "x86_64": r"\tmovq\t%rsp, %rbp", "riscv64": r"\taddi\ts0, sp"}


@every_image
def test_c_code_is_for_kernels(image):
    """No floating-point or vector register but in the one object that may; frame pointers where they are asked for, in every
    function that calls another."""
    code = output("llvm-objdump-19", "--disassemble", "--no-show-raw-insn", "--no-leading-addr", images.archive(image))
    assert len(code) > 10_000
    objects = re.split(r"^.*\((\S+)\):\tfile format .*$", code, flags=re.MULTILINE)[1:]
    using = [name for name, text in zip(objects[::2], objects[1::2], strict=True)
             if re.search(VECTOR_REGISTERS[image.architecture], text, re.MULTILINE)]
    assert len(objects) > 10 and len(using) == (image.copies == "vectors"), using
    assert all(name.endswith("-copy.o") for name in using), using
    if image.frames == "forced":
        functions = re.split(r"^<(?=\w)", code, flags=re.MULTILINE)[1:]
        # The cold part of a function runs in its frame.
        functions = [text for text in functions if re.search(CALL, text) and not re.match(r"\S+\.cold>", text)]
        assert len(functions) > 20
        assert not [text for text in functions if not re.search(FRAME_SET_UP[image.architecture], text)]


@pytest.mark.parametrize("card", ["own", "drop-in"])
def test_strict_lints(card):
    """The crate that uses the driver forbids unsafe code, and denies what may panic, and clippy agrees."""
    image = Image(AARCH64)
    if images.cargo(image, "clippy", "--version").returncode:
        pytest.skip("no clippy with this Rust")
    done = images.cargo(image, "clippy", "--locked", "--quiet", "--release", "-p", "echo", "--target", image.target,
                        "--features", card)
    assert done.returncode == 0, done.stderr


def test_wrong_compiler_is_named():
    image = Image(AARCH64, compiler="gcc", relocation="pic")
    build_driver = ("build", "--locked", "--quiet", "--release", "-p", "echo", "--features", "own", "--target", image.target)
    wrong = images.cargo(image, *build_driver, CC_aarch64_unknown_none="gcc")
    assert wrong.returncode and "no C compiler makes objects for aarch64-unknown-none" in wrong.stderr, wrong.stderr
    lto = images.cargo(image, *build_driver, CFLAGS_aarch64_unknown_none="-flto")
    assert lto.returncode and "no machine code, because of -flto" in lto.stderr, lto.stderr
    large = "\x1f".join([*images.rust_flags(image), "-Ccode-model=large"])
    model = images.cargo(image, *build_driver, CARGO_ENCODED_RUSTFLAGS=large)
    assert model.returncode and "code model large" in model.stderr, model.stderr


@pytest.mark.parametrize(("image", "modern"), BOOTS,
                         ids=[f"{image.name}-{'modern' if modern else 'legacy'}" for image, modern in BOOTS])
def test_moves_frames(image, modern, chosen):
    exchange(image, modern, chosen)

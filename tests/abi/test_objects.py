"""The library as it lies in the archive: what it asks of a kernel, and what it shows, for each machine and compiler.

`./run.sh test cross` builds the archives; here they are only read.
"""

import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

import interface

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
MACHINES = ("aarch64", "x86_64", "riscv64", "riscv64gc")
# Where one object may use vector registers.
SIMD = [f"{machine}-{compiler}-simd" for machine in ("aarch64", "x86_64") for compiler in ("gcc", "clang")]
PRESETS = [f"{machine}-{compiler}" for machine in MACHINES for compiler in ("gcc", "clang")] + SIMD
AARCH64 = [preset for preset in PRESETS if preset.startswith("aarch64")]
# What a freestanding compiler may always call (Rust's compiler_builtins has them).
HOST_PROVIDES = {"memcpy", "memmove", "memset", "memcmp"}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def archive(preset):
    path = BUILD / preset / "libvirtio_net.a"
    assert path.exists(), f"{path} is not built: type './run.sh test cross'"
    return str(path)


@cache
def objects(preset):
    """Sections and symbols of each object in the archive."""
    text = output("llvm-readelf-19", "--elf-output-style=JSON", "--sections", "--symbols", archive(preset))
    # Some versions print one document for each object, others one list.
    decoder, position, found = json.JSONDecoder(), 0, []
    while position < len(text):
        document, end = decoder.raw_decode(text, position)
        found += document if isinstance(document, list) else [document]
        position = end + len(text[end:]) - len(text[end:].lstrip())
    assert found, f"{preset}: the archive is empty"
    return found


def sections(preset):
    return [entry["Section"] for part in objects(preset) for entry in part["Sections"]]


def symbols(preset):
    return [entry["Symbol"] for part in objects(preset) for entry in part["Symbols"] if entry["Symbol"]["Name"]["Name"]]


def named(preset, defined):
    """Names of the global symbols that are defined in the archive, or only used."""
    return {symbol["Name"]["Name"] for symbol in symbols(preset)
            if symbol["Binding"]["Name"] != "Local" and (symbol["Section"]["Name"] != "Undefined") == defined}


@pytest.mark.parametrize("preset", PRESETS)
def test_needs_nothing_but_memory_functions(preset):
    assert named(preset, False) - named(preset, True) <= HOST_PROVIDES


@pytest.mark.parametrize("preset", PRESETS)
def test_shows_only_its_interface(preset):
    """Every function of the header is there, and only those can be linked against from outside."""
    declared = set(interface.shape(ROOT / "include", interface.TARGETS["64"][0])["functions"])
    visible = {symbol["Name"]["Name"] for symbol in symbols(preset)
               if symbol["Binding"]["Name"] != "Local" and symbol["Section"]["Name"] != "Undefined"
               and symbol["Other"]["Value"] & 3 == 0}
    assert visible == declared


@pytest.mark.parametrize("preset", PRESETS)
def test_hidden_names_have_a_prefix(preset):
    """An archive has no walls: what crosses its files would meet the names of other archives in a static link."""
    hidden = {symbol["Name"]["Name"] for symbol in symbols(preset)
              if symbol["Binding"]["Name"] != "Local" and symbol["Section"]["Name"] != "Undefined"
              and symbol["Other"]["Value"] & 3 != 0}
    assert hidden
    assert all(name.startswith("vn_") for name in hidden), hidden


@pytest.mark.parametrize("preset", PRESETS)
def test_has_no_writable_data(preset):
    """All state is in the caller's storage. (Read-only tables of addresses are .data.rel.ro where code may be moved.)"""
    writable = {section["Name"]["Name"] for section in sections(preset) if section["Size"] > 0
                and {"SHF_WRITE", "SHF_ALLOC"} <= {flag["Name"] for flag in section["Flags"]["Flags"]}}
    assert all(name.startswith(".data.rel.ro") for name in writable), writable


@pytest.mark.parametrize("preset", PRESETS)
def test_has_no_unwind_tables(preset):
    """Linker scripts of kernels discard or misplace them."""
    assert not [section["Name"]["Name"] for section in sections(preset)
                if section["Name"]["Name"].startswith((".eh_frame", ".ctors", ".init_array"))]


def users_of_the_texts(to, *flags):
    """The sources that call the functions of the status codes' names and texts, in a build with these flags."""
    found = set()
    for name in (ROOT / "c-driver/sources.txt").read_text(encoding="utf-8").split():
        subprocess.run(["clang-19", "--target=aarch64-unknown-none", "-std=c11", "-ffreestanding", "-nostdlibinc", "-O2", "-Wall",
                        "-Wextra", "-Werror", *flags, f"-I{ROOT}/include", f"-I{ROOT}/c-driver", "-c", ROOT / "c-driver" / name,
                        "-o", to], check=True, timeout=60)
        if re.search(r" U virtio_net_status_(name|text)$", output("llvm-nm-19", str(to)), re.MULTILINE):
            found.add(name)
    return found


def test_texts_are_for_whoever_asks(tmp_path):
    """With log lines the driver itself uses the texts; without, an image has them only where the program does."""
    assert users_of_the_texts(tmp_path / "object.o") == {"virtio/device.c"}
    assert not users_of_the_texts(tmp_path / "object.o", "-DVIRTIO_NET_NO_LOG")


COMPILERS = pytest.mark.parametrize(
    "command", [("aarch64-linux-gnu-gcc",), ("clang-19", "--target=aarch64-unknown-none", "-nostdlibinc")], ids=("gcc", "clang"))
SOURCES = (ROOT / "c-driver/sources.txt").read_text(encoding="utf-8").split()


def compile_source(command, name, directory, *flags):
    subprocess.run([*command, "-std=c11", "-ffreestanding", "-fno-strict-aliasing", "-mgeneral-regs-only", "-mstrict-align",
                    "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include", f"-I{ROOT}/c-driver", *flags,
                    "-c", ROOT / "c-driver" / name, "-o", directory / "object.o"], check=True, timeout=60)


@COMPILERS
@pytest.mark.parametrize("name", SOURCES)
def test_compiles_without_optimisation(command, name, tmp_path):
    """What a project gets that has no build type: instructions written by hand may not need a compiler that looks through
    calls."""
    compile_source(command, name, tmp_path, "-O0")


# Bytes of the largest frame: the stacks of kernels and of interrupt handlers are small.
MOST_STACK = 256


@COMPILERS
@pytest.mark.parametrize("name", SOURCES)
def test_needs_little_stack(command, name, tmp_path):
    """No function has a large frame, or one whose size depends on what it is given."""
    compile_source(command, name, tmp_path, "-O2", "-fstack-usage")
    frames = [line.split("\t") for line in (tmp_path / "object.su").read_text(encoding="utf-8").splitlines()]
    assert frames, "nothing was told"
    assert not [(where, size, kind) for where, size, kind in frames if int(size) > MOST_STACK or kind != "static"]


@pytest.mark.parametrize("preset", AARCH64)
def test_orders_ring_accesses(preset):
    """The index of a ring is stored with release and read with acquire, or between barriers (virtio 1.2, 2.7.13)."""
    code = output("llvm-objdump-19", "--disassemble", "--no-show-raw-insn", archive(preset))
    barriers = len(re.findall(r"\bdmb\t", code))
    assert re.search(r"\bstlrh\t", code) or barriers, "no release"
    assert re.search(r"\bldarh\t|\bldaprh\t", code) or barriers, "no acquire"
    assert barriers, "no full barrier between publishing and the kick test (virtio 1.2, 2.7.13.4.1)"


ACQUIRING = ("vn_net_tx_collect", "virtio_net_tx_reap_one", "virtio_net_receive", "virtio_net_receive_burst",
             "virtio_net_rx_peek", "virtio_net_rx_take_next", "virtio_net_rx_ready")
RELEASING = ("vn_ring_publish", "virtio_net_tx_post_one", "virtio_net_tx_post_raw", "virtio_net_rx_post_one")


@pytest.mark.parametrize("preset", AARCH64)
def test_orders_ring_accesses_of_each_call(preset):
    """Each of the quick ways, too: used.idx by an acquire, and between avail.idx and the peer's event a full barrier. Those of
    gcc are written by hand, for this machine alone."""
    code = output("llvm-objdump-19", "--disassemble", "--no-show-raw-insn", archive(preset))
    functions = dict(re.findall(r"^[0-9a-f]+ <(\w+)>:\n(.*?)(?=^[0-9a-f]+ <|\Z)", code, re.MULTILINE | re.DOTALL))
    for name in ACQUIRING:
        assert re.search(r"\tldap?rh\t", functions[name]), name
    for name in RELEASING:
        assert re.search(r"\tstlrh\t.*\tdmb\tish$", functions[name], re.DOTALL | re.MULTILINE), name


VECTOR_REGISTERS = {"aarch64": r"\t(?:[qdsv]\d+|\{ ?v\d+)", "x86_64": r"%[xyz]?mm\d|%st\b"}


@pytest.mark.parametrize("preset", [preset for preset in PRESETS if not preset.startswith("riscv")])
def test_uses_general_registers_only(preset):
    """Kernels neither save nor always switch on the floating-point registers, but for those that allow one object to copy by
    them."""
    code = output("llvm-objdump-19", "--disassemble", "--no-show-raw-insn", archive(preset))
    parts = dict(re.findall(r"^\S+\((\S+)\):\tfile format.*\n([^\0]*?)(?=^\S+\(\S+\):\tfile format|\Z)", code, re.MULTILINE))
    assert len(parts) > 10
    users = {name.split(".")[0] for name, text in parts.items() if re.search(VECTOR_REGISTERS[preset.split("-")[0]], text)}
    assert users == ({"copy"} if preset in SIMD else set())

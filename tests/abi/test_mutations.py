"""A change of the interface is noticed at least three ways that do not know of each other.

Each mutation is applied to a copy of the boundary. Who looks at the copy:

promises   the library is compiled: `VIRTIO_NET_PROMISE` in the header, prototypes against definitions
baseline   the stored text, by clang's view of the headers
abidiff    the stored descriptions, by the debug information of what was built
generated  the generated files, by regenerating them
numbers    ffi/tests/abi.rs: every number in C against what Rust was compiled with
layout     ffi/src/layout.rs, after the generated files were regenerated as a careless author would

`./run.sh test rust` runs this, because it needs what that stage builds.
"""

import json
import os
import re
import shutil
from functools import cache

import pytest

import baseline
from baseline import ROOT, must, run
from headers import line

BOUNDARY = """#![no_std]
mod bindings;
mod platform;
pub mod sys {
    pub use super::bindings::*;
    pub use super::platform::*;
}
mod layout;
"""
CARGO = os.environ.get("CARGO", "cargo")
HEADER, PLATFORM = "include/virtio_net.h", "include/virtio_net_platform.h"
FILES = [HEADER, PLATFORM, "ffi/cbindgen.toml", "ffi/src/bindings.rs", "ffi/src/platform.rs", "ffi/src/layout.rs"]


def swapped(first, second):
    """Two lines that change places."""
    return first + second, second + first


HEADER_TEXT = (ROOT / HEADER).read_text(encoding="utf-8")
PACKET_FIELDS = [line("    uint16_t csum_start;"), line("    uint16_t csum_offset;")]
COUNTERS = [line("    uint64_t rx_dropped_short;"), line("    uint64_t rx_dropped_long;")]
LENGTH, GSO_SIZE, TIMESTAMP = (line(f"    uint{field};") for field in ("32_t length", "16_t gso_size", "64_t timestamp_ns"))
SEND = "virtio_net_send(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const void *frame, uint32_t length)"
TABLE = "    void (*set_status)(void *context, uint32_t status);"

MINOR = re.search(r"#define VIRTIO_NET_ABI_MINOR +\d+", HEADER_TEXT)[0]

# What is replaced (file, old text, new text), and who must notice.
MUTATIONS = {
    "fields of a packet reordered": (
        [(HEADER, *swapped(*PACKET_FIELDS))],
        {"baseline", "abidiff", "generated", "numbers", "layout"}),
    "counters reordered": (
        [(HEADER, *swapped(*COUNTERS))],
        {"baseline", "abidiff", "generated", "numbers", "layout"}),
    "fields of other sizes reordered": (
        [(HEADER, LENGTH, ""), (HEADER, GSO_SIZE, GSO_SIZE + LENGTH)],
        {"promises", "baseline", "abidiff", "generated", "layout"}),
    "field appended to a frozen structure": (
        [(HEADER, TIMESTAMP, TIMESTAMP + "    uint64_t more;\n")],
        {"promises", "baseline", "abidiff", "generated", "layout"}),
    "field removed": (
        [(HEADER, line("    uint64_t quarantined_bytes;"), "")],
        {"promises", "baseline", "abidiff", "generated", "layout"}),
    "field widened": (
        [(HEADER, "    uint32_t mtu; ", "    uint64_t mtu; ")],
        {"promises", "baseline", "abidiff", "generated", "layout"}),
    "sign of a field changed": (
        [(HEADER, "    int32_t code; ", "    uint32_t code; ")],
        {"baseline", "abidiff", "generated"}),
    "field of the same size, of another type": (
        [(HEADER, "    uint8_t fallback_mac[6]; ", "    uint16_t fallback_mac[3]; ")],
        {"baseline", "abidiff", "generated"}),
    "status code changed": (
        [(HEADER, "VIRTIO_NET_ERROR_QUEUE_FULL = -16", "VIRTIO_NET_ERROR_QUEUE_FULL = -18")],
        {"baseline", "abidiff", "generated", "numbers"}),
    "feature bit changed": (
        [(HEADER, "VIRTIO_NET_FEATURE_MTU = 3", "VIRTIO_NET_FEATURE_MTU = 4")],
        {"baseline", "abidiff", "generated", "numbers"}),
    "macro constant changed": (
        [(HEADER, "#define VIRTIO_NET_STORAGE_PER_SLOT  32", "#define VIRTIO_NET_STORAGE_PER_SLOT  40")],
        {"baseline", "abidiff", "generated", "numbers"}),
    "constant of the platform changed": (
        [(PLATFORM, "#define VIRTIO_NET_DMA_BOTH 2", "#define VIRTIO_NET_DMA_BOTH 3")],
        {"baseline", "abidiff", "generated", "numbers"}),
    "constant removed": (
        [(HEADER, line("    VIRTIO_NET_FEATURE_IN_ORDER = 35,"), "")],
        {"baseline", "abidiff", "generated", "numbers"}),
    "version raised": (
        [(HEADER, MINOR, MINOR + "1")],
        {"baseline", "abidiff", "generated", "numbers"}),
    "parameter changed in the header only": (
        [(HEADER, SEND, SEND.replace("uint32_t length", "uint64_t length"))],
        {"promises", "baseline", "generated"}),
    "parameter changed everywhere": (
        [(HEADER, SEND, SEND.replace("uint32_t length", "uint64_t length")),
         ("c-driver/net/tx.c", r"(virtio_net_send\([^)]*)uint32_t length", r"\1uint64_t length")],
        {"baseline", "abidiff", "generated"}),
    "result changed everywhere": (
        [(HEADER, "int32_t virtio_net_stop(", "int64_t virtio_net_stop("),
         ("c-driver/net/lifecycle.c", r"int32_t virtio_net_stop\(", "int64_t virtio_net_stop(")],
        {"baseline", "abidiff", "generated"}),
    "const taken from a parameter everywhere": (
        [(HEADER, "virtio_net_rx_ready(const struct", "virtio_net_rx_ready(struct"),
         ("c-driver/net/rx.c", r"virtio_net_rx_ready\(const struct", "virtio_net_rx_ready(struct")],
        {"baseline", "abidiff", "generated"}),
    "function of a table changed": (
        [(PLATFORM, TABLE, TABLE.replace("uint32_t status", "uint64_t status"))],
        {"baseline", "abidiff", "generated"}),
    "functions of a table reordered": (
        [(PLATFORM, "(*interrupt_ack)", "(*config_generation_)"), (PLATFORM, "(*config_generation)", "(*interrupt_ack)"),
         (PLATFORM, "(*config_generation_)", "(*config_generation)")],
        {"baseline", "abidiff", "generated", "numbers"}),
    "function renamed everywhere": (
        [(HEADER, "int32_t virtio_net_check(", "int32_t virtio_net_probe("),
         ("c-driver/net/lifecycle.c", r"virtio_net_check\(", "virtio_net_probe(")],
        {"baseline", "abidiff", "generated"}),
}


def copy_of(folder, replacements):
    """A copy of the boundary with some text replaced."""
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "c-driver", folder / "c-driver")
    for name, old, new in replacements:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        # Sources of the driver by pattern: their lines are broken as they like.
        mutated = text.replace(old, new, 1) if name.startswith("include") else re.sub(old, new, text, count=1)
        assert mutated != text, f"{name} has no {old!r}"
        path.write_text(mutated, encoding="utf-8")
    return folder


def without_promises(folder):
    """So that the others have something to look at where the promises already fail."""
    path = folder / HEADER
    text = re.sub(r"^VIRTIO_NET_PROMISE\([^;]*;", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


def built(root):
    sources = sorted((root / "c-driver").rglob("*.c"))
    return run("gcc", "-std=c11", "-ffreestanding", "-fsyntax-only", f"-I{root}/include", f"-I{root}/c-driver", *sources)


def described(root, name):
    """Whether abidiff sees a difference; what cannot be built it does not see."""
    try:
        return baseline.abidiff(root, name, root) != ""
    except ValueError:
        return False


@cache
def executable(*arguments):
    """What Cargo builds, built once."""
    messages = must(CARGO, *arguments, "--quiet", "--locked", "--message-format=json", cwd=ROOT)
    found = [json.loads(line).get("executable") for line in messages.splitlines()]
    return [path for path in found if path][-1]


def xtask(verb, root):
    return run(executable("build", "-p", "xtask"), verb, root)


def numbers(root):
    return run(executable("test", "-p", "virtio-net-c", "--test", "abi", "--no-run"), "both_compilers",
               env={**os.environ, "VIRTIO_NET_INCLUDE": str(root / "include")})


def layout(root):
    """The boundary of the crate alone, compiled."""
    source = root / "ffi/src/boundary.rs"
    source.write_text(BOUNDARY, encoding="utf-8")
    return run(os.environ.get("RUSTC", "rustc"), "--edition", "2024", "--crate-type", "lib", "--emit", "metadata",
               "--cap-lints", "allow", "--out-dir", root, source)


# How each looks at a tree; true where it notices that the tree is not what it was. In this order: the promises are taken out
# after they were seen, and the last one regenerates.
OBSERVERS = {
    "promises": lambda root: built(root).returncode != 0,
    "baseline": lambda root: any(baseline.compare(baseline.stored(), baseline.current(root))),
    "abidiff": lambda root: any(described(root, name) for name in baseline.BUILDS),
    "generated": lambda root: xtask("check", root).returncode != 0,
    "numbers": lambda root: numbers(root).returncode != 0,
    "layout": lambda root: xtask("generate", root).returncode != 0 or layout(root).returncode != 0,
}


def observers(root, asked):
    """Those of the asked who notice something."""
    seen = set()
    for name, notices in OBSERVERS.items():
        if name in asked and notices(root):
            seen.add(name)
        if name == "promises":
            without_promises(root)
    return seen


def test_nobody_notices_where_nothing_changed(tmp_path):
    """The comment is of a section. One of an item is in the bindings too."""
    root = copy_of(tmp_path, [(HEADER, " * queue_pair is 0. No call waits. A call with",
                               " * queue_pair is zero. No call waits. A call with")])
    assert observers(root, OBSERVERS) == set()


@pytest.mark.parametrize("name", MUTATIONS)
def test_is_noticed_three_ways(name, tmp_path):
    replacements, who = MUTATIONS[name]
    assert len(who) >= 3
    assert observers(copy_of(tmp_path, replacements), who) == who

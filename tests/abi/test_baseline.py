"""The headers and the library are what the stored baseline says, for each machine and compiler; and the policy is kept.

A difference that is meant is reviewed and stored with `python3 tests/abi/baseline.py regenerate` (docs/abi.md).
"""

import re

import pytest

import baseline
import compilers
import headers
import interface

ANEW = "reviewed, and meant? python3 tests/abi/baseline.py regenerate (docs/abi.md)"
ALL_TARGETS = [(width, target) for width, targets in interface.TARGETS.items() for target in targets]


def assert_nothing_differs(before, after):
    broken, grown = interface.differences(before, after)
    assert not broken, f"the interface is broken; {ANEW}"
    assert not grown, f"the interface has grown; {ANEW}"
    assert sorted(before) == sorted(after)


@pytest.mark.parametrize(("width", "target"), ALL_TARGETS, ids=[target for _, target in ALL_TARGETS])
def test_interface_is_that_of_the_baseline(width, target):
    stored = baseline.stored()
    common, layout = interface.facts(baseline.ROOT / "include", target)
    # A narrow pointer is followed by what widens it.
    common = [line for line in common if "_padding: " not in line]
    assert_nothing_differs(stored["interface.txt"], common)
    assert_nothing_differs(stored[f"layout-{width}.txt"], layout)


def test_baseline_holds_everything():
    """Every name that the headers mention with the prefix is a fact, or no name of the interface."""
    facts = "\n".join(baseline.stored()["interface.txt"])
    known = set(re.findall(r"\w+", facts)) | {"VIRTIO_NET_H", "VIRTIO_NET_PLATFORM_H", "VIRTIO_NET_PROMISE"}
    text = "".join((baseline.ROOT / "include" / name).read_text(encoding="utf-8") for name in interface.HEADERS)
    code = re.sub(r'/\*.*?\*/|"[^"]*"', "", text, flags=re.DOTALL)
    assert set(re.findall(r"\b(?:virtio_net|VIRTIO_NET)_\w+", code)) - known == set()
    assert len(facts.splitlines()) > 250


@pytest.mark.parametrize("name", interface.HEADERS)
def test_every_name_has_the_prefix(name):
    target = interface.TARGETS["64"][0]
    source = f'#include "{name}"\n'
    lines = interface.clang(baseline.ROOT / "include", target, "-E", "-dM", source=source).splitlines()
    without = interface.clang(baseline.ROOT / "include", target, "-E", "-dM",
                              source="#include <stddef.h>\n#include <stdint.h>\n").splitlines()
    assert [line for line in lines if line not in without and not re.match(r"#define (virtio_net|VIRTIO_NET)_", line)] == []
    for node in interface.declarations(baseline.ROOT / "include", target):
        assert node.get("name", "virtio_net").startswith("virtio_net"), node.get("name")


@pytest.mark.parametrize("machine", compilers.MACHINES)
def test_compilers_see_the_same(machine):
    assert compilers.complaints(machine, baseline.stored(), baseline.ROOT / "include") == ""


@pytest.mark.parametrize("compiler", compilers.C)
@pytest.mark.parametrize("name", baseline.BUILDS)
def test_libabigail_finds_no_difference(name, compiler, tmp_path):
    assert baseline.abidiff(baseline.ROOT, name, tmp_path, compiler) == "", ANEW


def test_descriptions_name_no_place():
    """Whoever regenerates them gets the same text."""
    for name in baseline.BUILDS:
        text = (baseline.STORED / name).read_text(encoding="utf-8")
        paths = set(re.findall(r"""path=['"]([^'"]*)""", text))
        assert not [path for path in paths if path.startswith(("/", ".."))], paths
        assert str(baseline.ROOT) not in text


@pytest.mark.parametrize("width", interface.TARGETS)
def test_no_structure_has_hidden_padding(width):
    """Bytes that no field names would hold whatever was there before, and could never get a meaning."""
    ends = {}
    holes = []
    for fact in baseline.stored()[f"layout-{width}.txt"]:
        key, text = fact.removeprefix("layout ").split(": ")
        structure, _, field = key.partition(".")
        first, second = interface.numbers(text)
        if not field:
            ends[structure] = (0, first)
            continue
        end, size = ends[structure]
        if first != end:
            holes.append(key)
        ends[structure] = (first + second, size)
    holes += [structure for structure, (end, size) in ends.items() if end != size]
    # On 32 bits; the library writes it and reads each field alone.
    assert holes == ([] if width == "64" else ["virtio_net_dma.device_address"])


# --- The policy itself, on copies of the header that were changed ---

def changed(tmp_path, *replacements):
    """The facts of the headers with some text replaced."""
    folder = tmp_path / "include"
    folder.mkdir()
    found = set()
    for name in interface.HEADERS:
        text = (baseline.ROOT / "include" / name).read_text(encoding="utf-8")
        for old, new in replacements:
            found |= {old} if old in text else set()
            text = text.replace(old, new)
        # The promises are another way to notice; here they would only be in the way.
        (folder / name).write_text(re.sub(r"VIRTIO_NET_PROMISE\([^;]*;", "", text), encoding="utf-8")
    assert len(found) == len(replacements)
    return baseline.current(tmp_path)


MAC_SOURCE = headers.line("    uint8_t mac_source;")
INFO_END = MAC_SOURCE + headers.line("    uint8_t reserved[5];")
PACKET_END = headers.line("    uint64_t timestamp_ns;")
LAST_OF_TABLE = headers.line("    int32_t (*config_write)")
NO_KICK = headers.line("enum { VIRTIO_NET_NO_KICK = 1")
GROWTH = {
    "function at the tail of a table": (LAST_OF_TABLE, LAST_OF_TABLE + "    void (*more)(void *context);\n"),
    "field at the tail": (INFO_END, INFO_END + "    uint64_t more;\n"),
    "field in the reserve": (INFO_END, MAC_SOURCE + "    uint8_t more;\n    uint8_t reserved[4];\n"),
    "constant": (NO_KICK, NO_KICK + "enum { VIRTIO_NET_LATER = 2 };\n"),
    "macro": ("#define VIRTIO_NET_MAX_SLOTS ", "#define VIRTIO_NET_MORE      7\n#define VIRTIO_NET_MAX_SLOTS "),
    "function": ("uint32_t virtio_net_abi_version(void);", "uint32_t virtio_net_abi_version(void);\nvoid virtio_net_more(void);"),
}
BREAKS = {
    "constant changed": ("VIRTIO_NET_ERROR_SLOT = -14", "VIRTIO_NET_ERROR_SLOT = -15"),
    "constant removed": (headers.line("    VIRTIO_NET_FEATURE_IN_ORDER = 35,"), ""),
    "macro changed": ("#define VIRTIO_NET_STORAGE_PER_SLOT  32", "#define VIRTIO_NET_STORAGE_PER_SLOT  40"),
    "field in the middle": (MAC_SOURCE, "    uint64_t more;\n" + MAC_SOURCE),
    "field in a frozen structure": (PACKET_END, PACKET_END + "    uint64_t more;\n"),
    "field larger than the reserve": (INFO_END, MAC_SOURCE + "    uint8_t more[6];\n"),
    "field removed": (PACKET_END, ""),
    "field of another type": ("    int32_t code;   ", "    uint32_t code;   "),
    "field renamed": ("    uint32_t log_level; ", "    uint32_t level; "),
    "parameter of another type": ("const void *frame, uint32_t length);", "const void *frame, uint64_t length);"),
    "result of another type": ("int32_t virtio_net_stop(", "uint32_t virtio_net_stop("),
    "function removed": ("int32_t virtio_net_check(struct virtio_net *net);", ""),
    "table's function changed": ("uint32_t (*get_status)(void *context);", "uint64_t (*get_status)(void *context);"),
}


@pytest.mark.parametrize("name", GROWTH)
def test_growth_is_told_from_breakage(name, tmp_path):
    broken, grown = baseline.compare(baseline.current(), changed(tmp_path, GROWTH[name]))
    assert grown
    assert not broken


@pytest.mark.parametrize("name", BREAKS)
def test_breakage_is_found(name, tmp_path):
    broken, _ = baseline.compare(baseline.current(), changed(tmp_path, BREAKS[name]))
    assert broken


def at_version(major, minor, *replacements):
    text = (baseline.ROOT / "include/virtio_net.h").read_text(encoding="utf-8")
    lines = re.findall(r"#define VIRTIO_NET_ABI_M\w+ +\d+", text)
    return [(line, line.rstrip("0123456789") + str(number)) for line, number in zip(lines, (major, minor), strict=True)
            ] + list(replacements)


@pytest.mark.parametrize(("old", "new", "change", "refused"), [
    ((0, 1), (0, 1), "grows", False), ((0, 1), (0, 1), "breaks", True), ((0, 1), (0, 2), "breaks", False),
    ((0, 2), (0, 1), "grows", True), ((1, 0), (1, 0), "grows", True), ((1, 0), (1, 1), "grows", False),
    ((1, 0), (1, 1), "breaks", True), ((1, 4), (2, 0), "breaks", False), ((0, 3), (1, 0), "breaks", False)])
def test_versions_follow_the_policy(old, new, change, refused, tmp_path):
    edit = (GROWTH if change == "grows" else BREAKS)["function" if change == "grows" else "constant changed"]
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    before = changed(tmp_path / "old", *at_version(*old))
    after = changed(tmp_path / "new", *at_version(*new, edit))
    assert bool(baseline.refusal(before, after, released=True)) == refused
    # What nobody has yet may change, but its version does not go back.
    assert bool(baseline.refusal(before, after, released=False)) == (new < old)

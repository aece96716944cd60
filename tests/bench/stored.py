"""The stored table, tests/bench/stored.json: for each compiler, what each path cost when it was last looked at, in instructions,
and what the driver added to an image, in bytes.

A C path is keyed by the C compiler alone; a Rust path and an image by both, because the two are linked together.
"""

import json
import os
import re
import subprocess
from pathlib import Path

from counting import all_paths, instructions, measure, off_by_one
from machine import Case
from weigh import growths

TABLE = Path(__file__).with_name("stored.json")
# A path or an image may grow by so much.
TOLERANCE = 1.02
# In front of what the kernel costs that copies by vectors.
SIMD = "simd:"
# In front of what an image grows by.
SIZE = "size:"
# The same relative to the floor, where the compiler is none that the table knows: two compilers differ by more than that.
FOREIGN_TOLERANCE = 1.25


def version(command):
    return subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout


def compiler():
    """The C compiler that the kernels are built with, such as "clang 19.1.7"."""
    text = version(os.environ["CC_aarch64_unknown_none"])
    family = "clang" if "clang" in text else "gcc"
    return f"{family} {re.search(r'[0-9]+[.][0-9]+[.][0-9]+', text).group()}"


def rustc():
    return " ".join(version(os.environ.get("RUSTC", "rustc")).split()[:2])


def both_compilers():
    return f"{compiler()}, {rustc()}"


def keys(case):
    """The table's key for a case: compilers, and the case without its number of packets."""
    name = str(case).rpartition(":")[0]
    return (compiler() if case.path.startswith(("c-", "floor-")) else both_compilers()), name


def cases():
    """What the test looks at: this project's paths and the floor. A minute at most."""
    def own(case):
        return not case.path.startswith("crate")
    long_frames = [Case(path, way, length) for path in ("c-place", "c-copy", "floor-place", "floor-copy")
                   for length in (1514, 0) for way in ("tx", "rx")]
    return [*filter(own, all_paths(60)), *long_frames, Case("dropin-net", "tx", 1514, burst=1), *off_by_one()]


def simd_cases():
    """What it looks at in the kernel that copies by vectors."""
    return [Case("c-copy", way, length, offset) for length in (60, 1514) for offset in (0, 1) for way in ("tx", "rx")]


def floor_of(case):
    """The floor's case for a path."""
    place = case.path.endswith("-place") or case.path in ("dropin-raw", "c-post")
    return Case("floor-place" if place else "floor-copy", case.direction, case.length, 0, case.burst, case.queue)


def table():
    return json.loads(TABLE.read_text()) if TABLE.exists() else {}


def store(kernel, simd_kernel, images):
    """Measures, and keeps what it finds."""
    known = table()
    results = measure(kernel, cases())
    for key in {keys(case)[0] for case in results}:
        known[key] = {}
    for prefix, found in (("", results), (SIMD, measure(simd_kernel, simd_cases()))):
        for case, result in found.items():
            key, name = keys(case)
            known[key][prefix + name] = round(instructions(result, case), 2)
    known[both_compilers()] |= {SIZE + name: added for name, added in growths(images).items()}
    TABLE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def larger(images):
    """The images to which the driver adds more than the table allows, as lines to read."""
    known = table()
    return [line for name, added in growths(images).items() if (line := judge_size(known, SIZE + name, added))]


def judge_size(known, name, added):
    """A line about an image that has grown too much, else None. Where the compilers are none that the table knows, the largest is
    taken that it has of another version of the same, or else of any."""
    key = both_compilers()
    if key in known:
        there, tolerance = known[key].get(name, 0), TOLERANCE
    else:
        alike = {other: entry for other, entry in known.items() if other.split()[0] == key.split()[0]}
        there = max((entry[name] for entry in (alike or known).values() if name in entry), default=0)
        tolerance = FOREIGN_TOLERANCE
    return f"{name}: the driver adds {added:,} bytes with {key}, stored {there:,}" if added > there * tolerance else None


def grown(kernel, simd_kernel):
    """The paths that cost more than the table allows, as lines to read."""
    known = table()
    measured = {case: instructions(result, case) for case, result in measure(kernel, cases()).items()}
    simd = {case: instructions(result, case) for case, result in measure(simd_kernel, simd_cases()).items()}
    return [line for prefix, costs in (("", measured), (SIMD, simd)) for case, cost in costs.items()
            if (line := judge(known, measured, case, cost, prefix))]


def judge(known, measured, case, cost, prefix=""):
    """A line about a case that costs too much, else None."""
    key, name = keys(case)
    name = prefix + name
    if key in known:
        limit = known[key].get(name, 0) * TOLERANCE
        return f"{name}: {cost:.2f} instructions a packet with {key}, stored {known[key].get(name)}" if cost > limit else None
    if case.path.startswith("floor"):
        return None
    ratio, floor = cost / measured[floor_of(case)], str(floor_of(case)).rpartition(":")[0]
    ratios = [entry[name] / known[other.partition(",")[0]][floor] for other, entry in known.items() if name in entry]
    if ratio <= max(ratios, default=0) * FOREIGN_TOLERANCE:
        return None
    return f"{name}: {ratio:.2f} times the floor with {key}, {max(ratios, default=0):.2f} times with the compilers stored"

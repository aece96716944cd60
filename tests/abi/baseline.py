#!/usr/bin/env python3
"""The stored description of the binary interface, in tests/abi/baseline.

    python3 tests/abi/baseline.py              what differs from it, and whether docs/abi.md allows that
    python3 tests/abi/baseline.py regenerate   writes it anew, where docs/abi.md allows the difference

interface.txt    constants, macros, functions, fields and their types: the same on every machine
layout-64.txt    sizes, alignments and offsets where a pointer has 64 bits; layout-32.txt where it has 32
library.abi      libabigail's view of the library, built to be shared: functions and the types that they reach
header.abi       its view of the headers alone: every structure and, as one enumeration more, every constant
"""

import re
import subprocess
import sys
from pathlib import Path

import interface

ROOT = Path(__file__).resolve().parents[2]
STORED = Path(__file__).resolve().parent / "baseline"
STORED_BY = "clang-19"
# The build does not matter for what is compared: no optimisation, the debug information of the types.
FLAGS = ("-std=c11", "-g", "-O0", "-ffreestanding", "-fno-strict-aliasing", "-fPIC", "-shared", "-nostdlib")
NOT_STORED = ("--no-architecture", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs")
COMPARED = ("--no-architecture", "--no-corpus-path", "--no-show-locs")


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False, **options)


def must(*command, **options):
    done = run(*command, **options)
    if done.returncode != 0:
        raise ValueError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


# --- As text ---

def current(root=ROOT):
    """The lines of interface.txt and of each layout, by file, of the headers below `root`."""
    found = {}
    for width, targets in interface.TARGETS.items():
        common, layout = interface.facts(root / "include", targets[0])
        found.setdefault("interface.txt", common)
        found[f"layout-{width}.txt"] = layout
    return found


def stored():
    return {name: (STORED / name).read_text(encoding="utf-8").splitlines()
            for name in ("interface.txt", "layout-64.txt", "layout-32.txt")}


def compare(before, after):
    """(broken, grown) over all files. Fields are judged with their layout."""
    broken, grown = [], []
    for width in interface.TARGETS:
        parts = ("interface.txt", f"layout-{width}.txt")
        found = interface.differences(*([line for part in parts for line in side[part]] for side in (before, after)))
        for lines, more in zip((broken, grown), found, strict=True):
            lines += [line for line in more if line not in lines]
    return broken, grown


def version(facts):
    lines = interface.by_name(facts["interface.txt"])
    return tuple(int(lines[f"constant VIRTIO_NET_ABI_{part}"]) for part in ("MAJOR", "MINOR"))


def refusal(before, after, released):
    """Why the baseline must not become `after`; None where it may."""
    broken, grown = compare(before, after)
    old, new = version(before), version(after)
    if new < old:
        return f"the version goes back from {old} to {new}"
    if new[0] > old[0] or not released:
        return None
    if broken and (new[0] > 0 or new == old):
        return ("raise VIRTIO_NET_ABI_MAJOR" if new[0] > 0 else "raise VIRTIO_NET_ABI_MINOR") + ", or undo:\n" + "\n".join(broken)
    if grown and new[0] > 0 and new == old:
        return "raise VIRTIO_NET_ABI_MINOR, or undo:\n" + "\n".join(grown)
    return None


def is_released(root=ROOT):
    """Whether somebody may have the version of the baseline: the changelog says so."""
    major, minor = version(stored())
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    return not re.search(rf"^## {major}\.{minor}\.0, not released yet$", changes, re.MULTILINE)


# --- As libabigail sees it ---

def build_library(root, to, compiler):
    sources = (root / "c-driver/sources.txt").read_text(encoding="utf-8").split()
    must(compiler, *FLAGS, "-Iinclude", "-Ic-driver", *(f"c-driver/{source}" for source in sources), "-o", to, cwd=root)


def build_header(root, to, compiler):
    """A library of types only. Macros leave no trace in debug information, so each becomes an enumeration: one of its own,
    because abidiff overlooks a constant that takes a value which another one of its enumeration has. """
    found = interface.shape(root / "include", interface.TARGETS["64"][0])
    names = [name for name, macro in found["macros"].items() if interface.is_number(macro)]
    source = '#include "virtio_net.h"\n'
    source += "".join(f"enum macro_{name} {{ MACRO_{name} = (int32_t){name} }};\n" for name in names)
    source += "".join(f"struct {name} *pointer_to_{name};\n" for name in found["structures"])
    must(compiler, *FLAGS, "-fno-eliminate-unused-debug-types", "-Iinclude", "-xc", "-", "-o", to, cwd=root, input=source)


# How each is built, described, and compared.
BUILDS = {"library.abi": (build_library, ("--exported-interfaces-only", "--headers-dir", "include", "--drop-private-types"),
                          ()),
          "header.abi": (build_header, ("--load-all-types",), ("--non-reachable-types",))}


def describe(root, name, folder, compiler):
    """libabigail's description of the tree below `root`, in a file of `folder`."""
    build, options, _ = BUILDS[name]
    library, description = folder / f"{name}.so", folder / name
    build(root, library, compiler)
    must("abidw", *NOT_STORED, *options, "--out-file", description, library, cwd=root)
    return description


def abidiff(root, name, folder, compiler=STORED_BY):
    """What abidiff says of the tree against the baseline; empty where nothing differs."""
    # Another compiler describes `const volatile void` otherwise, which abidiff calls harmless.
    every = ["--harmless"] if compiler == STORED_BY else []
    done = run("abidiff", *COMPARED, *BUILDS[name][2], *every, "--suppressions", STORED / "suppressions.ini", STORED / name,
               describe(root, name, folder, compiler))
    if done.returncode & 3:
        raise ValueError(f"abidiff: {done.stdout}{done.stderr}")
    return done.stdout if done.returncode else ""


# --- Command line ---

def regenerate():
    for name, lines in current().items():
        (STORED / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder = ROOT / "build/abi"
    folder.mkdir(parents=True, exist_ok=True)
    for name in BUILDS:
        description = describe(ROOT, name, folder, STORED_BY)
        (STORED / name).write_text(description.read_text(encoding="utf-8"), encoding="utf-8")


def main(arguments):
    if arguments not in ([], ["regenerate"]):
        return __doc__
    if not (STORED / "interface.txt").exists():
        regenerate()
        return None
    before, after = stored(), current()
    broken, grown = compare(before, after)
    for kind, lines in (("broken", broken), ("grown", grown)):
        for line in lines:
            print(f"{kind}: {line}")
    reason = refusal(before, after, is_released())
    if reason or not arguments:
        return reason
    regenerate()
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

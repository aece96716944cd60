"""How large a minimal kernel is with the network device of virtio-drivers, and with this one: the same `main`, transport, heap
and machine.

Prints a table, and writes it with the numbers to build/targets: `build/venv/bin/python tests/targets/sizes.py`.
"""

import json
import re
import subprocess

from images import AARCH64, BUILD, Image, build

SECTIONS = {"text": (".text", ".init"), "rodata": (".rodata",), "data": (".data", ".got")}


def sizes(image):
    """Bytes of code, constants and data, as they lie in the image."""
    text = subprocess.run(["llvm-size-19", "--format=sysv", str(build(image))], check=True, capture_output=True, text=True).stdout
    found = {name: int(size) for name, size in re.findall(r"^(\.\S+)\s+(\d+)\s", text, re.MULTILINE)}
    parts = {part: sum(found.get(name, 0) for name in names) for part, names in SECTIONS.items()}
    return parts | {"sum": sum(parts.values())}


def report():
    rows = []
    for level in ("3", "s"):
        for device, card, compiler in (("virtio-drivers", "original", "clang"), ("virtio-net-c, clang", "table", "clang"),
                                       ("virtio-net-c, gcc", "table", "gcc"),
                                       ("NetDevice, no heap, clang", "own", "clang")):
            image = Image(AARCH64, compiler=compiler, card=card, optimised=level)
            rows.append({"opt-level": level, "device": device} | sizes(image))
    return rows


def table(rows):
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in rows:
        lines.append("| " + " | ".join(f"{value:,}" if isinstance(value, int) else value for value in row.values()) + " |")
    return "\n".join(lines)


def write():
    rows = report()
    (BUILD / "sizes.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (BUILD / "sizes.md").write_text(table(rows) + "\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    print(table(write()))

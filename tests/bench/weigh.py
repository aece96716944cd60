"""What images weigh: bytes of code, constants and data, and what a driver adds to them."""

import re
import subprocess

PARTS = (".text", ".rodata", ".data", ".got")
# Each image with this project's driver, and the same one without it.
BASES = {"drop-in": "transport", "own-transport": ""}


def sizes(directory):
    """Bytes of each image of tests/bench/size that is there."""
    found = {}
    for image in directory.glob("size-*"):
        text = subprocess.run(["llvm-size-19", "--format=sysv", str(image)], check=True, capture_output=True, text=True).stdout
        lines = re.findall(r"^(\.\S+)\s+(\d+)\s", text, re.MULTILINE)
        found[image.name.removeprefix("size-")] = sum(int(size) for name, size in lines if name.startswith(PARTS))
    return found


def growths(directory):
    """Bytes that the driver adds to each image."""
    found = sizes(directory)
    return {name: found[name] - found[base] for name, base in BASES.items()}

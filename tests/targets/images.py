"""The images: which there are, how each is built, and how QEMU starts it.

A row says what is different: the target, the C compiler, whether code is position independent, link-time optimisation, the
edition of the crate that uses the driver, the linker, whether the linker script throws unwind tables and notes away, frame
pointers, and which transport is below the driver. Every pair of values of two columns is in some row. Two rows more copy frames
by vector registers.
"""

import json
import os
import shutil
import subprocess
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
BUILD = REPOSITORY / "build/targets"

AARCH64, SOFTFLOAT = "aarch64-unknown-none", "aarch64-unknown-none-softfloat"
X86_64, RISCV64 = "x86_64-unknown-none", "riscv64gc-unknown-none-elf"


@dataclass(frozen=True)
class Image:
    target: str
    compiler: str = "clang"
    relocation: str = "static"
    lto: str = "fat"
    edition: str = "2024"
    linker: str = "lld"
    script: str = "discard"
    frames: str = "omitted"
    card: str = "table"
    optimised: str = "3"
    copies: str = "words"

    @property
    def architecture(self):
        return self.target.split("-")[0].replace("gc", "")

    @property
    def name(self):
        return "-".join(astuple(self))


FACTORS = {
    "target": (AARCH64, SOFTFLOAT, X86_64, RISCV64),
    "compiler": ("clang", "gcc"),
    "relocation": ("static", "pic"),
    "lto": ("fat", "off"),
    "edition": ("2021", "2024"),
    "linker": ("lld", "gnu"),
    "script": ("discard", "keep"),
    "frames": ("omitted", "forced"),
    "card": ("own", "table", "pci"),
}

IMAGES = [
    Image(AARCH64, "clang", "static", "off", "2024", "gnu", "discard", "forced", "own"),
    Image(AARCH64, "gcc", "pic", "off", "2024", "lld", "keep", "forced", "table"),
    Image(AARCH64, "clang", "pic", "fat", "2021", "gnu", "keep", "omitted", "pci"),
    Image(SOFTFLOAT, "clang", "static", "fat", "2024", "lld", "discard", "omitted", "own"),
    Image(SOFTFLOAT, "clang", "pic", "off", "2021", "gnu", "discard", "omitted", "table"),
    Image(SOFTFLOAT, "gcc", "pic", "fat", "2021", "gnu", "keep", "forced", "pci"),
    Image(X86_64, "clang", "pic", "off", "2021", "gnu", "keep", "omitted", "own"),
    Image(X86_64, "gcc", "pic", "off", "2021", "lld", "discard", "omitted", "table"),
    Image(X86_64, "gcc", "static", "fat", "2024", "lld", "discard", "forced", "pci"),
    Image(RISCV64, "gcc", "pic", "off", "2024", "lld", "keep", "omitted", "own"),
    Image(RISCV64, "clang", "static", "fat", "2021", "gnu", "discard", "forced", "table"),
    Image(RISCV64, "gcc", "static", "off", "2024", "gnu", "keep", "omitted", "pci"),
]

# Only some targets have vector registers to copy by, so that is no column: two images more, one of each compiler, with the Rust
# type that copies and with the drop-in.
VECTOR_IMAGES = [
    Image(AARCH64, "clang", "static", "fat", "2024", "lld", "discard", "omitted", "own", copies="vectors"),
    Image(AARCH64, "gcc", "pic", "off", "2021", "gnu", "keep", "forced", "table", copies="vectors"),
]

# Where an image that is not position independent is linked; and where each is loaded.
LINKED = {"aarch64": 0x4020_0000, "riscv64": 0x8020_0000, "x86_64": 0xffff_ffff_8020_0000}
LOADED = {"aarch64": 0x4020_0000, "riscv64": 0x8020_0000, "x86_64": 0x20_0000}
GNU_LD = {"aarch64": "aarch64-linux-gnu-ld", "riscv64": "riscv64-unknown-elf-ld", "x86_64": "ld"}
GCC = {"aarch64": "aarch64-linux-gnu-gcc", "riscv64": "riscv64-unknown-elf-gcc", "x86_64": "gcc"}

KEEP = "\t.eh_frame_hdr : { *(.eh_frame_hdr) } :code\n\t.eh_frame : ALIGN(8) { KEEP(*(.eh_frame)) } :code\n"
DISCARD = "\t/DISCARD/ : { *(.eh_frame .eh_frame_hdr .comment .note .note.* .riscv.attributes .interp) }\n"


def linker_script(image):
    moved = image.relocation == "pic"
    load = LOADED[image.architecture]
    link = 0 if moved else LINKED[image.architecture]
    discard = image.script == "discard"
    return Template((HERE / "image.ld").read_text(encoding="utf-8")).substitute(
        link=f"{link:#x}", load=f"{load:#x}", offset=f"{0 if moved else link - load:#x}",
        unwind="" if discard else KEEP, discard=DISCARD if discard else "")


def rust_flags(image):
    """Of all crates of the image; the driver's build script reads them too."""
    flags = ["-C", f"relocation-model={image.relocation}"]
    # Where no library comes compiled for the target, run.sh has compiled it.
    sysroot = os.environ.get("TARGETS_SYSROOT", "")
    if Path(sysroot, "lib/rustlib", image.target).exists():
        flags += ["--sysroot", sysroot]
    if image.frames == "forced":
        flags += ["-C", "force-frame-pointers=yes"]
    return flags


def link_arguments(image, script):
    arguments = [f"-T{script}", "-znorelro"]
    if image.relocation == "pic":
        # The library that comes compiled with rustc has addresses in read-only data, which the image patches itself.
        arguments += ["-pie", "--no-dynamic-linker", "-znotext"]
    flags = ["-C", f"link-args={' '.join(arguments)}"]
    if image.linker == "gnu":
        flags += ["-C", f"linker={GNU_LD[image.architecture]}", "-C", "linker-flavor=ld"]
    elif lld := os.environ.get("TARGETS_LLD"):
        flags += ["-C", f"linker={lld}", "-C", "linker-flavor=ld.lld"]
    return flags


def environment(image):
    compiler = os.environ.get("TARGETS_CLANG", "clang-19") if image.compiler == "clang" else GCC[image.architecture]
    # The kernel's linker is not these images'.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARGO_TARGET_")}
    return inherited | {
        "CARGO_TARGET_DIR": str(BUILD / "cargo"),
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(rust_flags(image)),
        "CARGO_PROFILE_RELEASE_LTO": image.lto,
        "CARGO_PROFILE_RELEASE_OPT_LEVEL": image.optimised,
        f"CC_{image.target.replace('-', '_')}": compiler,
    }


def cargo(image, *arguments, **variables):
    """Runs Cargo for an image. Images with the same target and flags share what is compiled."""
    return subprocess.run(["cargo", *arguments], env=environment(image) | variables, cwd=HERE, timeout=1800,
                          capture_output=True, text=True)


def features(image):
    return f"{image.card},edition-{image.edition}" + (",simd" if image.copies == "vectors" else "")


@cache
def build(image):
    """Builds the image, and returns where it is. The archive of the C objects in it is beside it."""
    place = BUILD / image.name
    place.mkdir(parents=True, exist_ok=True)
    script = place / "image.ld"
    script.write_text(linker_script(image), encoding="utf-8")
    done = cargo(image, "rustc", "--locked", "--quiet", "--message-format=json-render-diagnostics", "-p", "board",
                 "--target", image.target, "--release", "--features", features(image), "--",
                 *link_arguments(image, script))
    assert done.returncode == 0, f"{' '.join(done.args)}\n{done.stderr}"
    for message in map(json.loads, done.stdout.splitlines()):
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "board":
            shutil.copy(message["executable"], place / "image.elf")
        if message["reason"] == "build-script-executed" and "virtio-net-c" in message["package_id"]:
            shutil.copy(Path(message["out_dir"], "libvirtio_net_c.a"), place)
    return place / "image.elf"


def archive(image):
    return build(image).with_name("libvirtio_net_c.a")


def machine(image, modern):
    """QEMU's command, but for the network."""
    architecture = image.architecture
    command = [f"qemu-system-{architecture}", "-m", "128M", "-nodefaults", "-display", "none", "-no-reboot"]
    if architecture == "x86_64":
        board = "q35" if image.card == "pci" else "microvm"
        command += ["-M", board, "-cpu", "max", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    else:
        command += ["-M", "virt"]
        if architecture == "aarch64":
            command += ["-cpu", "cortex-a53"]
    if image.card != "pci":
        command += ["-global", f"virtio-mmio.force-legacy={'off' if modern else 'on'}"]
    return command


def nic(image):
    return "virtio-net-pci,disable-legacy=on" if image.card == "pci" else "virtio-net-device"


def success(image):
    """QEMU's exit status after an image that turned itself off content."""
    return 33 if image.architecture == "x86_64" else 0

"""Linux's virtio_net with pktgen in the same QEMU, as a reference: the distribution's arm64 kernel and a small initial file
system.

The packages come by apt with lists of its own, so nothing of the system's set-up changes. Where they cannot be had, there is no
reference. """

import gzip
import re
import subprocess
from pathlib import Path

import machine

# In the order in which they must be loaded.
MODULES = ("failover", "net_failover", "virtio_net", "virtio_mmio", "pktgen")
# pktgen's `burst` posts so many frames with one notification; `clone_skb` spares it the making of each frame.
SCRIPT = """#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
for module in {modules}; do /bin/busybox insmod /$module.ko; done
/bin/busybox ip link set eth0 up
run() {{
    echo "rem_device_all" > /proc/net/pktgen/kpktgend_0
    echo "add_device eth0" > /proc/net/pktgen/kpktgend_0
    for word in "count $2" "clone_skb $2" "pkt_size 60" "delay 0" "burst $1" "dst_mac 02:02:02:02:02:02" "dst 10.0.2.2"; do
        echo "$word" > /proc/net/pktgen/eth0
    done
    echo start > /proc/net/pktgen/pgctrl
    echo "pktgen $1 $(/bin/busybox grep -m 1 -o '[0-9]*pps.*errors: [0-9]*' /proc/net/pktgen/eth0)"
}}
{runs}
/bin/busybox poweroff -f
"""


def apt(directory, *arguments):
    state = directory / "lists"
    (state / "partial").mkdir(parents=True, exist_ok=True)
    options = {"Dir::State::lists": state, "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "",
               "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "root"}
    command = [arguments[0], *(f"-o{key}={value}" for key, value in options.items()), *arguments[1:]]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, timeout=600).stdout


def fetch(directory):
    """The kernel and the tree of its packages; None where they cannot be had."""
    tree = directory / "tree"
    try:
        if not tree.exists():
            directory.mkdir(parents=True, exist_ok=True)
            apt(directory, "apt-get", "-q", "update")
            about = apt(directory, "apt-cache", "show", "linux-image-arm64")
            image = re.search(r"^Depends: .*?(linux-image-\S+)", about, re.MULTILINE)
            apt(directory, "apt-get", "-q", "download", image.group(1), "busybox-static")
            for package in directory.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, tree], check=True)
        return next((tree / "boot").glob("vmlinuz-*")), tree
    except (OSError, subprocess.SubprocessError, AttributeError, StopIteration):
        return None


def archive(files):
    """A cpio archive in the kernel's format ("newc"), compressed: name -> contents."""
    parts = []
    for inode, (name, contents) in enumerate([*files.items(), ("TRAILER!!!", b"")], 1):
        fields = [inode, 0o100755 if contents else 0o040755, 0, 0, 1, 0, len(contents), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0"
        for part in (head, contents):
            parts.append(part + bytes(-len(part) % 4))
    return gzip.compress(b"".join(parts), 1)


def initial_files(tree, runs):
    files = {"bin": b"", "bin/busybox": (tree / "bin/busybox").read_bytes(), "bin/sh": (tree / "bin/busybox").read_bytes()}
    for module in MODULES:
        files[f"{module}.ko"] = next(tree.rglob(f"{module}.ko")).read_bytes()
    lines = "\n".join(f"run {burst} {packets}" for burst, packets in runs)
    return files | {"init": SCRIPT.format(modules=" ".join(MODULES), runs=lines).encode()}


def pace(directory, packets, bursts=(1, 32)):
    """Thousands of packets a second for each burst; empty without such a kernel."""
    found = fetch(directory.resolve())
    if not found:
        return {}
    kernel, tree = found
    initrd = directory / "initrd.gz"
    initrd.write_bytes(archive(initial_files(tree, [(burst, packets) for burst in bursts])))
    arguments = ["-m", "512M", "-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyAMA0 quiet panic=-1"]
    text = machine.boot(arguments)
    rates = {int(burst): int(rate) / 1000
             for burst, rate in re.findall(r"^pktgen (\d+) (\d+)pps .*errors: 0$", text, re.MULTILINE)}
    return rates if set(rates) == set(bursts) else {}


if __name__ == "__main__":
    print(pace(Path("build/bench/linux"), 100_000))

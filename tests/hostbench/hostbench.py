"""Measures the driver on the host beside DPDK's virtio PMD: `./run.sh bench --host`. See docs/performance-host.md.

The peer of every program is the same: DPDK's testpmd on its vhost back end, on one processor; the program under test has the
other. Variants take turns within each round, so that whatever else the machine does hits all of them.
"""

import argparse
import json
import os
import re
import selectors
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import page
from variants import ALL, MODEL, QUICK, SHAPES

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/performance-host.md"
PLOT = REPOSITORY / "docs/performance/host.svg"
LIMIT = 60  # seconds for one answer
NO_DPDK = 3  # exit code


class Failure(RuntimeError):
    """A result that must not be: lost frames, wrong bytes, a program that ends."""


class Process:
    """A program with lines in and out, and a limit on every wait."""

    def __init__(self, command, log):
        self.log = open(log, "w+", encoding="utf-8")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.text = ""

    def write(self, line):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.fail("has ended")

    def read_until(self, pattern):
        """What the program wrote up to the end of a match, and the match."""
        end = time.monotonic() + LIMIT
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            if not self.selector.select(max(0, end - time.monotonic())):
                self.fail(f"said nothing for {LIMIT} s")
            data = self.process.stdout.read()
            if data == b"":
                self.fail("has ended")
            self.text += (data or b"").decode(errors="replace")

    def stderr(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()

    def fail(self, what):
        tail = "\n".join((self.stderr() + self.text).strip().splitlines()[-12:])
        raise Failure(f"{' '.join(self.process.args)} {what}:\n{tail}")

    def close(self):
        """Ends the program, which may have something to say with its status."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return -1
        finally:
            self.selector.close()
            self.process.stdout.close()
            self.log.close()


class Peer(Process):
    """testpmd, waiting at a vhost-user socket. Its forwarding modes: io sends back, rxonly, txonly."""

    def __init__(self, processor, place):
        self.path = place / "vhost.sock"
        super().__init__(
            ["taskset", "-c", str(processor), "stdbuf", "-oL", "dpdk-testpmd", "--lcores", f"(0,1)@{processor}",
             "--no-huge", "-m", "64", "--no-pci", "--no-telemetry", "--no-shconf", "--file-prefix=hostbench-peer",
             "--vdev", f"net_vhost0,iface={self.path},queues=1", "--",
             "-i", "--nb-cores=1", "--no-mlockall", "--total-num-mbufs=4096", "--forward-mode=io"], place / "testpmd.log")
        self.counters()

    def tell(self, *commands):
        for command in commands:
            self.write(command)
        return self.counters()

    def counters(self):
        """Frames received and sent since the start. Also says that every command before it is done."""
        self.write("show port stats 0")
        found = self.read_until(r"NIC statistics for port 0 [^#]*#+\s+RX-packets: (\d+)[^#]*?TX-packets: (\d+)[^#]*#{20,}")
        return int(found[1]), int(found[2])

    def forward(self, mode, length=None):
        self.tell("stop", f"set fwd {mode}", *([f"set txpkts {length}"] if length else []), "start")

    def close(self):
        try:
            self.write("stop")
            self.write("quit")
        except Failure:
            pass
        return super().close()


class Program(Process):
    """One of the bench programs."""

    def __init__(self, bench, variant, wrapper=()):
        self.variant = variant
        where = [str(bench.peer.path)] if variant.peer else []
        super().__init__(["taskset", "-c", str(bench.processor), *wrapper, str(bench.build / variant.program), *where,
                          *variant.arguments], bench.place / "program.log")

    def ask(self, mode, length=0, frames=0, copying=0):
        self.write(f"{mode} {length} {frames} {copying}")
        answer = json.loads(self.read_until(r"\{[^\n]*\}\n")[0])
        if answer["bad"] or answer["lost"] or answer["dropped"]:
            raise Failure(f"{self.variant.name}: {answer}")
        return answer

    def paths(self):
        """Which of its functions the PMD has chosen, in its own words."""
        return sorted(set(re.findall(r"using (.* [RT]x) path", self.stderr())))

    def finish(self):
        paths = self.paths()
        status = self.close()
        if status != 0:
            raise Failure(f"{self.variant.name} ended with status {status}")
        return paths


class Bench:
    def __init__(self, build, place, frames, processors):
        self.build = build
        self.place = place
        self.frames = frames
        self.processor = processors[1]
        self.peer = None
        self.peer_processor = processors[0]
        self.rows = []
        self.paths = {}

    def keep(self, variant, round_number, answer, **more):
        self.rows.append({"variant": variant.name, "round": round_number, **answer, **more})

    def apart(self, program):
        """How long a cache line takes to the peer's processor and back, ns; None without a peer."""
        return program.ask("distance", self.peer_processor)["wall_ns"] if program.variant.peer else None

    # ---- one program's work in one round

    def verify(self, variant):
        program = Program(self, variant)
        self.keep(variant, -1, program.ask("verify", frames=4096))
        self.paths[variant.name] = program.finish()

    def time_groups(self, program, round_number):
        for length, copying in SHAPES:
            apart = self.apart(program)
            answer = program.ask("groups", length, self.frames, copying)
            if answer["turns"] == 0:
                raise Failure(f"{program.variant.name}: the peer was late in every turn of the ring")
            self.keep(program.variant, round_number, answer, apart_ns=apart)

    def time_echo(self, program, round_number):
        for length, copying in SHAPES:
            apart = self.apart(program)
            self.keep(program.variant, round_number, program.ask("echo", length, self.frames, copying), apart_ns=apart)

    def time_send(self, program, round_number):
        for length in (60, 1514):
            apart = self.apart(program)
            before = self.peer.counters()[0]
            answer = program.ask("send", length, self.frames)
            deadline = time.monotonic() + 3
            while (seen := self.peer.counters()[0] - before) != answer["sent"] and time.monotonic() < deadline:
                time.sleep(0.05)
            if seen != answer["sent"]:
                raise Failure(f"{program.variant.name}: {answer['sent']} frames sent, {seen} seen by the peer")
            self.keep(program.variant, round_number, answer, apart_ns=apart)

    def time_receive(self, program, round_number):
        for length in (60, 1514):
            apart = self.apart(program)
            before = self.peer.counters()[1]
            self.peer.forward("txonly", length)
            answer = program.ask("receive", length, self.frames)
            sent = self.peer.tell("stop")[1] - before
            seen = answer["received"] + program.ask("drain", length)["received"]
            if seen != sent:
                raise Failure(f"{program.variant.name}: {sent} frames sent by the peer, {seen} received")
            self.keep(program.variant, round_number, answer, apart_ns=apart)

    def round(self, variant, number):
        program = Program(self, variant)
        if not variant.peer:
            self.time_groups(program, number)
            program.finish()
            return
        self.peer.forward("io")
        self.time_groups(program, number)
        self.time_echo(program, number)
        self.peer.forward("rxonly")
        self.time_send(program, number)
        self.time_receive(program, number)
        program.finish()
        self.peer.forward("io")

    # ---- instructions

    def count(self, variant):
        """Instructions a frame in each kind of call, by callgrind; a bracket's own are taken off."""
        out = self.place / "callgrind"
        if self.peer:
            self.peer.forward("io")
        program = Program(self, variant, ("valgrind", "-q", "--tool=callgrind", "--collect-atstart=no",
                                          f"--callgrind-out-file={out}"))
        for length, copying in SHAPES:
            answer = program.ask("count", length, 0, copying)
            totals = {}
            for dump in self.place.glob("callgrind.*"):
                text = dump.read_text(errors="replace")
                name = re.search(r"^desc: Trigger: Client Request: (\w+)$", text, re.M)
                total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
                if name and total:
                    totals.setdefault(name[1], []).append(int(total[1]))
                dump.unlink()
            if not totals.get("send"):
                raise Failure(f"{variant.name}: the peer was late in every turn of the ring under callgrind")
            empty = statistics.median(totals["empty"]) / 2
            calls = {name: (statistics.mean(values) - (empty * 8 if any(values) else 0)) / 256
                     for name, values in totals.items() if name != "empty"}
            self.keep(variant, -1, {**answer, **{f"{name}_instructions": value for name, value in calls.items()}})
        program.finish()


def version(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip().splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def commit():
    """What was measured: the last commit, and whether the sources were it."""
    changed = subprocess.run(("git", "status", "--porcelain", "--", "c-driver", "include", "tests/hostbench", "tests/model"),
                             capture_output=True, text=True, cwd=REPOSITORY).stdout
    return version("git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD") + (", with changes" if changed else "")


def versions():
    processor = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    return {"dpdk": version("pkg-config", "--modversion", "libdpdk"),
            "dpdk_package": version("dpkg-query", "-W", "-f", "${Version}", "dpdk-dev"),
            "compiler": version(os.environ.get("CC", "cc"), "--version"), "valgrind": version("valgrind", "--version"),
            "kernel": os.uname().release.partition("-")[0], "processor": processor[1] if processor else os.uname().machine,
            "commit": commit()}


def verify(bench, variants):
    for variant in variants:
        bench.verify(variant)
    print(f"Checked with each variant: {4 * 4096} frames of every length there and back, byte for byte, before and after a reset",
          file=sys.stderr)


def measure(bench, variants, rounds, counting):
    for number in range(rounds):
        turn = number * 2 % len(variants)  # whoever was first is not always next to whoever was second
        order = variants[turn:] + variants[:turn]
        for variant in order if number % 2 == 0 else order[::-1]:
            bench.round(variant, number)
        print(f"Round {number + 1} of {rounds}", file=sys.stderr)
    for variant in variants if counting else ():
        if "512" not in variant.arguments:  # callgrind knows no AVX-512
            bench.count(variant)


def work(bench, variants, rounds, chosen):
    try:
        if any(variant.peer for variant in variants):
            bench.peer = Peer(bench.peer_processor, bench.place)
            bench.peer.forward("io")
        verify(bench, variants)
        if not chosen.check:
            measure(bench, variants, rounds, not chosen.no_counts)
    except Failure as failure:
        sys.exit(f"host bench: {failure}")
    finally:
        if bench.peer:
            bench.peer.close()


def report(bench, variants, rounds, load, seconds):
    """All of the run as values; page.py makes the text of them."""
    return {"versions": versions(), "load_before": load, "load_after": os.getloadavg(), "seconds": seconds, "paths": bench.paths,
            "rounds": rounds, "frames": bench.frames, "processors": len(os.sched_getaffinity(0)),
            "variants": [vars(variant) for variant in variants], "rows": bench.rows}


def write(values, output, renew):
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(values, indent=1), encoding="utf-8")
    text = page.text(values)
    output.with_suffix(".md").write_text(text, encoding="utf-8")
    output.with_suffix(".svg").write_text(page.plot(values), encoding="utf-8")
    print(text)
    print(f"All of it: {output}, and .md, .svg beside it")
    if renew:
        PAGE.write_text(page.fill(PAGE.read_text(encoding="utf-8"), values), encoding="utf-8")
        PLOT.write_text(page.plot(values), encoding="utf-8")
        print(f"Renewed: {PAGE} and {PLOT}")


def options():
    arguments = argparse.ArgumentParser(prog="run.sh bench --host")
    arguments.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    arguments.add_argument("--output", type=Path, required=True, help=argparse.SUPPRESS)
    arguments.add_argument("--rounds", type=int, help="rounds (7; 3 with --quick)")
    arguments.add_argument("--frames", type=int, help="frames of each measurement (262144; 65536 with --quick)")
    arguments.add_argument("--quick", action="store_true", help="fewer variants, rounds and frames")
    arguments.add_argument("--no-counts", action="store_true", help="no instruction counts")
    arguments.add_argument("--check", action="store_true", help="only see that every frame comes back as it was sent")
    arguments.add_argument("--write", action="store_true", help="renew docs/performance-host.md and its plot")
    arguments.add_argument("--from", dest="earlier", type=Path, metavar="FILE",
                           help="measure nothing: make the tables of an earlier run's host.json anew")
    return arguments.parse_args()


def main():
    chosen = options()
    if chosen.earlier:
        write(json.loads(chosen.earlier.read_text(encoding="utf-8")), chosen.output, chosen.write)
        return
    rounds = chosen.rounds or (3 if chosen.quick else 7)
    frames = chosen.frames or (65536 if chosen.quick else 262144)
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        sys.exit("the host bench needs two processors: one for the driver, one for its peer")
    with_dpdk = (chosen.build / "hostbench-dpdk").exists() and shutil.which("dpdk-testpmd") is not None
    variants = ((*(QUICK if chosen.quick else ALL),) if with_dpdk else ()) + (MODEL,)
    began, load = time.time(), os.getloadavg()
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(chosen.build, Path(place), frames, processors)
        work(bench, variants, rounds, chosen)
    if not chosen.check:
        write(report(bench, variants, rounds, load, round(time.time() - began)), chosen.output, chosen.write and with_dpdk)
    if not with_dpdk:
        print("host bench: DPDK cannot be had here (packages dpdk-dev and libdpdk-dev): only the model device was there"
              + (", and the page stays as it is" if chosen.write else ""), file=sys.stderr)
        sys.exit(NO_DPDK)


if __name__ == "__main__":
    main()

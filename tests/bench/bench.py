"""Measures the drivers: `./run.sh bench`. See docs/performance.md for what each path is, and what is counted how."""

import argparse
import fnmatch
import json
import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

import linux
import machine
import report
import stored
import weigh
import where
from counting import all_paths, check, instructions, measure, quick_cases
from machine import Case

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/performance.md"
# Paths that run for time, with their bursts.
RUNNERS = (("floor-place", 32), ("c-place", 32), ("c-copy", 32), ("rust-place", 32), ("dropin-raw", 32), ("crate-raw", 32),
           ("dropin-net", 1), ("crate-net", 1))


def name_of(case):
    return str(case).rpartition(":")[0]


def log(text):
    print(f"==> {text}", flush=True)


def counts(kernel, cases, **options):
    return {name_of(case): round(instructions(result, case), 2) for case, result in measure(kernel, cases, **options).items()}


def print_counts(kernel, cases):
    print(f"{'path':<15} {'way':<3} {'bytes':>5} {'off':>3} {'burst':>5} {'queue':>5} {'instructions':>12}")
    found = counts(kernel, cases)
    for case in cases:
        print(f"{case.path:<15} {case.direction:<3} {case.length or 'mixed':>5} {case.offset:>3} {case.burst:>5} {case.queue:>5}"
              f" {found[name_of(case)]:>12.2f}")


def calls(kernel):
    """Notifications, Hal calls and allocations a packet, from the kernel that counts them."""
    cases = [case for case in all_paths(60) if not case.path.startswith("floor")]
    found = {}
    for case, result in measure(kernel, cases).items():
        found[name_of(case)] = {key: round(result[key] / case.packets, 4)
                                for key in ("kicks", "shares", "unshares", "allocations")}
    return found


def pace(kernel, rounds, packets, linux_directory):
    """Packets a second, all drivers one after the other, and again: thousands, a list of one a round. Linux among them where it
    can be had."""
    # virtio-drivers' `VirtIONet` waits for each frame: a switch of threads in QEMU, which on a busy computer takes its time.
    cases = [Case(path, way, 60, burst=burst, packets=packets // 10 if (path, way) == ("crate-net", "free-tx") else packets)
             for path, burst in RUNNERS for way in ("free-tx", "free-rx")]
    found, kicks = {}, {}
    for _ in range(rounds):
        for case, result in machine.run(kernel, cases, counting=False, cpus=2, limit=600).items():
            check(case, result)
            found.setdefault(case.path, {}).setdefault(case.direction, []).append(case.packets / result["total_ns"] * 1e6)
            kicks.setdefault(case.path, {}).setdefault(case.direction, []).append(result["kicks"] / case.packets)
        for burst, rate in linux.pace(linux_directory, packets).items():
            found.setdefault("linux" if burst == 32 else "linux-1", {}).setdefault("free-tx", []).append(rate)
    return found, {path: {way: statistics.median(values) for way, values in ways.items()}
                   for path, ways in kicks.items() if not path.startswith("crate")}


def echo(kernel, packets):
    """What one frame there and back takes: microseconds as the peer sees it, instructions in the kernel."""
    cases = [Case(path, way, 60, burst=1, packets=packets)
             for path in ("c-place", "c-copy", "rust-copy", "dropin-net", "crate-net") for way in ("echo-poll", "echo-interrupt")]
    timed = machine.run(kernel, cases, counting=False, cpus=2)
    counted = machine.run(kernel, cases)
    found = {}
    for case in cases:
        check(case, timed[case])
        check(case, counted[case])
        found.setdefault(case.path, {})[case.direction] = {"trip_us": statistics.median(timed[case]["trips"]) * 1e6,
                                                           "instructions": counted[case]["whole"] / packets}
    return found


def stalls(kernel, runs, packets):
    """Whether a queue of 16 stands still when frames are sent one by one."""
    found = {}
    for cpus in (1, 2):
        for _ in range(runs):
            case = Case("c-copy", "free-tx", 60, burst=1, queue=16, packets=packets)
            result = machine.run(kernel, [case], counting=False, cpus=cpus, limit=300)[case]
            found.setdefault(str(cpus), []).append({"packets": packets, "stalled": result["stalled"] or int(result["lost"] != 0),
                                                    "pause_ms": result["pause_ns"] / 1e6, "rekicks": result["rekicks"]})
    return found


def versions():
    def first_line(*command):
        return subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    lock = (REPOSITORY / "Cargo.lock").read_text()
    crate = re.search(r'name = "virtio-drivers"\nversion = "(0\.12[^"]*)"', lock)
    return {"C compilers": ", ".join(first_line(name) for name in (os.environ["BENCH_CLANG"], os.environ["BENCH_GCC"])),
            "rustc": first_line(os.environ.get("RUSTC", "rustc")),
            "virtio-drivers": crate.group(1) if crate else "?",
            "QEMU": first_line("qemu-system-aarch64"),
            "machine": "virt, cortex-a53, on " + platform.machine() + f", {os.cpu_count()} processors"}


def bench(directory, quick):
    results = {"full": not quick, "counts": {}, "versions": versions()}
    for name, compiler in (("clang", os.environ["BENCH_CLANG"]), ("gcc", os.environ["BENCH_GCC"])):
        os.environ["CC_aarch64_unknown_none"] = compiler
        log(f"Instructions, {compiler}")
        kernel, key = directory / f"kernel-{name}", stored.compiler()
        results["counts"][key] = counts(kernel, quick_cases())
        by_vectors = counts(directory / f"kernel-simd-{name}", [case for case in quick_cases() if case.path == "c-copy"])
        results["counts"][key] |= {f"simd:{case}": value for case, value in by_vectors.items()}
        if not quick:
            results["counts"][key] |= counts(kernel, list(all_paths(60, queue=16)))
            results.setdefault("counts_legacy", {})[key] = counts(kernel, list(all_paths(60)), modern=False)
    kernel = directory / "kernel-clang"
    log("Notifications, Hal calls, allocations")
    results["calls"] = calls(directory / "kernel-tally")
    log("Packets a second")
    results["pace"], results["pace_kicks"] = pace(kernel, 3 if quick else 5, 50_000 if quick else 200_000, directory / "linux")
    log("Echoes")
    results["echo"] = echo(kernel, 1000 if quick else 5000)
    log("Stalls")
    results["stalls"] = stalls(kernel, 2 if quick else 20, 200_000)
    results["sizes"] = weigh.sizes(directory)
    results["where"] = where.measure(directory)
    return results


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kernels", type=Path, required=True, help="the directory of the kernels and images")
    arguments.add_argument("--quick", action="store_true", help="fewer rounds, and the modern interface with queues of 256 only")
    arguments.add_argument("--write", action="store_true", help="write docs/performance.md and its plots")
    arguments.add_argument("--counts", action="store_true", help="instruction counts only")
    arguments.add_argument("--simd", action="store_true",
                           help="with --counts: run.sh has built the kernel with copies by vectors")
    arguments.add_argument("--store", action="store_true", help="keep the counts and sizes that the tests compare with")
    arguments.add_argument("patterns", nargs="*", help="only cases that match one of these, such as 'c-place:tx:*'")
    chosen = arguments.parse_args()
    if chosen.store:
        stored.store(chosen.kernels / "kernel", chosen.kernels / "kernel-simd", chosen.kernels / "stored")
    elif chosen.counts:
        print_counts(chosen.kernels / "kernel",
                     [case for case in quick_cases() if not chosen.patterns or
                      any(fnmatch.fnmatch(str(case), pattern + "*") for pattern in chosen.patterns)])
    else:
        results = bench(chosen.kernels, chosen.quick)
        place = PAGE.with_suffix("") if chosen.write else chosen.kernels
        report.figures(results, place)
        (place / "results.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        page = report.fill(PAGE.read_text(), results)
        (PAGE if chosen.write else place / "performance.md").write_text(page)
        print("\n".join(f"{name}\n\n{part(results)}\n" for name, part in report.PARTS.items()))


if __name__ == "__main__":
    main()

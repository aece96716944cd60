"""Measures the drivers: `./run.sh bench`. See docs/performance.md for what each path is."""

import argparse
import fnmatch
from pathlib import Path

import machine
from machine import Case

# The device flushes its transmit queue on a timer of the guest's own clock: how much of a group it finds does not depend on the host.
PACED_DEVICE = "tx=timer,x-txtimer=500000"


def instructions(result, case):
    """Instructions a packet: the whole run less the same run on an empty driver, and the same for the calls alone."""
    return ((result["whole"] - result["empty_whole"]) / case.packets,
            (result["calls"] - result["empty_calls"]) / case.packets)


def check(case, result):
    """A count means nothing where packets went missing."""
    frames = result["frames"] if not case.path.startswith("floor") else case.packets
    wrong = {"frames": frames - case.packets, "bad": result["bad"], "lost": result["lost"], "in_flight": result["in_flight"],
             "nudges": result["nudges"]}
    if any(wrong.values()):
        raise RuntimeError(f"{case}: {wrong}")


def quick_cases():
    return [Case(path, direction, length, burst=burst)
            for path in ("c-place", "c-copy", "floor-place", "floor-copy")
            for length in (60, 1514, 0)
            for burst in (32, 1)
            for direction in ("tx", "rx")] + \
           [Case(path, direction, length, offset=1)
            for path in ("c-copy", "floor-copy") for length in (60, 1514) for direction in ("tx", "rx")]


def counts(kernel, cases):
    results = machine.run(kernel, cases, device=PACED_DEVICE)
    print(f"{'path':<12} {'way':<3} {'bytes':>5} {'off':>3} {'burst':>5} {'queue':>5} {'instructions':>12}  {'calls only':>10} {'kicks':>8}")
    for case in cases:
        check(case, results[case])
        whole, calls = instructions(results[case], case)
        print(f"{case.path:<12} {case.direction:<3} {case.length or 'mixed':>5} {case.offset:>3} {case.burst:>5} {case.queue:>5}"
              f" {whole:>12.2f}  {calls:>10.2f} {results[case]['kicks'] / case.packets:>8.4f}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kernel", type=Path, required=True)
    arguments.add_argument("--counts", action="store_true", help="instruction counts of the C interface only")
    arguments.add_argument("patterns", nargs="*", help="only cases that match one of these, such as 'c-place:tx:*'")
    chosen = arguments.parse_args()
    cases = [case for case in quick_cases()
             if not chosen.patterns or any(fnmatch.fnmatch(str(case), pattern + "*") for pattern in chosen.patterns)]
    counts(chosen.kernel, cases)


if __name__ == "__main__":
    main()

"""Measures the drivers: `./run.sh bench`. See docs/performance.md for what each path is."""

import argparse
import fnmatch
from pathlib import Path

import machine
from machine import Case

# The device flushes its transmit queue on a timer of the guest's own clock: how much of a group it finds does not depend on the host.
PACED_DEVICE = "tx=timer,x-txtimer=500000"


OURS = ("c-", "rust-", "dropin-")


def instructions(result, case):
    """Instructions a packet, counted twice: the whole run less the same run on an empty driver, and the calls alone, less the empty
    ones. The compiler arranges the user's code around each driver a little differently, so the two differ by some. What counts is
    the one that is worse for this project."""
    whole = (result["whole"] - result["empty_whole"]) / case.packets
    calls = (result["calls"] - result["empty_calls"]) / case.packets
    return max(whole, calls) if case.path.startswith(OURS) else min(whole, calls)


def check(case, result):
    """A count means nothing where packets went missing."""
    frames = case.packets if case.path.startswith(("floor", "crate")) else result["frames"]  # those have no statistics
    wrong = {"frames": frames - case.packets, "bad": result["bad"], "lost": result["lost"], "in_flight": result["in_flight"],
             "nudges": result["nudges"], "stalled": result["stalled"]}
    if any(wrong.values()):
        raise RuntimeError(f"{case}: {wrong}")


def blocking(case):
    """Whether frames are sent one at a time: a device that waits for more would only make it slow."""
    return case.direction == "tx" and (case.path in ("crate-net", "crate-raw-send") or
                                       case.path.endswith("-raw") and case.burst == 1)


def all_paths(length, queue=256):
    """Every path with frames of one length."""
    for direction in ("tx", "rx"):
        for path in ("floor-place", "c-place", "rust-place", "floor-copy", "c-copy", "rust-copy"):
            for burst in (32, 1):
                yield Case(path, direction, length, burst=min(burst, queue), queue=queue)
        for path in ("crate-raw", "dropin-raw"):
            for burst in (32, 1):
                yield Case(path, direction, length, burst=min(burst, queue), queue=queue)
        for path in ("crate-net", "dropin-net"):
            yield Case(path, direction, length, burst=1, queue=queue)
    for path in ("crate-raw-send", "dropin-raw-send"):
        yield Case(path, "tx", length, burst=1, queue=queue)
    yield Case("c-post", "tx", length, burst=min(32, queue), queue=queue)


def quick_cases():
    return [case for length in (60, 1514, 0) for case in all_paths(length)] + \
           [Case(path, direction, length, offset=1)
            for path in ("floor-copy", "c-copy") for length in (60, 1514) for direction in ("tx", "rx")]


def measure(kernel, cases, **options):
    """Runs the cases in as few machines as possible, and checks that nothing went missing."""
    results = {}
    for device, chosen in ((PACED_DEVICE, [case for case in cases if not blocking(case)]),
                           ("", [case for case in cases if blocking(case)])):
        if chosen:
            results |= machine.run(kernel, chosen, device=device, **options)
    for case in cases:
        check(case, results[case])
    return results


def counts(kernel, cases):
    results = measure(kernel, cases)
    print(f"{'path':<15} {'way':<3} {'bytes':>5} {'off':>3} {'burst':>5} {'queue':>5} {'instructions':>12}")
    for case in cases:
        print(f"{case.path:<15} {case.direction:<3} {case.length or 'mixed':>5} {case.offset:>3} {case.burst:>5} {case.queue:>5}"
              f" {instructions(results[case], case):>12.2f}")


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

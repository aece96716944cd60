"""Measures the drivers: `./run.sh bench`. See docs/performance.md for what each path is."""

import argparse
import fnmatch
from pathlib import Path

import stored
from counting import instructions, measure, quick_cases


def counts(kernel, cases):
    results = measure(kernel, cases)
    print(f"{'path':<15} {'way':<3} {'bytes':>5} {'off':>3} {'burst':>5} {'queue':>5} {'instructions':>12}")
    for case in cases:
        print(f"{case.path:<15} {case.direction:<3} {case.length or 'mixed':>5} {case.offset:>3} {case.burst:>5} {case.queue:>5}"
              f" {instructions(results[case], case):>12.2f}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kernel", type=Path, required=True)
    arguments.add_argument("--counts", action="store_true", help="instruction counts only")
    arguments.add_argument("--store", action="store_true", help="keep the counts that the test compares with")
    arguments.add_argument("patterns", nargs="*", help="only cases that match one of these, such as 'c-place:tx:*'")
    chosen = arguments.parse_args()
    if chosen.store:
        stored.store(chosen.kernel)
        return
    cases = [case for case in quick_cases()
             if not chosen.patterns or any(fnmatch.fnmatch(str(case), pattern + "*") for pattern in chosen.patterns)]
    counts(chosen.kernel, cases)


if __name__ == "__main__":
    main()

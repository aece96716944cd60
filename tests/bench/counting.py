"""Instructions a packet: which cases there are, how they are run, and what counts."""

import machine
from machine import Case

# The device flushes its transmit queue on a timer of the guest's own clock: how much of a group it finds does not depend on the
# host.
PACED_DEVICE = "tx=timer,x-txtimer=500000"


OURS = ("c-", "rust-", "dropin-")


def both_ways(result, case):
    return ((result["whole"] - result["empty_whole"]) / case.packets, (result["calls"] - result["empty_calls"]) / case.packets)


def instructions(result, case):
    """Instructions a packet, counted twice: the whole run less the same run on an empty driver, and the calls alone, less the
    empty ones. The compiler arranges the user's code around each driver a little differently, so the two differ by some. What
    counts is the one that is worse for this project."""
    return (max if case.path.startswith(OURS) else min)(both_ways(result, case))


def check(case, result):
    """A count means nothing where packets went missing."""
    frames = case.packets if case.path.startswith(("floor", "crate")) else result["frames"]  # those have no statistics
    wrong = {"frames": frames - case.packets, "bad": result["bad"], "lost": result["lost"], "in_flight": result["in_flight"],
             "nudges": result["nudges"], "stalled": result["stalled"]}
    if any(wrong.values()):
        raise RuntimeError(f"{case}: {wrong}")
    whole, calls = both_ways(result, case)
    if case.path.startswith(("c-", "floor-")) and case.direction in ("tx", "rx") and abs(whole - calls) > 1:
        raise RuntimeError(f"{case}: {whole:.2f} instructions a packet in the whole run, {calls:.2f} in the calls")


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
    others = [Case(path, way, length, offset=1, burst=burst) for length in (60, 1514)
              for path, way, burst in (("rust-copy", "tx", 32), ("rust-copy", "rx", 32), ("dropin-net", "tx", 1),
                                       ("crate-net", "tx", 1))]
    return [case for length in (60, 1514, 0) for case in all_paths(length)] + off_by_one() + others


def off_by_one():
    return [Case(path, direction, length, offset=1)
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

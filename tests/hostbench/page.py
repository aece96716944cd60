"""What came of the host bench, as tables and a plot: the parts of docs/performance-host.md between its marks."""

import re
import statistics
import textwrap

from variants import EQUAL, OURS, SHAPES

WIDTH = 130  # columns, as everywhere in the repository; tables may be wider
CALLS = ("reserve", "send", "receive", "release")
# As fast as it goes: what it is called, the program's mode, and whether it copies.
WALLS = (("send", "send", 0), ("receive", "receive", 0), ("there and back", "echo", 0), ("copying", "echo", 1))


def tx(row):
    return row["reserve_ns"] + row["send_ns"]


def rx(row):
    return row["receive_ns"] + row["release_ns"]


def whole(row):
    return row["out_ns"] + row["in_ns"]


def wall(row):
    return row["wall_ns"]


# The share of the measurements that a distance must have.
FEW = 0.1

TIMES = (("TX", tx), ("RX", rx), ("whole", whole))


class Results:
    """The rows of a run, and how they are asked for."""

    def __init__(self, values):
        self.rows = values["rows"]
        self.values = values
        names = [variant["name"] for variant in values["variants"]]
        self.variants = [name for name in names if any(row["variant"] == name for row in self.rows)]
        self.dpdk = [variant["name"] for variant in values["variants"] if variant["program"] == "hostbench-dpdk"]

    def pick(self, variant, mode, length, copying, bounds):
        """Rows of one variant and one kind of work, at one distance; a row without a peer has none, and is of every one."""
        return [row for row in self.rows if (row["variant"], row["mode"], row["length"], row["copying"]) ==
                (variant, mode, length, copying) and (row.get("apart_ns") is None or bounds[0] <= row["apart_ns"] < bounds[1])]

    def median(self, variant, mode, length, copying, bounds, value):
        found = [value(row) for row in self.pick(variant, mode, length, copying, bounds)]
        return statistics.median(found) if found else None

    def quickest(self, *what):
        """The least median of DPDK's variants, and whose it is."""
        return min(((median, name) for name in self.dpdk if (median := self.median(name, *what)) is not None), default=None)

    def distances(self):
        """The processors' distances that there were, as bounds: near, and far where the machine moved them about. A class ends
        where the next distance is half as much again. One with few measurements is left out: it cannot compare anything, and
        most often somebody else had the processor."""
        seen = sorted(row["apart_ns"] for row in self.rows if row.get("apart_ns"))
        if not seen:
            return [(0, float("inf"))]
        classes = [[seen[0]]]
        for low, high in zip(seen, seen[1:]):
            if high >= 1.5 * low:
                classes.append([])
            classes[-1].append(high)
        return [(found[0], found[-1] + 1) for found in classes if len(found) >= FEW * len(seen)]

    def apart(self, bounds):
        """The median distance between these bounds, and how many measurements were so far; None without a peer."""
        seen = [row["apart_ns"] for row in self.rows if row.get("apart_ns") and bounds[0] <= row["apart_ns"] < bounds[1]]
        return (f"{statistics.median(seen):.0f} ns apart", len(seen)) if seen else None


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def number(value):
    return "" if value is None else f"{value:.1f}"


def table(header, lines):
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def title(length, copying):
    return f"{length:,} bytes, {'copying' if copying else 'in place'}"


def heading(results, bounds):
    apart = results.apart(bounds)
    return apart[0] if apart else ""


def wrapped(text):
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


# ---- the parts

def run_part(results):
    """On what, with what, and how much of it."""
    known, values = results.values["versions"], results.values
    tools = ", ".join(["DPDK " + known["dpdk_package"], known["compiler"], known["valgrind"], "Linux " + known["kernel"]])
    text = [f"{tools}, on {known['processor']} with {values['processors']} processors; the driver at {known['commit']}.",
            f"Rounds: {values['rounds']}, frames of each measurement: {values['frames']:,}.",
            f"Load average {values['load_before'][0]:.1f} before the run, {values['load_after'][0]:.1f} after it."]
    all_of_them = sum(bool(row.get("apart_ns")) for row in results.rows)
    found = [apart for bounds in results.distances() if (apart := results.apart(bounds))]
    shares = [f"{far} in {100 * many / all_of_them:.0f} %" for far, many in found]
    if shares:
        others = sum(many for _, many in found) < all_of_them
        text.append(f"The processors were {' and '.join(shares)} of the measurements"
                    + ("; the others are left out." if others else "."))
    return wrapped(" ".join(text))


def summary_part(results):
    """The medians that matter: this driver, the PMD with the same features, and the best that the PMD has."""
    return "\n\n".join(part for bounds in results.distances()
                       for part in (summary_table(results, bounds), walls_summary(results, bounds)) if part)


def best(results, *what):
    found = results.quickest(*what)
    return f"{found[0]:.1f} ({found[1].removeprefix('DPDK, ')})" if found else ""


def summary_table(results, bounds):
    lines = []
    for length, copying in SHAPES:
        line = [title(length, copying)]
        for _, value in TIMES:
            what = ("groups", length, copying, bounds, value)
            line += [number(results.median(OURS.name, *what)), number(results.median(EQUAL.name, *what)), best(results, *what)]
        if any(line[1:]):
            lines.append(line)
    header = [heading(results, bounds)]
    for name, _ in TIMES:
        header += [f"{name}: virtio_net", EQUAL.name, "DPDK's quickest"]
    return table(header, lines) if lines else ""


def walls_summary(results, bounds):
    lines = []
    for name, mode, copying in WALLS:
        for length in (60, 1514):
            what = (mode, length, copying, bounds, wall)
            line = [number(results.median(OURS.name, *what)), number(results.median(EQUAL.name, *what)), best(results, *what)]
            if any(line):
                lines.append([f"{name}, {length:,} bytes", *line])
    header = ["as fast as it goes, " + heading(results, bounds), "virtio_net", EQUAL.name, "DPDK's quickest"]
    return table(header, lines) if lines else ""


def tables_part(results):
    """Every variant at every distance, with the spread."""
    text = []
    for bounds in results.distances():
        if heading(results, bounds):
            text.append(f"### Processors {heading(results, bounds)}")
        text += [shape_table(results, length, copying, bounds) for length, copying in SHAPES]
        text.append(walls_table(results, bounds))
    return "\n\n".join(filter(None, text))


def shape_table(results, length, copying, bounds):
    lines = []
    for name in results.variants:
        rows = results.pick(name, "groups", length, copying, bounds)
        if not rows:
            continue
        line = [name, len(rows), *(spread([value(row) for row in rows]) for _, value in TIMES)]
        for _, value in TIMES:
            ours = results.median(OURS.name, "groups", length, copying, bounds, value)
            peer = any(row.get("apart_ns") for row in rows)
            line.append(f"{ours / statistics.median(map(value, rows)):.2f}" if ours is not None and peer else "")
        lines.append(line)
    header = [title(length, copying), "rounds", "TX", "RX", "whole", "virtio_net by this: TX", "RX", "whole"]
    return table(header, lines) if lines else ""


def walls_table(results, bounds):
    lines = []
    for name in results.variants:
        cells = [[wall(row) for row in results.pick(name, mode, length, copying, bounds)]
                 for _, mode, copying in WALLS for length in (60, 1514)]
        if any(cells):
            lines.append([name, *(spread(cell) if cell else "" for cell in cells)])
    header = ["as fast as it goes", *(f"{name} {length:,}" for name, _, _ in WALLS for length in (60, 1514))]
    return table(header, lines) if lines else ""


def instructions_part(results):
    lines = []
    for name in results.variants:
        cells = []
        for length, copying in SHAPES:
            counted = results.pick(name, "count", length, copying, (0, float("inf")))
            calls = [counted[0].get(f"{call}_instructions", 0) for call in CALLS] if counted else None
            cells += [number(calls[0] + calls[1]), number(calls[2] + calls[3])] if calls else ["", ""]
        if any(cells):
            lines.append([name, *cells])
    header = ["instructions a frame"]
    for length, copying in SHAPES:
        header += [f"{title(length, copying)}: TX", "RX"]
    return table(header, lines) if lines else "Not counted in this run."


def paths_part(results):
    return "\n".join(f"- {name}: {', '.join(paths)}" for name, paths in results.values["paths"].items() if paths) or \
        "DPDK was not there."


PARTS = {"run": run_part, "summary": summary_part, "tables": tables_part, "instructions": instructions_part, "paths": paths_part}


def text(values):
    """All parts, for the terminal."""
    results = Results(values)
    return "\n\n".join(filter(None, (part(results) for part in PARTS.values()))) + "\n"


def fill(page, values):
    """The page with each of its parts made anew: what lies between `<!-- bench: NAME -->` and `<!-- end -->`."""
    results = Results(values)
    marks = re.findall(r"<!-- bench: ([a-z-]+) -->", page)
    if sorted(marks) != sorted(PARTS):
        raise ValueError(f"the page has the marks {marks}, and should have each of {list(PARTS)} once")

    def part(found):
        return f"<!-- bench: {found[1]} -->\n\n{PARTS[found[1]](results)}\n\n<!-- end -->"
    return re.sub(r"<!-- bench: ([a-z-]+) -->.*?<!-- end -->", part, page, flags=re.DOTALL)


def plot(values):
    """Bars of the medians, transmit and receive, where the processors were nearest: one group a shape."""
    results = Results(values)
    shades = (("#2b6cb0", "#90cdf4"), ("#975a16", "#f6ad55"))
    left, unit, y, shapes = 190, 4.0, 40, []
    bounds = results.distances()[0]
    for length, copying in SHAPES:
        shapes.append(f'<text x="10" y="{y}" font-weight="bold">{title(length, copying)}</text>')
        for name in results.variants:
            rows = results.pick(name, "groups", length, copying, bounds)
            if not rows:
                continue
            y, x = y + 18, left
            for value, shade in zip((tx, rx), shades[name in results.dpdk]):
                ns = statistics.median(map(value, rows))
                shapes.append(f'<rect x="{x:.1f}" y="{y - 11}" width="{ns * unit:.1f}" height="14" fill="{shade}"/>')
                x += ns * unit
            both = statistics.median(tx(row) + rx(row) for row in rows)
            shapes.append(f'<text x="10" y="{y}">{name}</text><text x="{x + 5:.1f}" y="{y}">{both:.1f}</text>')
        y += 30
    head = f'<text x="{left}" y="18">ns a frame in the calls, bursts of 32: transmit (dark) and receive (light)</text>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="880" height="{y}" font-family="sans-serif" font-size="12">\n' \
        '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join([head, *shapes]) + "\n</svg>\n"

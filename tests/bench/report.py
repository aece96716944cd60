"""What was measured, as tables, plots and goals: the generated parts of docs/performance.md."""

import re
import statistics

import where
from counting import instructions
from machine import Case

# Paths as people read them.
NAMES = {
    "floor-place": "floor, in place", "c-place": "C, in place", "rust-place": "Rust, in place",
    "floor-copy": "floor, copying", "c-copy": "C, copying", "rust-copy": "Rust, copying",
    "simd:c-copy": "C, copying by vectors",
    "c-post": "C, memory of the caller",
    "crate-net": "virtio-drivers `VirtIONet`", "dropin-net": "drop-in `VirtIONet`",
    "crate-raw": "virtio-drivers `VirtIONetRaw`", "dropin-raw": "drop-in `VirtIONetRaw`",
    "crate-raw-send": "virtio-drivers `VirtIONetRaw::send`", "dropin-raw-send": "drop-in `VirtIONetRaw::send`",
    "linux": "Linux virtio_net, pktgen", "linux-1": "Linux virtio_net, pktgen, burst 1",
}


def case(text):
    """A case from its text without the number of packets."""
    path, way, *numbers = text.split(":")
    return Case(path, way, *map(int, numbers))


# What is aimed at: the paths, the limits with clang and with gcc, and what virtio-drivers takes for the same.
GOALS = [
    ("the floor itself, in place, burst 32: TX, RX", ["floor-place:tx:60:0:32:256", "floor-place:rx:60:0:32:256"], (24.6, 16.6),
     (32.1, 22.9), None),
    ("the floor itself, copying, burst 32: TX 60, RX 60, TX 1,514, RX 1,514 bytes",
     [f"floor-copy:{way}:{length}:0:32:256" for length in (60, 1514) for way in ("tx", "rx")], (69, 59, 207, 273),
     (62, 53, 352, 344), None),
    ("C in place, burst 32: TX, TX of mixed lengths", ["c-place:tx:60:0:32:256", "c-place:tx:0:0:32:256"], (42, 46), (47, 50),
     "crate-raw:tx:60:0:32:256"),
    ("C in place, burst 32: RX", ["c-place:rx:60:0:32:256"], (31,), (36,), "crate-raw:rx:60:0:32:256"),
    ("C copying 60 bytes, burst 32: TX, RX", ["c-copy:tx:60:0:32:256", "c-copy:rx:60:0:32:256"], (60, 53), (66, 57),
     "crate-net:tx:60:0:1:256"),
    ("C copying 1,514 bytes, burst 32: TX, RX", ["c-copy:tx:1514:0:32:256", "c-copy:rx:1514:0:32:256"], (275, 268), (282, 274),
     "crate-net:tx:1514:0:1:256"),
    ("C copying 1,514 bytes by vectors, burst 32: TX, RX", ["simd:c-copy:tx:1514:0:32:256", "simd:c-copy:rx:1514:0:32:256"],
     (178, 170), (178, 170), "crate-net:tx:1514:0:1:256"),
    ("C copying 60 bytes, burst 1: TX, RX", ["c-copy:tx:60:0:1:256", "c-copy:rx:60:0:1:256"], (135, 137), (148, 152),
     "crate-net:tx:60:0:1:256"),
    ("C copying, source off by one byte, burst 32: TX 60, 1,514 bytes", ["c-copy:tx:60:1:32:256", "c-copy:tx:1514:1:32:256"],
     (120, 800), (120, 800), None),
    ("Rust in place, burst 32: TX, RX", ["rust-place:tx:60:0:32:256", "rust-place:rx:60:0:32:256"], (44, 32), (48, 37),
     "crate-raw:tx:60:0:32:256"),
    ("drop-in `VirtIONet`: TX 60, TX 1,514 bytes, RX",
     ["dropin-net:tx:60:0:1:256", "dropin-net:tx:1514:0:1:256", "dropin-net:rx:60:0:1:256"], (190, 430, 80), (190, 430, 80),
     "crate-net:tx:60:0:1:256"),
    ("drop-in `VirtIONetRaw`, one at a time: TX, RX", ["dropin-raw:tx:60:0:1:256", "dropin-raw:rx:60:0:1:256"], (150, 150),
     (150, 150), "crate-raw:tx:60:0:1:256"),
]


def number(value):
    """Three digits at least, and no more than there is sense in."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def family(counts, wanted):
    """The counts of a compiler family, by the case without its packets."""
    return next((values for compiler, values in counts.items() if compiler.startswith(wanted)), {})


def goals(results):
    """Each goal beside what was measured."""
    counts = results["counts"]
    rows = []
    for what, names, clang, gcc, original in GOALS:
        row = [what]
        for wanted, limits in (("clang", clang), ("gcc", gcc)):
            found = [family(counts, wanted).get(name) for name in names]
            if None in found:
                row += ["not measured", ", ".join(map(str, limits)), ""]
                continue
            met = [value <= limit for value, limit in zip(found, limits)]
            row += [", ".join(map(number, found)), ", ".join(map(str, limits)),
                    "met" if all(met) else "not met" if not any(met) else "in part"]
        there = family(counts, "clang").get(original)
        rows.append([*row, number(there) if there else ""])
    header = ["instructions a packet", "clang", "goal", "", "gcc", "goal", "", "virtio-drivers"]
    return table(header, rows) + "\n\n" + other_goals(results)


def other_goals(results):
    rows = []

    def row(what, found, goal, met):
        rows.append([what, found, goal, "met" if met else "not met"])
    calls = results.get("calls", {})
    bursts = [value["kicks"] for name, value in calls.items() if name.startswith(("c-", "rust-")) and ":32:256" in name]
    if bursts:
        row("notifications a packet, own interfaces, burst 32, most", f"{max(bursts):.4f}", "0.01", max(bursts) <= 0.01)
    own = [value["shares"] + value["unshares"] + value["allocations"] for name, value in calls.items()
           if name.startswith(("c-", "rust-"))]
    if own:
        row("allocations and share/unshare a packet, own interfaces", f"{max(own):.0f}", "0", max(own) == 0)
    pace = results.get("pace", {})
    if {"c-place", "crate-net"} <= pace.keys():
        median = {path: statistics.median(pace[path]["free-tx"]) for path in pace}
        ratio = max(median["c-place"], median["c-copy"]) / median["crate-net"]
        row("packets a second, TX, burst 32, against virtio-drivers' `VirtIONet`", f"{ratio:.1f} times", "4 times", ratio >= 4)
        if "linux" in pace:
            linux = statistics.median(pace["linux"]["free-tx"])
            best = max(median["c-place"], median["c-copy"])
            row("packets a second, TX, burst 32, against Linux's pktgen, thousands", f"{best:.0f} and {linux:.0f}", "as many",
                best >= linux)
    for cpus, runs in results.get("stalls", {}).items():
        stalled = sum(run["stalled"] for run in runs)
        row(f"stalls in {len(runs)} runs of {runs[0]['packets']:,} packets, queue 16, burst 1, `-smp {cpus}`", stalled, "0",
            stalled == 0)
    sizes = results.get("sizes")
    if sizes:
        drop_in = sizes["drop-in"] - sizes["transport"]
        there = sizes["virtio-drivers-net"] - sizes["transport"]
        row(f"image growth, drop-in, bytes (virtio-drivers: {there:,})", f"{drop_in:,}", "15,012", drop_in <= 15012)
        own = sizes["own-transport"] - sizes[""]
        row("image growth, `NetDevice` and its own transport, bytes", f"{own:,}", "16,384", own <= 16384)
    return table(["", "measured", "goal", ""], rows) if rows else ""


def counts_table(results, length, queue=256, interface="modern"):
    """Instructions a packet of every path, for one length."""
    rows = []
    source = results["counts"] if interface == "modern" else results["counts_legacy"]
    compilers = list(source)
    for path, title in NAMES.items():
        for burst in (min(32, queue), 1):
            cells = []
            for way in ("tx", "rx"):
                for compiler in compilers:
                    value = source[compiler].get(f"{path}:{way}:{length}:0:{burst}:{queue}")
                    cells.append(number(value) if value is not None else "")
            if any(cells):
                rows.append([title, burst, *cells])
    return table(["", "burst", *(f"{way}, {compiler}" for way in ("TX", "RX") for compiler in compilers)], rows)


def offset_table(results):
    rows = []
    for path, ways, burst in (("floor-copy", "tx rx", 32), ("c-copy", "tx rx", 32), ("simd:c-copy", "tx rx", 32),
                              ("rust-copy", "tx rx", 32), ("dropin-net", "tx", 1), ("crate-net", "tx", 1)):
        for way in ways.split():
            for length in (60, 1514):
                names = [f"{path}:{way}:{length}:{offset}:{burst}:256" for offset in (0, 1)]
                cells = [values.get(name) for values in results["counts"].values() for name in names]
                rows.append([NAMES[path], way.upper(), f"{length:,}", burst,
                             *("" if value is None else number(value) for value in cells)])
    header = [f"{compiler}, {where}" for compiler in results["counts"] for where in ("aligned", "off by one")]
    return table(["", "", "bytes", "burst", *header], rows)


def calls_table(results):
    rows = []
    for name, value in results["calls"].items():
        one = case(name)
        rows.append([NAMES[one.path], one.direction.upper(), one.burst,
                     *(f"{value[key]:.4f}" for key in ("kicks", "shares", "unshares", "allocations"))])
    return table(["", "", "burst", "notifications", "share", "unshare", "allocations"], rows)


def spread(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def pace_table(results):
    rows = []
    for path, ways in results["pace"].items():
        kicks = results["pace_kicks"].get(path, {})
        title = NAMES[path] + (", burst 32" if path in BURSTS else "")
        rows.append([title, *(f(ways, kicks, way) for way in ("free-tx", "free-rx") for f in (
            lambda ways, kicks, way: spread(ways[way]) if way in ways else "",
            lambda ways, kicks, way: f"{kicks[way]:.3f}" if way in kicks else ""))])
    return table(["thousands of packets a second", "TX", "notifications a packet", "RX", "notifications a packet"], rows)


BURSTS = ("floor-place", "c-place", "c-copy", "rust-place", "crate-raw", "dropin-raw", "linux")


def echo_table(results):
    rows = []
    for path, ways in results["echo"].items():
        cells = [f"{ways[way][key]:,.0f}" for way in ("echo-poll", "echo-interrupt") for key in ("trip_us", "instructions")]
        rows.append([NAMES[path], *cells])
    return table(["", "polling: microseconds", "instructions", "interrupt: microseconds", "instructions"], rows)


def stall_table(results):
    rows = []
    for cpus, runs in results["stalls"].items():
        rows.append([f"`-smp {cpus}`", len(runs), f"{runs[0]['packets']:,}", sum(run["stalled"] for run in runs),
                     f"{max(run['pause_ms'] for run in runs):.0f}", sum(run["rekicks"] for run in runs)])
    return table(["", "runs", "packets each", "stalled", "longest pause, ms", "repeated notifications"], rows)


def size_table(results):
    sizes = results["sizes"]
    titles = {"transport": "virtio-drivers' `MmioTransport`, on a machine with a heap and a `Hal`",
              "virtio-drivers-net": "`VirtIONet` of virtio-drivers, on top of that",
              "drop-in": "the drop-in `VirtIONet`, on top of that transport",
              "own-transport": "`NetDevice` with its own transport, on the bare machine"}
    bases = {"transport": "", "virtio-drivers-net": "transport", "drop-in": "transport", "own-transport": ""}
    return table(["bytes of code, constants and data", "growth"],
                 [[title, f"{sizes[name] - sizes[bases[name]]:,}"] for name, title in titles.items()])


def where_table(results):
    found = {name: results["where"][name] for _, _, name in where.COLUMNS}
    return table(["bytes", *found], where.rows(found))


def version_table(results):
    return table(["", "version"], results["versions"].items())


PARTS = {
    "goals": goals,
    "counts-60": lambda results: counts_table(results, 60),
    "counts-1514": lambda results: counts_table(results, 1514),
    "counts-mixed": lambda results: counts_table(results, 0),
    "offset": offset_table,
    "legacy": lambda results: counts_table(results, 60, interface="legacy") if results.get("counts_legacy") else "",
    "queue-16": lambda results: counts_table(results, 60, queue=16) if results.get("full") else "",
    "calls": calls_table,
    "pace": pace_table,
    "echo": echo_table,
    "stalls": stall_table,
    "sizes": size_table,
    "where": lambda results: where_table(results) if "where" in results else "",
    "versions": version_table,
}


def fill(page, results):
    """The page with its generated parts made anew: those between `<!-- bench: NAME -->` and `<!-- end -->`."""
    def part(found):
        made = PARTS[found.group(1)](results)
        return f"<!-- bench: {found.group(1)} -->\n\n{made}\n\n<!-- end -->" if made else found.group()
    return re.sub(r"<!-- bench: ([a-z0-9-]+) -->.*?<!-- end -->", part, page, flags=re.DOTALL)


def figures(results, directory):
    """The plots."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "virtio-net", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
                                "axes.spines.right": False})
    import matplotlib.pyplot as plot
    directory.mkdir(parents=True, exist_ok=True)

    def bars(name, title, groups, unit):
        """Groups: title -> [(label, value, colour)]."""
        figure, axes = plot.subplots(1, len(groups), figsize=(9, 3.6))
        for axis, (group, entries) in zip(axes, groups.items()):
            labels, values, colours = zip(*entries[::-1])
            drawn = axis.barh(labels, values, color=colours)
            axis.bar_label(drawn, [number(value) for value in values], padding=3)
            axis.set_title(group, fontsize=9, loc="left")
            axis.set_xlim(0, max(values) * 1.2)
            axis.set_xlabel(unit)
        figure.suptitle(title, fontsize=10)
        figure.tight_layout()
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
        plot.close(figure)

    counts = family(results["counts"], "clang")
    colours = {"floor": "#b0b0b0", "c": "#1f5fa8", "rust": "#3a8fd0", "dropin": "#7fb8e6", "crate": "#d07030"}

    def entries(paths, way, length):
        return [(NAMES[path].replace("`", "") + f", {burst}", counts[f"{path}:{way}:{length}:0:{burst}:256"],
                 colours[path.partition("-")[0]]) for path, burst in paths]
    in_place = [("floor-place", 32), ("c-place", 32), ("rust-place", 32), ("dropin-raw", 32), ("crate-raw", 32)]
    copying = [("floor-copy", 32), ("c-copy", 32), ("rust-copy", 32), ("dropin-net", 1), ("crate-net", 1)]
    for name, title, paths, length in (("in-place", "In place", in_place, 60), ("copy-60", "60 bytes, copied", copying, 60),
                                       ("copy-1514", "1,514 bytes, copied", copying, 1514)):
        bars(name, f"{title}: instructions a packet, clang; the number after the name is the burst",
             {way.upper(): entries(paths, way, length) for way in ("tx", "rx")}, "instructions a packet")
    pace = results.get("pace", {})
    if pace:
        def medians(way):
            return [(NAMES[path].replace("`", ""), statistics.median(ways[way]),
                     colours.get(path.partition("-")[0], "#508050")) for path, ways in pace.items() if way in ways]
        bars("pace", "60 bytes: thousands of packets a second, plain TCG, medians",
             {"TX": medians("free-tx"), "RX": medians("free-rx")}, "thousands of packets a second")

"""The figures that benches/side_by_side.sh noted, and what they come to.

In scope: reading them, medians, ratios, the bars. Not in scope: how they are shown (`report`, `page`).

A line of the results is SECTION, LOAD, PEER, TURN, METRIC and VALUE. A ratio is that of the medians; its spread is the least and
the greatest of the ratios of the single turns, in which the peers took turns at the same work.
"""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

UNITS = {
    "MB/s": "MB/s",
    "ranges/s": "ranges/s",
    "cpu": "CPU s/GB",
    "store_cpu": "of the store, CPU s/GB",
    "client_cpu": "of the clients, CPU s/GB",
    "rss": "MB RSS",
    "pss": "MB PSS",
    "ms": "ms to the first byte",
    "lost": "lost",
    "p50": "s first byte p50",
    "p99": "s first byte p99",
    "seconds": "CPU s",
}
MORE_IS_BETTER = {"MB/s", "ranges/s"}

# Section, load, metric, vidgate's name there, which way and how far the ratio is to go, the other whose ratio is the bar, and
# those whose ratio is told beside it. The bars were set by a plain proxy that costs 0.97 CPU s/GB, which is what nginx
# costs where nothing but `proxy_pass` is said; the same tuned, and a slice cache, stand beside it.
RATIOS = [
    ("cached", "8", "cpu", "vidgate-cached", "<=", 1.0, "nginx-stock", ["nginx", "nginx-slice"]),
    ("cached", "8", "MB/s", "vidgate-cached", ">=", 1.3, "nginx-stock", ["nginx", "nginx-slice"]),
    ("cold", "8", "cpu", "vidgate", "<=", 0.55, "nginx-stock", ["nginx", "nginx-slice"]),
    ("cold", "8", "cpu", "vidgate-nocache", "<=", 0.55, None, ["nginx-stock", "nginx"]),
    ("cold", "8", "MB/s", "vidgate", ">=", 1.4, "nginx-stock", ["nginx", "nginx-slice"]),
    ("cold", "8", "MB/s", "vidgate-nocache", ">=", 1.4, None, ["nginx-stock", "nginx"]),
    ("cached_ranges", "16", "ranges/s", "vidgate-cached", ">=", 1.0, "nginx-stock", ["nginx", "nginx-slice"]),
    ("cold_ranges", "16", "ranges/s", "vidgate", ">=", 1.1, "nginx-stock", ["nginx", "nginx-slice", "minio"]),
    ("cold_ranges", "16", "ranges/s", "vidgate-nocache", ">=", 1.1, None, ["nginx-stock", "nginx"]),
    ("cached", "8", "cpu", "vidgate-cached", "<=", 0.1, "node", []),
    ("cold", "8", "cpu", "vidgate", "<=", 0.1, "node", []),
]

# Section, load, metric, vidgate's name there, what it is to be at most, and those whose figure is told beside it.
LIMITS = [
    ("start", "1", "ms", "vidgate", 50, ["nginx", "rclone", "node"]),
    ("start", "1", "rss", "vidgate", 8, ["nginx", "rclone", "node"]),
    ("slow", "1000", "lost", "vidgate-cached", 1, ["vidgate", "nginx-stock", "nginx", "nginx-slice", "nginx-slice-open", "rclone-cached", "node"]),
    ("slow", "5000", "lost", "vidgate-cached", 5, ["vidgate", "nginx-stock", "nginx", "nginx-slice", "nginx-slice-open", "rclone-cached", "node"]),
    ("slow", "15000", "lost", "vidgate-cached", 15, ["vidgate", "nginx-stock", "nginx", "nginx-slice", "nginx-slice-open", "rclone-cached", "node"]),
]

# Where the store takes most of the time of the machine: section, load, and the proxy whose store and clients are taken for it.
CEILINGS = [("cold_ranges", "16", "nginx"), ("cold", "8", "nginx")]


@dataclass(frozen=True)
class Spread:
    """A median, and what it lies between."""

    median: float
    least: float
    most: float

    def __str__(self):
        return f"{short(self.median)} ({short(self.least)}..{short(self.most)})"


@dataclass(frozen=True)
class Bar:
    """One bar: what it is about, what came of it, and `ok`, `MISSED` or `beside`, where it is told for comparison."""

    what: str
    came: str
    bound: str
    verdict: str


def short(value):
    """A number to three digits or so."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def read(path):
    """The figures: (section, load) -> peer -> metric -> turn -> value."""
    figures = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            section, load, peer, turn, metric, value = line.rstrip("\n").split("\t")
            if value:
                figures[section, load][peer][metric][int(turn)] = float(value)
    return figures


def spread(values):
    """The spread of what the turns gave."""
    return Spread(median(values.values()), min(values.values()), max(values.values()))


def ratio(ours, theirs):
    """The ratio of the medians, and its least and greatest in one turn; nothing where no turn has both."""
    each = [ours[turn] / theirs[turn] for turn in ours.keys() & theirs.keys() if theirs[turn]]
    if not each:
        return None
    return Spread(median(ours.values()) / median(theirs.values()), min(each), max(each))


def ceiling(metrics):
    """How many times as fast as this proxy one would be that costs nothing, where store, proxy and clients share the cores."""
    costs = [metrics.get(it, {}) for it in ("cpu", "store_cpu", "client_cpu")]
    turns = set.intersection(*(set(it) for it in costs))
    each = [sum(it[turn] for it in costs) / sum(it[turn] for it in costs[1:]) for turn in turns]
    return Spread(median(each), min(each), max(each)) if each else None


def bars(figures):
    """All bars that were measured."""
    found = []
    for section, load, metric, name, operator, bound, counts, beside in RATIOS:
        peers = figures.get((section, load), {})
        for other in ([counts] if counts else []) + beside:
            came = ratio(peers.get(name, {}).get(metric, {}), peers.get(other, {}).get(metric, {}))
            if came is None:
                continue
            holds = came.median <= bound if operator == "<=" else came.median >= bound
            verdict = ("ok" if holds else "MISSED") if other == counts else "beside"
            found.append(Bar(f"{section}, {load}: {UNITS[metric]}, {name} / {other}", str(came), f"{operator} {bound}", verdict))
    for section, load, other in CEILINGS:
        came = ceiling(figures.get((section, load), {}).get(other, {}))
        if came is not None:
            found.append(Bar(f"{section}, {load}: speed of a proxy that costs no CPU / {other}", str(came), "the most there is", "beside"))
    for section, load, metric, name, bound, beside in LIMITS:
        peers = figures.get((section, load), {})
        ours = peers.get(name, {}).get(metric)
        if not ours:
            continue
        came = spread(ours)
        others = [f"{it} {short(spread(peers[it][metric]).median)}" for it in beside if peers.get(it, {}).get(metric)]
        text = f"{came}; beside: {', '.join(others)}" if others else str(came)
        found.append(Bar(f"{section}, {load}: {UNITS[metric]}, {name}", text, f"<= {bound}", "ok" if came.median <= bound else "MISSED"))
    return found

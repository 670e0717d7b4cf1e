"""Says what benches/side_by_side.sh measured: medians, ratios with their spread, and the bars. Exits 1 where a bar is missed.

    python3 benches/report.py RESULTS.tsv

A line of the results is SECTION, LOAD, PEER, TURN, METRIC and VALUE. A ratio is that of the medians; its spread is the least and
the greatest of the ratios of the single turns, in which the peers took turns at the same work.
"""

import sys
from collections import defaultdict
from statistics import median

UNITS = {
    "MB/s": "MB/s",
    "ranges/s": "ranges/s",
    "cpu": "CPU s/GB",
    "store_cpu": "its store's",
    "client_cpu": "its clients'",
    "rss": "MB RSS",
    "pss": "MB PSS",
    "ms": "ms to the first byte",
    "lost": "lost",
    "p50": "s first byte p50",
    "p99": "s p99",
    "seconds": "CPU s",
}

# Section, load, metric, vidgate's name there, what it is to be at most, and those whose figure is told beside it.
LIMITS = [
    ("start", "1", "ms", "vidgate", 50, ["nginx", "rclone", "node"]),
    ("start", "1", "rss", "vidgate", 8, ["nginx", "rclone", "node"]),
    ("slow", "1000", "lost", "vidgate-cached", 1, ["nginx", "nginx-slice", "rclone-cached", "node"]),
    ("slow", "5000", "lost", "vidgate-cached", 5, ["nginx", "nginx-slice", "rclone-cached", "node"]),
    ("slow", "15000", "lost", "vidgate-cached", 15, ["vidgate", "nginx", "nginx-slice", "rclone-cached", "node"]),
]

# Section, load, metric, vidgate's name there, which way and how far the ratio is to go, the other whose ratio is the bar, and
# those whose ratio is told beside it.
BARS = [
    ("cached", "8", "cpu", "vidgate-cached", "<=", 1.0, "nginx", ["nginx-stock", "nginx-slice"]),
    ("cached", "8", "MB/s", "vidgate-cached", ">=", 1.3, "nginx", ["nginx-stock", "nginx-slice"]),
    ("cold", "8", "cpu", "vidgate", "<=", 0.55, "nginx", ["nginx-stock", "nginx-slice"]),
    ("cold", "8", "cpu", "vidgate-nocache", "<=", 0.55, None, ["nginx", "nginx-stock"]),
    ("cold", "8", "MB/s", "vidgate", ">=", 1.4, "nginx", ["nginx-stock", "nginx-slice"]),
    ("cold", "8", "MB/s", "vidgate-nocache", ">=", 1.4, None, ["nginx", "nginx-stock"]),
    ("cached_ranges", "16", "ranges/s", "vidgate-cached", ">=", 1.0, "nginx", ["nginx-stock", "nginx-slice"]),
    ("cold_ranges", "16", "ranges/s", "vidgate", ">=", 1.1, "nginx", ["nginx-stock", "nginx-slice"]),
    ("cold_ranges", "16", "ranges/s", "vidgate-nocache", ">=", 1.1, None, ["nginx", "nginx-stock"]),
    ("cached", "8", "cpu", "vidgate-cached", "<=", 0.1, "node", []),
    ("cold", "8", "cpu", "vidgate", "<=", 0.1, "node", []),
]


def read(path):
    """The figures: (section, load) -> peer -> metric -> turn -> value."""
    figures = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            section, load, peer, turn, metric, value = line.rstrip("\n").split("\t")
            figures[section, load][peer][metric][int(turn)] = float(value or "nan")
    return figures


def ratio(ours, theirs):
    """The ratio of the medians, and its least and greatest in one turn."""
    turns = sorted(ours.keys() & theirs.keys())
    each = [ours[turn] / theirs[turn] for turn in turns]
    return median(ours.values()) / median(theirs.values()), min(each), max(each)


def spread(values):
    values = sorted(values.values())
    return f"{median(values):.4g} ({values[0]:.4g}..{values[-1]:.4g})"


def tables(figures):
    for (section, load), peers in figures.items():
        print(f"\n{section}, {load} connections")
        for peer, metrics in peers.items():
            cells = [f"{spread(values)} {UNITS[metric]}" for metric, values in metrics.items() if metric in UNITS]
            failed = len(metrics.get("failed", {}))
            print(f"  {peer:<16} " + ", ".join(cells) + (f"; FAILED in {failed} turns" if failed else ""))


def bars(figures):
    """Prints each bar that was measured; gives how many are missed."""
    missed = 0
    print("\nbars (vidgate / other)")
    for section, load, metric, name, operator, bound, counts, beside in BARS:
        peers = figures.get((section, load), {})
        for other in ([counts] if counts else []) + beside:
            ours, theirs = (peers.get(it, {}).get(metric) for it in (name, other))
            if not ours or not theirs:
                continue
            value, least, most = ratio(ours, theirs)
            holds = value <= bound if operator == "<=" else value >= bound
            missed += other == counts and not holds
            verdict = ("ok    " if holds else "MISSED") if other == counts else "beside"
            what = f"{section} {load}, {UNITS[metric]}, {name} / {other}"
            print(f"  {verdict} {what}: {value:.3f} ({least:.3f}..{most:.3f}), bar {operator} {bound}")
    for section, load, metric, name, bound, beside in LIMITS:
        peers = figures.get((section, load), {})
        ours = peers.get(name, {}).get(metric)
        if not ours:
            continue
        holds = median(ours.values()) <= bound
        missed += not holds
        others = ", ".join(f"{it} {median(peers[it][metric].values()):.4g}" for it in beside if metric in peers.get(it, {}))
        print(f"  {'ok    ' if holds else 'MISSED'} {section} {load}, {UNITS[metric]}, {name}: {spread(ours)}, bar <= {bound}; beside: {others}")
    return missed


def main():
    figures = read(sys.argv[1])
    tables(figures)
    sys.exit(1 if bars(figures) else 0)


if __name__ == "__main__":
    main()

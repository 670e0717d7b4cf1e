"""Writes the page of results with its plots.

    python3 benches/page.py RESULTS.tsv ABOUT.tsv DOCS_FOLDER

In scope: docs/benchmarks.md and docs/bench-*.svg. Not in scope: what the figures come to (`figures`), how plots look (`plots`).
"""

import sys
from pathlib import Path

from figures import MORE_IS_BETTER, UNITS, bars, ratio, read, short, spread
from plots import Panel, Row, draw

# Title, name of the file, what is said of it, and the panels: section, load, metric, title.
PLOTS = [
    (
        "Whole films from the cache",
        "cached",
        "A film of 256 MiB that is read over and over. `vidgate-cached` has 512 MiB of cache in memory (`VIDGATE_CACHE_RAM`), "
        "`nginx-slice` and `rclone-cached` have theirs on disk, in the page cache of the kernel. `nginx`, `nginx-stock` and `node` "
        "have no cache and read the bucket.",
        [("cached", load, "MB/s", f"MB/s, {load} reader{'s' if load != '1' else ''}") for load in ("1", "8", "64")]
        + [("cached", "8", "cpu", "CPU seconds per GB, 8 readers")],
    ),
    (
        "Whole films from the bucket",
        "cold",
        "64 films of 32 MiB, each reader at its own, 2 GiB in all, which no cache here holds: `vidgate` has its default of 64 MiB, "
        "`vidgate-nocache` has none, and `nginx-slice` is asked so that each request finds nothing. `minio` is no server: its readers go to "
        "the bucket by themselves.",
        [("cold", load, "MB/s", f"MB/s, {load} reader{'s' if load != '1' else ''}") for load in ("1", "8", "64")]
        + [("cold", "8", "cpu", "CPU seconds per GB, 8 readers")],
    ),
    (
        "Ranges of 64 KiB",
        "ranges",
        "16 connections that stay, each asking for ranges at places all over: of the film in the cache, and of the 2 GiB that no "
        "cache holds. A range costs MinIO several times what it costs vidgate or nginx without a cache, so `minio`, the bucket read without "
        "a proxy, is about the most that one on the same cores can reach.",
        [
            ("cached_ranges", "16", "ranges/s", "ranges a second, from the cache"),
            ("cold_ranges", "16", "ranges/s", "ranges a second, from the bucket"),
            ("cold_ranges", "16", "cpu", "CPU seconds per GB, from the bucket"),
        ],
    ),
    (
        "Slow viewers",
        "slow",
        "All connect at once, ask for the film from places all over it, and read at a pace. A viewer is lost that is refused, cut, has "
        "no first byte in 30 seconds, or in the end has less than half of its pace. `vidgate-cached`, `nginx-slice`, `nginx-slice-open` "
        "and `rclone-cached` have caches that hold the film; the others read the bucket for their viewers. `vidgate-cached` has all turns, "
        "the others have one. Where a load ended MinIO or the peer itself, the next turn began with a new one. `nginx-slice` runs out of open "
        "files, for it opens those of its cache for each viewer; `nginx-slice-open` shares them (`open_file_cache`).",
        [
            ("slow", load, metric, f"{title}, {int(load):,} viewers at {pace} KiB/s")
            for load, pace in (("1000", 64), ("5000", 16), ("15000", 4))
            for metric, title in (
                ("lost", "viewers lost"),
                ("p50", "first byte p50, seconds"),
                ("p99", "first byte p99, seconds"),
                ("rss", "MB of memory at most (RSS)"),
            )
        ],
    ),
    (
        "A directory",
        "files",
        "The same film in a directory, beside nginx with sendfile on the same file.",
        [
            ("files", "8", "MB/s", "MB/s, 8 readers"),
            ("files", "8", "cpu", "CPU seconds per GB, 8 readers"),
            ("files", "ranges", "ranges/s", "ranges of 64 KiB a second, 16 connections"),
        ],
    ),
    (
        "Start and rest",
        "start",
        "From the start of the program to the first byte of a film from the bucket, and memory three seconds later.",
        [("start", "1", "ms", "ms to the first byte"), ("start", "1", "rss", "MB of memory at rest (RSS)")],
    ),
]

HEAD = """# vidgate beside others

Written by `benches/side_by_side.sh`: do not edit. It starts all servers before the same bucket of one MinIO, lets them take turns at the
same work, and writes this page; its head says how it is called. Measured on a virtual machine with {cores} shared cores, over loopback, with
the store and the clients on the same cores: compare within a plot, not with other pages. CPU is that of the server's own processes,
user and system. Bars are medians, whiskers go from the least to the most of the turns.
"""


def is_ours(peer):
    return peer.startswith("vidgate")


def panel(figures, section, load, metric, title):
    rows = []
    for peer, metrics in sorted(figures.get((section, load), {}).items(), key=lambda it: (not is_ours(it[0]), it[0])):
        values = metrics.get(metric)
        if values:
            came = spread(values)
            rows.append(Row(peer, is_ours(peer), came, f"{short(came.median)}"))
        else:
            rows.append(Row(peer, is_ours(peer), None, "failed"))
    return Panel(title, rows) if rows else None


def table(figures, panels):
    """The figures of the panels, with their spread."""
    yield "| | " + " | ".join(title for *_, title in panels) + " |"
    yield "|---" * (len(panels) + 1) + "|"
    peers = {peer: None for section, load, *_ in panels for peer in figures.get((section, load), {})}
    for peer in sorted(peers, key=lambda it: (not is_ours(it), it)):
        cells = []
        for section, load, metric, _ in panels:
            values = figures.get((section, load), {}).get(peer, {}).get(metric)
            cells.append(str(spread(values)) if values else "-")
        yield f"| {peer} | " + " | ".join(cells) + " |"


def behind(figures):
    """Where another is better than each vidgate that was measured at the same."""
    for (section, load), peers in figures.items():
        for metric in UNITS:
            ours = {peer: it[metric] for peer, it in peers.items() if is_ours(peer) and it.get(metric)}
            for other, it in peers.items():
                if is_ours(other) or other == "minio" or not it.get(metric) or metric in ("store_cpu", "client_cpu", "pss", "seconds"):
                    continue
                ratios = [(ratio(values, it[metric]), peer) for peer, values in ours.items()]
                ratios = [(came, peer) for came, peer in ratios if came is not None]
                if not ratios:
                    continue
                best, peer = (max if metric in MORE_IS_BETTER else min)(ratios, key=lambda pair: pair[0].median)
                if (best.median < 1) == (metric in MORE_IS_BETTER) and best.median != 1:
                    yield f"- {section}, {load}: {UNITS[metric]}, {peer} / {other}: {best}"


def main():
    results, about, docs = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    figures = read(results)
    facts = dict(line.split("\t", 1) for line in about.read_text(encoding="utf-8").splitlines())
    lines = [HEAD.format(cores=facts.pop("cores"))]
    lines += ["| peer | |", "|---|---|", *(f"| {name} | {text} |" for name, text in facts.items()), ""]
    for title, name, text, wanted in PLOTS:
        panels = [it for it in (panel(figures, *it) for it in wanted) if it]
        if not panels:
            continue
        (docs / f"bench-{name}.svg").write_text(draw(title, panels), encoding="utf-8")
        lines += [f"## {title}", "", text, "", f"![{title}: the figures of the table below](bench-{name}.svg)", ""]
        lines += ["<details><summary>Figures</summary>", "", *table(figures, wanted), "", "</details>", ""]
    lines += ["## Bars", "", "What this project sets itself, as ratios vidgate / other of the medians, and of single turns in brackets.", ""]
    lines += ["| | came | bar | |", "|---|---|---|---|"]
    lines += [f"| {bar.what} | {bar.came} | {bar.bound} | {bar.verdict} |" for bar in bars(figures)]
    lines += ["", "## Where others are better", "", *(list(behind(figures)) or ["Nowhere in these figures."])]
    (docs / "benchmarks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Prints what benches/side_by_side.sh measured, and the bars. Exits 1 where a bar is missed.

    python3 benches/report.py RESULTS.tsv [SECTION ...]

In scope: text for the one who measures. Not in scope: what the figures come to (`figures`), the page of results (`page`).
"""

import sys

from figures import UNITS, bars, read, spread


def tables(figures):
    """A table for each section and load."""
    for (section, load), peers in figures.items():
        print(f"\n{section}, {load}")
        for peer, metrics in peers.items():
            cells = [f"{spread(values)} {UNITS[metric]}" for metric, values in metrics.items() if metric in UNITS]
            failed = len(metrics.get("failed", {}))
            print(f"  {peer:<16} " + "; ".join(cells) + (f"; FAILED in {failed} turns" if failed else ""))


def main():
    figures, sections = read(sys.argv[1]), sys.argv[2:]
    figures = {at: peers for at, peers in figures.items() if not sections or at[0] in sections}
    tables(figures)
    found = bars(figures)
    print("\nbars (ratios: vidgate / other, of the medians; in brackets of single turns)")
    for bar in found:
        print(f"  {bar.verdict:<7} {bar.what}: {bar.came}, bar {bar.bound}")
    sys.exit(any(bar.verdict == "MISSED" for bar in found))


if __name__ == "__main__":
    main()

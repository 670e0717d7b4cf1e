"""Bars with their spread, as SVG that reads on light and on dark pages.

In scope: drawing panels of rows. Not in scope: what they show (`page`).
"""

from dataclasses import dataclass
from html import escape

WIDTH = 720
LABEL_WIDTH = 140
VALUE_WIDTH = 150
ROW = 22
BAR = 14
TITLE = 34

STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #24292f; }
    .title { font-weight: 600; }
    .value { font-variant-numeric: tabular-nums; }
    .ours { fill: #0969da; } .other { fill: #8c959f; } .whisker { stroke: #24292f; stroke-width: 1.2; }
    .none { font-style: italic; opacity: .7; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .ours { fill: #4493f8; } .other { fill: #6e7681; } .whisker { stroke: #e6edf3; }
    }
"""


@dataclass(frozen=True)
class Row:
    """One bar; without a spread there is nothing to draw, and the note says why."""

    label: str
    is_ours: bool
    spread: object = None
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """Bars of one unit."""

    title: str
    rows: list


def draw(description, panels):
    """The text of an SVG file with these panels, one below the other."""
    height = sum(TITLE + ROW * len(panel.rows) for panel in panels) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"  <title>{escape(description)}</title>",
        f"  <style>{STYLE}  </style>",
    ]
    top = 0
    for panel in panels:
        parts.append(f'  <text class="title" x="0" y="{top + 22}">{escape(panel.title)}</text>')
        top += TITLE
        longest = max((row.spread.most for row in panel.rows if row.spread), default=0) or 1
        for row in panel.rows:
            parts.extend(draw_row(row, top, (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / longest))
            top += ROW
    return "\n".join(parts) + "\n</svg>\n"


def draw_row(row, top, scale):
    """A label, a bar as long as the median, a whisker from the least to the most, and the median as a number."""
    middle, base = top + BAR / 2, top + BAR - 3
    yield f'  <text x="0" y="{base}">{escape(row.label)}</text>'
    if row.spread is None:
        yield f'  <text class="none" x="{LABEL_WIDTH}" y="{base}">{escape(row.note)}</text>'
        return
    length, least, most = (LABEL_WIDTH + it * scale for it in (row.spread.median, row.spread.least, row.spread.most))
    kind = "ours" if row.is_ours else "other"
    yield f'  <rect class="{kind}" x="{LABEL_WIDTH}" y="{top}" width="{max(length - LABEL_WIDTH, 1):.1f}" height="{BAR}" rx="2"/>'
    if most - least > 1:
        yield f'  <path class="whisker" d="M{least:.1f} {middle}H{most:.1f}"/>'
    yield f'  <text class="value" x="{max(length, most) + 6:.1f}" y="{base}">{row.note}</text>'

"""The chart of the benchmarks for the README: bars, goals and figures, readable on any ground."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.rows import Row

WIDTH, LABEL, BAR = 880, 400, 290
LINE, HEIGHT = 40, 12
# The colours have enough contrast on white and on black; where the reader's choice is known, more.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #6b7280 }
.what { fill: #57606a } .head { font-weight: 600; fill: #57606a } .small { font-size: 11px }
.yes { fill: #2f81f7 } .no { fill: #bf8700 } .goal { stroke: #57606a; stroke-width: 2 }
.axis { stroke: #8b949e; stroke-width: 1; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #9da7b3 } .what, .head { fill: #e6edf3 } .goal { stroke: #e6edf3 }
}
@media (prefers-color-scheme: light) { .what, .head { fill: #1f2328 } .goal { stroke: #1f2328 } }
"""


def write_chart(path: Path, rows: Sequence[Row], note: str) -> None:
    """Draw all rows that have a goal and a figure.

    Args:
        path: The SVG file.
        rows: Of all benchmarks.
        note: On what machine, and when.
    """
    known = [row for row in rows if row.goal is not None and row.ratio is not None]
    faster = [row for row in known if not row.most]
    limits = [row for row in known if row.most]
    parts: list[str] = []
    y = 28.0
    if faster:
        longest = max(max(row.ratio or 0, row.goal or 0) for row in faster)
        title = "Times faster, or smaller, than the plain way, the dotted line (longer is better)"
        y = _group(parts, y, title, faster, longest)
    if limits:
        longest = max(1.0, *(_length(row) for row in limits))
        title = "Share of what the goal allows (shorter is better)"
        y = _group(parts, y, title, limits, longest)
    parts.append(
        f'<text class="small" x="0" y="{y:.0f}">The line across a bar is the goal. '
        f"{html.escape(note)}</text>"
    )
    label = "Measured speed against the plain way of doing the same, with the goals"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 14:.0f}" '
        f'width="{WIDTH}" role="img" aria-label="{label}">\n<style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _length(row: Row) -> float:
    """Return how long a bar is: the ratio, or its share of the limit."""
    return (row.ratio or 0) / ((row.goal or 1) if row.most else 1)


def _group(parts: list[str], y: float, title: str, rows: Sequence[Row], longest: float) -> float:
    """Draw rows below one another; return where the next thing goes."""
    parts.append(f'<text class="head" x="0" y="{y:.0f}">{title}</text>')
    y += 14
    scale, top = BAR / longest, y
    for row in rows:
        value, goal = scale * _length(row), scale * (1 if row.most else row.goal or 0)
        kind = "yes" if row.reached else "no"
        against = f"against {row.against}" if row.against else f"goal {row.goal_words}"
        middle = y + LINE / 2
        parts += [
            f'<text class="what" x="0" y="{middle - 3:.0f}">{_cut(row.what, 58)}</text>',
            f'<text class="small" x="0" y="{middle + 11:.0f}">{_cut(against, 66)}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{middle - HEIGHT / 2:.0f}" '
            f'width="{value:.1f}" height="{HEIGHT}" rx="2"/>',
            _upright("goal", goal, middle - 10, middle + 10),
            f'<text x="{LABEL + max(value, goal) + 8:.0f}" y="{middle + 4:.0f}">'
            # Not by the colour alone.
            f"{'✓' if row.reached else '✗'} {html.escape(row.words(row.ratio))}, "
            f"goal {row.goal_words}</text>",
        ]
        y += LINE
    if not rows[0].most:
        parts.append(_upright("axis", scale, top, y))
    return y + 22


def _upright(kind: str, x: float, top: float, bottom: float) -> str:
    x += LABEL
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.0f}" y2="{bottom:.0f}"/>'


def _cut(text: str, most: int) -> str:
    return html.escape(text if len(text) <= most else text[: most - 1] + "…")

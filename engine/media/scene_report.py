"""Scenes to look at: which frames to show, a page of previews, and a CSV of all scores."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from engine.errors import UsageError
from engine.files.safe import atomic_write
from engine.media.scene_types import Found, Range
from engine.media.selection import evenly
from engine.text import plural, visible

if TYPE_CHECKING:
    from engine.media.scene_detectors import Watch  # OpenCV, which a report can do without

REPORT = "scene_report.html"
_MARK = '<meta name="generator" content="ltx-tui split-scenes">'
_COLUMNS = ("Frame Number", "Timecode")

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; }
th { font-weight: 600; border-bottom: 1px solid #8888; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
img { height: 8rem; margin: 0 .3rem .3rem 0; border-radius: 3px; }
"""


class Shown(NamedTuple):
    """A piece in the report.

    Attributes:
        file: The video, relative to the report.
        kept: Its frames in the source.
        start: Seconds in the source.
        seconds: How long it is.
        images: Previews, relative to the report.
    """

    file: Path
    kept: Range
    start: float
    seconds: float
    images: Sequence[Path]


class Section(NamedTuple):
    """A video in the report."""

    source: str
    pieces: Sequence[Shown]


def preview_frames(kept: Range, count: int) -> list[int]:
    """Choose frames to show a piece by: evenly, a frame away from its ends where it has more.

    Args:
        kept: The frames of the piece.
        count: How many to choose; fewer where the piece has fewer.
    """
    if count < 1 or kept.frames < 1:
        return []
    first, last = kept.first, kept.end - 1
    if kept.frames >= count + 2:
        first, last = first + 1, last - 1
    count = min(count, last - first + 1)
    return [(first + last) // 2] if count == 1 else evenly(first, last, count)


def clock(seconds: float | Fraction) -> str:
    """Return "HH:MM:SS.nnn"."""
    milliseconds = round(seconds * 1000)
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{rest:03}"


def check_report(folder: Path) -> None:
    """Refuse to write the page over one that is something else.

    Raises:
        UsageError: There is such a file.
    """
    target = folder / REPORT
    if target.is_symlink() or (target.exists() and not _is_report(target)):
        raise UsageError(
            "is there, and was not written by this command",
            remedy="move it away, or replace it with --overwrite",
            file=target,
        )


def _is_report(target: Path) -> bool:
    if not target.is_file():
        return False
    with target.open("rb") as file:
        return _MARK.encode() in file.read(512)


def write_report(folder: Path, sections: Sequence[Section]) -> Path:
    """Write a page that shows all pieces of a folder; it needs nothing but what lies there.

    Args:
        folder: Where the page goes; files are named relative to it.
        sections: The videos, in order.

    Returns:
        The page.
    """
    total = sum(len(section.pieces) for section in sections)
    parts = [
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{_MARK}',
        '<meta name="viewport" content="width=device-width"><title>Scenes</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{plural(total, 'scene')} of {plural(len(sections), 'video')}</h1>",
    ]
    for section in sections:
        parts += _section(section)
    parts.append("</body></html>\n")
    target = folder / REPORT
    if target.is_symlink():
        target.unlink()  # what it leads to may lie outside of the folder
    atomic_write(target, "\n".join(parts).encode("utf-8", "replace"))
    return target


def _section(section: Section) -> list[str]:
    lines = [
        f"<h2>{_text(section.source)}</h2>",
        "<table><tr><th>scene</th><th>begins</th><th>length</th><th>frames</th><th></th></tr>",
    ]
    for shown in section.pieces:
        images = "".join(
            f'<img src="{_link(image)}" alt="" loading="lazy">' for image in shown.images
        )
        lines.append(
            f'<tr><td><a href="{_link(shown.file)}">{_text(shown.file)}</a></td>'
            f'<td class="n">{clock(shown.start)}</td><td class="n">{shown.seconds:.3f} s</td>'
            f'<td class="n">{shown.kept.first:,} to {shown.kept.end - 1:,}<br>'
            f"{shown.kept.frames:,} frames</td><td>{images}</td></tr>"
        )
    lines.append("</table>")
    return lines


def _text(value: object) -> str:
    return html.escape(visible(value))


def _link(path: Path) -> str:
    return html.escape(quote(path.as_posix().encode("utf-8", "surrogateescape")))


def check_stats_file(target: Path) -> None:
    """Refuse to write a CSV of scores over a file that is something else.

    Raises:
        UsageError: It is a folder, its folder is missing, or it holds other things.
    """
    if target.is_dir():
        raise UsageError("is a folder", remedy="name a CSV file", file=target)
    if not target.absolute().parent.is_dir():
        raise UsageError("there is no such folder", remedy="make it first", file=target.parent)
    if not target.exists():
        return
    with target.open("rb") as file:
        head = file.read(64)
    if head and not head.startswith(",".join(_COLUMNS).encode()):
        raise UsageError(
            "is there, and is no CSV of frame scores", remedy="give another name", file=target
        )


def write_stats(target: Path, watch: Watch, found: Found) -> None:
    """Write what a detector measured as a CSV in PySceneDetect's form: a row for each frame.

    Args:
        target: The file to make or replace.
        watch: The detector.
        found: The frames that it was shown, all of the span.
    """
    keys = watch.keys
    columns = [watch.recorder.column(key, watch.rows).tolist() for key in keys]
    times = found.times()
    out = io.StringIO(newline="")
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([*_COLUMNS, *keys])
    for row, values in enumerate(zip(*columns, strict=True)):
        if all(math.isnan(value) for value in values):
            continue  # the first frame has none before it
        number = found.span.first + row
        written = ["None" if math.isnan(value) else str(value) for value in values]
        rows.writerow([number + 1, clock(found.seconds(number, times)), *written])
    atomic_write(target, out.getvalue().encode())

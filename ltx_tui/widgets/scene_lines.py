"""What is said of videos and their scenes, in lines of a width."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from engine.media.scene_rules import MIN_SCENE_LENGTH
from engine.scenes.choices import Choices, Scene
from engine.text import plural, visible
from ltx_tui.drawing.colours import Paint
from ltx_tui.drawing.signs import Signs
from ltx_tui.frames.words import joined
from ltx_tui.scenes.state import VideoScenes
from ltx_tui.widgets.board import fault_lines, hanging

_DOING = {"find": "looking", "cut": "cutting", "copy": "copying", "images": "previews"}
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def clock(seconds: float | Fraction, *, digits: int = 1) -> str:
    """Return "1:02:03.4", or "2:03.4" below an hour."""
    ticks = round(seconds * 10**digits)
    whole, rest = divmod(ticks, 10**digits)
    tail = f".{rest:0{digits}}" if digits else ""
    hours, minutes = divmod(whole // 60, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{whole % 60:02}{tail}"


def size_words(size: int) -> str:
    """Return "1.2 GB", in decimal units as file managers have them."""
    value, unit = float(size), 0
    while value >= 999.5 and unit + 1 < len(_UNITS):
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}"


def settings_words(choices: Choices) -> list[str]:
    """Return what is chosen about finding, the most important first."""
    finding, choosing = choices.finding, choices.choosing
    length = finding.min_scene_length
    words = [
        f"{finding.detector} {finding.level:g}",
        f"guard {choosing.trim}",
        f"held {MIN_SCENE_LENGTH if length is None else length} frames",
    ]
    if choosing.filter_shorter_than:
        shortest = choosing.filter_shorter_than
        words.append(f"shortest {shortest}{' frames' if shortest.isdigit() else ''}")
    return words


def count_words(video: VideoScenes) -> list[str]:
    """Return how many scenes there are, and how many of them are kept."""
    kept = len(video.kept)
    words = [plural(len(video.scenes), "scene")]
    if kept != len(video.scenes):
        words.append(f"{kept:,} kept")
    return words


def standing(video: VideoScenes, how: Signs) -> tuple[str, str]:
    """Return how it stands with a video in a few words, and the role of their colour."""
    progress = video.progress
    if progress is not None:
        share = f" {min(1.0, progress.done / progress.total):.0%}" if progress.total else ""
        cuts = f", {plural(progress.cuts, 'cut')}" if progress.cuts else ""
        return f"{how.running} {_DOING[progress.doing]}{share}{cuts}", "primary"
    if video.fault is not None:
        return f"{how.failed} {visible(video.fault.message)}", "error"
    if video.is_waiting:
        return f"{how.waiting} waiting", ""
    if not video.is_known:
        return ("chosen about, not looked at yet", "quiet") if video.is_own else ("", "")
    words = ", ".join(count_words(video))
    making = video.making
    if making is None:
        return words, ""
    if making.lost:
        return f"{how.failed} {words}, {len(making.lost):,} failed", "error"
    done = making.made + making.fresh
    if making.has_ended:
        return f"{how.ok} {words}, {done:,} cut", "success"
    return f"{how.warning} {words}, {done:,} of {making.wanted:,} cut", "warning"


def video_line(video: VideoScenes, name: str, width: int, paint: Paint, how: Signs) -> Text:
    """Return the line of a video in the list."""
    mark = ("◆" if how.dots else "*") if video.is_picked else " "
    words, role = standing(video, how)
    wide = max(16, min(64, (width - 13) * 55 // 100))
    text = Text.assemble((f" {mark} ", paint("accent")))
    text.append_text(fitted(name, wide))
    text.append(size_words(video.source.size).rjust(10), Style(dim=True))
    text.append("  ")
    if not words and video.source.is_clip:
        words, role = "a clip of the dataset", "quiet"
    rest = Text(words, paint(role) if role else Style())
    rest.truncate(max(0, width - text.cell_len - 1), overflow="ellipsis")
    return text.append_text(rest)


def fitted(name: str, width: int) -> Text:
    """Return a name in exactly so many cells; of a long one its end is seen, which differs most."""
    if cell_len(name) > width:
        tail = name
        while cell_len(tail) > width - 1:
            tail = tail[1:]
        name = f"…{tail}"
    text = Text(name)
    text.pad_right(max(0, width - text.cell_len))
    return text


def about_video(video: VideoScenes, width: int, paint: Paint, how: Signs) -> list[Text]:
    """Return all about a video: where it is, how it is looked at, what went wrong."""
    lines = [Text(one) for one in hanging("", visible(video.path), width, most=2)]
    lines.append(Text(joined(settings_words(video.choices), width, how), Style(dim=True)))
    if video.fault is not None:
        fault = video.fault
        lines += fault_lines(
            visible(fault.message), visible(fault.remedy), width, paint("error"), how
        )
    for note in video.notes:
        lines += [
            Text(one, paint("warning")) for one in hanging(f"{how.warning} ", visible(note), width)
        ]
    for lost in video.making.lost if video.making is not None else ():
        if lost.error is video.fault:
            continue
        headline = f"{visible(lost.piece)}: {visible(lost.error.message)}"
        lines += fault_lines(headline, visible(lost.error.remedy), width, paint("error"), how)
    return lines


def piece_numbers(scenes: Iterable[Scene]) -> list[int]:
    """Return for each scene the number in its piece's name; 0 for one that is left out."""
    numbers, last = [], 0
    for scene in scenes:
        last += scene.state == "kept"
        numbers.append(last if scene.state == "kept" else 0)
    return numbers


def scene_line(
    scene: Scene, piece: int, choices: Choices, width: int, paint: Paint, how: Signs
) -> Text:
    """Return the line of a scene.

    Args:
        scene: The scene.
        piece: The number in its piece's name; 0 for none.
        choices: What a person chose.
        width: Cells of the line.
        paint: Of the theme.
        how: The signs.
    """
    signs = {"kept": (how.ok, "success"), "dropped": (how.failed, "warning"),
             "short": (how.warning, "warning")}  # fmt: skip
    sign, role = signs[scene.state]
    text = Text.assemble(
        f"{scene.number:>5} ",
        (f"{sign} ", paint(role)),
        f"{clock(scene.start):>9}",
        f"{scene.seconds:>9.2f} s",
        f"{scene.part.frames:>8,}",
        "  ",
    )
    is_out = scene.state != "kept"
    note = {"kept": f"{how.arrow} {piece:03}", "dropped": "left out", "short": "too short"}
    notes = [note[scene.state]]
    if scene.whole.first in choices.split:
        notes.append("split")
    if any(scene.whole.first < cut < scene.whole.end for cut in choices.joined):
        notes.append("joined")
    words = Text(", ".join(notes))
    words.truncate(max(0, width - text.cell_len), overflow="ellipsis")
    text.append_text(words)
    if is_out:
        text.stylize(Style(dim=True))
    return text


def scene_heading(width: int) -> Text:
    """Return the titles over the list of scenes."""
    text = Text(f"{'scene':>5}   {'begins':>9}{'length':>11}{'frames':>8}  piece", Style(dim=True))
    text.truncate(width)
    return text

"""What is said of a clip beside its frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from engine.media.psnr import decibels
from engine.overview.types import OutputState, Row
from engine.project import Project
from engine.text import plural, visible
from engine.worker.thumbnail_types import Facts, Sound
from ltx_tui.clips.detail_lines import crop, crop_words
from ltx_tui.drawing.signs import Signs, plain

# A sound whose highest sample is below this is called silent: -60 dB of full scale.
_SILENT = 0.001


def joined(parts: Sequence[str], width: int, how: Signs) -> str:
    """Return parts between dots, as many from the first on as there is room for."""
    text = ""
    for part in filter(None, parts):
        longer = f"{text} · {part}" if text else part
        if text and cell_len(longer) > width:
            break
        text = longer
    return plain(text, how)


def source_words(row: Row, facts: Facts | None) -> list[str]:
    """Return what a clip is and what it is brought to."""
    parts = []
    size = facts.size if facts is not None else row.size
    if size[0]:
        parts.append(f"{size[0]}×{size[1]}")
    seconds = facts.seconds if facts is not None else row.seconds
    if facts is None or facts.kind == "video":
        fps, frames = (facts.fps, facts.frames) if facts is not None else (row.fps, row.frames)
        if fps:
            parts.append(f"{fps:.5g} fps{' on average' if facts and facts.vfr else ''}")
        if frames:
            parts.append(plural(frames, "frame"))
        if seconds:
            parts.append(f"{seconds:.2f} s")
    elif facts.kind == "image":
        parts.append("image")
    else:
        parts.append(f"a sound of {seconds:.2f} s, without a picture")
    if row.bucket:
        parts.append("bucket " + visible(row.bucket).replace("x", "×"))
    return parts


def kept_words(row: Row, facts: Facts | None, project: Project) -> list[str]:
    """Return which frames are kept, and which part of them."""
    if not row.bucket:
        return _without_bucket(row)
    if facts is None or facts.kept[1] < facts.kept[0]:
        return []
    first, last = facts.kept
    if facts.kind == "image":
        parts = ["keeps the image"]
    else:
        parts = [f"keeps frames {first:,}–{last:,} of {facts.frames:,}"]
        parts.append(f"{row.kept[0]:.2f}–{row.kept[1]:.2f} s")
    found = crop(row, project)
    if found is not None:
        parts.append(crop_words(row, found))
    if last - first + 1 < facts.frames or facts.box != (0.0, 0.0, 1.0, 1.0):
        parts.append("what is darker is not kept")
    return parts


def _without_bucket(row: Row) -> list[str]:
    if row.kept[1] > row.kept[0]:
        return [f"keeps {row.kept[0]:.2f}–{row.kept[1]:.2f} s of the sound"]
    blocked = next((one for one in row.stages if one.state is OutputState.BLOCKED), None)
    if blocked is not None and blocked.reason:
        return ["nothing is kept", visible(blocked.reason)]
    return ["no bucket yet: nothing is kept"]


def psnr_words(errors: Sequence[float], frames: int) -> list[str]:
    """Return how far the decoded frames are from their sources.

    The mean is that of the whole clip: the PSNR of the mean error.
    """
    if not errors:
        return ["source left, decoded right"]
    worst = max(range(len(errors)), key=errors.__getitem__)
    parts = [f"PSNR {db_words(sum(errors) / len(errors))}"]
    if errors[worst] > 0 and frames > 1:
        parts.append(f"lowest {db_words(errors[worst])} at frame {worst:,}")
    if len(errors) < frames:
        parts.append(f"{len(errors):,} of {frames:,} frames so far")
    return [*parts, "source left, decoded right"]


def db_words(error: float) -> str:
    """Return a mean squared error in dB of PSNR."""
    value = decibels(error)
    return "equal" if math.isinf(value) else f"{value:.1f} dB"


def labels(
    number: int | None, seconds: float, *, is_kept: bool, error: float | None, how: Signs
) -> tuple[str, ...]:
    """Return what to write below a frame, from long to short; an image has no number."""
    if number is None:
        return ("" if error is None else db_words(error),)
    name, when = f"{number:,}", f"{seconds:.2f} s"
    found = [f"{name} · {when}", name]
    if error is not None:
        db = db_words(error)
        found = [f"frame {name} · {when} · {db}", f"{name} · {when} · {db}", f"{name} · {db}", db]
    elif not is_kept:
        long = f"{name} · {when} · not kept"
        found = [f"frame {long}", long, f"{name} · not kept", f"({name})"]
    else:
        found = [f"frame {name} · {when}", *found]
    return tuple(plain(one, how) for one in found)


def sound_words(row: Row, sound: Sound | None, width: int, how: Signs) -> str:
    """Return what there is to hear."""
    if sound is None:
        return ""
    if not sound.high:
        if row.audio:
            return joined(["its sound is a file of its own, which is not drawn here"], width, how)
        return "no sound"
    track = visible(row.codec).rpartition(" · ")[2]
    parts = [f"sound: {track}" if track and track != "no sound" else "sound"]
    if sound.peak < _SILENT:
        parts.append("silent" if not sound.peak else "silent but for less than −60 dBFS")
    else:
        power = sum(value * value for value in sound.rms) / len(sound.rms)
        parts.append(f"peak {_level(sound.peak)}")
        if power > 0:
            parts.append(f"mean {_level(math.sqrt(power))}")
    return joined(parts, width, how)


def _level(value: float) -> str:
    return f"{20 * math.log10(value):.1f} dBFS".replace("-", "−")


def aspect_of(row: Row, facts: Facts | None, *, compare: bool) -> float:
    """Return the width of a picture by its height, as far as it is known."""
    width, height = facts.size if facts is not None else row.size
    if compare and row.bucket:
        width, height = (int(part) for part in row.bucket.split("x")[:2])
    return width / height if width and height else 16 / 9

"""What there is to say of one clip, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

import msgspec

from engine.buckets import parse_bucket
from engine.errors import UsageError
from engine.media.geometry import Geometry, fit
from engine.memory.words import gib
from engine.overview.types import Made, OutputState, Row, StageState
from engine.precompute.plan_types import Outlook
from engine.project import Project
from engine.text import plural, visible
from ltx_tui.clips.columns import Part, length, making, output_sign, suspicion_sign
from ltx_tui.drawing.signs import UNICODE, Signs, plain

if TYPE_CHECKING:
    from engine.findings import Finding, Severity


class Detail(msgspec.Struct, frozen=True):
    """One thing to say.

    Attributes:
        head: A word or two in the first column, such as "bucket"; empty to go on with the last.
        sign: A sign before the text, with its colour; may be empty.
        text: Of any length.
        is_quiet: Whether it matters less.
    """

    head: str
    text: str
    sign: Part = ("", "")
    is_quiet: bool = False


def details(
    row: Row,
    project: Project,
    outlooks: tuple[Outlook, ...] = (),
    how: Signs = UNICODE,
    findings: Iterable[Finding] = (),
) -> list[Detail]:
    """Return all that is known of a clip.

    Args:
        row: The clip.
        project: The settings, for the crop.
        outlooks: What memory a run would take.
        how: The signs.
        findings: What the doctor found in it.
    """
    return [
        Detail("file", visible(row.media or row.name)),
        *_media(row, how),
        *(Detail(how.warning, one, ("", "warning")) for one in row.warnings),
        *(line for one in _unsaid(row, findings) for line in _finding(one, how)),
        *_captioning(row, how),
        *_suspicion(row, how),
        *_reference(row),
        *_bucket(row, project, how),
        *_forecast(row, outlooks, how),
        *(line for one in row.stages for line in _output(row, one, how)),
    ]


def _media(row: Row, how: Signs) -> Iterator[Detail]:
    if not row.seconds:
        return
    facts = [plain(f"{row.size[0]}×{row.size[1]}", how)] if row.size[0] else []
    if row.fps:
        facts.append(f"{row.fps:.5g} fps")
    if row.frames > 1:
        facts.append(f"{length(row.seconds)} ({plural(row.frames, 'frame')})")
    elif not row.frames:
        facts.append(length(row.seconds))
    else:
        facts.append("an image")
    yield Detail("media", "  ".join(facts))
    if row.codec:
        yield Detail("", row.codec)


def _unsaid(row: Row, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield what neither the warnings nor the outputs of a clip say."""
    said = "\n".join((*row.warnings, *(one.reason for one in row.stages)))
    return (one for one in findings if one.text not in said)


def _finding(one: Finding, how: Signs) -> Iterator[Detail]:
    sign, role = finding_sign(one.severity, how)
    yield Detail("doctor", visible(one.text), (f"{sign} ", role))
    if one.remedy:
        yield Detail("", f"{how.arrow} {visible(one.remedy)}")
    if one.fix:
        yield Detail("", f"{how.arrow} the doctor can write a proxy {one.fix}")


def finding_sign(severity: Severity, how: Signs) -> Part:
    """Return the sign of a finding, with its colour."""
    signs = {
        "error": (how.failed, "error"),
        "warning": (how.warning, "warning"),
        "note": (how.waiting, "primary"),
    }
    return signs[severity]


def _captioning(row: Row, how: Signs) -> Iterator[Detail]:
    if (one := making(row)) is not None:
        sign, role = output_sign(one.state, how)
        words = f"not captioned: {one.reason}" if one.reason else "is being captioned"
        yield Detail("caption", visible(words), (f"{sign} ", role))
        if one.remedy:
            yield Detail("", f"{how.arrow} {visible(one.remedy)}")


def _suspicion(row: Row, how: Signs) -> Iterator[Detail]:
    if row.suspicion is None or not row.doubts:
        return
    sign, role = suspicion_sign(row.suspicion, how)
    yield Detail("suspicion", f"{row.suspicion:.2f} of 1", (f"{sign} ", role))
    for doubt in row.doubts:
        yield Detail("", doubt.text)
        yield Detail("", f"{how.arrow} {doubt.remedy}", is_quiet=True)


def _reference(row: Row) -> Iterator[Detail]:
    if row.reference:
        folder, media = PurePath(row.media).parent, PurePath(row.reference)
        near = media.relative_to(folder) if media.is_relative_to(folder) else media
        yield Detail("reference", visible(near))


def _bucket(row: Row, project: Project, how: Signs) -> Iterator[Detail]:
    if not row.bucket:
        return
    text = visible(row.bucket).replace("x", "×")
    found = crop(row, project)
    if found is not None:
        text += f"  {crop_words(row, found)}"
    yield Detail("bucket", plain(text, how))
    start, end = row.kept
    if end > start:
        frames = row.bucket.rpartition("x")[2]
        words = f"{start:.2f}–{end:.2f} s of {row.seconds:.2f} s  ({frames} frames)"
        yield Detail("keeps", plain(words, how) if int(frames) > 1 else "its one frame")


def crop(row: Row, project: Project) -> Geometry | None:
    """Return how a clip is brought to its bucket's size; None where it has none."""
    if not row.bucket or not row.size[0]:
        return None
    try:
        bucket = parse_bucket(row.bucket, spatial=1, temporal=1)
        return fit(
            *row.size,
            bucket.width,
            bucket.height,
            project.video.reshape,
            seed=project.video.seed,
            crop_key=row.output,
        )
    except (UsageError, ValueError):
        return None


def crop_words(row: Row, crop: Geometry) -> str:
    """Return how much is cropped and from where: "crop 12 % of its width"."""
    lost_x = 1 - crop.crop_width / crop.width
    lost_y = 1 - crop.crop_height / crop.height
    scale = crop.height / row.size[1] if row.size[1] else 1.0
    enlarged = f" · enlarged {scale:.2g} times" if scale > 1.005 else ""
    if max(lost_x, lost_y) < 0.0005:
        return f"no crop{enlarged}"
    lost, side = (lost_x, "width") if lost_x >= lost_y else (lost_y, "height")
    return f"crop {100 * lost:.1f} % of its {side}{enlarged}"


def _forecast(row: Row, outlooks: tuple[Outlook, ...], how: Signs) -> Iterator[Detail]:
    for one in outlooks:
        if one.name in (row.bucket, "captions"):
            what = "caption: " if one.name == "captions" else ""
            sign = ("", "") if one.fits else (f"{how.warning} ", "warning")
            yield Detail("forecast", f"{what}{one.text}", sign)


def _output(row: Row, stage: StageState, how: Signs) -> Iterator[Detail]:
    sign, role = output_sign(stage.state, how)
    name = stage.stage.replace("_", " ")
    text = stage.state.value
    if stage.reason:
        text += f": {stage.reason}"
    yield Detail(name, text, (f"{sign} ", role))
    if stage.remedy:
        yield Detail("", f"{how.arrow} {stage.remedy}")
    made = next((one for one in row.made if one.stage == stage.stage), None)
    if made is not None and stage.state is not OutputState.MISSING:
        yield Detail("", made_words(made), is_quiet=True)


def made_words(made: Made) -> str:
    """Return how an output was made: "one-shot in 1.3 s on cuda:0, peak 5.1 GiB"."""
    if made.adopted:
        return "made by another tool, verified"
    parts = [f"{made.rung or 'made'}{f' in {made.seconds:.1f} s' if made.seconds else ''}"]
    if made.device:
        parts[0] += f" on {made.device}"
    if made.peak:
        parts.append(f"peak {gib(made.peak)} beside the weights")
    return ", ".join(parts)

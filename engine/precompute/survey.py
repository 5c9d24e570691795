"""What the media of a dataset are, and what each clip becomes: probes, buckets, kept windows."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from fractions import Fraction
from pathlib import Path

import msgspec

from engine.buckets import Bucket, choose, parse_bucket, parse_buckets
from engine.dataset.clips import Clip
from engine.dataset.windows import END_COLUMN, START_COLUMN, WHOLE, Span
from engine.errors import LtxError, MediaError, UsageError
from engine.media.probe_types import PROBE_VERSION, Probe
from engine.media.selection import effective_fps, exact_rate, in_order, selection_count
from engine.precompute.ledger import Ledger
from engine.precompute.pairs import check_reference, pair_notes
from engine.precompute.steps import Window
from engine.project import Project
from engine.settings import AudioSection
from engine.text import listed, plural

Progress = Callable[[int, int], None]

# Seconds: lengths come as floats.
_SLACK = Fraction(1, 1_000_000)
_PROBES = msgspec.json.Decoder(Probe)
_TAKE_OUT = "take its line out of [clips]"


class Blocked(msgspec.Struct, frozen=True):
    """Why a clip cannot be used at all, and what to do about it."""

    reason: str
    remedy: str


class ReferencePlan(msgspec.Struct, frozen=True, kw_only=True):
    """The reference of a clip: cropped and timed like the clip itself."""

    path: Path
    probe: Probe
    size: tuple[int, int]
    window: Window


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a usable clip.

    Attributes:
        bucket: None for a sound without a picture.
        audio: The clip's sound, its own or that of a separate file; None for a clip without.
        reference: None where the project uses no references.
    """

    probe: Probe
    bucket: Bucket | None
    window: Window
    audio: Probe | None = None
    reference: ReferencePlan | None = None

    @property
    def picture(self) -> Bucket:
        """The bucket of a clip that has a picture.

        Raises:
            MediaError: It is a sound alone.
        """
        if self.bucket is None:
            raise MediaError("a sound without a picture")
        return self.bucket


class ClipPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A clip, what it is, and what it becomes.

    Attributes:
        probe: None where the media were not looked at, or could not be read.
        kept: None for a blocked clip, and where the media were not looked at.
    """

    clip: Clip
    probe: Probe | None = None
    kept: Kept | None = None
    blocked: Blocked | None = None
    warnings: tuple[str, ...] = ()

    def require(self) -> Kept:
        """Return what is kept.

        Raises:
            LtxError: The clip is blocked, or its media were not looked at.
        """
        if self.kept is None:
            raise LtxError("has no bucket", file=self.clip.media)
        return self.kept


def probe_files(
    paths: Sequence[Path], ledger: Ledger, progress: Progress | None = None
) -> dict[Path, Probe | LtxError]:
    """Probe files in threads, but for those that the ledger knows; one unreadable gives its error.

    What `progress` raises ends the probing and is passed on.
    """
    unique = list(dict.fromkeys(paths))
    found: dict[Path, Probe | LtxError] = {}
    for path, data in ledger.known_probes(unique, PROBE_VERSION):
        with contextlib.suppress(msgspec.DecodeError):  # then it is probed again
            found[path] = _probe_of(data)
    if progress is not None and found:
        progress(len(found), len(unique))
    left = [path for path in unique if path not in found]
    if not left:
        return found
    cores = os.cpu_count() or 1
    alone = len(left) < cores
    with ThreadPoolExecutor(min(16, 2 * cores)) as pool:
        futures = {pool.submit(_probe_one, path, ledger, threads=alone): path for path in left}
        try:
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                if progress is not None:
                    progress(len(found), len(unique))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


# Clips of one origin are often alike in all that a probe says.
@functools.lru_cache(4096)
def _probe_of(data: bytes) -> Probe:
    return _PROBES.decode(data)


def _probe_one(path: Path, ledger: Ledger, *, threads: bool) -> Probe | LtxError:
    # A plan of files that are known does without FFmpeg.
    from engine.media.probe import probe

    try:
        data, _ = ledger.probe_bytes(
            path, PROBE_VERSION, lambda file: msgspec.json.encode(probe(file, threads=threads))
        )
        return _probe_of(data)
    except LtxError as error:
        return error
    except OSError as error:
        return LtxError(f"cannot be read: {error.strerror}", file=path, remedy="check the path")


def survey(
    clips: Sequence[Clip],
    project: Project,
    buckets: Sequence[Bucket],
    probes: dict[Path, Probe | LtxError],
) -> list[ClipPlan]:
    """Decide for each clip which frames are kept and at which size, or why it cannot be used."""
    durations = parse_durations(project.audio.durations) if project.audio.enabled else ()
    own = project.own_buckets
    return [
        _plan_clip(clip, project, own.get(clip.name, buckets), durations, probes) for clip in clips
    ]


def unused_choices(project: Project, clips: Sequence[Clip]) -> list[str]:
    """Return a warning where project.toml gives buckets to clips that the dataset has not."""
    unknown = [*project.own_buckets.keys() - {clip.name for clip in clips}]
    if not unknown:
        return []
    return [f"[clips] of project.toml names no clip of the dataset: {listed(sorted(unknown))}"]


def _plan_clip(
    clip: Clip,
    project: Project,
    buckets: Sequence[Bucket] | str,
    durations: Sequence[Fraction],
    probes: dict[Path, Probe | LtxError],
) -> ClipPlan:
    """Plan one clip; `buckets` is a text where project.toml gives it a bucket of its own."""
    found = probes[clip.media]
    if isinstance(found, LtxError):
        return ClipPlan(clip=clip, blocked=Blocked(found.message, found.remedy))
    plan = ClipPlan(clip=clip, probe=found, warnings=tuple(w.text for w in found.warnings))
    try:
        if found.kind == "audio":
            if isinstance(buckets, str):
                raise MediaError("a sound has no bucket", remedy=_TAKE_OUT)
            return msgspec.structs.replace(plan, kept=_keep_sound(found, durations, clip.span))
        kept = _keep(found, project, buckets, clip.span)
        kept = _add_audio(kept, clip, project.audio, probes)
        if project.dataset.reference_column:
            reference, warnings = _plan_reference(kept, clip, project, probes)
            kept = msgspec.structs.replace(kept, reference=reference)
            plan = msgspec.structs.replace(plan, warnings=plan.warnings + warnings)
    except LtxError as error:
        blocked = Blocked(error.message, error.remedy)
        return msgspec.structs.replace(plan, blocked=blocked)
    return msgspec.structs.replace(plan, kept=kept)


def _keep_sound(found: Probe, durations: Sequence[Fraction], span: Span) -> Kept:
    """Cut a sound without a picture to the longest of the project's lengths that it has."""
    if not durations:
        raise MediaError(
            "a sound without a picture",
            remedy='set audio.enabled and audio.durations, such as "2.0;4.0", to train on it, '
            "or take it out",
        )
    room = Fraction(span.seconds_of(found.duration)) + _SLACK
    fitting = [one for one in durations if one <= room]
    if not fitting:
        raise MediaError(
            f"too short: {float(room):.3g} s, and the shortest length is "
            f"{float(min(durations)):g} s",
            remedy="add a shorter one to audio.durations, or take it out",
        )
    longest = max(fitting)
    # A window of whole "frames" that lasts exactly as long.
    window = Window(
        start=span.start, frames=longest.numerator, fps=(longest.denominator, 1), resample=False
    )
    return Kept(probe=found, bucket=None, window=window, audio=found)


def parse_durations(text: str) -> tuple[Fraction, ...]:
    """Read lengths in seconds, such as "2.0;4.0", exactly.

    Raises:
        UsageError: One of them is no positive number.
    """
    durations = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        try:
            duration = Fraction(part)
        except (ValueError, ZeroDivisionError):
            duration = Fraction(0)
        if duration <= 0:
            raise UsageError(f"{part!r} is no length in seconds", remedy="write them like 2.0;4.0")
        durations.append(duration)
    return tuple(durations)


def _keep(found: Probe, project: Project, buckets: Sequence[Bucket] | str, span: Span) -> Kept:
    if found.hdr and project.video.hdr == "refuse":
        raise MediaError(
            f"HDR video ({found.hdr.upper()})",
            remedy='set video.hdr = "tonemap" to convert it to SDR, or take the clip out',
        )
    # People write 29.97 and mean 30000/1001.
    fps = exact_rate(project.video.fps, slack=0.005) if project.video.fps else None
    if found.kind == "image" and span != WHOLE:
        raise MediaError("an image has no window", remedy=f"empty {START_COLUMN} and {END_COLUMN}")
    count = selection_count(found, fps, span.start, span.end)
    if isinstance(buckets, str):
        bucket = _own_bucket(buckets, count, project)
    else:
        nearest = choose(count, found.width, found.height, buckets)
        if nearest is None:
            raise _no_bucket(found, count, buckets, span)
        bucket = nearest
    rate = effective_fps(found, fps)
    window = Window(
        start=span.start,
        frames=bucket.frames,
        fps=(rate.numerator, rate.denominator),
        resample=not in_order(found, fps),
    )
    return Kept(probe=found, bucket=bucket, window=window)


def _own_bucket(text: str, count: int, project: Project) -> Bucket:
    """Return the bucket that project.toml gives a clip of `count` frames.

    Raises:
        MediaError: It is no bucket, longer than the clip, or does not suit the references.
    """
    try:
        bucket = parse_bucket(text)
    except UsageError as error:
        raise MediaError(
            f"its own bucket, in [clips] of project.toml: {error.message}", remedy=error.remedy
        ) from error
    if bucket.frames > count:
        fits = max(0, count - 1) // 8 * 8 + 1
        raise MediaError(
            f"too short: {plural(count, 'frame')}, and its own bucket is {bucket}",
            remedy=f"choose one of at most {plural(fits, 'frame')}, or {_TAKE_OUT}",
        )
    if project.dataset.reference_column:
        _check_own_scale(bucket, project)
    return bucket


def _check_own_scale(bucket: Bucket, project: Project) -> None:
    # As for all buckets: see `Planner.buckets`.
    scale, slower = project.reference.downscale, project.reference.temporal_scale
    if scale > 1 and parse_buckets(project.video.buckets) != (bucket,):
        raise MediaError(
            f"its own bucket is {bucket}, and a reference downscale factor of {scale} needs one "
            "bucket for all",
            remedy=f"{_TAKE_OUT}, or set reference.downscale to 1",
        )
    if (bucket.frames - 1) % (8 * slower):
        raise MediaError(
            f"its own bucket {bucket} cannot be slowed by {slower} for the reference",
            remedy=f"use a frame count of the form {8 * slower}·k + 1",
        )


def _no_bucket(found: Probe, count: int, buckets: Sequence[Bucket], span: Span) -> MediaError:
    shortest = min(buckets, key=lambda bucket: bucket.frames)
    size = f"{shortest.width}x{shortest.height}"
    if found.kind == "image":
        return MediaError(
            "an image, and no bucket has 1 frame", remedy=f"add a bucket such as {size}x1"
        )
    fits = (count - 1) // 8 * 8 + 1
    reason = f"too short: {plural(count, 'frame')}, and the shortest bucket has {shortest.frames}"
    if span != WHOLE:
        return MediaError(
            reason.replace("too short", f"its window {span.words} s is too short"),
            remedy=f"widen it in {START_COLUMN} and {END_COLUMN}, or add a shorter bucket",
        )
    if found.damaged:
        reason = f"damaged: {count} of {found.declared_frames} frames decode; {reason}"
    elif fits > 1:
        return MediaError(
            reason, remedy=f"add a bucket such as {size}x{fits}, or take the clip out"
        )
    return MediaError(reason, remedy="export it again, or take it out of the dataset")


def _add_audio(
    kept: Kept, clip: Clip, audio: AudioSection, probes: dict[Path, Probe | LtxError]
) -> Kept:
    found = probes[clip.audio] if clip.audio is not None else kept.probe
    if isinstance(found, LtxError):
        raise MediaError(f"its audio file: {found.message}", remedy=found.remedy)
    if found.audio:
        return msgspec.structs.replace(kept, audio=found)
    if audio.enabled and audio.silent == "fail" and kept.probe.kind != "image":
        raise MediaError(
            'no sound (audio.silent = "fail")',
            remedy='set audio.silent to "skip" or "silence", or take the clip out',
        )
    return kept


def _plan_reference(
    kept: Kept, clip: Clip, project: Project, probes: dict[Path, Probe | LtxError]
) -> tuple[ReferencePlan, tuple[str, ...]]:
    """Give the reference the clip's own bucket and rate: a pair is one unit."""
    if clip.reference is None:
        raise MediaError(
            f"no reference in column {project.dataset.reference_column!r}",
            remedy="fill the cell in, or take the row out",
        )
    found = probes[clip.reference]
    if isinstance(found, LtxError):
        raise MediaError(f"its reference: {found.message}", remedy=found.remedy)
    check_reference(found, project)
    scale = project.reference.temporal_scale
    frames = (kept.window.frames - 1) // scale + 1
    rate = kept.window.rate / scale
    resample = not in_order(found, rate)
    count = selection_count(found, rate if resample else None, kept.window.start)
    if count < frames:
        raise MediaError(
            f"its reference has {count} frames at {float(rate):g} fps, and {frames} are needed",
            remedy="make the reference as long as the clip, or use a shorter bucket",
        )
    reference = ReferencePlan(
        path=clip.reference,
        probe=found,
        size=(
            kept.picture.width // project.reference.downscale,
            kept.picture.height // project.reference.downscale,
        ),
        window=Window(
            start=kept.window.start,
            frames=frames,
            fps=(rate.numerator, rate.denominator),
            resample=resample,
        ),
    )
    return reference, tuple(note.text for note in pair_notes(found, kept.probe))

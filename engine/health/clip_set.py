"""The health of a set of clips: each by itself, and against the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.buckets import parse_bucket, parse_buckets
from engine.captions import prompt
from engine.dataset.clips import Clip, ClipSet, load_clips
from engine.dataset.columns import ColumnMap, project_columns
from engine.dataset.lint import lint
from engine.dataset.manifest import Manifest, load_manifest
from engine.errors import LtxError
from engine.files.identity import stat_identity
from engine.findings import SEVERITIES, Finding
from engine.health.clip import finding, odd_rate, of_plan, of_probe, of_signs, of_sound
from engine.media.health import HEALTH_VERSION, Signs, look
from engine.media.likeness import first_alike
from engine.media.probe import Probe
from engine.models.tokens import MAX_TOKENS
from engine.precompute.ledger import Ledger
from engine.precompute.prompt_tokens import PromptTokens
from engine.precompute.survey import ClipPlan, probe_files, survey
from engine.project import Project
from engine.state.kept import Kept
from engine.text import visible

_KIND = f"signs-{HEALTH_VERSION}"
_SIGNS = msgspec.msgpack.Decoder(Signs)
# Of one picture alone fewer bits may differ than of eight.
_NEAR_IMAGES = 2.0

Looks = Mapping[Path, Signs | LtxError]


class Gathered(NamedTuple):
    """A dataset with what is known of its clips.

    Attributes:
        plans: Of the rows whose paths can be used.
        notes: What the dataset file itself says: about rows, and about all of it.
        shortest: Frames of the shortest bucket.
    """

    project: Project
    manifest: Manifest
    columns: ColumnMap
    clips: ClipSet
    plans: tuple[ClipPlan, ...]
    notes: tuple[Finding, ...]
    shortest: int

    @property
    def to_look_at(self) -> dict[Path, ClipPlan]:
        """The media that can be looked at, each once, with the first clip that has it."""
        found: dict[Path, ClipPlan] = {}
        for plan in self.plans:
            if plan.probe is not None:
                found.setdefault(plan.clip.media, plan)
        return found


def gather(project: Project, ledger: Ledger, progress: Callable[[int, int], None]) -> Gathered:
    """Read a dataset and probe its media.

    Args:
        project: The settings.
        ledger: What is known of files.
        progress: Told (done, total) while media are probed; what it raises ends the work.

    Raises:
        LtxError: The dataset or the buckets are unusable as a whole.
    """
    manifest = load_manifest(project.dataset_path)
    columns = project_columns(manifest, project.dataset, need_caption=False)
    problems = load_clips(manifest, columns, on_collision=project.dataset.on_collision)
    buckets = parse_buckets(project.video.buckets)
    # Clips that get in one another's way are looked at all the same.
    clips = load_clips(manifest, columns, on_collision="rename")
    there = [clip for clip in clips.clips if clip.row not in clips.blocked]
    paths = [path for one in there for path in (one.media, one.reference, one.audio) if path]
    probes = probe_files(paths, ledger, progress)
    plans = survey(there, project, buckets, probes)
    by_row = {clip.row: clip for clip in clips.clips}
    notes = [
        Finding(
            row=one.row,
            clip=_name(one.row, by_row, manifest, columns.video),
            code=one.code,
            severity=one.severity,
            text=one.message,
            remedy=one.remedy,
        )
        for one in lint(manifest, columns, problems)
    ]
    shortest = min(bucket.frames for bucket in buckets)
    return Gathered(project, manifest, columns, clips, tuple(plans), tuple(notes), shortest)


def _name(row: int | None, clips: Mapping[int, Clip], manifest: Manifest, column: str) -> str:
    if row is None:
        return ""
    if row in clips:
        return clips[row].name
    return visible(manifest.rows[row].get(column) or f"row {row + 1}")


def looked(path: Path, probe: Probe, kept: Kept, check: Callable[[], None]) -> Signs | LtxError:
    """Return what a clip shows, from what is kept of it where it has not changed."""
    try:
        data = kept.fresh(_KIND, path)
        if data is not None:
            return _SIGNS.decode(data)
        before = stat_identity(path)
        signs = look(path, probe, check=check)
        kept.keep(_KIND, path, before, msgspec.msgpack.encode(signs))
    except LtxError as error:
        return error
    except OSError as error:
        return LtxError(f"cannot be read: {error.strerror}", file=path, remedy="check the path")
    return signs


def findings(found: Gathered, looks: Looks, ledger: Ledger) -> list[Finding]:
    """Return all that is to say of a set, clip by clip, the worst of each first.

    Args:
        found: The dataset.
        looks: What its clips show; a clip that is missing there is not judged by its looks.
        ledger: Keeps digests of files.
    """
    told = [*found.notes]
    usual = usual_rate(found)
    with_sound = _mostly_sound(found)
    for plan in found.plans:
        told += of_plan(plan, found.project, _own_shortest(plan, found))
        probe = plan.probe
        if probe is None:
            continue
        told += of_probe(plan, probe, found.project)
        told += odd_rate(plan, probe, usual)
        signs = looks.get(plan.clip.media)
        if isinstance(signs, Signs):
            told += of_signs(plan, probe, signs)
            told += of_sound(plan, probe, signs, found.project, others_sound=with_sound)
        elif signs is not None:
            told.append(finding(plan, "unreadable", "error", signs.message, signs.remedy))
    told += _doubles(found, looks, ledger)
    told += _long_captions(found)
    if usual is None and (rates := _mixed_rates(found)):
        told.append(rates)
    last = len(found.manifest.rows)
    told.sort(
        key=lambda one: (last if one.row is None else one.row, SEVERITIES.index(one.severity))
    )
    return told


def _own_shortest(plan: ClipPlan, found: Gathered) -> int:
    own = found.project.own_buckets.get(plan.clip.name)
    try:
        return parse_bucket(own).frames if own else found.shortest
    except LtxError:  # which the plan says of the clip
        return found.shortest


def _rates(found: Gathered) -> Counter[Fraction]:
    probes = [plan.probe for plan in found.plans]
    return Counter(one.fps for one in probes if one and one.kind == "video" and not one.vfr)


def usual_rate(found: Gathered) -> Fraction | None:
    """Return the rate that more than half of the videos have; None where all are resampled."""
    if found.project.video.fps:
        return None
    rates = _rates(found)
    (rate, count) = rates.most_common(1)[0] if rates else (None, 0)
    return rate if 2 * count > rates.total() else None


def _mixed_rates(found: Gathered) -> Finding | None:
    rates = _rates(found)
    if found.project.video.fps or len(rates) < 2:
        return None
    words = ", ".join(f"{float(rate):.5g} ({count:,})" for rate, count in rates.most_common(5))
    return Finding(
        row=None,
        clip="",
        code="mixed-fps",
        severity="note",
        text=f"clips of several frame rates: {words}",
        remedy="set video.fps to bring them to one rate, or leave it where the trainer takes any",
    )


def _mostly_sound(found: Gathered) -> bool:
    videos = [plan.probe for plan in found.plans if plan.probe and plan.probe.kind == "video"]
    return 2 * sum(bool(one.audio) for one in videos) > len(videos)


def _doubles(found: Gathered, looks: Looks, ledger: Ledger) -> Iterator[Finding]:
    """Yield clips that are there already, or nearly."""
    exact: set[int] = set()
    for plan, other in _copies(found.plans, ledger):
        exact.add(plan.clip.row)
        yield finding(
            plan,
            "duplicate",
            "warning",
            f"the same file as {other.clip.name} (row {other.clip.row + 1}), byte for byte",
            "take one of them out: it counts twice in training",
        )
    for kind, bits in (("video", None), ("image", _NEAR_IMAGES)):
        group = [
            (plan, signs)
            for plan in found.plans
            if plan.probe is not None
            and plan.probe.kind == kind
            and plan.clip.row not in exact
            and isinstance(signs := looks.get(plan.clip.media), Signs)
        ]
        hashes = [signs.hashes for _, signs in group]
        alike = first_alike(hashes) if bits is None else first_alike(hashes, bits)
        for one, first in alike.items():
            plan, other = group[one][0], group[first][0]
            yield finding(
                plan,
                "near-duplicate",
                "warning",
                f"looks nearly the same as {other.clip.name} (row {other.clip.row + 1})",
                "compare them, and keep the better one",
            )


def _copies(plans: Sequence[ClipPlan], ledger: Ledger) -> Iterator[tuple[ClipPlan, ClipPlan]]:
    """Yield clips whose bytes are those of an earlier one; only files of one size are read."""
    sizes: dict[int, list[ClipPlan]] = {}
    for plan in plans:
        try:
            sizes.setdefault(plan.clip.media.stat().st_size, []).append(plan)
        except OSError:
            continue
    for group in sizes.values():
        first: dict[str, ClipPlan] = {}
        for plan in group if len(group) > 1 else ():
            try:
                other = first.setdefault(ledger.digest(plan.clip.media), plan)
            except OSError:
                continue
            if other is not plan:
                yield plan, other


def _long_captions(found: Gathered) -> Iterator[Finding]:
    """Yield captions that are cut off, by the real tokenizer where the project names one."""
    text = found.project.text
    counter = PromptTokens(found.project)
    plans = {plan.clip.row: plan for plan in found.plans}
    for clip in found.clips.clips:
        words = prompt(clip.caption, text.trigger, text.strip_prefixes)
        if not counter.may_be_long(words):
            continue
        tokens = counter.count(words)
        if tokens > MAX_TOKENS:
            about = "" if counter.is_exact else "about "
            plan = plans.get(clip.row) or ClipPlan(clip=clip)
            yield finding(
                plan,
                "caption-long",
                "warning",
                f"its caption has {about}{tokens:,} tokens, and those after {MAX_TOKENS:,} are "
                "cut off",
                "shorten it",
            )

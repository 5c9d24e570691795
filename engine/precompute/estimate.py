"""What the work of a plan will take: seconds by what such outputs took, bytes by their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from engine.buckets import parse_bucket
from engine.errors import LtxError
from engine.memory.forecast import text_facts
from engine.memory.monitor import MemorySample
from engine.models.checkpoint import Checkpoint
from engine.models.video_config import encoder_config
from engine.precompute.digest import Estimate
from engine.precompute.facts import component_path, is_set
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger, OutputRecord
from engine.precompute.plan_types import ClipOutline, Plan, Status
from engine.project import Project
from engine.state.file import stored

# Attempts that are looked at, the latest of all.
_LATEST = 5_000
# Attempts that begin within so many seconds on one device share a batch.
_TOGETHER = 0.05

_ITEMSIZE = {"bfloat16": 2, "float32": 4}
_PROMPT_LENGTH = 1024
_LATENT_CHANNELS = 128
# An audio latent: 8 channels of 16 bins, 25 steps a second, four bytes each.
_AUDIO_BYTES = 8 * 16 * 25 * 4
# What `torch.save` puts around the tensors, about.
_AROUND = 1_600

# What decides on time and size beside the stage: a bucket, or nothing.
Kind = tuple[Stage, str]


def estimates(
    project: Project,
    plan: Plan,
    folders: Mapping[Stage, Path],
    ledger: Ledger,
    memory: MemorySample,
) -> dict[Stage, Estimate]:
    """Return what the work of each stage of a plan will take.

    Args:
        project: The settings.
        plan: Its missing and stale outputs are counted.
        folders: Where each stage writes.
        ledger: What is known of outputs that were made.
        memory: Tells how many GPUs there are.
    """
    records = {stage: ledger.outputs(folders[stage]) for stage in plan.stages}
    device, devices = _device(project, memory)
    seconds = _seconds(_attempts(ledger), records, device)
    sizes = _Sizes(project, records)
    clips = {clip.row: clip for clip in plan.clips}
    found = {}
    for stage in plan.stages:
        took = weighs = 0.0
        untimed = unsized = 0
        for item in plan.items:
            if item.stage is not stage or item.status not in (Status.MISSING, Status.STALE):
                continue
            kind = _kind(project, stage, clips.get(item.row))
            time, size = seconds.get(kind), sizes.of(kind, clips.get(item.row))
            took, untimed = (took + time, untimed) if time is not None else (took, untimed + 1)
            weighs, unsized = (weighs + size, unsized) if size else (weighs, unsized + 1)
        found[stage] = Estimate(
            seconds=took / devices, untimed=untimed, bytes=round(weighs), unsized=unsized
        )
    return found


def _device(project: Project, memory: MemorySample) -> tuple[str, int]:
    """Return the kind of device that will work, "cuda" or "cpu", and how many there are."""
    wanted = [one.strip() for one in project.run.device.split(",") if one.strip()]
    if wanted == ["auto"]:
        gpus = sum(not gpu.fault for gpu in memory.gpus)
        return ("cuda", gpus) if gpus else ("cpu", 1)
    return (wanted[0].partition(":")[0] if wanted else "cpu"), max(1, len(wanted))


def _kind(project: Project, stage: Stage, clip: ClipOutline | None) -> Kind:
    bucket = clip.bucket if clip is not None else ""
    if not bucket or stage not in (Stage.LATENTS, Stage.REFERENCE_LATENTS):
        return stage, ""
    if stage is Stage.LATENTS:
        return stage, bucket
    size, reference = parse_bucket(bucket), project.reference
    frames = (size.frames - 1) // reference.temporal_scale + 1
    width, height = size.width // reference.downscale, size.height // reference.downscale
    return stage, f"{width}x{height}x{frames}"


def _made(stage: Stage, record: OutputRecord) -> Kind:
    return stage, record.fingerprint.facts.get("bucket", "")


def _attempts(ledger: Ledger) -> dict[tuple[Stage, str], tuple[str, float]]:
    """Return device and seconds of the latest encode of outputs, what it shared divided."""
    rows: list[tuple[Any, ...]] = list(
        ledger.database.all(
            "SELECT stage, output, device, began, seconds FROM "
            "(SELECT * FROM attempts WHERE outcome='done' AND seconds>0 ORDER BY id DESC LIMIT ?) "
            "ORDER BY device, began",
            (_LATEST,),
        )
    )
    found: dict[tuple[Stage, str], tuple[str, float]] = {}
    batch: list[tuple[Any, ...]] = []
    for row in [*rows, None]:
        if batch and (row is None or not _shares(batch[-1], row)):
            each = max(one[4] for one in batch) / len(batch)
            for stage, output, device, _, _ in batch:
                found[Stage(stage), output] = (device, each)
            batch = []
        if row is not None:
            batch.append(row)
    return found


def _shares(before: tuple[Any, ...], row: tuple[Any, ...]) -> bool:
    same = (before[0], before[2]) == (row[0], row[2])
    return bool(same and row[3] - before[3] < _TOGETHER)


def _seconds(
    attempts: Mapping[tuple[Stage, str], tuple[str, float]],
    records: Mapping[Stage, Mapping[str, OutputRecord]],
    device: str,
) -> dict[Kind, float]:
    """Return the usual seconds of each kind of output on a kind of device."""
    times: dict[Kind, list[float]] = {}
    for (stage, output), (where, took) in attempts.items():
        record = records.get(stage, {}).get(stored(output))
        if record is not None and where.partition(":")[0] == device:
            times.setdefault(_made(stage, record), []).append(took)
    return {kind: median(every) for kind, every in times.items()}


class _Sizes:
    """Sizes of outputs: those of their kind that are there, or else by their shape."""

    def __init__(
        self, project: Project, records: Mapping[Stage, Mapping[str, OutputRecord]]
    ) -> None:
        self._project = project
        there: dict[Kind, list[int]] = {}
        for stage, every in records.items():
            for record in every.values():
                there.setdefault(_made(stage, record), []).append(record.identity.size)
        self._there = {kind: median(sizes) for kind, sizes in there.items()}
        self._channels = self._read_channels()
        self._prompt = self._read_prompt()

    def of(self, kind: Kind, clip: ClipOutline | None) -> float:
        """Return the bytes of an output; 0 where they are not known beforehand."""
        stage, bucket = kind
        if stage in (Stage.LATENTS, Stage.REFERENCE_LATENTS) and bucket:
            item = _ITEMSIZE[self._project.video.dtype]
            return parse_bucket(bucket).tokens() * self._channels * item + _AROUND
        if stage is Stage.CONDITIONS and self._prompt:
            return self._prompt
        if stage is Stage.AUDIO_LATENTS and clip is not None:
            start, end = clip.kept
            return (end - start) * _AUDIO_BYTES + _AROUND
        return self._there.get(kind, 0)

    def _read_channels(self) -> int:
        try:
            if is_set(self._project, "video_vae"):
                checkpoint = Checkpoint.open(component_path(self._project, "video_vae"))
                config = encoder_config(checkpoint.section("vae"), checkpoint.path)
                return config.latent_channels
        except (LtxError, OSError):
            pass  # what is wrong with a model is told where the model is needed
        return _LATENT_CHANNELS

    def _read_prompt(self) -> int:
        """Return the bytes of a caption's file; 0 where the models are not known."""
        project = self._project
        folder = project.text_encoder_path
        if folder is None or not is_set(project, "text_projection"):
            return 0
        try:
            checkpoint = Checkpoint.open(component_path(project, "text_projection"))
            facts = text_facts(checkpoint, folder)
        except (LtxError, OSError):
            return 0
        both = project.text.conditions_schema == "current"
        width = facts.video + (facts.audio if both else 0)
        return _PROMPT_LENGTH * (width * 2 + 8) + _AROUND

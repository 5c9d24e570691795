"""What memory a plan will take: for each bucket, and for the captions, before anything is loaded.

The same forecast and the same ladder as the guard's, against the memory that is free now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from engine.buckets import parse_bucket
from engine.errors import LtxError
from engine.memory.calibration import GPU_EXTRA, Calibration
from engine.memory.forecast import (
    VideoShape,
    exceeds_index_limit,
    part_ahead,
    text_facts,
    text_peak,
    text_weights,
    video_weights,
)
from engine.memory.monitor import MemorySample
from engine.memory.peaks import Peak
from engine.memory.rungs import Rung, video_ladder
from engine.memory.words import gib, share
from engine.models.checkpoint import Checkpoint
from engine.models.video_config import encoder_config
from engine.precompute.facts import component_path, is_set
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Outlook, Plan
from engine.project import Project

_GIB = 1 << 30
_ITEMSIZE = {"bfloat16": 2, "float32": 4}
# Captions are rarely longer; a plan does not load the tokenizer to find out.
_TOKENS = 512

Known = Callable[[str, Stage], Sequence[Peak]]


class _Device(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to take on a device; bytes."""

    name: str
    title: str
    free: int
    total: int

    @property
    def is_gpu(self) -> bool:
        return self.name != "cpu"


def outlook(
    project: Project, plan: Plan, memory: MemorySample, known: Known
) -> tuple[Outlook, ...]:
    """Return how each bucket that is in use, and the captions, will be encoded.

    Args:
        project: The settings.
        plan: Its buckets are looked at.
        memory: What there is now.
        known: Returns the peaks that are known of a device (by title) for a stage.

    Returns:
        One for each bucket in the plan with clips, and one for the captions; nothing for a stage
        whose model is not set or cannot be read, or where the memory is not known.
    """
    device = _device(project, memory)
    if device is None:
        return ()
    found: list[Outlook] = []
    try:
        if Stage.CONDITIONS in plan.stages:
            found += _captions(project, device)
        if Stage.LATENTS in plan.stages and is_set(project, "video_vae"):
            found += _buckets(project, plan, device, known)
    except (LtxError, OSError):
        return tuple(found)  # what is wrong with a model is told where the model is needed
    return tuple(found)


def _device(project: Project, memory: MemorySample) -> _Device | None:
    """Return the device that the project names; of several GPUs, the one with least free."""
    wanted = project.run.device.split(",")[0].strip()
    free = memory.free_on(wanted)
    if free is None:
        return None
    gpus = [gpu for gpu in memory.gpus if not gpu.fault]
    limit = round(project.memory.limit * _GIB)
    if wanted in ("cpu", "mps") or not gpus:
        reserve, name, title, total = project.memory.host_reserve, "cpu", "cpu", memory.host.total
    else:
        number = int(wanted.partition(":")[2] or 0) if wanted != "auto" else gpus[0].index
        gpu = next((one for one in gpus if one.index == number), gpus[0])
        reserve, name, title = project.memory.reserve, f"cuda:{gpu.index}", gpu.title
        total = gpu.total or free
    usable = max(0, free - round(reserve * _GIB))
    return _Device(
        name=name,
        title=title,
        free=min(usable, limit) if limit else usable,
        total=min(total, limit) if limit else total,
    )


def _buckets(project: Project, plan: Plan, device: _Device, known: Known) -> list[Outlook]:
    checkpoint = Checkpoint.open(component_path(project, "video_vae"))
    config = encoder_config(checkpoint.section("vae"), checkpoint.path)
    itemsize = _ITEMSIZE[project.video.dtype]
    weights = video_weights(checkpoint, itemsize)
    calibration = Calibration(
        config,
        itemsize,
        known(device.title, Stage.LATENTS),
        usual=GPU_EXTRA if device.is_gpu else 1.0,
    )
    found = []
    for name, clips in plan.buckets.items():
        if not clips:
            continue
        bucket = parse_bucket(name)
        shape = VideoShape(width=bucket.width, height=bucket.height, frames=bucket.frames)
        if project.video.vae_tiling:
            words = "feathered tiles (approximate)"
            found.append(Outlook(stage=Stage.LATENTS, name=name, rung=words, need=0, text=words))
            continue
        batch = min(project.run.batch_size, clips)
        ladder = [
            rung
            for rung in video_ladder(shape.frames, batch=batch, first=project.video.chunk)
            if not exceeds_index_limit(shape, rung, config)
        ]
        needs = []
        for rung in ladder:
            ahead = part_ahead(shape, rung, itemsize) if device.is_gpu else 0
            needs.append((rung, weights + calibration.peak(shape, rung) + ahead))
        found.append(_climb(name, needs, device))
    return found


def _climb(name: str, needs: Sequence[tuple[Rung, int]], device: _Device) -> Outlook:
    """Find the first rung that fits, as the guard will."""
    fits = next(((rung, need) for rung, need in needs if need <= device.free), None)
    whole = next((need for rung, need in needs if rung.kind == "whole" and rung.batch == 1), 0)
    free = f"{share(device.free, device.total)} free"
    first = f"one-shot {gib(whole)}, " if whole and whole > device.free else ""
    if fits is not None:
        rung, need = fits
        text = f"{first}{_will(rung)} {gib(need)}, {free}"
        return Outlook(stage=Stage.LATENTS, name=name, rung=rung.name, need=need, text=text)
    rung, need = min(needs, key=lambda one: one[1])
    text = f"{first}{rung.name} {gib(need)}: more than the {free}"
    if device.is_gpu:
        text += "; waits for memory, then goes to the CPU"
    return Outlook(stage=Stage.LATENTS, name=name, rung=rung.name, need=need, text=text, fits=False)


def _will(rung: Rung) -> str:
    """Return what a rung is in words: "will stream in chunks of 16:"."""
    if rung.kind == "whole":
        return rung.name
    words = {
        "stream": f"will stream in chunks of {rung.chunk}:",
        "lean": f"will stream in lean chunks of {rung.chunk}:",
        "offload": f"will stream in chunks of {rung.chunk}, two frames at a time, state on host:",
    }
    return words[rung.kind]


def _captions(project: Project, device: _Device) -> list[Outlook]:
    folder = project.text_encoder_path
    if folder is None or not is_set(project, "text_projection"):
        return []
    checkpoint = Checkpoint.open(component_path(project, "text_projection"))
    facts = text_facts(checkpoint, folder)
    full = project.text.padding == "full"

    def need(batch: int, *, eight_bit: bool) -> int:
        weights = text_weights(checkpoint, folder, 2, eight_bit=eight_bit)
        peak = text_peak(
            facts,
            batch=batch,
            tokens=_TOKENS,
            itemsize=2,
            full=full,
            on_cpu=not device.is_gpu,
        )
        return weights + round(peak * (GPU_EXTRA if device.is_gpu else 1.0))

    batch = 1 if full else project.text.batch_size
    eight = project.text.eight_bit
    ways = [(f"batch {batch}", batch, eight)] if batch > 1 else []
    ways.append(("one at a time", 1, eight))
    if project.memory.eight_bit and not eight:
        ways.append(("8-bit (approximate)", 1, True))
    needs = [(name, need(size, eight_bit=bits)) for name, size, bits in ways]
    name, size = next((one for one in needs if one[1] <= device.free), needs[-1])
    fits = size <= device.free
    free = f"{share(device.free, device.total)} free"
    text = f"{name} {gib(size)}, {free}"
    if not fits:
        text = f"{name} {gib(size)}: more than the {free}"
        text += "; waits for memory, then goes to the CPU" if device.is_gpu else ""
    return [
        Outlook(stage=Stage.CONDITIONS, name="captions", rung=name, need=size, text=text, fits=fits)
    ]

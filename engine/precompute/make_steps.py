"""From a clip's plan to the step that an encoder is sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.captions import prompt
from engine.files.safe import inside
from engine.precompute.facts import stage_weights, text_encoder_folder
from engine.precompute.layout import Stage
from engine.precompute.steps import (
    AnyStep,
    AudioStep,
    DecodeStep,
    StageSetup,
    TextStep,
    VideoStep,
)
from engine.precompute.survey import ClipPlan
from engine.project import Project

_GIB = 1 << 30


def output_path(stage: Stage, clip: ClipPlan) -> str:
    """Return where a clip's output lies inside the stage's folder."""
    suffix = stage.suffix
    if suffix == clip.clip.output.suffix:
        return str(clip.clip.output)
    bucket = clip.kept.bucket if clip.kept is not None else None
    if suffix == ".mp4" and bucket is not None and bucket.frames == 1:
        suffix = ".png"
    return clip.clip.output.with_suffix(suffix).as_posix()


def make_setup(stage: Stage, project: Project) -> StageSetup:
    """Return what an encoder needs to open a stage.

    Raises:
        ProjectError: A model that the stage needs is not set.
        ModelError: It does not exist.
    """
    text, memory = project.text, project.memory
    return StageSetup(
        stage=stage,
        checkpoint=str(stage_weights(project, stage)),
        text_encoder=str(text_encoder_folder(project)) if stage is Stage.CONDITIONS else "",
        device=project.run.device,
        dtype=project.video.dtype if stage is not Stage.CONDITIONS else "bfloat16",
        chunk=project.video.chunk,
        vae_tiling=project.video.vae_tiling,
        batch_size=_batch_size(stage, project),
        padding=text.padding,
        eight_bit=text.eight_bit,
        conditions_schema=text.conditions_schema,
        limit=round(memory.limit * _GIB),
        reserve=round(memory.reserve * _GIB),
        host_reserve=round(memory.host_reserve * _GIB),
        wait=memory.wait,
        cpu_fallback=memory.cpu,
        eight_bit_fallback=memory.eight_bit,
        hardware_decoding=project.run.hardware_decoding,
        scale_on=project.run.scale_on,
        tune=project.run.tune,
    )


def _batch_size(stage: Stage, project: Project) -> int:
    if stage is Stage.CONDITIONS:
        return max(1, project.text.batch_size)
    if stage in (Stage.LATENTS, Stage.REFERENCE_LATENTS):
        return max(1, project.run.batch_size)
    return 1


def make_step(
    number: int,
    stage: Stage,
    plan: ClipPlan,
    project: Project,
    folders: Mapping[Stage, Path],
) -> AnyStep:
    """Return the step that makes a clip's output.

    Raises:
        LtxError: The clip is blocked, or the output would leave its folder.
    """
    clip = plan.clip
    output = str(inside(folders[stage], output_path(stage, plan)))
    if stage is Stage.CONDITIONS:
        words = prompt(clip.caption, project.text.trigger, project.text.strip_prefixes)
        return TextStep(id=number, clip=clip.name, row=clip.row, output=output, prompt=words)
    if stage.source is not None:
        source = str(inside(folders[stage.source], clip.output))
        return DecodeStep(id=number, clip=clip.name, row=clip.row, output=output, source=source)
    kept = plan.require()
    if stage is Stage.AUDIO_LATENTS:
        return AudioStep(
            id=number,
            clip=clip.name,
            row=clip.row,
            output=output,
            media=str(clip.audio or clip.media),
            probe=kept.audio or kept.probe,
            window=kept.window,
            silence=kept.audio is None,
        )
    return _video_step(number, stage, plan, project, output)


def _video_step(
    number: int, stage: Stage, plan: ClipPlan, project: Project, output: str
) -> VideoStep:
    clip, kept = plan.clip, plan.require()
    media, probe, window = clip.media, kept.probe, kept.window
    size = (kept.picture.width, kept.picture.height)
    if stage is Stage.REFERENCE_LATENTS and kept.reference is not None:
        reference = kept.reference
        media, probe, window, size = (
            reference.path,
            reference.probe,
            reference.window,
            reference.size,
        )
    return VideoStep(
        id=number,
        clip=clip.name,
        row=clip.row,
        output=output,
        media=str(media),
        probe=probe,
        window=window,
        size=size,
        reshape=project.video.reshape,
        seed=project.video.seed,
        crop_key=clip.output.as_posix(),
        hdr=project.video.hdr,
    )

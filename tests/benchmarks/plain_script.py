"""A dataset encoded the straightforward way: one process, one clip after another, nothing ahead.

It has the same models and makes the same files. Each clip is decoded as a whole to RGB, made
float32, scaled and cropped; each caption is padded to 1,024 tokens. The models are on the
project's device. With `own` the reading and
writing are ltx-tui's own, so that what is left between the two is what is done at the same time.

python -m tests.benchmarks.plain_script plain|own PROJECT OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from engine.dataset.clips import Clip, load_clips
from engine.dataset.columns import project_columns
from engine.dataset.manifest import load_manifest
from engine.media.audio import read_audio
from engine.media.probe import probe
from engine.models.audio_vae import load_audio_encoder
from engine.models.checkpoint import Checkpoint
from engine.models.text_encoder import TextEncoder
from engine.models.video_vae import load_video_encoder
from engine.precompute.layout import Stage, stage_folders
from engine.precompute.make_steps import make_setup, make_step
from engine.precompute.outputs import Payload, audio_payload, conditions_payload, latents_payload
from engine.precompute.stages import open_stage
from engine.precompute.stages.base import resolve_device
from engine.precompute.survey import survey
from engine.project import Project, load_project
from tests.benchmarks.plain_frames import plain_frames

Clips = tuple[Clip, ...]
STAGES = (Stage.CONDITIONS, Stage.LATENTS, Stage.AUDIO_LATENTS)


def clips_of(project: Project) -> Clips:
    """Return the clips of a project's dataset."""
    manifest = load_manifest(project.dataset_path)
    return load_clips(manifest, project_columns(manifest, project.dataset)).clips


def plain(project: Project, out: Path) -> None:
    """Encode the dataset, stage by stage and clip by clip."""
    clips = clips_of(project)
    assert project.checkpoint_path is not None
    checkpoint = Checkpoint.open(project.checkpoint_path)
    device = resolve_device(project.run.device)
    for encode in (_captions, _pictures, _sounds):
        # Each stage's model is gone before the next one comes.
        encode(project, checkpoint, device, clips, out)
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _captions(
    project: Project, checkpoint: Checkpoint, device: torch.device, clips: Clips, out: Path
) -> None:
    assert project.text_encoder_path is not None
    text = TextEncoder.load(project.text_encoder_path, checkpoint, device)
    for clip in clips:
        (one,) = text.encode([clip.caption], padding="full")
        _save(
            out, "conditions", clip, conditions_payload(one.video, one.mask, one.audio, "current")
        )


def _pictures(
    project: Project, checkpoint: Checkpoint, device: torch.device, clips: Clips, out: Path
) -> None:
    width, height, frames = bucket(project)
    video = load_video_encoder(checkpoint, device)
    for clip in clips:
        found = probe(clip.media)
        latents = video.encode(plain_frames(clip.media, width, height, frames)[None])
        _save(out, "latents", clip, latents_payload(latents[0], float(found.fps)))


def _sounds(
    project: Project, checkpoint: Checkpoint, device: torch.device, clips: Clips, out: Path
) -> None:
    frames = bucket(project)[2]
    sounds = load_audio_encoder(checkpoint, device)
    for clip in clips:
        found = probe(clip.media)
        sound = read_audio(clip.media, found, start=0.0, duration=frames / found.fps)
        assert sound is not None
        seconds = sound.samples.shape[1] / sound.rate
        latents = sounds.encode(sound.samples.to(device), sound.rate)
        _save(out, "audio_latents", clip, audio_payload(latents, seconds))


def bucket(project: Project) -> tuple[int, int, int]:
    """Return width, height and frames of the project's only bucket."""
    width, height, frames = (int(side) for side in project.video.buckets.split("x"))
    return width, height, frames


def _save(out: Path, stage: str, clip: Clip, payload: Payload) -> None:
    path = out / stage / clip.output
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(payload, path)


def own(project: Project, out: Path) -> None:
    """Do what ltx-tui does for each clip, one after another."""
    clips = clips_of(project)
    probes = {clip.media: probe(clip.media) for clip in clips}
    plans = survey(clips, project, _buckets(project), dict(probes))
    folders = stage_folders(out)
    for stage in STAGES:
        runner = open_stage(make_setup(stage, project), lambda _model, _device: None)
        for number, plan in enumerate(plans):
            step = make_step(number, stage, plan, project, folders)
            (made,) = runner.make([step], [runner.prepare(step)], lambda: False)
            runner.write(step, made)
        runner.close()


def _buckets(project: Project) -> tuple[object, ...]:
    from engine.buckets import parse_buckets

    return parse_buckets(project.video.buckets)


if __name__ == "__main__":
    ways = {"plain": plain, "own": own}
    ways[sys.argv[1]](load_project(Path(sys.argv[2]) / "project.toml"), Path(sys.argv[3]))

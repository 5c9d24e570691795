"""Run as `python -m engine.precompute.roundtrip PROJECT`: scores what encoding and decoding cost.

Each decoded file is compared with the exact input of the encoder: the kept frames at bucket
size, in the encoder's dtype. What the file format adds (8 bits, H.264) is part of the score.
"""

from __future__ import annotations

import math
import sys
import wave
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from engine.child import answer
from engine.demo import Score
from engine.media.frames import FrameRequest, read_frames
from engine.media.probe import probe
from engine.precompute.layout import ENCODE_STAGES, Stage, stage_folders
from engine.precompute.ledger import Ledger
from engine.precompute.make_steps import make_setup, make_step, output_path
from engine.precompute.outputs import load, tensor
from engine.precompute.plan import Planner
from engine.precompute.stages.pixels import scaled
from engine.precompute.stages.video import VideoStage
from engine.precompute.steps import VideoStep
from engine.precompute.survey import ClipPlan
from engine.project import Project, load_project


def main(file: Path) -> None:
    """Score every clip of a project that has latents, in the order of the dataset."""
    project = load_project(file)
    folders = stage_folders(project.output_dir)
    with Ledger(project.state_dir) as ledger:
        job = Planner(project, folders, ledger).make([Stage.LATENTS])
    # Only the frames that the encoder is given are wanted of it, so any device will do.
    setup = msgspec.structs.replace(make_setup(Stage.LATENTS, project), device="cpu")
    stage = VideoStage(setup, lambda _model, _device: None)
    for row in sorted(job.clips):
        clip = job.clips[row]
        latents = folders[Stage.LATENTS] / clip.clip.output
        if clip.kept is not None and latents.is_file():
            answer(_score(project, clip, folders, stage))


def _score(
    project: Project, clip: ClipPlan, folders: dict[Stage, Path], stage: VideoStage
) -> Score:
    bucket = clip.require().picture
    latents = tensor(load(folders[Stage.LATENTS] / clip.clip.output), "latents")
    files = [folders[one] / clip.clip.output for one in ENCODE_STAGES]
    decoded = folders[Stage.DECODED_VIDEOS] / output_path(Stage.DECODED_VIDEOS, clip)
    error: float | None = None
    if decoded.is_file():
        step = make_step(0, Stage.LATENTS, clip, project, folders)
        assert isinstance(step, VideoStep)  # noqa: S101 - what that stage's steps are
        error = psnr(scaled(stage.prepare(step)), _read(decoded, step))
    return Score(
        clip=clip.clip.name,
        bucket=str(bucket),
        latent_shape=tuple(latents.shape),
        tokens=math.prod(latents.shape[1:]),
        bytes=sum(path.stat().st_size for path in files if path.is_file()),
        psnr=error,
        audio_seconds=_seconds(folders[Stage.DECODED_AUDIO] / clip.clip.output),
    )


def _read(decoded: Path, step: VideoStep) -> Tensor:
    """Read a decoded file as it is: [3, F, H, W] in −1 … 1."""
    width, height = step.size
    request = FrameRequest(width=width, height=height, frames=step.window.frames)
    return read_frames(decoded, probe(decoded), request, dtype=torch.float32)


def psnr(pixels: Tensor, other: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of two clips in −1 … 1, capped at 99.

    Both have the peak-to-peak range 2, so PSNR = 10 · log10(2² / mean squared error).
    """
    error = float((pixels.float() - other.float()).square().mean())
    return 99.0 if error == 0 else min(99.0, 10 * math.log10(4 / error))


def _seconds(output: Path) -> float | None:
    """Return the length of a decoded sound."""
    path = output.with_suffix(Stage.DECODED_AUDIO.suffix)
    if not path.is_file():
        return None
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

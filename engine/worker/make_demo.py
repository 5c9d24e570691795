"""Run as `python -m engine.worker.make_demo DIR`: draws the demo's clips, makes its models."""

from __future__ import annotations

import colorsys
import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from engine.child import answer
from engine.demo import CLIPS, MODELS, SCRIPT, DemoClip, Made
from engine.media.audio import Waveform
from engine.media.write import write_png, write_video
from engine.models.toy import make_toy_models

Pixels = npt.NDArray[np.uint8]

_RATE = 48_000


def main(folder: Path) -> None:
    """Make everything, telling of each file as it is there."""
    for clip in SCRIPT:
        _write_clip(folder / CLIPS, clip)
        answer(Made(f"{CLIPS}/{clip.name}"))
    models = make_toy_models(folder / MODELS)
    for key, path in models._asdict().items():
        answer(Made(path.relative_to(folder).as_posix(), f"models.{key}"))


def _write_clip(folder: Path, clip: DemoClip) -> None:
    """Write a clip and its reference."""
    folder.mkdir(parents=True, exist_ok=True)
    fps = Fraction(*clip.fps)
    if clip.name.endswith(".png"):
        picture = next(_frames(clip, 1))
        write_png(folder / clip.name, picture)
        write_png(folder / clip.reference, edges(picture))
        return
    count = math.ceil(clip.seconds * fps)
    frames = list(_frames(clip, count))
    write_video(folder / clip.name, iter(frames), fps, _sound(clip, count / fps))
    write_video(folder / clip.reference, (edges(frame) for frame in frames), fps)


def _frames(clip: DemoClip, count: int) -> Iterator[Pixels]:
    """Yield uint8 [H, W, 3] frames: a sky, a ground, and a ball that goes round."""
    width, height = clip.size
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    sky = np.array(colorsys.hsv_to_rgb(clip.hue, 0.55, 0.85), dtype=np.float32)
    ground = np.array(colorsys.hsv_to_rgb(clip.hue, 0.7, 0.4), dtype=np.float32)
    for index in range(count):
        angle = 2 * math.pi * index / max(count, 2) - 0.7
        horizon = height * (0.6 + 0.04 * math.sin(angle)) + 6 * np.sin(across / 23)
        ramp = np.clip((down - horizon) / 12 + 0.5, 0, 1)[..., None]
        picture = sky * (1 - 0.3 * down[..., None] / height) * (1 - ramp) + ground * ramp
        middle = width * (0.5 - 0.35 * math.cos(angle)), height * (0.45 - 0.25 * math.sin(angle))
        distance = np.hypot(across - middle[0], down - middle[1])
        ball = np.clip(0.1 * min(clip.size) - distance + 0.5, 0, 1)[..., None]
        yield (255 * (picture * (1 - ball) + 0.93 * ball)).round().astype(np.uint8)


def edges(picture: Pixels) -> Pixels:
    """Return the outlines of a picture, white on black: a stand-in for a real condition."""
    grey = picture.astype(np.float32).mean(axis=2)
    strength = np.hypot(*np.gradient(grey))
    white = (np.clip(strength * 8, 0, 255)).astype(np.uint8)
    return np.repeat(white[..., None], 3, axis=2)


def _sound(clip: DemoClip, seconds: Fraction) -> Waveform | None:
    """Return a stereo tone that swells and fades, or None for a silent clip."""
    if not clip.pitch:
        return None
    time = torch.arange(round(seconds * _RATE)) / _RATE
    swell = 0.25 * torch.sin(math.pi * time / float(seconds))
    left = torch.sin(2 * math.pi * clip.pitch * time)
    right = torch.sin(2 * math.pi * (clip.pitch + 2) * time)
    return Waveform(samples=torch.stack([left, right]) * swell, rate=_RATE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

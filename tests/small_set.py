"""A small dataset with sound, made in a second, and toy models for it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from engine.media.audio import Waveform
from engine.media.write import write_video

BUCKETS = "64x64x9;96x64x9"
CAPTIONS = {
    "wide.mp4": "A wide grating drifts to the left",
    "square.mp4": "A square grating, and a low tone",
    "sub/long.mp4": "A longer clip in a folder of its own",
    "mute.mp4": "A clip without any sound",
}


def frames(count: int, width: int, height: int, seed: int = 0) -> list[np.ndarray]:
    """Return moving gratings, uint8 [H, W, 3] each."""
    x = np.arange(width) + seed * 7
    y = np.arange(height)[:, None]
    result = []
    for k in range(count):
        red = 127 + 120 * np.sin((x + 3 * k) / 9 + 0 * y)
        green = 127 + 120 * np.sin((y - 2 * k) / 7 + 0 * x)
        blue = 127 + 120 * np.sin((x + y + k) / 11)
        result.append(np.stack([red, green, blue], axis=-1).astype(np.uint8))
    return result


def tone(seconds: float, rate: int = 48_000) -> Waveform:
    """Return a stereo tone."""
    t = torch.arange(int(seconds * rate)) / rate
    left = 0.3 * torch.sin(2 * torch.pi * 440 * t)
    return Waveform(samples=torch.stack([left, 0.5 * left]), rate=rate)


def write_clip(
    path: Path,
    *,
    size: tuple[int, int] = (96, 96),
    count: int = 10,
    sound: bool = True,
    seed: int = 0,
    fps: int = 24,
) -> None:
    """Write one clip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = tone(count / fps) if sound else None
    write_video(path, iter(frames(count, *size, seed)), Fraction(fps), audio)


def write_dataset(root: Path, rows: list[dict[str, str]]) -> Path:
    """Write `dataset.json`."""
    path = root / "dataset.json"
    path.write_text(json.dumps(rows, indent=2))
    return path


def make_small_set(root: Path) -> Path:
    """Write four clips and their dataset; return the folder."""
    root.mkdir(parents=True, exist_ok=True)
    write_clip(root / "wide.mp4", size=(144, 96), count=12)
    write_clip(root / "square.mp4", seed=1)
    write_clip(root / "sub/long.mp4", count=20, seed=2)
    write_clip(root / "mute.mp4", sound=False, seed=3)
    write_dataset(root, [{"caption": c, "media_path": name} for name, c in CAPTIONS.items()])
    return root

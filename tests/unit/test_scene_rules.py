"""Cuts from scores alone: the same as PySceneDetect's detectors make of the frames."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from engine.media.scene_detectors import Watch
from engine.media.scene_options import DetectorName, Finding
from engine.media.scene_rules import cuts_by, measuring

FRAMES = 160


def pictures(seed: int) -> list[npt.NDArray[np.uint8]]:
    """Return small pictures: still shots of random lengths, flashes, black stretches, noise."""
    rng = np.random.default_rng(seed)
    made: list[npt.NDArray[np.uint8]] = []
    while len(made) < FRAMES:
        length = int(rng.choice([1, 2, 3, 8, 14, 15, 16, 25, 40]))
        level = int(rng.choice([0, 4, 60, 128, 250]))
        base = rng.integers(0, level + 1, (12, 16, 3)).astype(np.int16)
        for _ in range(length):
            noise = rng.integers(-6, 7, base.shape)
            made.append(np.clip(base + noise, 0, 255).astype(np.uint8))
    return made[:FRAMES]


def watched(finding: Finding, seed: int) -> Watch:
    """Return a detector that has seen the pictures."""
    watch = Watch(finding, Fraction(24), finding.skip_start)
    for number, pixels in enumerate(pictures(seed)):
        past = number - finding.skip_start
        if past >= 0 and past % (finding.frame_skip + 1) == 0:
            watch.take(number, pixels)
    watch.finish(FRAMES - 1)
    return watch


# Below and above what the pictures score; far from where float32 rounds.
LEVELS: dict[DetectorName, tuple[float, ...]] = {
    "content": (0.1, 9.3, 27.0, 61.7, 255.0),
    "adaptive": (0.11, 1.7, 3.0, 8.1),
    "threshold": (5.0, 12.0, 12.7, 90.0),
    "histogram": (0.013, 0.2, 0.61, 1.0),
    "hash": (0.02, 0.35, 0.6),
}


@pytest.mark.parametrize("length", [None, 0, 1, 9, 30])
@pytest.mark.parametrize("detector", list(LEVELS))
def test_any_threshold_and_length_give_the_detectors_own_cuts(
    detector: DetectorName, length: int | None
) -> None:
    some = 0
    for seed in range(4):
        plain = watched(Finding(detector=detector), seed)
        scores, changes = plain.scores().tolist(), plain.changes().tolist()
        for level in LEVELS[detector]:
            finding = Finding(detector=detector, threshold=level, min_scene_length=length)
            cuts = watched(finding, seed).cuts(FRAMES)
            assert cuts_by(finding, scores, changes, FRAMES) == cuts, (seed, level)
            some += len(cuts)
    assert some > 5


@pytest.mark.parametrize("bias", [-1.0, -0.4, 0.3, 1.0])
def test_the_place_in_a_fade(bias: float) -> None:
    plain = watched(Finding(detector="threshold"), 1)
    finding = Finding(detector="threshold", fade_bias=bias, min_scene_length=4)
    cuts = watched(finding, 1).cuts(FRAMES)
    assert cuts
    assert cuts_by(finding, plain.scores().tolist(), [], FRAMES) == cuts


def test_frames_that_were_skipped_keep_their_numbers() -> None:
    finding = Finding(skip_start=7, frame_skip=2, min_scene_length=6)
    watch = watched(finding, 2)
    cuts = watch.cuts(FRAMES)
    assert cuts
    assert cuts_by(finding, watch.scores().tolist(), [], FRAMES) == cuts


def test_what_has_to_be_looked_at_anew_and_what_not() -> None:
    finding = Finding(threshold=30, min_scene_length=3)
    assert measuring(finding) == measuring(Finding())
    for change in ({"detector": "hash"}, {"luma_only": True}, {"downscale": 2}):
        assert measuring(msgspec.structs.replace(finding, **change)) != measuring(Finding())

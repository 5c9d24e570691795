"""A made-up film of the harbour for the pictures of the documentation: its cuts, its frames."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import AsyncGenerator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.media.scene_rules import cuts_by
from engine.media.scene_types import Found, Range
from engine.worker.scene_messages import AllDone, Scenes, Scores, Tell, VideoDone, Wanted
from engine.worker.thumbnail_types import Ask, Shot

FILM = "raw/harbour-day.mp4"
BYTES = 182_400_000
FRAMES = 1536
# Where a shot begins, what the cut scores, and the colours of its sky, its sea and what moves.
SHOTS = (
    (0, 0.0, (242, 178, 110), (62, 92, 122), (32, 42, 58)),
    (171, 61.0, (150, 196, 226), (40, 108, 138), (236, 236, 228)),
    (309, 44.5, (168, 172, 176), (96, 112, 118), (196, 84, 44)),
    (352, 72.0, (112, 158, 206), (34, 82, 120), (244, 206, 92)),
    (598, 33.0, (206, 206, 204), (132, 146, 150), (70, 76, 82)),
    (811, 84.0, (246, 148, 92), (120, 60, 84), (40, 24, 44)),
    (1017, 51.0, (88, 132, 178), (26, 66, 98), (220, 60, 52)),
    (1259, 38.5, (30, 34, 70), (12, 16, 40), (250, 226, 150)),
)
# Something moves here as fast as a cut, but no cut it is by the usual threshold.
RESTLESS = (470, 690, 905, 1120)


async def split(wanted: Wanted) -> AsyncGenerator[Tell]:
    """Stand in for the child that finds scenes."""
    await asyncio.sleep(0)
    scores = _scores()
    for video in wanted.videos:
        cuts = cuts_by(wanted.finding, scores, array("f"), FRAMES)
        yield Scores(video=video.id, row=0, values=scores.tobytes(), changes=b"")
        found = Found(
            frames=FRAMES,
            rate=(24, 1),
            vfr=False,
            time_base=(1, 24),
            span=Range(0, FRAMES),
            cuts=cuts,
        )
        yield Scenes(video=video.id, found=found, pieces=())
        yield VideoDone(video=video.id, scenes=len(cuts) + 1, chosen=len(cuts) + 1)
    yield AllDone()


async def show(_child: object, ask: Ask) -> AsyncGenerator[Shot]:
    """Stand in for the child that reads frames."""
    await asyncio.sleep(0)
    picture = _frame(ask.at, *ask.size)
    height, width = picture.shape[:2]
    yield Shot(id=1, place=0, number=ask.at, size=(width, height), pixels=picture.tobytes())


def _scores() -> array[float]:
    score = [3.0 + 2.2 * math.sin(at / 37) + (at * 7919 % 29) / 9 for at in range(FRAMES)]
    for middle in RESTLESS:
        for at in range(middle - 30, middle + 30):
            score[at] += 9 * math.exp(-(((at - middle) / 12) ** 2))
    for first, height, *_ in SHOTS[1:]:
        score[first] = height
    return array("f", score)


def _frame(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Paint a frame, uint8 [height, width, 3] of 16:9 that fits: sky, a low sun, sea, a boat."""
    width = min(width, height * 16 // 9)
    height = min(height, width * 9 // 16)
    bounds = [*(shot[0] for shot in SHOTS), FRAMES]
    place = next(at for at, (a, b) in enumerate(pairwise(bounds)) if a <= number < b)
    first, _, sky, sea, boat = SHOTS[place]
    part = (number - first) / (bounds[place + 1] - first)
    picture = np.empty((height, width, 3), np.uint8)
    horizon = int(height * (0.5 + 0.06 * (place % 3)))
    picture[:horizon], picture[horizon:] = sky, sea
    y, x = np.mgrid[:height, :width]
    sun = (x - width * (0.2 + 0.08 * place)) ** 2 + (y - horizon * 0.55) ** 2
    picture[(sun < (height * 0.1) ** 2) & (y < horizon)] = tuple(min(255, c + 50) for c in sky)
    left, deck = int(width * (0.1 + 0.5 * part)), max(2, height // 12)
    picture[horizon - deck // 2 : horizon + deck, left : left + width // 4] = boat
    mast = left + width // 9
    picture[horizon - 4 * deck : horizon, mast : mast + max(1, width // 60)] = boat
    return picture

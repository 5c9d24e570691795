"""A child that reads no media, and the clips that it tells of."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
from textual.pilot import Pilot

from engine.media.selection import evenly, spread
from engine.media.thumbnails import Box, marked
from engine.overview.file import FILE, write_overview
from engine.overview.types import Row
from engine.project import Project
from engine.worker.thumbnail_types import Ask, Errors, Facts, Failed, Shot, Sound, Tell
from ltx_tui.app import Workbench
from ltx_tui.config.user import Config
from ltx_tui.screens.frames import FramesScreen
from tests.tui.conftest import (
    ready,
    shown,
    still,
)
from tests.tui.rows import make_overview, make_row

FPS = 24.0
FRAMES = 149
KEPT = (0, 120)
BOX = (0.25, 0.0, 0.75, 1.0)


class Reader:
    """Stands in for the child: pictures of a gradient, a sound that swells.

    Attributes:
        asks: What was asked for.
        fault: Told instead of a part; None where all is well.
        gate: Closed, nothing but the facts is told.
    """

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.fault: Failed | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.has_sound = True

    async def show(self, _child: object, ask: Ask) -> AsyncGenerator[Tell]:
        self.asks.append(ask)
        await asyncio.sleep(0)
        if self.fault is not None and self.fault.part == "clip":
            yield self.fault
            return
        if ask.at >= 0:
            for is_right in (False, True)[: 1 + (ask.canny is not None)]:
                yield gradient(ask, 0, ask.at, is_right=is_right)
            return
        compare = ask.decoded is not None
        kept = kept_of(ask)
        numbers = evenly(*KEPT, ask.count) if compare else spread(FRAMES, kept, ask.count)
        yield Facts(
            id=1,
            kind="video",
            size=(1920, 1080),
            frames=FRAMES,
            seconds=FRAMES / FPS,
            fps=FPS,
            rate=(24, 1),
            kept=kept,
            box=BOX,
            numbers=tuple(numbers),
        )
        await self.gate.wait()
        if self.fault is not None and self.fault.part != "sound":
            yield self.fault
        else:
            for place, number in enumerate(numbers):
                for is_right in (False, True) if compare or ask.canny else (False,):
                    yield gradient(ask, place, number, is_right=is_right)
            if compare:
                yield Errors(id=1, values=tuple(30.0 + number % 7 for number in range(121)))
        if self.fault is not None and self.fault.part == "sound":
            yield self.fault
        elif self.has_sound:
            swell = [math.sin(at / ask.columns * math.pi) / 2 for at in range(ask.columns)]
            yield Sound(
                id=1,
                low=tuple(-one for one in swell),
                high=tuple(swell),
                rms=tuple(one / 2 for one in swell),
                peak=0.5,
            )
        else:
            yield Sound(id=1)


def kept_of(ask: Ask) -> tuple[int, int]:
    """Return the frames that a bucket keeps."""
    if ask.bucket is None:
        return 0, -1
    first = round(ask.start * FPS)
    return first, min(FRAMES, first + ask.bucket[2]) - 1


def gradient(ask: Ask, place: int, number: int, *, is_right: bool) -> Shot:
    shape = (ask.bucket or (16, 9, 1))[:2] if ask.decoded is not None else (16, 9)
    scale = min(ask.size[0] / shape[0], ask.size[1] / shape[1])
    width, height = max(1, int(shape[0] * scale)), max(1, int(shape[1] * scale))
    step = 32 if is_right else 8
    pixels = bytes(
        value // step * step
        for y in range(height)
        for x in range(width)
        for value in (255 * x // width, 255 * y // height, number % 256)
    )
    if ask.decoded is None:
        array = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        if is_right:  # the edges of a frame: stripes, the denser the lower the thresholds
            assert ask.canny is not None
            step = 1 + int(sum(ask.canny) / 60)
            lines = (np.arange(width) % step == 0) * np.uint8(255)
            pixels = np.broadcast_to(lines[None, :, None], array.shape).tobytes()
        else:
            first, last = kept_of(ask)
            box = Box(*BOX) if first <= number <= last or ask.at >= 0 else None
            pixels = marked(array, box, ask.line).tobytes()
    palette = b""
    if ask.palette:
        pixels, palette = bytes(width * height), bytes((10, 20, 30))
    return Shot(
        id=1,
        place=place,
        is_right=is_right,
        number=number,
        seconds=number / FPS,
        size=(width, height),
        pixels=pixels,
        palette=palette,
    )


def clip_row(number: int, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "size": (1920, 1080),
        "frames": FRAMES,
        "fps": FPS,
        "seconds": FRAMES / FPS,
        "bucket": "544x544x121",
        "kept": (0.0, 121 / FPS),
        "audio": True,
    }
    return make_row(number, **values | changes)


ROWS = (clip_row(0), clip_row(1), clip_row(2, name="esc\\x1b.mp4"), clip_row(3))


def bench_of(project: Project, rows: tuple[Row, ...] = ROWS, **config: Any) -> Workbench:
    write_overview(project.state_dir / FILE, make_overview(rows))
    return Workbench(project.root, project, config=Config(**config))


async def opened(pilot: Pilot[Any], *keys: str) -> FramesScreen:
    """Open the frames of the first clip, press some keys, and wait until all is told."""
    await ready(pilot)
    await pilot.press("v", *keys)
    await still(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, FramesScreen)
    return screen


def text(app: Workbench) -> str:
    return "\n".join(shown(app))


# Looks

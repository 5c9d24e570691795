"""Stages under a memory budget: what their tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from engine.media.probe import Probe
from engine.memory.devices import HostDeviceMemory
from engine.memory.host import HostRoom
from engine.memory.ways import Report
from engine.models.video_vae import VideoEncoder
from engine.precompute.outputs import tensor
from engine.precompute.stages.base import Home, Made
from engine.precompute.stages.video import VideoStage

Models = tuple[Path, Path]

PROBE = Probe(kind="video", codec="h264", width=96, height=80, frames=49)
ROOM = HostRoom(100 << 30, 100 << 30)


class Told(Report):
    def __init__(self) -> None:
        self.lines: list[tuple[int, str, str]] = []
        self.remarks: list[str] = []
        self.ticks = 0

    def guarded(self, step: int, rung: str, text: str, *, waiting: bool = False) -> None:
        self.lines.append((step, rung, text))

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def tick(self) -> None:
        self.ticks += 1


class Gpu:
    """Makes a stage take a CPU with a budget for the GPU, with the CPU itself to fall back on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type, limit: int) -> None:
        self.loaded: list[str] = []

        def homes(stage: VideoStage) -> list[Home[VideoEncoder]]:
            cpu, tick = torch.device("cpu"), stage.report.tick
            gpu = HostDeviceMemory(limit=limit, tick=tick, look=lambda: ROOM)
            spare = HostDeviceMemory(tick=tick, look=lambda: ROOM)
            return [Home(cpu, gpu), Home(cpu, spare, spare=True)]

        monkeypatch.setattr(kind, "make_homes", homes)

    def load(self, model: str, device: str) -> None:
        self.loaded.append(model)


def nobody(_model: str, _device: str) -> None:
    pass


def go_on() -> bool:
    return False


def latents(made: Sequence[Made]) -> list[torch.Tensor]:
    return [tensor(one.payload, "latents") for one in made]


def same(found: Sequence[Made], wanted: Sequence[torch.Tensor]) -> bool:
    return all(map(torch.equal, latents(found), wanted)) and len(found) == len(wanted)

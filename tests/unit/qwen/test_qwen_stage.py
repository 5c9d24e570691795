"""Captions by Qwen2.5-Omni under the memory guard, and a whole job on the CPU."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.captioners.answer_file import read_answer
from engine.captioners.qwen_media import Encoded
from engine.captioners.qwen_omni import QwenOmni, forecast, read_config, read_sizes
from engine.client import Engine
from engine.events import AnyEvent, ModelLoading, Notice
from engine.memory.devices import HostDeviceMemory
from engine.memory.host import HostRoom
from engine.precompute.stages import captions as stage_module
from engine.precompute.stages import open_stage
from engine.precompute.stages.base import Home
from engine.precompute.stages.captions import CaptionStage
from engine.precompute.steps import CaptionSetup, CaptionStep
from engine.project import Project, apply_overrides
from tests.jobs import ending
from tests.small_set import write_clip
from tests.stage_guards import Told, go_on

ROOM = HostRoom(100 << 30, 100 << 30)
GOOD = "[VISUAL]: {}.\n[SPEECH]: None\n[SOUNDS]: None\n[TEXT]: None"


def steps(clips: Path, out: Path, *names: str) -> list[CaptionStep]:
    return [
        CaptionStep(
            id=n,
            clip=name,
            row=n,
            output=str(out / f"{n}.json"),
            media=str(clips / name),
            base="",
            with_audio=True,
            instruction="",
            fps=2.0,
            clean=True,
        )
        for n, name in enumerate(names)
    ]


class Fake:
    """Stands in for the model: `texts` by how many were asked before, or an error."""

    def __init__(self) -> None:
        self.parts = (nn.Linear(4, 4),)
        self.batches: list[int] = []
        self.most = 99
        self.texts: list[str] = []

    def write(self, given: Sequence[Encoded], **_: object) -> list[str]:
        self.batches.append(len(given))
        if len(given) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [self.texts.pop(0) if self.texts else GOOD.format("A wall") for _ in given]


@pytest.fixture
def guarded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[CaptionStage, dict[str, Fake], Told]:
    """Return a stage on a made-up GPU, in 8 bits there, and on the CPU."""
    fakes: dict[str, Fake] = {}
    cpu = torch.device("cpu")

    def homes(_: CaptionStage) -> list[Home[QwenOmni]]:
        gpu = HostDeviceMemory(look=lambda: ROOM)
        spare = HostDeviceMemory(look=lambda: ROOM)
        return [Home(cpu, gpu), Home(cpu, gpu, form="8-bit"), Home(cpu, spare, spare=True)]

    def load(stage: CaptionStage, home: Home[QwenOmni]) -> Any:
        for other in stage.homes:
            if other is not home and other.memory is home.memory:
                other.empty()
        return fakes.setdefault(home.name if home.form or home.spare else "gpu", Fake())

    monkeypatch.setattr(CaptionStage, "make_homes", homes)
    monkeypatch.setattr(CaptionStage, "load", load)
    told = Told()
    setup = CaptionSetup(captioner="qwen_omni", model=str(folder), device="cpu", batch_size=2)
    stage = open_stage(setup, lambda *_: None, report=told)
    assert isinstance(stage, CaptionStage)
    for name in ("gpu", "8-bit on CPU", "on CPU"):
        fakes[name] = Fake()
    return stage, fakes, told


def test_a_batch_that_does_not_fit_is_done_one_by_one(
    guarded: tuple[CaptionStage, dict[str, Fake], Told], clips: Path, tmp_path: Path
) -> None:
    stage, fakes, told = guarded
    fakes["gpu"].most = 1
    todo = steps(clips, tmp_path, "wide.mp4", "tall.mp4")
    made = stage.make(todo, [stage.prepare(step) for step in todo], go_on)
    assert fakes["gpu"].batches == [2, 1, 1]
    assert {one.rung for one in made} == {"one at a time"}
    assert any("stepped down to one at a time" in line[2] for line in told.lines)
    path = stage.write(todo[0], made[0])
    answer = read_answer(path)
    assert answer is not None
    assert answer.text == GOOD.format("A wall")
    assert not answer.is_malformed


def test_what_fits_no_gpu_is_loaded_in_8_bits_and_then_on_the_cpu(
    guarded: tuple[CaptionStage, dict[str, Fake], Told], clips: Path, tmp_path: Path
) -> None:
    stage, fakes, _ = guarded
    fakes["gpu"].most = 0
    todo = steps(clips, tmp_path, "wide.mp4")
    read = [stage.prepare(step) for step in todo]
    [made] = stage.make(todo, read, go_on)
    assert (made.rung, made.detail) == ("one at a time 8-bit on CPU", "8-bit on CPU")
    # It is not tried in 16 bits again, which would load it anew each time.
    assert [home.form for home in stage.homes] == ["8-bit", ""]
    fakes["8-bit on CPU"].most = 0
    [made] = stage.make(todo, read, go_on)
    assert made.rung == "one at a time on CPU"
    assert fakes["gpu"].batches == [1]


def test_clips_with_and_without_sound_are_done_apart(
    guarded: tuple[CaptionStage, dict[str, Fake], Told], clips: Path, tmp_path: Path
) -> None:
    stage, fakes, _ = guarded
    fakes["gpu"].texts = [GOOD.format("wide"), "[VISUAL]: mute\n[TEXT]: None"]
    todo = steps(clips, tmp_path, "mute.mp4", "wide.mp4")
    made = stage.make(todo, [stage.prepare(step) for step in todo], go_on)
    assert fakes["gpu"].batches == [1, 1]
    texts = [read_answer(stage.write(s, m)) for s, m in zip(todo, made, strict=True)]
    assert [text.text for text in texts if text is not None] == [
        "[VISUAL]: mute\n[SPEECH]: None\n[SOUNDS]: None\n[TEXT]: None",
        GOOD.format("wide"),
    ]


def test_a_malformed_answer_is_asked_for_once_more(
    guarded: tuple[CaptionStage, dict[str, Fake], Told], clips: Path, tmp_path: Path
) -> None:
    stage, fakes, _ = guarded
    todo = steps(clips, tmp_path, "wide.mp4")
    read = [stage.prepare(step) for step in todo]
    fakes["gpu"].texts = ["Sorry, I cannot.", GOOD.format("A wall")]
    answer = read_answer(stage.write(todo[0], stage.make(todo, read, go_on)[0]))
    assert answer is not None
    assert (answer.asked, answer.is_malformed) == (2, False)
    fakes["gpu"].texts = ["Sorry, I cannot.", "No."]
    answer = read_answer(stage.write(todo[0], stage.make(todo, read, go_on)[0]))
    assert answer is not None
    assert answer.is_malformed
    assert answer.problems


def test_the_forecast_grows_with_the_clip(folder: Path) -> None:
    sizes = read_sizes(folder, read_config(folder))
    assert sizes.eight_bit < sizes.weights
    small = forecast(sizes, tokens=100, patches=400, batch=1)
    assert small < forecast(sizes, tokens=200, patches=400, batch=1)
    assert small < forecast(sizes, tokens=100, patches=800, batch=1)
    assert forecast(sizes, tokens=100, patches=800, batch=2) <= 2 * small


def test_without_8_bit_the_cpu_comes_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "_can_quantise", lambda: True)
    stage = CaptionStage(
        CaptionSetup(captioner="qwen_omni", model=str(folder), device="cpu"), lambda *_: None
    )
    # On a CPU there is no 8-bit way.
    assert [home.form for home in stage.homes] == [""]


@pytest.mark.usefixtures("warm_encoder")
def test_a_whole_job_on_the_cpu(folder: Path, clips: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", size=(96, 64), count=8)
    project = apply_overrides(
        Project.defaults(tmp_path), {"captions.model": folder, "run.device": "cpu"}
    )

    async def collect() -> list[AnyEvent]:
        engine = Engine(project)
        return [e async for e in engine.foreground(engine.captioning(tmp_path)).events()]

    events = asyncio.run(collect())
    loading = [event for event in events if isinstance(event, ModelLoading)]
    assert [(one.stage, one.model, one.device) for one in loading] == [
        ("captions", "captioner", "cpu")
    ]
    assert ending(events).done == 1
    [row] = json.loads(project.dataset_path.read_text())
    assert row["media_path"] == "a.mp4"
    # Random weights write nonsense, which is kept, and marked.
    assert any(isinstance(event, Notice) and "marked" in event.text for event in events)

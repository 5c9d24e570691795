"""Pictures that a terminal draws itself, and the words about a clip."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from engine.overview.types import OutputState, StageState
from engine.project import Project
from engine.worker.thumbnail_types import Facts, Sound
from ltx_tui.app import Workbench
from ltx_tui.drawing.signs import ASCII, UNICODE
from ltx_tui.frames import words
from ltx_tui.terminal import graphics
from tests.tui.conftest import (
    run_app,
    shown,
    still,
)
from tests.tui.frames.reading import (
    Reader,
    bench_of,
    clip_row,
    opened,
    text,
)


def test_i_goes_through_the_ways(bench: Workbench, reader: Reader, sent: list[str]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "i")
        assert screen.strip.way == bench.config.graphics == "kitty"
        assert "kitty" in shown(bench)[0]
        assert reader.asks[-1].size > (100, 100)
        assert reader.asks[-1].line is not None
        pictures = [one for one in sent if "a=T" in one]
        assert len(pictures) == 6
        assert graphics.PLACEHOLDER in text(bench)
        sent.clear()
        await pilot.press("i")
        await still(pilot)
        assert screen.strip.way == "sixel"
        assert len([one for one in sent if "a=d,d=I" in one]) == 6
        assert len([one for one in sent if "\x1bP0;1;0q" in one]) >= 6
        assert reader.asks[-1].palette
        sent.clear()
        await pilot.press("i")
        await still(pilot)
        assert screen.strip.way == "blocks"
        assert sent == []
        assert "▀" in text(bench)

    run_app(bench, steps)


def test_pictures_are_taken_back_on_leaving(
    project: Project, quiet: None, reader: Reader, sent: list[str]
) -> None:
    app = bench_of(project, graphics="kitty")

    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        numbers = {one.partition("i=")[2].partition(",")[0] for one in sent if "a=T" in one}
        assert len(numbers) == 6
        sent.clear()
        await pilot.press("escape")
        await still(pilot)
        assert {one.partition("i=")[2].partition(",")[0] for one in sent} == numbers

    run_app(app, steps)


def test_sixels_come_back_when_what_lay_over_them_goes(
    project: Project, quiet: None, reader: Reader, sent: list[str]
) -> None:
    app = bench_of(project, graphics="sixel")

    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        assert sent
        sent.clear()
        await pilot.press("f1")
        await still(pilot)
        assert sent == []
        await pilot.press("escape")
        await still(pilot)
        assert len(sent) == 6
        assert all(one.startswith("\x1b7\x1b[") for one in sent)

    run_app(app, steps)


def test_what_the_terminal_cannot_do_is_left_out_with_a_reason(
    project: Project, quiet: None, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def obstacle(way: str) -> str:
        return "" if way == "blocks" else f"no {way} here"

    monkeypatch.setattr(graphics, "obstacle", obstacle)
    app = bench_of(project, graphics="sixel")

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        assert screen.strip.way == "blocks"
        await pilot.press("i")
        assert screen.strip.way == "blocks"
        told = [one.message for one in app._notifications]
        assert "no sixel here" in told
        assert "no kitty here\nno sixel here" in told

    run_app(app, steps)


def test_too_few_colours_keep_to_blocks(
    bench: Workbench, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltx_tui.screens.frames.depth_of", lambda _app: "none")
    monkeypatch.setattr("ltx_tui.widgets.frame_strip.depth_of", lambda _app: "none")

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "i")
        assert screen.strip.way == "blocks"
        assert any("too few colours" in one.message for one in bench._notifications)
        assert "░" in text(bench)
        assert "│" in text(bench)

    run_app(bench, steps)


# Words


def test_words_about_sounds() -> None:
    row = clip_row(0)
    loud = Sound(id=1, low=(-0.5,), high=(0.5,), rms=(0.25,), peak=0.5)
    assert (
        words.sound_words(row, loud, 80, UNICODE)
        == "sound: aac 48 kHz stereo · peak −6.0 dBFS · mean −12.0 dBFS"
    )
    assert words.sound_words(row, loud, 30, UNICODE) == "sound: aac 48 kHz stereo"
    assert words.sound_words(row, loud, 80, ASCII).isascii()
    silent = Sound(id=1, low=(0.0,), high=(0.0,), rms=(0.0,), peak=0.0)
    assert words.sound_words(row, silent, 80, UNICODE).endswith("silent")
    assert "file of its own" in words.sound_words(row, Sound(id=1), 80, UNICODE)
    mute = clip_row(0, audio=False)
    assert words.sound_words(mute, Sound(id=1), 80, UNICODE) == "no sound"
    assert words.sound_words(mute, None, 80, UNICODE) == ""


def test_words_about_what_is_kept(project: Project) -> None:
    blocked = StageState("latents", OutputState.BLOCKED, "too short: 20 frames")
    row = clip_row(0, bucket="", kept=(0.0, 0.0), stages=(blocked,))
    assert words.kept_words(row, None, project) == ["nothing is kept", "too short: 20 frames"]
    unknown = clip_row(0, bucket="", kept=(0.0, 0.0), stages=())
    assert words.kept_words(unknown, None, project) == ["no bucket yet: nothing is kept"]
    sound = clip_row(0, bucket="", kept=(0.0, 2.0))
    assert words.kept_words(sound, None, project) == ["keeps 0.00–2.00 s of the sound"]
    image = Facts(id=1, kind="image", size=(64, 64), frames=1, seconds=1.0, fps=1.0, kept=(0, 0))
    assert words.kept_words(clip_row(0), image, project)[0] == "keeps the image"
    assert "image" in words.source_words(clip_row(0), image)
    audio = Facts(id=1, kind="audio", seconds=3.0)
    assert words.source_words(sound, audio) == ["a sound of 3.00 s, without a picture"]


def test_words_about_errors() -> None:
    assert words.psnr_words((), 9) == ["source left, decoded right"]
    assert words.psnr_words((0.0, 0.0), 2)[0] == "PSNR equal"
    partly = words.psnr_words((25.0, 100.0), 9)
    assert partly[:3] == ["PSNR 30.2 dB", "lowest 28.1 dB at frame 1", "2 of 9 frames so far"]

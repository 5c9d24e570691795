"""The frames of a clip: every command, and what is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from engine.errors import EnvironmentFaultError
from engine.project import Project
from engine.worker.spec import Fault
from engine.worker.thumbnail_types import Ask, Failed, Tell
from ltx_tui.app import Workbench
from ltx_tui.children.frames import FramesChild
from ltx_tui.commands.registry import commands
from tests.tui.conftest import (
    SMALL,
    WIDE,
    assert_snapshot,
    run_app,
    screen_of,
    shown,
    still,
)
from tests.tui.frames.reading import (
    ROWS,
    Reader,
    bench_of,
    opened,
    text,
)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_frames_look_as_before(bench: Workbench, reader: Reader, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        assert_snapshot(bench, f"frames-{size[0]}x{size[1]}")

    run_app(bench, steps, size=size)


def test_decoded_frames_look_as_before(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "d")
        assert_snapshot(bench, "frames-decoded-120x40")

    run_app(bench, steps, size=WIDE)


@pytest.mark.parametrize("size", [(60, 16), SMALL, (100, 30), (200, 60)])
def test_all_is_readable_at_any_size(
    bench: Workbench, reader: Reader, size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        lines = shown(bench)
        assert "scene-0000.mp4" in lines[0]
        assert "1 of 4" in lines[0]
        assert "1920×1080 · 24 fps · 149 frames · 6.21 s" in lines[1]
        assert "keeps frames 0–120 of 149" in lines[2]
        assert "48" in text(bench)
        assert " kept " in text(bench)
        assert "peak −6.0 dBFS" in text(bench)
        assert all(len(line) <= size[0] for line in lines)
        assert screen.strip.grid.across

    run_app(bench, steps, size=size)


# Commands


def test_back_by_either_key_and_the_list_follows(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "j", "down")
        await pilot.press("escape")
        await still(pilot)
        assert screen_of(bench) is bench.screen
        assert screen_of(bench).clips.clip == ROWS[2].name
        await pilot.press("v", "k", "v")
        await still(pilot)
        assert screen_of(bench).clips.clip == ROWS[1].name

    run_app(bench, steps)


def test_clips_come_in_the_order_of_the_list_and_end_with_it(
    bench: Workbench, reader: Reader
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        screen.store.set_sort("name", reverse=True)
        names = [screen.store.get(index).name for index in screen.store.shown]
        at = names.index(screen.row.name)
        await pilot.press("up")
        assert screen.row.name == names[max(0, at - 1)]
        for _ in range(6):
            await pilot.press("j")
        assert screen.row.name == names[-1]
        await pilot.press("k")
        await still(pilot)
        assert screen.row.name == names[-2]
        assert "3 of 4" in shown(bench)[0]
        assert reader.asks[-1].media == Path(screen.row.media)

    run_app(bench, steps)


def test_a_held_key_reads_only_where_it_rests(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        before = len(reader.asks)
        screen.do_next()
        screen.do_next()
        screen.do_next()
        await still(pilot)
        asked = [ask.media.name for ask in reader.asks[before:]]
        assert asked[-1] == "scene-0003.mp4"
        assert "scene-0002.mp4" not in asked

    run_app(bench, steps)


def test_more_and_fewer_frames(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        for keys, count in ((["plus"], 7), (["equals_sign"], 8), (["minus"] * 9, 1)):
            await pilot.press(*keys)
            await still(pilot)
            assert reader.asks[-1].count == count
        assert "frame 0 · 0.00 s" in text(bench)
        asked = len(reader.asks)
        await pilot.press("minus")
        assert len(reader.asks) == asked

    run_app(bench, steps)


def test_source_beside_decoded(bench: Workbench, reader: Reader, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "d")
        ask = reader.asks[-1]
        assert ask.decoded is not None
        output = Path(ROWS[0].output)
        assert ask.decoded.file == (project.output_dir / "decoded_videos" / output).with_suffix(
            ".mp4"
        )
        assert ask.decoded.latents == project.output_dir / "latents" / output
        assert "PSNR 33.0 dB · lowest 32.6 dB at frame 6" in text(bench)
        assert "0 · 0.00 s · 33.4 dB" in text(bench)
        assert screen.strip.grid.parts == 2
        await pilot.press("d")
        await still(pilot)
        assert reader.asks[-1].decoded is None
        assert "keeps frames" in text(bench)

    run_app(bench, steps)


def test_what_is_not_decoded_is_said_in_words(bench: Workbench, reader: Reader) -> None:
    fault = Fault(kind="MediaError", message="is not decoded yet", remedy="decode it")
    reader.fault = Failed(id=1, part="decoded", fault=fault)

    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "d")
        assert "✗ the clip is not decoded yet" in text(bench)
        assert "→ decode it" in text(bench)
        assert "peak −6.0 dBFS" in text(bench)

    run_app(bench, steps)


def test_a_clip_that_cannot_be_read(bench: Workbench, reader: Reader) -> None:
    fault = Fault(
        kind="MediaError", message="is \x1b[31mbad", file="/a/b\x07.mp4", remedy="mend it"
    )
    reader.fault = Failed(id=1, part="clip", fault=fault)

    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        assert r"✗ b\x07.mp4: is \x1b[31mbad" in text(bench)
        assert "→ mend it" in text(bench)

    run_app(bench, steps)


def test_a_sound_that_cannot_be_read_leaves_the_pictures(bench: Workbench, reader: Reader) -> None:
    fault = Fault(kind="MediaError", message="has damaged sound", file="/a/b.mp4")
    reader.fault = Failed(id=1, part="sound", fault=fault)

    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        assert "sound: b.mp4: has damaged sound" in text(bench)
        assert "frame 0 · 0.00 s" in text(bench)

    run_app(bench, steps)


def test_a_child_that_dies_is_said(
    bench: Workbench, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dead(_child: object, _ask: Ask) -> AsyncGenerator[Tell]:
        raise EnvironmentFaultError("the program ended with status -11", remedy="play it")
        yield  # it is a generator

    monkeypatch.setattr(FramesChild, "show", dead)

    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        assert "✗ the program ended with status -11" in text(bench)
        assert "reading" not in shown(bench)[0]

    run_app(bench, steps)


def test_reading_is_said_quietly(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        reader.gate = asyncio.Event()
        await opened(pilot)
        assert "reading · 1 of 4" in shown(bench)[0]
        assert "frame 0 · 0.00 s" in text(bench)
        reader.gate.set()
        await still(pilot)
        assert "reading" not in shown(bench)[0]

    run_app(bench, steps)


def test_another_size_reads_again(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        small = reader.asks[-1].size
        await pilot.resize_terminal(*WIDE)
        await still(pilot)
        assert reader.asks[-1].size[0] > small[0]
        assert reader.asks[-1].columns == 2 * (WIDE[0] - 2)

    run_app(bench, steps)


def test_other_settings_read_again(bench: Workbench, reader: Reader, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        video = msgspec.structs.replace(project.video, reshape="random", seed=9, fps=12.0)
        screen.use_project(msgspec.structs.replace(project, video=video))
        await still(pilot)
        assert (reader.asks[-1].reshape, reader.asks[-1].seed) == ("random", 9)
        await pilot.press("d")
        await still(pilot)
        assert "40 · 3.33 s" in text(bench)

    run_app(bench, steps)


def test_no_clip_has_no_frames(project: Project, quiet: None, reader: Reader) -> None:
    app = bench_of(project, ())

    async def steps(pilot: Pilot[Any]) -> None:
        await app.run_command("workbench.frames")
        await pilot.pause()
        assert screen_of(app) is app.screen
        assert any("no clip" in one.message for one in app._notifications)

    run_app(app, steps)


def test_keys_are_in_the_footer_and_the_help(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        for word in ("back", "next", "decoded", "edges", "in", "out"):
            assert f" {word} " in shown(bench)[-1]
        offered = {one.id for one in bench.offered() if one.scope == "frames"}
        assert offered == {one.id for one in commands("frames")}
        assert len(offered) > 20

    run_app(bench, steps)

"""The window picker: every key, what is shown, what is written."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.project import Project, load_project, update_project
from ltx_tui.app import Workbench
from ltx_tui.screens.window_dialog import WindowDialog
from tests.tui.conftest import (
    SMALL,
    WIDE,
    assert_snapshot,
    run_app,
    screen_of,
    shown,
    still,
)
from tests.tui.frames.reading import FPS, FRAMES, Reader, bench_of, opened, text
from tests.tui.frames.windows import BUCKETS, cells, live_bench, picking, told, written


@pytest.fixture
def project(project: Project) -> Project:
    assert project.file is not None
    return update_project(project.file, {"video.buckets": BUCKETS})


@pytest.fixture
def live(
    project: Project, quiet: None, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> Workbench:
    return live_bench(project, monkeypatch)


def cursors(reader: Reader) -> list[int]:
    """Return the frames that were asked for as that at the cursor."""
    return [ask.at for ask in reader.asks if ask.at >= 0]


# Looks


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_a_window_looks_as_before(
    project: Project, quiet: None, reader: Reader, size: tuple[int, int]
) -> None:
    app = bench_of(project)

    async def steps(pilot: Pilot[Any]) -> None:
        await picking(pilot, "full_stop", "left_square_bracket", *["full_stop"] * 3)
        await pilot.press("left", "right_square_bracket", "left", "left")
        await still(pilot)
        assert_snapshot(app, f"frames-window-{size[0]}x{size[1]}")

    run_app(app, steps, size=size)


@pytest.mark.parametrize("size", [(60, 16), SMALL, (100, 30), (200, 60)])
def test_a_window_is_readable_at_any_size(live: Workbench, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "full_stop", "left_square_bracket")
        await still(pilot)
        lines = shown(live)
        said = "window 1.00–6.21 s · 125 frames · bucket 544×544×121 · not written: w"
        assert lines[2].strip() == said if size[0] >= 80 else said.startswith(lines[2].strip())
        assert "24 · 1.00 s" in text(live) or "frame 24 of 149 · 1.00 s" in text(live)
        assert all(len(line) <= size[0] for line in lines)
        assert screen.strip.grid.lead[0] > screen.strip.grid.width

    run_app(live, steps, size=size)


# The cursor


@pytest.mark.parametrize(
    ("keys", "frame"),
    [
        (["right"], 1),
        (["right"] * 3 + ["left"], 2),
        (["full_stop"], 24),
        (["shift+right"] * 2 + ["shift+left"], 24),
        (["full_stop", "comma", "left"], 0),
        (["end"], FRAMES - 1),
        (["end", "full_stop"], FRAMES - 1),
        (["end", "left", "home"], 0),
    ],
)
def test_keys_move_the_cursor(live: Workbench, reader: Reader, keys: list[str], frame: int) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await picking(pilot, *keys)
        await still(pilot)
        assert cursors(reader)[-1] == frame
        assert f"frame {frame} of 149 · {frame / FPS:.2f} s" in text(live)
        assert "┃" in text(live)

    run_app(live, steps, size=WIDE)


def test_the_large_picture_comes_and_goes(live: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "enter")
        await still(pilot)
        assert cursors(reader) == [0]
        assert max(ask.size[0] for ask in reader.asks if not ask.at) > reader.asks[0].size[0]
        assert screen.strip.grid.lead[0]
        await pilot.press("enter")
        await still(pilot)
        assert not screen.strip.grid.lead[0]
        assert "┃" not in text(live)
        await pilot.press("j")
        await still(pilot)
        assert cursors(reader) == [0]

    run_app(live, steps)


def test_the_strip_waits_for_the_cursor_and_each_clip_has_its_own(
    live: Workbench, reader: Reader
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "right", "right")
        await still(pilot)
        assert [ask.at for ask in reader.asks if ask.at < 0] == [-1, -1]
        await pilot.press("j", "right")
        await still(pilot)
        assert screen.cursor_of(screen.timing) == 1  # type: ignore[arg-type]
        await pilot.press("k")
        await still(pilot)
        assert screen.cursor_of(screen.timing) == 2  # type: ignore[arg-type]
        assert "frame 2 of 149" in text(live)

    run_app(live, steps)


def test_the_cursor_leaves_the_decoded_clip(live: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "d", "right")
        await still(pilot)
        assert not screen.compare
        assert cursors(reader) == [1]

    run_app(live, steps)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"kind": "image"}, "an image has no window"),
        ({"kind": "audio"}, "a sound without a picture has no frames"),
        (None, "the clip is not read yet"),
    ],
)
def test_what_has_no_frames_has_no_cursor(
    live: Workbench, facts: dict[str, Any] | None, words: str
) -> None:
    import msgspec

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot)
        known = screen._known.facts
        assert known is not None
        screen._known.facts = msgspec.structs.replace(known, **facts) if facts else None
        for key in ("right", "left_square_bracket", "w"):
            await pilot.press(key)
        assert told(live).count(words) == 3
        assert not screen.is_large

    run_app(live, steps)


# In and out point


def test_points_are_followed_at_once(live: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "full_stop", "left_square_bracket")
        assert screen.picked_row()[0].kept == (1.0, 1.0 + 121 / FPS)
        await pilot.press("full_stop", "full_stop", "full_stop", "right_square_bracket")
        await still(pilot)
        assert "window 1.00–4.04 s · 73 frames · bucket 544×544×49 · not written" in text(live)
        line = shown(live)[-6]
        assert line.index("[") < line.index(" kept ") < line.index("]")
        assert "96 of 149 · 4.00 s · out point" in text(live)
        assert (reader.asks[-1].bucket, reader.asks[-1].start) == ((544, 544, 49), 1.0)
        await pilot.press("comma", "comma", "right_square_bracket")
        await still(pilot)
        assert "25 frames · too short by 24 frames" in text(live)
        assert reader.asks[-1].bucket is None
        # An in point behind the out point takes that away.
        await pilot.press("full_stop", "left_square_bracket")
        await still(pilot)
        assert "window 3.00–6.21 s · 77 frames" in text(live)
        await pilot.press("backspace")
        await still(pilot)
        assert "keeps frames 0–120 of 149" in text(live)
        assert cells(live.project)[0].keys() == {"media_path", "caption"}  # type: ignore[arg-type]

    run_app(live, steps)


def test_windows_that_were_not_written_are_told(live: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await picking(pilot, "full_stop", "left_square_bracket", "j", "k")
        await still(pilot)
        assert "not written" in text(live)
        await pilot.press("escape")
        await still(pilot)
        assert "1 window not written" in told(live)

    run_app(live, steps)


# Writing


def test_a_window_goes_into_the_row_and_all_follows(
    project: Project, quiet: None, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.file is not None
    database = CaptionDatabase(project.state_dir)
    Marks(database).set(Key("clip-0.mp4"), "reviewed", "A rabbit.")
    database.close()
    project = update_project(project.file, {}, clips={"clip-0.mp4": "544x544x49"})
    live = live_bench(project, monkeypatch)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        before = project.dataset_path.read_text()
        await pilot.press("full_stop", "left_square_bracket", "w")
        await written(pilot, screen)
        row = cells(project)[0]
        assert row == {"media_path": "clip-0.mp4", "caption": "A rabbit.", "window_start": 1}
        assert project.dataset_path.read_text().replace(',\n    "window_start": 1', "") == before
        name = "clip-0.mp4 @ 1-end s"
        assert screen.row.name == name
        assert screen.store.find(name) == screen.index == 0
        assert load_project(project.file).clips == {name: "544x544x49"}  # type: ignore[arg-type]
        assert screen.project.clips == {name: "544x544x49"}
        await still(pilot)
        assert name in shown(live)[0]
        assert "bucket 544×544×49 · written" in text(live)
        assert "row 1 of dataset.json: window 1-end s" in told(live)
        assert screen_of(live).desk.captions.mark(Key(name), "A rabbit.").value == "reviewed"
        await pilot.press("w")
        assert "this window is written" in told(live)
        # Another window of the same row.
        await pilot.press("right", "left_square_bracket", "w")
        await written(pilot, screen)
        assert cells(project)[0]["window_start"] == 1.042
        await pilot.press("escape")
        await still(pilot)
        assert screen_of(live).clips.clip == "clip-0.mp4 @ 1.042-end s"

    run_app(live, steps)


def test_a_window_becomes_a_row_of_its_own(live: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "W")
        assert "this row has that window" in told(live)
        await pilot.press("full_stop", "right_square_bracket", "W")
        await written(pilot, screen)
        assert cells(project)[6] == {
            "media_path": "clip-0.mp4",
            "caption": "A rabbit.",
            "window_end": 1.042,
        }
        assert len(cells(project)) == 7
        assert (screen.row.name, screen.index) == ("clip-0.mp4", 0)
        assert not screen.is_picked
        assert "row 7 of dataset.json has the window 0-1.042 s" in told(live)
        # The same once more is refused.
        await pilot.press("right_square_bracket", "W")
        await written(pilot, screen)
        assert "row 7 has this window already" in told(live)
        assert len(cells(project)) == 7

    run_app(live, steps)


def test_the_row_of_a_window_is_taken_out_when_asked_twice(
    live: Workbench, project: Project
) -> None:
    before = project.dataset_path.read_bytes()

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "backspace")
        assert "the clip has no window" in told(live)
        await pilot.press("full_stop", "left_square_bracket", "W")
        await written(pilot, screen)
        for _ in range(6):
            await pilot.press("j")
        await still(pilot)
        assert screen.row.name == "clip-0.mp4 @ 1-end s"
        await pilot.press("delete")
        await still(pilot)
        assert isinstance(live.screen, WindowDialog)
        assert "Take row 7 out of dataset.json?" in text(live)
        assert "its caption (A rabbit.)" in text(live)
        assert "Other rows of this clip stay as they are: 1." in text(live)
        await pilot.press("escape")
        assert len(cells(project)) == 7
        await pilot.press("backspace", "enter")
        await written(pilot, screen)
        assert project.dataset_path.read_bytes() == before
        assert "taken out: row 7 of dataset.json" in told(live)
        assert screen.row.name == "clip-0.mp4"

    run_app(live, steps)


def test_a_window_of_the_only_row_is_emptied(live: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "full_stop", "left_square_bracket", "w")
        await written(pilot, screen)
        await pilot.press("backspace")
        await still(pilot)
        assert "window_start and window_end in dataset.json are emptied" in text(live)
        await pilot.press("y")
        await written(pilot, screen)
        assert cells(project)[0]["window_start"] is None
        assert (screen.row.name, len(cells(project))) == ("clip-0.mp4", 6)
        assert "row 1 of dataset.json: no window any more" in told(live)

    run_app(live, steps)

"""The small parts of the shell: state on disk, clipboard, terminal, first line, crash reports."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot

from ltx_tui import crash
from ltx_tui.drawing.signs import ASCII, UNICODE
from ltx_tui.state import State, StateKeeper, load_state
from ltx_tui.terminal import guard
from ltx_tui.terminal.clipboard import copy
from ltx_tui.themes import load_theme, theme_names
from ltx_tui.widgets.line import Line
from ltx_tui.widgets.toggle import Toggle
from ltx_tui.worker.standing import history_words, memory_words, worker_words
from tests.tui import fake_worker as fake
from tests.tui.conftest import alone, make_project, run_app, shown

ROOT = Path(__file__).parents[2]

# State


def test_state_comes_back_as_it_was_left(tmp_path: Path) -> None:
    keeper = StateKeeper(tmp_path)
    assert keeper.state == State()
    assert keeper.change(clip="a.mp4", pane="jobs", scroll=7)
    keeper.write()
    assert not keeper.is_dirty
    assert load_state(tmp_path) == State(clip="a.mp4", pane="jobs", scroll=7)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"clip": 3}', b"\xff\xfe"])
def test_state_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "workbench.json").write_bytes(data)
    assert load_state(tmp_path) == State()


def test_state_of_a_newer_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    (tmp_path / "workbench.json").write_text('{"clip": "a.mp4", "colour": "red"}', "utf-8")
    assert load_state(tmp_path) == State(clip="a.mp4")


def test_what_has_not_changed_is_not_written(tmp_path: Path) -> None:
    keeper = StateKeeper(tmp_path)
    assert not keeper.change(clip="")
    keeper.write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    keeper = StateKeeper(tmp_path / "file" / "below")
    keeper.change(clip="a.mp4")
    keeper.write()
    assert keeper.is_dirty


# Clipboard


def fake_tmux(folder: Path, code: int = 0) -> dict[str, str]:
    """Make a `tmux` that keeps what it is given."""
    script = folder / "tmux"
    script.write_text(f'#!/bin/sh\necho "$@" > {folder}/said\ncat > {folder}/got\nexit {code}\n')
    script.chmod(0o755)
    return {"TMUX": "/tmp/tmux-0/default,1,0"}


@pytest.mark.parametrize(
    ("code", "words"), [(0, "copied 2 lines"), (1, "copied, if tmux passes it on")]
)
def test_copying_goes_through_tmux_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    environ = fake_tmux(tmp_path, code)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    app = alone()

    async def steps(_pilot: Pilot[Any]) -> None:
        assert (await copy(app, "a\nb", environ)).startswith(words)
        assert app.clipboard == "a\nb"

    run_app(app, steps)
    assert (tmp_path / "said").read_text("utf-8") == "load-buffer -w -\n"
    assert (tmp_path / "got").read_text("utf-8") == "a\nb"


def test_what_is_too_long_for_terminals_is_not_copied() -> None:
    app = alone()

    async def steps(_pilot: Pilot[Any]) -> None:
        assert "too long" in await copy(app, "x" * 200_000, {})
        assert app.clipboard == ""
        assert await copy(app, "x", {"TMUX": ""}) == "copied"

    run_app(app, steps)


# The terminal


@pytest.mark.parametrize(
    ("environ", "fps"),
    [({}, None), ({"SSH_CONNECTION": "1 2"}, "15"), ({"TMUX": "x"}, "15")],
)
def test_far_terminals_get_fewer_frames(environ: dict[str, str], fps: str | None) -> None:
    guard.prepare(environ)
    assert environ["TEXTUAL_ANIMATIONS"] == "none"
    assert environ.get("TEXTUAL_FPS") == fps


def test_what_the_user_has_set_wins() -> None:
    environ = {"TMUX": "x", "TEXTUAL_FPS": "30", "TEXTUAL_ANIMATIONS": "full"}
    guard.prepare(environ)
    assert (environ["TEXTUAL_FPS"], environ["TEXTUAL_ANIMATIONS"]) == ("30", "full")


def test_without_a_terminal_there_is_nothing_to_restore() -> None:
    code = "from ltx_tui.terminal.guard import Guard; Guard().restore()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 0
    assert done.stderr.endswith(b"\x1b[?25h\x1b[0m")


@pytest.mark.parametrize(
    "module", ["ltx_tui.screens.workbench", "ltx_tui.screens.init", "ltx_tui.program"]
)
def test_the_first_picture_loads_nothing_heavy(module: str) -> None:
    code = f"""
import sys, {module}
heavy = ["torch", "transformers", "cv2", "av", "numpy", "tokenizers", "PIL", "sqlite3", "tomlkit"]
heavy += ["engine.client", "engine.precompute.plan", "engine.worker.link"]
heavy += [f"textual.widgets._{{name}}" for name in ("data_table", "text_area", "markdown")]
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# Lines


class Words(Line):
    """A line that says what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.words = "one two"

    def content(self, width: int) -> Text:
        return Text(self.words)


def test_a_line_repaints_the_cells_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Words()
    app = alone(line)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.pause()
        painted: list[Any] = []
        monkeypatch.setattr(line, "refresh", lambda *regions, **_: painted.extend(regions))
        line.redraw()
        assert painted == []
        line.words = "one TWo"
        line.redraw()
        assert [(region.x, region.width) for region in painted] == [(4, 2)]
        line.words = "日本"
        line.redraw()
        assert line._strip.text.startswith("日本")
        assert line._strip.cell_length == 80

    run_app(app, steps)


def test_a_toggle_says_in_signs_what_it_is() -> None:
    toggle = Toggle("Sound\x1b")
    app = alone(toggle)

    async def steps(pilot: Pilot[Any]) -> None:
        toggle.focus()
        await pilot.pause()
        assert "[ ] Sound\\x1b" in "\n".join(shown(app))
        await pilot.press("space")
        await pilot.pause()
        assert "[x] Sound\\x1b" in "\n".join(shown(app))
        await pilot.click(toggle)
        assert not toggle.value

    run_app(app, steps)


# What is said of worker and memory


def test_words_about_the_worker(tmp_path: Path) -> None:
    async def tell() -> None:
        stand = fake.Stand(make_project(tmp_path / "p"))
        watcher = stand.watcher
        assert worker_words(watcher, UNICODE) == ("", "", "foreground")
        fake.at_work(stand)
        assert worker_words(watcher, UNICODE) == ("●", "running", "success")
        assert worker_words(watcher, ASCII)[0] == "*"
        stand.take(fake.changed(fake.job(7, "paused")))
        assert worker_words(watcher, UNICODE)[1] == "paused"
        stand.take(fake.changed(fake.ended(7)))
        assert worker_words(watcher, UNICODE)[1] == "idle"
        watcher.interrupted = True
        assert worker_words(watcher, UNICODE)[1] == "interrupted"

    asyncio.run(tell())


def test_words_about_memory() -> None:
    assert memory_words(None) == ""
    assert memory_words(fake.memory(1.0)) == "GPU0 61.2/139.8 GiB"
    assert memory_words(fake.memory(1.0, host=21.0, gpus=0)) == "RAM 21.0/128.0 GiB"
    samples = [fake.memory(float(n), used) for n, used in enumerate((0, 35, 70, 105, 139.8))]
    assert history_words(samples, UNICODE) == "▁▃▅▇█"
    assert history_words(samples, ASCII) == ""


# Crash reports, themes


def test_a_report_has_the_traceback_and_no_control_characters(tmp_path: Path) -> None:
    try:
        raise ValueError("bad\x1b[2Jthing")
    except ValueError as error:
        log = crash.report(error, tmp_path / "logs")
        words = crash.words(error, log).plain
    assert log == tmp_path / "logs" / "workbench.log"
    text = log.read_text("utf-8")
    assert "Traceback" in text
    assert "\x1b" not in text + words
    assert str(log) in words
    assert "ltx-tui attach" in words


def test_a_report_that_cannot_be_written_is_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    error = ValueError("x")
    assert crash.report(error, tmp_path / "logs") is None
    assert "no report" in crash.words(error, None).plain


def test_there_are_four_themes_one_light_one_of_high_contrast_one_of_the_terminal() -> None:
    made = [load_theme(name) for name in theme_names()]
    assert len(made) >= 4
    assert any(not theme.dark for theme in made)
    assert any(theme.ansi for theme in made)
    assert "ltx-contrast" in theme_names()

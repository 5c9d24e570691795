"""Captions in the real program: whatever kills it, and whoever else writes, nothing is lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.terminal.terminal import Terminal
from tests.tui.conftest import make_project

# Seconds for a program to start on a busy machine.
START = 60
ESCAPE, CONFLICT, UNDO, EDITOR = "\x1b", "\x07", "\x1a", "\x05"

Open = Callable[[], Terminal]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project's folder; the user's own configuration is out of the way."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TMUX", "SSH_CONNECTION", "LTX_TUI_THEME", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    return make_project(tmp_path / "bunny-lora").root


@pytest.fixture
def workbench(folder: Path, tmp_path: Path) -> Iterator[Open]:
    """Return an opener of workbenches with the caption of the first clip in hand."""
    opened: list[Terminal] = []

    def start() -> Terminal:
        terminal = Terminal(tmp_path, str(folder))
        opened.append(terminal)
        terminal.wait_for("6 clips", START)
        terminal.press("2")
        terminal.wait_for("trigger|saved ✓|draft", START)
        return terminal

    yield start
    for terminal in opened:
        terminal.close()


def rows(folder: Path) -> list[dict[str, str]]:
    found = json.loads((folder / "dataset.json").read_text("utf-8"))
    assert isinstance(found, list)
    return found


def until_written(folder: Path, number: int, caption: str, terminal: Terminal) -> None:
    """Wait until the dataset file has a caption."""
    end = time.monotonic() + START
    while rows(folder)[number]["caption"] != caption:
        assert time.monotonic() < end, (rows(folder), terminal.text[-3000:])
        terminal.read(0.1)


def write_outside(folder: Path, number: int, caption: str) -> None:
    """Change a caption as another program does: without asking anybody."""
    changed = rows(folder)
    changed[number]["caption"] = caption
    other = folder / "dataset.json.other"
    other.write_text(json.dumps(changed, indent=2), "utf-8")
    other.rename(folder / "dataset.json")


def test_what_was_typed_a_second_before_a_kill_is_there(workbench: Open, folder: Path) -> None:
    terminal = workbench()
    terminal.press("Big ")
    terminal.wait_for("draft|typing|kept", START)
    terminal.read(1.2)
    terminal.process.kill()
    terminal.process.wait()
    again = workbench()
    again.wait_for("Big A rabbit", START)
    until_written(folder, 0, "Big A rabbit.", again)
    # A writer that outlived the kill may have written it: it is to be seen before it is undone.
    again.wait_for("saved ✓", START)
    again.read(3.0)
    # Undo reaches back over the kill.
    again.press(UNDO)
    until_written(folder, 0, "A rabbit.", again)


def test_kills_at_any_moment_lose_no_more_than_the_last_second(
    workbench: Open, folder: Path
) -> None:
    """Type one letter after another, be killed, see that all but the last second's are there."""
    caption = "A rabbit."
    for number, letters in enumerate(("abc", "defgh")):
        terminal = workbench()
        # Where the cursor stands does not matter, but it is one place.
        terminal.press("\x1b[H")
        typed: list[tuple[float, str]] = []
        for letter in letters:
            terminal.press(letter)
            typed.append((time.monotonic(), letter))
            terminal.read(0.35 + 0.1 * number)
        killed = time.monotonic()
        terminal.process.kill()
        terminal.process.wait()
        again = workbench()
        old = "".join(letter for when, letter in typed if when < killed - 1)
        assert old
        again.wait_for(f"{old}[a-h]*{caption}", START)
        again.press("\x11")
        assert again.end() == 0
        now = rows(folder)[0]["caption"]
        assert now.endswith(caption)
        assert now.startswith(old)
        caption = now


@pytest.mark.parametrize("end", ["terminate", "hang up", "leave"])
def test_whatever_else_ends_it_loses_nothing(workbench: Open, folder: Path, end: str) -> None:
    terminal = workbench()
    terminal.press("Big ")
    terminal.wait_for("Big A rabbit", START)
    if end == "terminate":
        terminal.process.terminate()
        assert terminal.end() == 143
    elif end == "hang up":
        terminal.hang_up()
    else:
        terminal.press("\x11")
        assert terminal.end() == 0
        assert rows(folder)[0]["caption"] == "Big A rabbit."
    again = workbench()
    again.wait_for("Big A rabbit", START)
    until_written(folder, 0, "Big A rabbit.", again)


def test_edits_of_others_are_merged(workbench: Open, folder: Path) -> None:
    terminal = workbench()
    terminal.press("Big ")
    write_outside(folder, 2, "Three birds.")
    until_written(folder, 0, "Big A rabbit.", terminal)
    assert rows(folder)[2]["caption"] == "Three birds."
    # It is in the workbench as well.
    terminal.press("\x1b[19~\x1b[19~")
    terminal.wait_for("Three birds", START)
    terminal.press("Oh: ")
    until_written(folder, 2, "Oh: Three birds.", terminal)
    terminal.press("\x11")
    assert terminal.end() == 0
    assert [row["caption"] for row in rows(folder)] == [
        "Big A rabbit.",
        "",
        "Oh: Three birds.",
        "",
        "A stream.",
        "Fog.",
    ]


def test_the_same_caption_changed_on_both_sides_is_asked_about(
    workbench: Open, folder: Path
) -> None:
    terminal = workbench()
    terminal.press("Big ")
    write_outside(folder, 0, "A hare.")
    terminal.wait_for("conflict", START)
    assert rows(folder)[0]["caption"] == "A hare."
    # A kill decides nothing.
    terminal.process.kill()
    terminal.process.wait()
    again = workbench()
    again.wait_for("conflict", START)
    again.press(CONFLICT)
    again.wait_for(r"Mine \(m\)", START)
    again.wait_for("A hare", START)
    again.press("m")
    until_written(folder, 0, "Big A rabbit.", again)
    again.press("\x11")
    assert again.end() == 0


def test_the_users_editor_has_the_terminal(
    workbench: Open, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "my editor"
    script.write_text(
        '#!/bin/sh\nstty -a < /dev/tty | grep -q " icanon" && echo "EDITING HERE"\n'
        'read answer < /dev/tty\nprintf "%s and a fox.\\n" "$answer" > "$1"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{script}'")
    terminal = workbench()
    terminal.press(EDITOR)
    terminal.wait_for("EDITING HERE", START)
    terminal.press("A rabbit\r")
    terminal.wait_for("A rabbit and a fox", START)
    until_written(folder, 0, "A rabbit and a fox.", terminal)
    os.kill(terminal.process.pid, 0)
    terminal.press("\x11")
    assert terminal.end() == 0

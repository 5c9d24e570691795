"""However the workbench ends, the terminal is as it was: main screen, cursor, no mouse, echo."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.terminal.clean import is_clean, modes
from tests.terminal.conftest import START, Open
from tests.terminal.terminal import Terminal

CRASH = """
from ltx_tui.screens import log

def fail(self):
    raise RuntimeError("the sky fell")

log.LogScreen.on_mount = fail
"""


def test_leaving_leaves_the_terminal_as_it_was(workbench: Open) -> None:
    terminal = workbench()
    assert modes(terminal.raw)["1049"] is True
    assert modes(terminal.raw)["1003"] is True
    terminal.press("\x11")
    assert terminal.end() == 0
    assert is_clean(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_the_terminal_as_it_was(
    workbench: Open, folder: Path, number: signal.Signals
) -> None:
    terminal = workbench()
    terminal.press("3")
    terminal.wait_for(r"\[3 Buckets\]", START)
    terminal.process.send_signal(number)
    assert terminal.end() == 128 + number
    if number is signal.SIGTERM:
        assert is_clean(terminal)
    # Where the user was is kept, too.
    assert '"pane": "buckets"' in (folder / ".ltx-tui" / "workbench.json").read_text("utf-8")


def test_a_terminal_that_is_closed_ends_it(workbench: Open, folder: Path) -> None:
    terminal = workbench()
    terminal.press("3")
    terminal.wait_for(r"\[3 Buckets\]", START)
    assert terminal.hang_up() != 0
    assert '"pane": "buckets"' in (folder / ".ltx-tui" / "workbench.json").read_text("utf-8")


def test_an_interrupt_from_elsewhere_leaves_the_terminal_as_it_was(workbench: Open) -> None:
    terminal = workbench()
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert is_clean(terminal)


def test_a_crash_leaves_the_terminal_as_it_was_and_names_the_log(
    workbench: Open, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(CRASH, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    terminal = workbench()
    monkeypatch.delenv("PYTHONPATH")
    terminal.press("\x1bOS")
    assert terminal.end() == 3
    assert is_clean(terminal)
    assert "the workbench failed: RuntimeError: the sky fell" in terminal.text
    log = folder / ".ltx-tui" / "logs" / "workbench.log"
    assert "".join(str(log).split()) in "".join(terminal.text.split())
    assert "the sky fell" in log.read_text("utf-8")


def test_a_terminal_that_takes_no_output_does_not_keep_it_alive(workbench: Open) -> None:
    terminal = workbench()
    # Nobody reads from now on, so that every write blocks sooner or later.
    for _ in range(400):
        terminal.press("1" if _ % 2 else "4")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(60) == 143


def test_it_is_put_aside_and_comes_back(workbench: Open) -> None:
    terminal = workbench()
    before = len(terminal.raw)
    terminal.process.send_signal(signal.SIGTSTP)
    pid, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
    assert pid == terminal.process.pid
    assert os.WIFSTOPPED(status)
    terminal.read(1)
    assert modes(terminal.raw)["1049"] is False
    terminal.process.send_signal(signal.SIGCONT)
    while modes(terminal.raw[before:]).get("1049") is not True:
        terminal.read(5)
        assert terminal.process.poll() is None
    terminal.press("\x11")
    assert terminal.end() == 0
    assert is_clean(terminal)


def test_without_the_mouse_it_is_left_to_the_terminal(workbench: Open) -> None:
    terminal = workbench("--no-mouse")
    assert "1000" not in modes(terminal.raw)
    assert "1003" not in modes(terminal.raw)
    terminal.press("\x11")
    assert terminal.end() == 0


def test_a_project_elsewhere_is_opened_by_its_path(folder: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "bunny-lora")
    try:
        terminal.wait_for("6 clips", START)
        terminal.press("\x11")
        assert terminal.end() == 0
    finally:
        terminal.close()

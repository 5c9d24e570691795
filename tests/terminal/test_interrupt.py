"""Ctrl-C, SIGTERM and SIGKILL on a real terminal: it stays usable, and a rerun goes on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.jobs import outputs
from tests.small_set import BUCKETS, CAPTIONS, make_small_set

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """A process on a pseudo-terminal of 80x24."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        self._primary, secondary = pty.openpty()
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        # What would have the progress printed line by line, or without colour.
        dull = {"CI", "NO_COLOR"}
        environment = {k: v for k, v in os.environ.items() if k not in dull}
        environment["TERM"] = "xterm-256color"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ltx_tui", *arguments],
            cwd=cwd,
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(secondary)
        self.raw = ""

    def read(self, seconds: float) -> None:
        """Take in what is printed within `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._primary], [], [], left)[0]:
                return
            try:
                data = os.read(self._primary, 1 << 16)
            except OSError:
                return
            self.raw += data.decode("utf-8", "replace")
            if not data:
                return

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.raw)

    def wait_for(self, pattern: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, f"{pattern!r} did not come:\n{self.text}"
            self.read(0.2)

    def press(self, keys: str) -> None:
        os.write(self._primary, keys.encode())

    def end(self) -> int:
        while self.process.poll() is None:
            self.read(0.2)
        self.read(0.2)
        return self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._primary)


@pytest.fixture
def project(tmp_path: Path, models: tuple[Path, Path]) -> Path:
    root = make_small_set(tmp_path / "clips")
    (root / "project.toml").write_text(
        f'[models]\ncheckpoint = "{models[0]}"\ntext_encoder = "{models[1]}"\n'
        f'[video]\nbuckets = "{BUCKETS}"\n[run]\ndevice = "cpu"\n'
    )
    return root


@contextlib.contextmanager
def started(root: Path, *arguments: str) -> Iterator[Terminal]:
    terminal = Terminal(root, *arguments)
    try:
        yield terminal
    finally:
        terminal.close()


def finish(root: Path) -> None:
    with started(root, "process-dataset") as terminal:
        assert terminal.end() == 0, terminal.text
    for stage in ("conditions", "latents"):
        assert len(outputs(root / ".precomputed" / stage)) == len(CAPTIONS)
    with started(root, "process-dataset") as terminal:
        assert terminal.end() == 0
        assert "0 written" in terminal.text
        assert "8 fresh already" in terminal.text
    assert not list((root / ".precomputed").rglob(".*"))


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_a_rerun_goes_on(project: Path) -> None:
    with started(project, "process-dataset") as terminal:
        terminal.wait_for(r"conditions +\S+ +[1-4]/4")
        terminal.press("\x03")
        code = terminal.end()
        assert code in (0, 130), terminal.text
        assert "Traceback" not in terminal.text
        # The cursor is shown again, and the alternate screen was never left on.
        assert terminal.raw.rfind("\x1b[?25l") < terminal.raw.rfind("\x1b[?25h")
        assert "\x1b[?1049h" not in terminal.raw
    finish(project)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_no_encoder_and_no_half_file(
    project: Path, number: signal.Signals
) -> None:
    with started(project, "process-dataset") as terminal:
        terminal.wait_for(r"conditions +\S+ +[1-4]/4")
        encoders = psutil.Process(terminal.process.pid).children(recursive=True)
        assert encoders
        os.kill(terminal.process.pid, number)
        terminal.end()
    _, alive = psutil.wait_procs(encoders, timeout=30)
    assert not alive, "an encoder outlived its run"
    names = outputs(project / ".precomputed")
    assert all(name.endswith(".pt") or name.rpartition("/")[2].startswith(".") for name in names)
    finish(project)

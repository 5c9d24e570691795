"""The real program on a pseudo-terminal, and projects whose workers are ended after the test."""

from __future__ import annotations

import contextlib
import fcntl
import json
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def environment() -> dict[str, str]:
    """Return ours, without what would have the progress printed line by line, or colourless."""
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR"}}
    return kept | {"TERM": "xterm-256color"}


class Terminal:
    """`ltx-tui` on a pseudo-terminal of 80x24.

    Attributes:
        raw: All that it printed.
        on_text: Told of everything that is printed, as it comes.
    """

    def __init__(self, cwd: Path, *arguments: str, is_leader: bool = True) -> None:
        """Start it.

        Args:
            cwd: Where it is.
            arguments: Of the command line.
            is_leader: Whether it leads the terminal's session, and so gets SIGHUP.
        """
        self._primary, secondary = pty.openpty()
        self._size(secondary, 80, 24)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ltx_tui", *arguments],
            cwd=cwd,
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            env=environment(),
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if is_leader else None,
        )
        os.close(secondary)
        self.raw = ""
        self.on_text: Callable[[str], None] = lambda _text: None

    def _size(self, fd: int, width: int, height: int) -> None:
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width: int, height: int) -> None:
        """Change the window's size; the kernel sends SIGWINCH."""
        self._size(self._primary, width, height)

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
            text = data.decode("utf-8", "replace")
            self.raw += text
            self.on_text(text)
            if not data:
                return

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._primary)[3] & termios.ECHO)

    @property
    def text(self) -> str:
        """All that it printed, without control sequences."""
        return ESCAPES.sub("", self.raw)

    def wait_for(self, pattern: str, seconds: float = 120) -> None:
        """Read until something is printed."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, f"{pattern!r} did not come:\n{self.text}"
            assert self.process.poll() is None or self._rest(), f"it ended:\n{self.text}"
            self.read(0.2)

    def _rest(self) -> bool:
        before = len(self.raw)
        self.read(0.2)
        return len(self.raw) > before

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._primary, keys.encode())

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self.process.poll() is None:
            self.read(0.2)
        self.read(0.2)
        return self.process.wait()

    def hang_up(self) -> int:
        """Close the window; return the exit code."""
        os.close(self._primary)
        self._primary = -1
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        if self._primary >= 0:
            os.close(self._primary)


@contextlib.contextmanager
def started(root: Path, *arguments: str) -> Iterator[Terminal]:
    """Run `ltx-tui` on a terminal of its own."""
    terminal = Terminal(root, *arguments)
    try:
        yield terminal
    finally:
        terminal.close()


def ltx_tui(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `ltx-tui` to its end, in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "ltx_tui", *arguments],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def status(root: Path) -> dict[str, Any]:
    """Return what `ltx-tui status --json` says."""
    told = ltx_tui(root, "status", "--json")
    assert told.returncode == 0, told.stderr
    state = json.loads(told.stdout)
    assert isinstance(state, dict)
    return state


def until_done(root: Path, job: int = 1, seconds: float = 120) -> dict[str, Any]:
    """Wait until a job is done, starting nothing; return it."""
    end = time.monotonic() + seconds
    while True:
        found = next(one for one in status(root)["jobs"] if one["id"] == job)
        if found["state"] == "done":
            return found
        assert found["state"] in ("queued", "running"), found
        assert time.monotonic() < end, found
        time.sleep(0.3)

"""A program on a pseudo-terminal, and how long it takes to answer."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import psutil


class Screen:
    """A program that draws on a pseudo-terminal.

    Attributes:
        began: When it was started.
    """

    def __init__(self, arguments: Sequence[str], cwd: Path, size: tuple[int, int]) -> None:
        self.fd, secondary = pty.openpty()
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        names = ("CI", "NO_COLOR", "COLORTERM", "TMUX", "SSH_CONNECTION")
        kept = {name: value for name, value in os.environ.items() if name not in names}
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            env=kept | {"TERM": "xterm-256color"},
            start_new_session=True,
            # It hears of it when this terminal goes away.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(secondary)

    def read(self, seconds: float) -> bytes:
        """Return what is drawn next, or nothing after some seconds."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return b""
        try:
            return os.read(self.fd, 1 << 16)
        except OSError:  # the program has ended
            return b""

    def until(self, wanted: bytes, seconds: float = 120) -> float:
        """Return the seconds until something is drawn, since the start."""
        seen, end = b"", time.perf_counter() + seconds
        while wanted not in seen:
            left = end - time.perf_counter()
            if left <= 0 or self.process.poll() is not None:
                raise TimeoutError(f"{wanted!r} was not drawn:\n{seen[-2000:]!r}")
            seen += self.read(min(left, 1))
        return time.perf_counter() - self.began

    def settle(self, quiet: float, seconds: float = 600) -> None:
        """Wait until nothing has been drawn for some time."""
        end = time.perf_counter() + seconds
        while self.read(quiet) and time.perf_counter() < end:
            pass

    def count(self, seconds: float) -> int:
        """Return how many bytes are drawn within some seconds."""
        end, found = time.perf_counter() + seconds, 0
        while (left := end - time.perf_counter()) > 0:
            found += len(self.read(left))
        return found

    def key(self, key: bytes, wanted: bytes) -> tuple[float, float]:
        """Press a key; return the seconds until `wanted` is drawn, and until all is."""
        while self.read(0):
            pass
        pressed = time.perf_counter()
        os.write(self.fd, key)
        seen, first, last = b"", 0.0, 0.0
        while data := self.read(5 if not first else 0.03):
            seen, last = seen + data, time.perf_counter() - pressed
            if not first and wanted in seen:
                first = last
        return first, last

    @property
    def megabytes(self) -> float:
        """Its resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def libraries(self, names: Sequence[str]) -> list[str]:
        """Return those of the packages of which native code is loaded."""
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        return [name for name in names if f"/{name}/" in maps or f"/{name}.libs/" in maps]

    def until_no_child(self, name: str, seconds: float = 600) -> None:
        """Wait until no child with such a command line runs any more."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.count(0.5)
            children = psutil.Process(self.process.pid).children()
            lines = [" ".join(one.cmdline()) for one in children if one.status() != "zombie"]
            if not any(name in line for line in lines):
                return

    def close(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            while self.process.poll() is None:
                self.read(0.1)
        finally:
            os.close(self.fd)

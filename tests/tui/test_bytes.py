"""What is sent to the terminal while an encode is watched: a count of bytes, whatever the time."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.tui.watching import SECONDS

ROOT = Path(__file__).parents[2]
BUDGET = 2_000  # a second


def count(size: tuple[int, int]) -> dict[str, int]:
    """Return how many bytes had come when "begin", "end" and "idle" were told."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    told, tell = os.pipe()
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("TMUX", "SSH_CONNECTION", "NO_COLOR"):
        environment.pop(name, None)
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.tui.watching", str(tell)],
        cwd=ROOT,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        pass_fds=(tell,),
        start_new_session=True,
    )
    os.close(slave)
    os.close(tell)
    total, marks = 0, {}
    text = b""
    try:
        while "idle" not in marks:
            ready, _, _ = select.select([master, told], [], [], 60)
            assert ready, text[-2000:]
            if master in ready:
                text += (data := os.read(master, 1 << 16))
                total += len(data)
            elif told in ready:
                words = os.read(told, 100).decode().split()
                assert words, text[-2000:]
                marks |= dict.fromkeys(words, total)
    finally:
        child.kill()
        child.wait()
        os.close(master)
        os.close(told)
    return marks


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_watching_an_encode_sends_little_and_idling_nothing(size: tuple[int, int]) -> None:
    marks = count(size)
    sent = marks["end"] - marks["begin"]
    print(f"{size}: {sent / SECONDS:.0f} bytes a second")
    assert 0 < sent <= BUDGET * SECONDS
    assert marks["idle"] == marks["end"]

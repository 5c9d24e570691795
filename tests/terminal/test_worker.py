"""The background worker as a user meets it: clients come and go, the work goes on."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.client import open_project
from tests.terminal.conftest import Make
from tests.terminal.screen import Screen
from tests.terminal.terminal import environment, ltx_tui, started, status, until_done
from tests.workers import kill_worker

RUN = ("run", "--stages", "conditions")


def written(root: Path) -> Counter[str]:
    """Return how often each output was written."""
    lines = (root.parent / "written").read_text().splitlines()
    return Counter(line.split()[1] for line in lines)


def once(clips: int) -> Counter[str]:
    return Counter(f"{number:03}.pt" for number in range(clips))


@pytest.mark.slow
def test_ctrl_c_stops_and_the_same_command_goes_on(make: Make) -> None:
    root = make(*["slow 0.4"] * 6)
    with started(root, *RUN) as terminal:
        terminal.wait_for(r"conditions +\S+ +[1-4]/6")
        terminal.press("\x03")
        assert terminal.end() == 130, terminal.text
        assert "the same command goes on" in terminal.text
        assert "Traceback" not in terminal.text
        # Nothing that would have to be undone was ever asked of the terminal.
        assert "\x1b[?" not in terminal.raw
    assert 1 <= len(written(root)) < 6
    again = ltx_tui(root, *RUN)
    assert again.returncode == 0, again.stderr
    assert written(root) == once(6)
    unknown = ltx_tui(root, *RUN, "--clip", "no-such.mp4")
    assert unknown.returncode == 2
    assert "there is no clip 'no-such.mp4'" in unknown.stderr
    states = [job["state"] for job in status(root)["jobs"]]
    assert states == ["cancelled", "done", "failed"]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["window closed", "terminated", "stopped"])
def test_a_client_that_goes_away_changes_nothing(make: Make, end: str) -> None:
    root = make(*["slow 0.5"] * 6)
    with started(root, *RUN) as terminal:
        terminal.wait_for(r"conditions +\S+ +[1-4]/6")
        if end == "window closed":
            assert terminal.hang_up() == 129
        elif end == "terminated":
            terminal.process.terminate()
            assert terminal.end() == 143
            assert "the work goes on: ltx-tui attach" in terminal.text
        else:
            terminal.process.send_signal(signal.SIGSTOP)
        assert until_done(root)["done"] == 6
        if end == "stopped":
            terminal.process.send_signal(signal.SIGCONT)
            assert terminal.end() == 0, terminal.text
            assert "done: 6 written" in terminal.text
    assert written(root) == once(6)
    last = ltx_tui(root, "attach")
    assert last.returncode == 0
    assert "nothing to follow: job 1 is done" in last.stdout


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_before_the_users_eyes(make: Make) -> None:
    root = make(*["slow 0.4"] * 6)
    with started(root, *RUN) as terminal:
        terminal.wait_for(r"conditions +\S+ +[1-4]/6")
        # What is typed ahead would tear the picture apart.
        assert not terminal.echoes
        kill_worker(open_project(root))
        assert terminal.end() == 0, terminal.text
        assert terminal.echoes
        assert "the worker ended unexpectedly" in terminal.text
        assert "done: 6 written" in terminal.text
    assert written(root) == once(6)


@pytest.mark.slow
def test_detach_attach_pause_stop_and_go_on(make: Make) -> None:
    root = make("bad", *["slow 1.2"] * 7)
    left = ltx_tui(root, *RUN, "--detach")
    assert left.returncode == 0, left.stderr
    assert left.stdout.startswith("job 1 is in the hands of worker process ")
    with started(root, "attach") as terminal:
        terminal.wait_for(r"conditions +\S+ +[2-4]/8")
        terminal.press("\x03")
        assert terminal.end() == 0
        assert "detached; the work goes on" in terminal.text
    with started(root, "attach") as terminal:
        terminal.wait_for(r"conditions +\S+ +[3-6]/8")
        paused = ltx_tui(root, "pause")
        assert paused.returncode == 0, paused.stderr
        assert terminal.end() == 0
        assert re.search(r"job 1 is paused after \d outputs?; ltx-tui resume", terminal.text)
    assert ltx_tui(root, "resume").returncode == 0
    stopped = ltx_tui(root, "worker", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert "job 1 is not done: ltx-tui attach goes on with it" in stopped.stdout
    assert status(root).get("worker") is None
    with started(root, "attach") as terminal:
        assert terminal.end() == 1, terminal.text  # the bad clip
        assert "it is bad" in terminal.text
        assert "done, but not all: 7 written" in terminal.text
    assert sorted(written(root).values()) == [1] * 7


@pytest.mark.slow
def test_a_window_that_changes_its_size_shows_one_set_of_bars(make: Make) -> None:
    # One long step: between two changes of the width there is nothing new to draw.
    root = make("slow 6")
    screen = Screen()
    with started(root, *RUN) as terminal:
        terminal.on_text = screen.feed
        terminal.wait_for(r"conditions .*0/1[\s\S]*000\.mp4")
        for width in (52, 110, 70):
            terminal.read(1.0)
            terminal.resize(width, 24)
            screen.resize(width)
        assert terminal.end() == 0, terminal.text
    assert screen.unknown == []
    assert [line for line in screen.lines if "Ctrl-C stops" in line] == [], "\n".join(screen.lines)
    [bars] = [line for line in screen.lines if "conditions" in line]
    assert re.search(r"1/1 +done in", bars), "\n".join(screen.lines)
    assert screen.lines[-2].startswith("✓ done: 1 written")


@pytest.mark.slow
def test_a_pipe_that_nobody_reads_stops_neither_the_job_nor_the_end(make: Make) -> None:
    root = make(*["slow 0.05"] * 30)
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    client = subprocess.Popen(
        [sys.executable, "-m", "ltx_tui", *RUN, "--json"],
        cwd=root,
        env=environment(),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    try:
        while status(root)["jobs"] == []:
            time.sleep(0.2)
        assert until_done(root)["done"] == 30
        assert client.poll() is None  # it hangs in its write
        client.terminate()
        assert client.wait(30) == 143
    finally:
        client.kill()
        client.wait()
        os.close(ours)


@pytest.mark.slow
def test_a_reader_that_leaves_early_ends_the_client_alone(make: Make) -> None:
    root = make(*["slow 0.2"] * 5)
    client = subprocess.Popen(
        [sys.executable, "-m", "ltx_tui", *RUN],
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stderr is not None
    assert client.stdout.readline().startswith(b"job 1 ")
    client.stdout.close()
    assert client.wait(60) == 141
    assert client.stderr.read() == b""
    client.stderr.close()
    assert until_done(root)["done"] == 5

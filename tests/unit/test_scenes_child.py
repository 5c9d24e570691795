"""The program that finds and cuts scenes, as a client meets it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import UsageError
from engine.media.probe import probe
from engine.media.scene_options import Cutting
from engine.media.scene_types import Range
from engine.worker.scene_messages import (
    AllDone,
    PieceDone,
    Scenes,
    Scores,
    Tell,
    Video,
    VideoDone,
    VideoFailed,
    Wanted,
)
from engine.worker.spec import encode
from ltx_tui.children.scenes import split
from tests.scene_videos import SHOTS, make_shots
from tests.unit.test_cli_split_scenes import names


def tells(wanted: Wanted) -> list[Tell]:
    async def gather() -> list[Tell]:
        return [tell async for tell in split(wanted)]

    return asyncio.run(gather())


def test_scores_come_while_a_video_is_looked_at(tmp_path: Path) -> None:
    film = make_shots(tmp_path / "film.mp4")
    told = tells(Wanted(videos=(Video(id=7, path=film, name="film"),), scores=True))
    scores = [tell for tell in told if isinstance(tell, Scores)]
    values = np.concatenate([np.frombuffer(tell.values, np.float32) for tell in scores])
    assert len(values) == sum(SHOTS)
    assert [tell.row for tell in scores] == np.cumsum(
        [0, *(len(tell.values) // 4 for tell in scores)]
    )[:-1].tolist()
    scenes = next(tell for tell in told if isinstance(tell, Scenes))
    assert set(scenes.found.cuts) == set(np.flatnonzero(values >= 27).tolist())
    assert told[-1] == AllDone()


def test_ranges_that_a_person_chose_are_cut(tmp_path: Path) -> None:
    film, out = make_shots(tmp_path / "film.mp4"), tmp_path / "out"
    found = next(
        tell.found
        for tell in tells(Wanted(videos=(Video(id=1, path=film, name="film"),)))
        if isinstance(tell, Scenes)
    )
    video = Video(id=1, path=film, name="film", found=found, ranges=(Range(5, 15), Range(90, 120)))
    told = tells(Wanted(videos=(video,), out=out, cutting=Cutting(preset="ultrafast")))
    done = [tell for tell in told if isinstance(tell, PieceDone)]
    assert [tell.kept for tell in done] == [Range(5, 15), Range(90, 120)]
    assert probe(out / "film-Scene-002.mp4").frames == 30


def test_a_codec_that_brings_its_process_down_costs_one_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = [make_shots(tmp_path / f"{name}.mp4", (20,)) for name in "abc"]
    # The lane of the middle one is killed as it starts to look.
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'engine.worker.scene_lane' in sys.orig_argv:\n"
        "    import engine.media.scenes as scenes\n"
        "    find = scenes.find\n"
        "    def dies(path, *a, **k):\n"
        "        if path.name == 'b.mp4':\n"
        "            os.kill(os.getpid(), 11)\n"
        "        return find(path, *a, **k)\n"
        "    scenes.find = dies\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{hook}{os.pathsep}{Path(__file__).parents[2]}")
    videos = tuple(Video(id=n, path=film, name=film.stem) for n, film in enumerate(films))
    told = tells(Wanted(videos=videos, out=tmp_path / "out", cutting=Cutting(preset="ultrafast")))
    failed = [tell for tell in told if isinstance(tell, VideoFailed)]
    assert [tell.video for tell in failed] == [1]
    assert "died (signal 11)" in failed[0].fault.message
    assert [tell.video for tell in told if isinstance(tell, VideoDone)] == [0, 2]


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    film = make_shots(tmp_path / "film.mp4", (400,), size=(640, 360))
    wanted = Wanted(
        videos=(Video(id=1, path=film, name="film"),), out=tmp_path / "out",
        cutting=Cutting(preset="medium"),
    )  # fmt: skip

    async def both() -> None:
        first: AsyncGenerator[Tell] = split(wanted)
        async for _ in first:
            break
        with pytest.raises(UsageError, match="another run"):
            async for _ in split(wanted):
                pass
        await first.aclose()

    asyncio.run(both())
    assert names(tmp_path / "out") == []


def test_a_child_that_is_killed_leaves_files_that_the_next_run_knows(tmp_path: Path) -> None:
    film = make_shots(tmp_path / "film.mp4", (30, 300), size=(640, 360))
    out = tmp_path / "out"
    wanted = Wanted(
        videos=(Video(id=1, path=film, name="film"),), out=out, cutting=Cutting(preset="slow")
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "engine.worker.find_scenes"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(encode(wanted) + b"\n")
    child.stdin.flush()
    for line in child.stdout:
        if json.loads(line)["tell"] == "piece":
            break
    child.kill()
    child.wait()
    child.stdout.read()  # the lane ends by itself, since nobody holds its stdin
    told = tells(wanted)
    done = next(tell for tell in told if isinstance(tell, VideoDone))
    assert (done.fresh, done.made, done.failed) == (1, 1, 0)
    assert list(out.rglob("*.part")) == []

"""Scoring the captions of a project: what is found, what is kept, and what is not done again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.captions import format_sections
from engine.events import ClipStarted
from engine.models.toy_tokenizer import write_tokenizer
from engine.project import Project
from engine.suspicion.file import Basis, Counted, Result, Scores, read_scores, stored_of
from engine.suspicion.types import Reason
from engine.worker.score_captions import Work
from engine.worker.score_types import Wanted
from tests.media_clips import Sound, make_sound

SILENT = np.zeros((1, 16_000), np.float32)
# Quiet beginning, loud end, so that windows of one file sound different.
HALF = np.concatenate([np.zeros(16_000), 0.5 * np.sin(np.arange(16_000) * 0.3)])[None]
VISUALS = (
    "A grey dog runs over a wide green lawn towards the camera.",
    "Two women carry a red canoe down to the lake at dawn.",
    "Steam rises from a kettle while rain runs down the window.",
    "An old tram turns the corner past a closed bakery.",
    "Children in yellow boots jump from puddle to puddle.",
)


def caption(number: int = 0, **changes: str) -> str:
    parts = {"VISUAL": VISUALS[number], "SPEECH": "None", "SOUNDS": "None", "TEXT": "None"}
    return format_sections(parts | changes)


def sound(path: Path, samples: Any = SILENT) -> Path:
    track = Sound(samples=samples.astype(np.float32), rate=16_000, layout="mono", codec="pcm_s16le")
    return make_sound(path, track)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of five silent clips; the second claims speech, the third a sound."""
    texts = [caption(n) for n in range(5)]
    texts[1] = caption(1, SPEECH="Careful with the bow!")
    texts[2] = caption(2, SOUNDS="Rain.")
    for number in range(5):
        sound(tmp_path / f"{number}.wav")
    write(tmp_path, [{"media_path": f"{n}.wav", "caption": text} for n, text in enumerate(texts)])
    return Project.defaults(tmp_path)


def write(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    (folder / "dataset.json").write_text(json.dumps(list(rows)), "utf-8")


def rows_of(project: Project) -> list[dict[str, Any]]:
    return json.loads(project.dataset_path.read_text("utf-8"))


def run(project: Project, **changes: Any) -> list[Any]:
    """Score in this process; return what was told."""
    told: list[Any] = []
    Work(Wanted(project=project, workers=1, **changes), lambda: False, told.append).run()
    return told


def scores_of(project: Project) -> Scores:
    found = read_scores(project)
    assert found is not None
    return found


def kinds(project: Project) -> list[list[str]]:
    found = scores_of(project)
    return [[one.kind for one in found.reasons(row)] for row in range(len(found))]


def listened(told: Iterable[Any]) -> list[int]:
    return [one.row for one in told if isinstance(one, ClipStarted)]


# What is found


def _raise(error: type[BaseException]) -> Any:
    def instead(*_: object, **__: object) -> None:
        raise error

    return instead


# What is not done again


# Tokens


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 1024)
    return folder


# The file


BASIS = Basis("", (0, 0), (0, 0))


def stored(names: list[str], scores: list[float]) -> Scores:
    results = [
        Result(n, score, (Reason("copy", f"{n}"),) if score else ())
        for n, score in enumerate(scores)
    ]
    return Scores(stored_of(names, results, basis=BASIS, is_whole=True, counted=Counted()))


# The child


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.worker.score_captions"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

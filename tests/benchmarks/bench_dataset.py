"""A whole `process-dataset` against the same stages run one after another in one process.

Short clips with sound, small random models, everything cold: imports, models, journal. Held
against two scripts of one process: a plain one that reads and pads as such scripts do, and one
that calls our own stages in sequence; see `tests.benchmarks.plain_script`.

python -m tests.benchmarks.bench_dataset [--quick]
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.models.toy import make_toy_models
from engine.precompute.outputs import load, relative_error
from engine.project import Project, load_project, write_project
from tests.benchmarks.plain_script import STAGES
from tests.benchmarks.rows import Row, in_turns, main, python, ratio_of, spread, timed
from tests.small_set import write_clip, write_dataset
from tests.workers import end_worker

GOAL = 2.0
SOURCE, BUCKET, LENGTH = (854, 480), "96x64x9", 25
DIFFERENT = 8  # clips; the others are copies of them
CAPTION = "A wide grating drifts to the left over a blue wall while a low tone is heard. "
NEAR = 0.02  # of bf16 embeddings, padded or not; the latents have to be equal


def make_source(root: Path, clips: int, models: tuple[Path, Path]) -> None:
    """Write the clips, their dataset and a project."""
    rows = []
    for number in range(clips):
        name = f"{number:04}.mp4"
        if number < DIFFERENT:
            write_clip(root / name, size=SOURCE, count=LENGTH, seed=number)
        else:
            shutil.copy(root / f"{number % DIFFERENT:04}.mp4", root / name)
        rows.append({"caption": CAPTION * (1 + number % 8), "media_path": name})
    write_dataset(root, rows)
    values = {
        "dataset.path": "dataset.json",
        "models.checkpoint": str(models[0]),
        "models.text_encoder": str(models[1]),
        "run.device": "cpu",
        "audio.enabled": True,
        "video.buckets": BUCKET,
    }
    write_project(root / "project.toml", values)


def differences(ours: Project, other: Path) -> list[str]:
    """Return which outputs of the two are not alike."""
    found = []
    for stage in STAGES:
        folder = ours.output_dir / stage.value
        for path in sorted(folder.rglob("*.pt")):
            name = path.relative_to(folder)
            mine, theirs = load(path), load(other / stage.value / name)
            if stage is STAGES[0]:
                same = relative_error(mine, theirs, stage) <= NEAR
            else:
                same = torch.equal(mine["latents"], theirs["latents"])
            found += [] if same else [f"{stage}/{name}"]
    return found


def measure(quick: bool) -> Sequence[Row]:
    """Encode the dataset in the three ways, each on a fresh copy."""
    clips, rounds = (40, 1) if quick else (200, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toy = make_toy_models(folder / "models")
        source = folder / "source"
        make_source(source, clips, (toy.checkpoint, toy.text_encoder))
        roots: dict[str, Path] = {}

        def way(which: str) -> float:
            roots[which] = root = folder / which
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(source, root)
            if which != "ours":
                out = str(root / "out")
                command = python("tests.benchmarks.plain_script", which, str(root), out)
                return timed(command, log=folder / "log").wall
            try:
                command = python("ltx_tui", "process-dataset", str(root))
                return timed(command, log=folder / "log").wall
            finally:
                end_worker(load_project(root / "project.toml"))

        ways = {which: (lambda which=which: way(which)) for which in ("plain", "own", "ours")}
        seconds = in_turns(ways, rounds)
        ours = load_project(roots["ours"] / "project.toml")
        counts = [len(list((ours.output_dir / stage.value).rglob("*.pt"))) for stage in STAGES]
        assert counts == [clips] * len(STAGES), counts
        unlike = {which: differences(ours, roots[which] / "out") for which in ("plain", "own")}
    what = f"whole process-dataset, {clips} short clips, small models, cold"
    size = "x".join(map(str, SOURCE))
    return [
        Row(
            what=what,
            against=against,
            goal=GOAL,
            ratio=ratio_of(seconds[which], seconds["ours"]),
            equal=not unlike[which],
            detail=f"{size}x{LENGTH} to {BUCKET}, captions, latents and sound: "
            f"{spread(seconds[which])} against {spread(seconds['ours'])}"
            + (f"; unlike: {', '.join(unlike[which][:3])}" if unlike[which] else ""),
        )
        for which, against in (
            ("plain", "a plain script of the same stages, one process, one clip after another"),
            ("own", "our own stages, one process, one clip after another"),
        )
    ]


if __name__ == "__main__":
    main("dataset", __doc__, measure)

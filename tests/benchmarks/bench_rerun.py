"""A rerun in which nothing has changed: the whole command, from its start to its exit code.

The clips are empty files whose probes are in the journal, with three outputs each. The command is
run as the user runs it, with a worker that is started for it, and in the foreground. Beside the
clock it is counted which packages any process imports and which media files any process opens.

python -m tests.benchmarks.bench_rerun [--quick]
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.models.toy import make_toy_models
from engine.project import Project
from tests.benchmarks.made_projects import make_finished, watching
from tests.benchmarks.rows import ROOT, Row, Usage, main, python, spread, timed
from tests.workers import end_worker

GOAL = 2.0
HEAVY = ("torch", "transformers", "torchaudio", "av", "cv2", "numpy")
# Told of every import by Python itself, in all processes that find this module on their path.
AUDIT = f"""
import os, sys
HEAVY = {HEAVY!r}
def hook(event, arguments):
    if event == "import" and arguments[0] in HEAVY:
        with open(os.environ["IMPORTED"], "a") as file:
            print(arguments[0], file=file)
sys.addaudithook(hook)
"""


def rerun(project: Project, log: Path, *more: str, **environment: str) -> Usage:
    """Run the command; the worker that it starts is ended afterwards."""
    command = python("ltx_tui", "process-dataset", str(project.root), *more)
    try:
        used = timed(command, log=log, **environment)
    finally:
        end_worker(project)
    said = log.read_text()
    assert "0 written" in said, said
    return used


def what_it_touches(project: Project, folder: Path) -> tuple[list[str], int, int]:
    """Return the heavy packages that a rerun imports, and how many media and models it opens."""
    imported = folder / "imported"
    imported.touch()
    (folder / "sitecustomize.py").write_text(AUDIT)
    models = folder / "models"
    holders = [path for path in (project.root / "clips").iterdir() if path.is_dir()]
    weights = [models, *(path for path in models.iterdir() if path.is_dir())]
    with watching(holders) as media, watching(weights) as files:
        rerun(
            project,
            folder / "log",
            IMPORTED=str(imported),
            PYTHONPATH=f"{folder}{os.pathsep}{ROOT}",
        )
        return sorted(set(imported.read_text().split())), media.count(), files.count()


def measure(quick: bool) -> Sequence[Row]:
    """Run the command again and again."""
    clips, rounds = (2_000, 2) if quick else (10_000, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toy = make_toy_models(folder / "models")
        project = make_finished(folder / "set", clips, (toy.checkpoint, toy.text_encoder))
        log = folder / "log"
        rerun(project, log)  # what the disk has not in memory yet
        worker = [rerun(project, log).wall for _ in range(rounds)]
        here = [rerun(project, log, "--foreground") for _ in range(rounds)]
        imported, media, models = what_it_touches(project, folder)
        lives = list((project.state_dir / "logs").glob("encoder-*"))
    touched = (
        f"imported of {', '.join(HEAVY)}: {', '.join(imported) or 'none'}; media files opened: "
        f"{media}; model files opened: {models}; encoders started: {len(lives)}"
    )
    light = not imported and not media and not lives
    common = {"goal": GOAL, "unit": "s", "most": True, "equal": light}
    what = f"rerun, nothing changed, {clips:,} clips"
    return [
        Row(
            what=what,
            ratio=statistics.median(worker),
            detail=f"three outputs a clip; the whole command, with the start of a worker: "
            f"{spread(worker)}; {touched}",
            **common,
        ),
        Row(
            what=f"{what}, in the foreground",
            ratio=statistics.median(one.wall for one in here),
            detail=f"the whole command: {spread([one.wall for one in here])}; of that "
            f"{spread([one.cpu for one in here])} of a core",
            **common,
        ),
    ]


if __name__ == "__main__":
    main("rerun", __doc__, measure)

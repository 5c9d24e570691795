"""A million rows through reading, plan and journal: seconds, and the peak of the process.

The media are empty files whose probes are in the journal; nothing is encoded. Each step is a
process of its own. The rerun finds a record and a file for each output.

python -m tests.benchmarks.bench_million [--quick] [--rows 1000000]
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from engine.dataset.clips import load_clips
from engine.dataset.columns import project_columns
from engine.dataset.manifest import load_manifest
from engine.files.identity import FileIdentity, hash_text
from engine.media.probe_types import PROBE_VERSION
from engine.precompute.facts import PlanFacts
from engine.precompute.layout import Stage, stage_folders
from engine.precompute.ledger import Ledger
from engine.precompute.plan import Planner
from engine.project import Project, load_project, write_project
from engine.worker.journal import Journal, SentStep, StepKey
from engine.worker.spec import JobSpec
from tests.benchmarks.made_projects import CAPTION, probe_of
from tests.benchmarks.rows import Row, main, python

ROWS, QUICK_ROWS = 1_000_000, 50_000
IN_FOLDER = 1000
STAGES = (Stage.CONDITIONS, Stage.LATENTS)
STEPS = 2_000  # that are written to the full journal one by one, as a worker does


def name_of(number: int) -> str:
    return f"clips/{number // IN_FOLDER:04}/scene-{number:07}.mp4"


def make(root: Path, rows: int, models: tuple[Path, Path]) -> None:
    """Write the dataset, empty media, and their probes."""
    for folder in range(-(-rows // IN_FOLDER)):
        (root / f"clips/{folder:04}").mkdir(parents=True)
    with (root / "dataset.jsonl").open("w") as file:
        for number in range(rows):
            row = {"media_path": name_of(number), "caption": f"{CAPTION}{number}"}
            file.write(json.dumps(row) + "\n")
    values = {
        "dataset.path": "dataset.jsonl",
        "models.checkpoint": str(models[0]),
        "models.text_encoder": str(models[1]),
        "run.device": "cpu",
        "video.buckets": "960x544x49;544x960x49",
    }
    write_project(root / "project.toml", values)
    project = load_project(root / "project.toml")
    Ledger(project.state_dir).close()
    empty = hash_text("")
    with contextlib.closing(sqlite3.connect(project.state_dir / "journal.db")) as db, db:
        for number in range(rows):
            name = name_of(number)
            found = touched(f"{root}/{name}")
            probe = msgspec.json.encode(probe_of(number))
            db.execute("INSERT INTO media VALUES (?,?,?,?,?)", (name, *found, PROBE_VERSION, probe))
            db.execute("INSERT INTO digests VALUES (?,?,?,?,?)", (name, "", *found, empty))


def touched(path: str) -> tuple[int, int]:
    """Make an empty file; return its size and time."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    found = os.stat(path)  # noqa: PTH116 - a million of them
    return found.st_size, found.st_mtime_ns


def read(project: Project) -> None:
    """Read the dataset and find its clips."""
    manifest = load_manifest(project.dataset_path)
    clips = load_clips(manifest, project_columns(manifest, project.dataset))
    assert len(clips.clips) == len(manifest.rows)


def plan(project: Project) -> None:
    """Plan the first run: everything is missing."""
    with Ledger(project.state_dir) as ledger:
        job = Planner(project, stage_folders(project.output_dir), ledger).make(STAGES)
    assert all(len(job.work[stage]) == len(job.clips) for stage in STAGES)


def finish(project: Project) -> None:
    """Make the outputs and their records, and a job that has done them all; not measured."""
    folders = stage_folders(project.output_dir)
    with Ledger(project.state_dir) as ledger:
        job = Planner(project, folders, ledger).make(STAGES)
        number = Journal(ledger.database).add(_spec(project))
        facts = PlanFacts(project, ledger, [clip.clip.media for clip in job.clips.values()])
        known = {
            (item.stage, item.row): msgspec.json.encode(
                facts.of(item.stage, job.clips[item.row]).facts
            )
            for item in job.plan.items
        }
        keys = {stage: ledger.database.key(folders[stage]) for stage in STAGES}
    with contextlib.closing(sqlite3.connect(project.state_dir / "journal.db")) as db, db:
        for item in job.plan.items:
            stage, output = item.stage, item.output
            if item.row % IN_FOLDER == 0:
                (folders[stage] / output).parent.mkdir(parents=True, exist_ok=True)
            found = touched(f"{folders[stage]}/{output}")
            facts_then = known[stage, item.row]
            db.execute(
                "INSERT INTO outputs VALUES (?,?,?,?,?,'',0,1.0,'one-shot')",
                (keys[stage], output, facts_then, *found),
            )
            db.execute(
                "INSERT INTO steps VALUES (?,?,?,?,?,'done',?,0,'','')",
                (number, stage.value, output, item.clip, item.row, facts_then),
            )


def _spec(project: Project) -> JobSpec:
    return JobSpec(kind="encode", project=project, stages=STAGES)


def rerun(project: Project) -> None:
    """Plan again: nothing is left to do."""
    with Ledger(project.state_dir) as ledger:
        job = Planner(project, stage_folders(project.output_dir), ledger).make(STAGES)
    assert not job.plan.has_work


def journal(project: Project) -> dict[str, float]:
    """Go on with a job that has done all rows, and do some more steps one by one."""
    folder = stage_folders(project.output_dir)[Stage.LATENTS]
    with Ledger(project.state_dir) as ledger:
        kept = Journal(ledger.database)
        number = kept.jobs()[-1].id
        began = time.perf_counter()
        listed = kept.jobs()
        listing = time.perf_counter() - began
        began = time.perf_counter()
        history = kept.history(number)
        reading = time.perf_counter() - began
        assert listed[-1].done == len(history.done)
        record = ledger.output(folder, Path(name_of(0)).with_suffix(".pt").as_posix())
        assert record is not None
        began = time.perf_counter()
        for step in range(STEPS):
            key = StepKey(Stage.LATENTS, f"more/{step}.pt")
            sent = SentStep(
                key=key, clip="more", row=0, fingerprint=record.fingerprint, sent=time.time()
            )
            kept.send(number, [sent])
            attempt = kept.start(number, key, device="cpu", rung="one-shot")
            kept.settle(attempt, "done", seconds=1.0, peak=0)
            with ledger.database.transaction():
                made = msgspec.structs.replace(record, identity=FileIdentity(size=1, mtime_ns=1))
                ledger.record(folder, key.output, made)
                kept.finish(number, key)
        steps = (time.perf_counter() - began) / STEPS
    return {"listing": listing, "history": reading, "step": steps}


PHASES: dict[str, Callable[[Project], object]] = {
    "read": read,
    "plan": plan,
    "finish": finish,
    "journal": journal,
    "rerun": rerun,
}


def child(phase: str, root: Path) -> None:
    """Do one phase in this process, and print what it took as JSON."""
    project = load_project(root / "project.toml")
    before = time.process_time()
    began = time.perf_counter()
    found = PHASES[phase](project)
    figures = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - before,
        "peak": _peak(),
    }
    print(json.dumps(figures | (found if isinstance(found, dict) else {})))


def _peak() -> float:
    """Return the peak of this process's memory in GiB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / (1 << 20)


def run_phases(rows: int) -> dict[str, dict[str, float]]:
    """Make a project of so many rows, and do all phases with it."""
    # Here, since what it imports is more than what is measured.
    from engine.models.toy import make_toy_models

    with tempfile.TemporaryDirectory() as name:
        toy = make_toy_models(Path(name) / "models")
        root = Path(name) / "set"
        make(root, rows, (toy.checkpoint, toy.text_encoder))
        found = {}
        for phase in PHASES:
            command = python("tests.benchmarks.bench_million", phase, str(root))
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[phase] = json.loads(out)
            print(phase, found[phase], file=sys.stderr, flush=True)
        found["file"] = {"size": (root / ".ltx-tui/journal.db").stat().st_size / (1 << 30)}
        return found


def table(rows: int, found: dict[str, dict[str, float]]) -> Sequence[Row]:
    """Return the figures as rows."""
    count, log = f"{rows:,} rows", found["journal"]

    def figure(phase: str, what: str) -> Row:
        one = found[phase]
        per_row = 1e6 * one["cpu"] / rows
        return Row(
            what=f"{count}: {what}",
            ratio=one["cpu"],
            unit="s",
            detail=f"seconds of one core, {per_row:.0f} µs a row; {one['seconds']:.1f} s on the "
            f"wall; peak of the process {one['peak']:.2f} GiB",
        )

    return [
        figure("read", "the dataset read, its clips found"),
        figure("plan", "plan of a first run, two stages"),
        figure("rerun", "plan of a rerun, two stages, nothing to do"),
        Row(
            what=f"{count}: a step written to the journal",
            ratio=1000 * log["step"],
            unit="ms",
            detail=f"sent, begun, settled, recorded, in four transactions, one of which waits for "
            f"the disk; the journal is {found['file']['size']:.2f} GiB",
        ),
        Row(
            what=f"{count}: list of jobs",
            ratio=log["listing"],
            unit="s",
            detail=f"what a job of that size had done is read again in {log['history']:.1f} s",
        ),
    ]


def measure(quick: bool, rows: int = 0) -> Sequence[Row]:
    """Do all phases."""
    rows = rows or (QUICK_ROWS if quick else ROWS)
    return table(rows, run_phases(rows))


def own_number() -> int:
    """Take `--rows NUMBER` off the command line; 0 where it is not there."""
    if "--rows" not in sys.argv:
        return 0
    at = sys.argv.index("--rows")
    _, number = sys.argv[at : at + 2]
    del sys.argv[at : at + 2]
    return int(number)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PHASES:
        child(sys.argv[1], Path(sys.argv[2]))
    else:
        main("million", __doc__, functools.partial(measure, rows=own_number()))

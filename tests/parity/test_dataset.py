"""The dataset side of the golden job: which clips, which outputs, which prompts."""

import json
from pathlib import PurePosixPath

from engine.buckets import choose, parse_buckets
from engine.captions import prompt
from engine.dataset.clips import load_clips
from engine.dataset.columns import resolve_columns
from engine.dataset.manifest import load_manifest

BUCKETS = parse_buckets("256x160x17;160x256x17;192x192x25")


def test_outputs_are_those_of_the_official_scripts(golden):
    manifest = load_manifest(golden / "clips" / "dataset.json")
    columns = resolve_columns(manifest, reference="reference_path")
    found = load_clips(manifest, columns)
    assert found.problems == ()
    expected = json.loads((golden / "expected" / "index.json").read_text())
    for stage in ("latents", "conditions", "reference_latents"):
        paths = [PurePosixPath(key) for key in expected if PurePosixPath(key).parts[0] == stage]
        assert {clip.output for clip in found.clips} == {path.relative_to(stage) for path in paths}
    assert prompt(found.clips[-1].caption, "TINYTOK") == (
        "TINYTOK   A caption with spaces around it  "
    )


def test_buckets_are_those_of_the_official_scripts(golden):
    expected = json.loads((golden / "expected" / "index.json").read_text())
    sources = {"landscape_24": (48, 640, 360), "portrait_30": (60, 360, 640)}
    sources["square_25"] = (40, 480, 480)
    for name, (frames, width, height) in sources.items():
        bucket = choose(frames, width, height, BUCKETS)
        shape = expected[f"latents/{name}.pt"]["tensors"]["latents"]["shape"]
        assert [128, *bucket.latent_shape()] == shape


def test_the_odd_dataset_loads_with_its_collision_named(golden):
    manifest = load_manifest(golden / "clips" / "odd.json")
    found = load_clips(manifest, resolve_columns(manifest))
    assert [(one.row, one.code) for one in found.problems] == [(7, "collision"), (8, "collision")]
    assert len(found.clips) == len(manifest.rows) - 2
    data = (golden / "clips" / "odd.json").read_bytes()
    assert manifest.to_bytes() == data

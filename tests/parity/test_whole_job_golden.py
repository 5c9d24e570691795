"""The whole job on the golden clips, against what the official scripts write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.precompute.layout import Stage
from tests.jobs import ending, failed, outputs, project_of, run

BUCKETS = "256x160x17;160x256x17;192x192x25"


@pytest.fixture(scope="module", params=["full", "trimmed"])
def result(
    request: pytest.FixtureRequest, golden: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Run the golden job; return its `.precomputed` and the text padding."""
    root = tmp_path_factory.mktemp("golden") / "clips"
    shutil.copytree(golden / "clips", root)
    models = (golden / "models" / "ltx2.safetensors", golden / "models" / "gemma")
    project = project_of(
        root,
        models,
        video__buckets=BUCKETS,
        audio__enabled=True,
        text__trigger="TINYTOK",
        text__padding=request.param,
        dataset__reference_column="reference_path",
    )
    stages = None if request.param == "full" else [Stage.CONDITIONS]
    events = run(project, stages)
    assert failed(events) == []
    assert ending(events).failures == ()
    return root / ".precomputed", request.param


@pytest.fixture(scope="module")
def index(golden: Path) -> dict[str, dict[str, object]]:
    loaded: dict[str, dict[str, object]] = json.loads((golden / "expected/index.json").read_text())
    return loaded


def compared(index: dict[str, dict[str, object]], padding: str) -> list[str]:
    return sorted(name for name in index if padding == "full" or name.startswith("conditions/"))


def test_the_same_files(result: tuple[Path, str], index: dict[str, dict[str, object]]) -> None:
    folder, padding = result
    assert outputs(folder) == set(compared(index, padding))


def test_the_same_keys_shapes_types_and_storages(
    result: tuple[Path, str], index: dict[str, dict[str, object]]
) -> None:
    folder, padding = result
    for name in compared(index, padding):
        payload = torch.load(folder / name, weights_only=True)
        entry = index[name]
        assert list(payload) == entry["keys"]
        for key, tensor in entry["tensors"].items():  # type: ignore[attr-defined]
            found = payload[key]
            assert list(found.shape) == tensor["shape"]
            assert str(found.dtype) == f"torch.{tensor['dtype']}"
            assert found.is_contiguous() == tensor["contiguous"]
            other = tensor["shares_storage_with"]
            if other is not None:
                assert found.data_ptr() == payload[other].data_ptr()
        for key, scalar in entry["scalars"].items():  # type: ignore[attr-defined]
            assert type(payload[key]).__name__ == scalar["type"]
            assert payload[key] == scalar["value"]


def expected(arrays: np.lib.npyio.NpzFile, name: str, like: torch.Tensor) -> torch.Tensor:
    array = arrays[name]
    if like.dtype is torch.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def test_the_same_values(
    result: tuple[Path, str], index: dict[str, dict[str, object]], golden: Path
) -> None:
    folder, padding = result
    worst: dict[str, float] = {}
    with np.load(golden / "expected/tensors.npz") as arrays:
        for name in compared(index, padding):
            payload = torch.load(folder / name, weights_only=True)
            stage = name.partition("/")[0]
            for key in index[name]["tensors"]:  # type: ignore[attr-defined]
                found = payload[key]
                wanted = expected(arrays, f"{name}::{key}", found)
                if key == "prompt_attention_mask":
                    assert torch.equal(found, wanted)
                    continue
                if stage == "conditions":
                    pad = payload["prompt_attention_mask"] == 0
                    assert torch.equal(found[pad], wanted[pad])
                worst[stage] = max(worst.get(stage, 0.0), relative(found, wanted))
    print(f"\nlargest relative L2 error, {padding}: {worst}")
    if padding == "trimmed":
        assert worst["conditions"] <= 0.008
        return
    assert worst["conditions"] == 0
    assert worst["latents"] == 0
    assert worst["reference_latents"] == 0
    assert worst["audio_latents"] <= 1e-4

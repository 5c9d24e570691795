"""The text projections against ltx-core's feature extractors."""

import json
from pathlib import Path

import pytest
import torch
from ltx_core.text_encoders.gemma.feature_extractor import FeatureExtractorV1, FeatureExtractorV2
from safetensors.torch import save_file

from engine.errors import ModelError
from engine.models.checkpoint import Checkpoint
from engine.models.text_projection import ProjectionV1, ProjectionV2, load_text_projection

HIDDEN, LAYERS = 24, 5
WIDTH = HIDDEN * LAYERS
DTYPES = [torch.float32, torch.bfloat16]


def states(dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, 12, HIDDEN, LAYERS, generator=generator)
    return (x * torch.tensor([1.0, 5, 20, 100, 0.1])).to(dtype)


def mask(*lengths: int) -> torch.Tensor:
    return torch.stack([torch.arange(12) >= 12 - n for n in lengths])


def seeded(module: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(4)
    for parameter in module.parameters():
        parameter.data.normal_(std=0.1, generator=generator)
    return module.to(dtype).requires_grad_(False)


@pytest.mark.parametrize("dtype", DTYPES)
def test_v1_equals_ltx_core_to_the_bit(dtype):
    ours = seeded(ProjectionV1(WIDTH, HIDDEN), dtype)
    theirs = FeatureExtractorV1(ours.aggregate_embed, is_av=True)
    real = mask(12, 5, 1)
    video, audio = ours(states(dtype), real)
    expected = theirs(list(states(dtype).unbind(-1)), real.long())
    assert torch.equal(video, expected[0])
    assert audio is video
    assert video.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sound", [16, None])
def test_v2_equals_ltx_core_to_the_bit(dtype, sound):
    ours = seeded(ProjectionV2(WIDTH, HIDDEN, 32, sound), dtype)
    theirs = FeatureExtractorV2(ours.video_aggregate_embed, HIDDEN, ours.audio_aggregate_embed)
    real = mask(12, 5, 1)
    video, audio = ours(states(dtype), real)
    expected = theirs(list(states(dtype).unbind(-1)), real.long())
    assert torch.equal(video, expected[0])
    if sound is None:
        assert audio is None
        assert expected[1] is None
    else:
        assert torch.equal(audio, expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "module", [ProjectionV1(WIDTH, HIDDEN), ProjectionV2(WIDTH, HIDDEN, 32, 16)]
)
def test_padding_is_what_the_projection_makes_of_padding(module, dtype):
    module = seeded(module, dtype)
    features = module(states(dtype), mask(12, 5, 1))
    for made, row in zip(features, module.padding(), strict=True):
        assert torch.equal(made[1, :7], row.expand(7, -1))


@pytest.mark.parametrize(
    "module", [ProjectionV1(WIDTH, HIDDEN), ProjectionV2(WIDTH, HIDDEN, 32, 16)]
)
def test_what_is_padded_does_not_matter(module):
    module = seeded(module, torch.float32)
    x, real = states(torch.float32), mask(12, 5, 1)
    rubbish = x.masked_fill(~real[:, :, None, None], float("nan"))
    for one, other in zip(module(x, real), module(rubbish, real), strict=True):
        assert torch.equal(one, other)


def checkpoint(path: Path, **shapes: tuple[int, ...]) -> Checkpoint:
    tensors = {
        f"text_embedding_projection.{name.replace('__', '.')}": torch.ones(shape)
        for name, shape in shapes.items()
    }
    save_file(tensors, path, metadata={"config": json.dumps({"transformer": {}})})
    return Checkpoint.open(path)


def load(file: Checkpoint):
    return load_text_projection(
        file, hidden=HIDDEN, layers=LAYERS, device="cpu", dtype=torch.float32
    )


def test_the_kind_follows_from_the_tensors(tmp_path):
    one = load(checkpoint(tmp_path / "1", aggregate_embed__weight=(7, WIDTH)))
    assert isinstance(one, ProjectionV1)
    maps = {
        "video_aggregate_embed__weight": (8, WIDTH),
        "video_aggregate_embed__bias": (8,),
    }
    silent = load(checkpoint(tmp_path / "2", **maps))
    assert isinstance(silent, ProjectionV2)
    assert silent.audio_aggregate_embed is None
    maps |= {"audio_aggregate_embed__weight": (4, WIDTH), "audio_aggregate_embed__bias": (4,)}
    two = load(checkpoint(tmp_path / "3", **maps))
    assert [p.shape[0] for p in two.padding()] == [8, 4]


def test_misfits_are_errors(tmp_path):
    with pytest.raises(ModelError, match=f"5 states of {HIDDEN}"):
        load(checkpoint(tmp_path / "1", aggregate_embed__weight=(7, WIDTH + 1)))
    with pytest.raises(ModelError, match=r"missing: video_aggregate_embed\.bias"):
        load(checkpoint(tmp_path / "2", video_aggregate_embed__weight=(7, WIDTH)))
    with pytest.raises(ModelError, match="unknown kind"):
        load(checkpoint(tmp_path / "3", something__weight=(7, WIDTH)))

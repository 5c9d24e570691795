"""The text encoder against the official preprocessing's embeddings."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.models.checkpoint import Checkpoint
from engine.models.text_encoder import PromptEmbeds, TextEncoder
from engine.models.tokens import TokenCounter

TRIGGER = "TINYTOK"


@pytest.fixture(scope="module")
def names(golden: Path) -> dict[str, str]:
    """Prompt of each expected file."""
    rows = json.loads((golden / "clips" / "dataset.json").read_text())
    return {
        f"conditions/{Path(row['media_path']).with_suffix('.pt')}": f"{TRIGGER} {row['caption']}"
        for row in rows
    }


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, torch.Tensor]:
    with np.load(golden / "expected" / "tensors.npz") as file:
        found = {k: torch.from_numpy(file[k].copy()) for k in file.files if "conditions/" in k}
    return {k: v.view(torch.bfloat16) if v.dtype == torch.uint16 else v for k, v in found.items()}


def encoder(golden: Path, dtype: torch.dtype) -> TextEncoder:
    checkpoint = Checkpoint.open(golden / "models" / "ltx2.safetensors")
    return TextEncoder.load(golden / "models" / "gemma", checkpoint, "cpu", dtype=dtype)


@pytest.fixture(scope="module")
def bf16(golden: Path) -> TextEncoder:
    return encoder(golden, torch.bfloat16)


@pytest.fixture(scope="module")
def full(bf16: TextEncoder, names: dict[str, str]) -> list[PromptEmbeds]:
    return bf16.encode(list(names.values()), padding="full")


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours.float() - theirs.float()).norm() / theirs.float().norm()).item()


def test_full_padding_equals_the_official_embeddings_to_the_bit(names, expected, full):
    for file, embeds in zip(names, full, strict=True):
        assert embeds.video.dtype == torch.bfloat16
        assert torch.equal(embeds.video, expected[f"{file}::video_prompt_embeds"])
        assert torch.equal(embeds.audio, expected[f"{file}::audio_prompt_embeds"])
        assert torch.equal(embeds.mask, expected[f"{file}::prompt_attention_mask"])
        assert embeds.audio is embeds.video


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_trimmed_prompts_stay_within_bf16_rounding(bf16, names, expected, batch_size):
    trimmed = bf16.encode(list(names.values()), batch_size=batch_size)
    for file, embeds in zip(names, trimmed, strict=True):
        theirs = expected[f"{file}::video_prompt_embeds"]
        assert relative(embeds.video, theirs) <= 0.008
        padded = 1024 - embeds.tokens
        assert torch.equal(embeds.video[:padded], theirs[:padded])
        assert torch.equal(embeds.mask, expected[f"{file}::prompt_attention_mask"])
        assert embeds.audio is embeds.video


def test_trimmed_equals_full_in_f32(golden, names):
    model = encoder(golden, torch.float32)
    prompts = list(names.values())[:3]
    pairs = zip(
        model.encode(prompts, batch_size=2), model.encode(prompts, padding="full"), strict=True
    )
    for trimmed, padded in pairs:
        assert trimmed.tokens == padded.tokens
        assert relative(trimmed.video, padded.video) <= 1e-6


def test_tokens_are_counted_as_encoded(golden, names, full):
    counter = TokenCounter(golden / "models" / "gemma")
    assert [counter.count(prompt) for prompt in names.values()] == [e.tokens for e in full]


def test_ids_are_transformers_own(golden, names):
    from transformers import AutoTokenizer

    folder = golden / "models" / "gemma"
    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ours = TokenCounter(folder)
    odd = ["", "naïve café — 日本語 🎬", "two  spaces\nand a line", "<bos> twice", "x" * 300]
    for prompt in [*names.values(), *odd]:
        assert ours.ids(prompt) == theirs(prompt.strip()).input_ids
    assert ours.pad_id == theirs.pad_token_id

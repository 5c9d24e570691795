"""Gemma's text tower against transformers' `Gemma3TextModel`: equal to the bit on the CPU."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Gemma3TextConfig, Gemma3TextModel

from engine.models import gemma
from engine.models.gemma import load_text_tower
from engine.models.gemma_config import gemma_config
from engine.models.gemma_kernels import Heads, attention
from engine.models.gemma_tower import GemmaTower

OLD_ROPE = {
    "sliding_window_pattern": 3,
    "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
}
SMALL: dict[str, Any] = {
    "model_type": "gemma3_text",
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "query_pre_attn_scalar": 16,
    "sliding_window": 24,
    **OLD_ROPE,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "small": SMALL,
    # Every head has its own key; with biases, another epsilon and no scaling.
    "alone": SMALL
    | {
        "num_key_value_heads": 4,
        "attention_bias": True,
        "rms_norm_eps": 1e-5,
        "rope_scaling": None,
        "rope_local_base_freq": 5_000,
        "query_pre_attn_scalar": 12,
    },
    # All heads have one key, and each layer is local, then each global.
    "local": SMALL | {"num_key_value_heads": 1, "layer_types": ["sliding_attention"] * 4},
    "global": SMALL | {"layer_types": ["full_attention"] * 4, "head_dim": 32},
    # The 12B's proportions and the size of its heads, a sixteenth as wide.
    "narrow": SMALL
    | {
        "hidden_size": 240,
        "intermediate_size": 960,
        "num_hidden_layers": 7,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 64,
        "sliding_window_pattern": 6,
    },
    # As transformers 5 writes it.
    "newer": {key: value for key, value in SMALL.items() if key not in OLD_ROPE}
    | {
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"] * 2,
        "num_hidden_layers": 6,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500_000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 20_000.0},
        },
        "use_bidirectional_attention": False,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": 30.0,
    },
}
# Of each prompt, in windows: within, at and beyond the local layers' one.
LENGTHS = {
    "one": [0.4],
    "one token": [0],
    "padded": [0.8, 0.3, 0.5],
    "alike": [0.9, 0.9],
    "at the window": [1],
    "padded at the window": [1, 0.5],
    "beyond": [2.6],
    "padded beyond": [2.3, 1.5, 0.2],
}


def oracle(table: dict[str, Any], dtype: torch.dtype) -> Gemma3TextModel:
    """Return transformers' tower with weights that all matter; buffers keep their dtype."""
    config = Gemma3TextConfig.from_dict(json.loads(json.dumps(table)))
    config.use_cache = False
    tower = Gemma3TextModel(config).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(4)
    for tensor in tower.parameters():
        deviation = 0.3 if tensor.ndim == 1 else tensor.shape[1] ** -0.5
        tensor.data = (torch.randn(tensor.shape, generator=draw) * deviation).to(dtype)
    return tower


def ours_of(theirs: Gemma3TextModel, table: dict[str, Any]) -> GemmaTower:
    tower = GemmaTower(gemma_config(table)).eval().requires_grad_(False)
    tower.load_state_dict(theirs.state_dict(), assign=True)
    return tower


def tokens(lengths: list[int], vocabulary: int) -> tuple[Tensor, Tensor]:
    """Return ids [B, T] and the mask of prompts that are padded on the left."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(3, vocabulary, (len(lengths), max(lengths)), generator=draw)
    mask = torch.ones_like(ids)
    for row, length in enumerate(lengths):
        mask[row, : max(lengths) - length] = 0
    return ids * mask, mask


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(torch.int16 if tensor.dtype == torch.bfloat16 else torch.int32)


def same(ours: Any, theirs: Any) -> bool:
    pairs = zip(ours.hidden_states, theirs.hidden_states, strict=True)
    assert torch.equal(bits(ours.last_hidden_state), bits(ours.hidden_states[-1]))
    return all(a.dtype == b.dtype and torch.equal(bits(a), bits(b)) for a, b in pairs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "f32"])
@pytest.mark.parametrize("name", CONFIGS)
def test_all_states_are_those_of_transformers(name: str, dtype: torch.dtype) -> None:
    table = CONFIGS[name]
    theirs = oracle(table, dtype)
    ours = ours_of(theirs, table)
    for words, windows in LENGTHS.items():
        lengths = [max(1, round(share * table["sliding_window"])) for share in windows]
        ids, mask = tokens(lengths, table["vocab_size"])
        late = torch.arange(1024 - ids.shape[1], 1024)[None]
        for positions in (None, late, late.expand(len(lengths), -1)):
            asked = {"input_ids": ids, "position_ids": positions, "output_hidden_states": True}
            with torch.inference_mode():
                wanted = theirs(**asked, attention_mask=mask)
                assert same(ours(**asked, attention_mask=mask), wanted), words
                if mask.all():
                    assert same(ours(**asked), theirs(**asked)), words
                    assert same(ours(**asked), wanted), words


def test_the_longest_prompt_within_the_12b_s_window() -> None:
    """1,024 places, padded as the reference pads them, and all of them taken."""
    table = CONFIGS["narrow"] | {"sliding_window": 1024, "num_hidden_layers": 2}
    theirs = oracle(table, torch.bfloat16)
    ours = ours_of(theirs, table)
    for lengths in ([1024], [1024, 160]):
        ids, mask = tokens(lengths, table["vocab_size"])
        asked = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
        with torch.inference_mode():
            assert same(ours(**asked), theirs(**asked))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_no_file_holds_is_that_of_transformers(name: str) -> None:
    theirs = dict(oracle(CONFIGS[name], torch.float32).named_buffers())
    with torch.device("meta"):
        tower = GemmaTower(gemma_config(CONFIGS[name]))
    tower.fill("cpu")
    ours = dict(tower.named_buffers())
    assert ours.keys() == theirs.keys()
    for key, buffer in ours.items():
        assert buffer.dtype == torch.float32
        assert torch.equal(buffer, theirs[key]), key


def test_states_are_kept_only_where_they_are_asked_for() -> None:
    tower = ours_of(oracle(SMALL, torch.float32), SMALL)
    ids, _ = tokens([5], SMALL["vocab_size"])
    assert tower(ids).hidden_states is None
    told = tower(ids, output_hidden_states=True)
    assert len(told.hidden_states) == SMALL["num_hidden_layers"] + 1
    assert torch.equal(told.last_hidden_state, tower(ids).last_hidden_state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "f32"])
@pytest.mark.parametrize("length", [1, 2, 17, 64, 129, 256, 513])
def test_a_mask_of_what_comes_before_changes_no_bit(length: int, dtype: torch.dtype) -> None:
    """So none is made where there is no padding and all is within the window."""
    draw = torch.Generator().manual_seed(length)

    def heads(count: int) -> Tensor:
        drawn = torch.randn(2, length, count, 32, generator=draw).to(dtype)
        return drawn.transpose(1, 2)

    query, key, value = heads(4), heads(2), heads(2)
    before = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
    plain = attention(Heads(query, key, value, None, 0.2))
    masked = attention(Heads(query, key, value, before, 0.2))
    key, value = (x.repeat_interleave(2, dim=1) for x in (key, value))
    repeated = attention(Heads(query, key, value, before.expand(2, -1, -1, -1), 0.2))
    assert torch.equal(bits(plain), bits(masked))
    assert torch.equal(bits(plain), bits(repeated))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tower = oracle(SMALL, torch.float32)
    tensors = {f"model.{name}": tensor for name, tensor in tower.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    return tmp_path


def test_weights_are_read_on_the_device_and_cast_there(folder, monkeypatch) -> None:
    asked = []
    real = gemma.safe_open

    def watched(*arguments: Any, **options: Any) -> Any:
        asked.append(options["device"])
        return real(*arguments, **options)

    monkeypatch.setattr(gemma, "safe_open", watched)
    tower = load_text_tower(folder, torch.device("cpu"), dtype=torch.bfloat16)
    assert asked == ["cpu"]
    theirs = oracle(SMALL, torch.float32).state_dict()
    assert all(torch.equal(t, theirs[n].bfloat16()) for n, t in tower.state_dict().items())
    assert not any(tensor.requires_grad for tensor in tower.parameters())


# Torch loads its compiler for some operations on "meta", which takes longer than torch itself.
LIGHT = """
import pathlib, sys
import torch
import engine.precompute.stages.text, engine.models.toy
from engine.models.gemma import load_text_tower
tower = load_text_tower(pathlib.Path(sys.argv[1]), "cpu", dtype=torch.bfloat16)
tower(torch.arange(5)[None])
heavy = {"transformers", "huggingface_hub", "torch._dynamo"}
sys.exit(" ".join(heavy & {*sys.modules}) or 0)
"""


def test_a_tower_is_loaded_and_run_without_transformers_or_torchs_compiler(folder) -> None:
    command = [sys.executable, "-c", LIGHT, str(folder)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr


def test_the_references_bits_come_from_the_kernel_that_torch_chooses() -> None:
    tower = ours_of(oracle(SMALL, torch.float32), SMALL)
    ids, _ = tokens([5], SMALL["vocab_size"])
    asked: list[Heads] = []

    def noting(heads: Heads) -> Tensor:
        asked.append(heads)
        return attention(heads)

    tower._attend = noting  # type: ignore[assignment]
    tower(ids, fastest=False)
    assert not asked
    tower(ids)
    assert len(asked) == len(tower.layers)

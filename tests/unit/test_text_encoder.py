"""The text encoder on the toy language model, and the folders that it refuses."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import Gemma3TextModel

from engine.errors import EnvironmentFaultError, ModelError
from engine.models.checkpoint import Checkpoint
from engine.models.gemma import load_text_tower
from engine.models.text_encoder import TextEncoder, _batches
from engine.models.tokens import TokenCounter
from engine.models.toy import ToyModels, make_toy_models


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> ToyModels:
    return make_toy_models(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module", params=["2.0", "2.3"])
def f32(request, tmp_path_factory) -> TextEncoder:
    models = make_toy_models(tmp_path_factory.mktemp("toy"), generation=request.param)
    checkpoint = Checkpoint.open(models.checkpoint)
    return TextEncoder.load(models.text_encoder, checkpoint, "cpu", dtype=torch.float32)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


# The toy's sliding window is 512, so that the longest prompt reaches beyond it.
PROMPTS = ["", "a man walks", "日本語 🎬", "the camera follows a dog " * 5, "rain " * 700]


def test_trimmed_equals_full(f32):
    trimmed = f32.encode(PROMPTS, batch_size=3)
    for one, other in zip(trimmed, f32.encode(PROMPTS, padding="full"), strict=True):
        assert one.tokens == other.tokens
        assert relative(one.video, other.video) <= 1e-6
        assert relative(one.audio, other.audio) <= 1e-6
        padded = 1024 - one.tokens
        assert torch.equal(one.video[:padded], other.video[:padded])
        assert torch.equal(one.audio[:padded], other.audio[:padded])
        assert torch.equal(one.mask, other.mask)
        assert one.mask.dtype == torch.int64
        assert int(one.mask.sum()) == one.tokens == int(one.mask[padded:].sum())


def test_positions_matter_so_the_test_above_says_something(toy):
    """At positions 0 … n-1 the states would differ measurably."""
    tower = load_text_tower(toy.text_encoder, "cpu", dtype=torch.float32)
    ids = torch.tensor([TokenCounter(toy.text_encoder).ids("a man walks slowly")])
    shifted = torch.arange(1024 - ids.shape[1], 1024)[None]
    with torch.inference_mode():
        here = tower(input_ids=ids).last_hidden_state
        there = tower(input_ids=ids, position_ids=shifted).last_hidden_state
    assert relative(here, there) > 1e-7


@settings(deadline=None, max_examples=8)
@given(order=st.permutations(range(4)), batch_size=st.integers(1, 5))
def test_neither_order_nor_batch_matters(f32, order, batch_size):
    alone = [f32.encode([prompt])[0] for prompt in PROMPTS[:4]]
    mixed = f32.encode([PROMPTS[i] for i in order], batch_size=batch_size)
    for i, one in zip(order, mixed, strict=True):
        assert relative(one.video, alone[i].video) <= 1e-6
        assert one.tokens == alone[i].tokens


def test_long_prompts_are_cut_and_counted(f32):
    (embeds,) = f32.encode(["rain " * 1500])
    assert embeds.tokens == 1024
    assert embeds.truncated > 0
    assert embeds.mask.all()
    (again,) = f32.encode(["rain " * 1600])
    assert again.truncated == embeds.truncated + 100
    assert torch.equal(again.video, embeds.video)


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 1024), max_size=40), size=st.integers(1, 9))
def test_prompts_of_similar_length_go_together(lengths, size):
    batches = list(_batches(lengths, size))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= size
        assert 3 * max(lengths[i] for i in batch) <= 4 * min(lengths[i] for i in batch)
    longest = [lengths[batch[0]] for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_no_prompts_no_work(f32):
    assert f32.encode([]) == []


def test_tower_equals_from_pretrained_and_keeps_its_frequencies(toy):
    ours = load_text_tower(toy.text_encoder, "cpu", dtype=torch.bfloat16)
    theirs = Gemma3TextModel.from_pretrained(toy.text_encoder, dtype=torch.bfloat16).eval()
    ids = torch.randint(0, 1024, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(
            ours(input_ids=ids).last_hidden_state, theirs(input_ids=ids).last_hidden_state
        )
    kept = {n: b for n, b in ours.named_buffers() if n.endswith("inv_freq")}
    assert len(kept) == 4
    assert all(b.dtype == torch.float32 for b in kept.values())
    assert {p.dtype for p in ours.parameters()} == {torch.bfloat16}


def copied(toy: ToyModels, target: Path) -> Path:
    return Path(shutil.copytree(toy.text_encoder, target))


def renamed(toy: ToyModels, target: Path, prefix: str, **more: torch.Tensor) -> Path:
    """Return the folder with other names before the text tower's own."""
    folder = copied(toy, target)
    tensors = load_file(folder / "model.safetensors")
    own = {f"{prefix}{k.removeprefix('model.')}": v for k, v in tensors.items()}
    save_file({**own, **more}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model.", ""])
def test_names_of_every_transformers_release(toy, tmp_path, prefix):
    head = prefix.split("language_model")[0] if prefix else ""
    folder = renamed(
        toy,
        tmp_path / "gemma",
        prefix,
        **{f"{head}vision_tower.x.weight": torch.ones(3), "lm_head.weight": torch.ones(2)},
    )
    ours = load_text_tower(folder, "cpu", dtype=torch.bfloat16)
    plain = load_text_tower(toy.text_encoder, "cpu", dtype=torch.bfloat16)
    state = plain.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in ours.state_dict().items())


def test_shards_with_an_index(toy, tmp_path):
    folder = copied(toy, tmp_path / "gemma")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts: list[dict[str, torch.Tensor]] = [{}, {}]
    for i, (name, tensor) in enumerate(sorted(tensors.items())):
        parts[i % 2][name] = tensor
    files = [f"model-0000{i + 1}-of-00002.safetensors" for i in range(2)]
    for file, part in zip(files, parts, strict=True):
        save_file(part, folder / file)
    index = {name: files[i % 2] for i, name in enumerate(sorted(tensors))}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    tower = load_text_tower(folder, "cpu", dtype=torch.bfloat16)
    assert torch.equal(tower.norm.weight, tensors["model.norm.weight"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("model.norm.weight"), "missing: norm.weight"),
        (lambda t: t.update({"model.extra": torch.ones(1)}), "unexpected: extra"),
        (lambda t: t.update({"other.weight": torch.ones(1)}), r"unexpected: other\.weight"),
        (lambda t: t.update({"model.norm.weight": torch.ones(3)}), "another shape: norm.weight"),
        (lambda t: t.pop("model.embed_tokens.weight"), "missing: embed_tokens.weight"),
    ],
)
def test_weights_that_do_not_fit(toy, tmp_path, change, words):
    folder = copied(toy, tmp_path / "gemma")
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match=words):
        load_text_tower(folder, "cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "gemma4_unified"}, "Gemma 4.*not supported yet"),
        ({"model_type": "llama"}, "'llama' model, not Gemma 3"),
        ({"model_type": "gemma3"}, "'gemma3' model"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
        ({"head_dim": 10**12}, "another shape"),
        ({"hidden_size": "wide"}, "hidden_size"),
    ],
)
def test_configs_that_cannot_be_used(toy, tmp_path, changes, words):
    folder = copied(toy, tmp_path / "gemma")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ModelError, match=words):
        load_text_tower(folder, "cpu", dtype=torch.bfloat16)


def test_a_packed_text_encoder_is_refused(toy, tmp_path):
    packed = tmp_path / "packed.safetensors"
    packed.write_bytes(b"x")
    with pytest.raises(ModelError, match=r"packed text encoder.*not supported yet"):
        load_text_tower(packed, "cpu", dtype=torch.bfloat16)
    save_file({"tokenizer_json": torch.ones(3)}, packed, metadata={"config": "{}"})
    with pytest.raises(ModelError, match=r"LTX-2\.5.*not supported yet"):
        TextEncoder.load(toy.text_encoder, Checkpoint.open(packed), "cpu")


def test_eight_bits_need_bitsandbytes(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(EnvironmentFaultError, match=r'pip install "ltx-tui\[quantize\]"'):
        load_text_tower(toy.text_encoder, "cpu", dtype=torch.bfloat16, eight_bit=True)


def test_eight_bits_stay_close(toy):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is an extra")
    checkpoint = Checkpoint.open(toy.checkpoint)
    exact, rounded = (
        TextEncoder.load(toy.text_encoder, checkpoint, "cpu", eight_bit=eight).encode(
            ["a man walks slowly across an empty street"]
        )[0]
        for eight in (False, True)
    )
    assert 0 < relative(rounded.video.float(), exact.video.float()) < 0.1

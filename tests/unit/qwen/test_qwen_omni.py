"""Qwen2.5-Omni with random weights and the real classes: what it writes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.captioners.qwen_media import Reader, together
from engine.captioners.qwen_omni import QwenOmni, find_folder, read_config, read_sizes
from engine.errors import EnvironmentFaultError, ModelError
from engine.memory.ways import CancelledError
from engine.precompute.stages.captions import CaptionStage
from engine.precompute.steps import CaptionSetup
from tests.qwen_models import make_whole
from tests.unit.qwen.conftest import encoded


def test_the_published_layout_is_read_as_well(
    folder: Path, model: QwenOmni, clips: Path, tmp_path: Path
) -> None:
    whole = make_whole(folder, tmp_path / "whole")
    other = QwenOmni.load(whole, "cpu", dtype=torch.float32)
    given = encoded(model.reader, clips / "wide.mp4")
    assert other.write([given], max_tokens=12) == model.write([given], max_tokens=12)
    assert read_sizes(whole, read_config(whole)) == read_sizes(folder, read_config(folder))


def test_a_batch_writes_what_each_clip_writes_alone(model: QwenOmni, clips: Path) -> None:
    with_sound = [encoded(model.reader, clips / name) for name in ("wide.mp4", "tall.mp4")]
    without = [
        encoded(model.reader, clips / name, sound=False)
        for name in ("mute.mp4", "wide.mp4", "tall.mp4")
    ]
    for group in (with_sound, without):
        alone = [model.write([one], max_tokens=16)[0] for one in group]
        assert model.write(group, max_tokens=16) == alone
    batch = together(with_sound, 0)
    assert batch["attention_mask"].sum(1).tolist() == [
        one["input_ids"].shape[1] for one in with_sound
    ]


def test_only_the_last_place_is_turned_into_words(model: QwenOmni, clips: Path) -> None:
    seen: list[torch.Size] = []
    head = model._model.lm_head
    hook = head.register_forward_hook(lambda _m, _i, out: seen.append(out.shape))
    given = encoded(model.reader, clips / "mute.mp4")
    model.write([given], max_tokens=3)
    hook.remove()
    assert {shape[1] for shape in seen} == {1}


class Script(nn.Module):
    """Says a text, token by token, whatever it is given."""

    def __init__(self, reader: Reader, texts: Sequence[str]) -> None:
        super().__init__()
        tokenizer = reader.processor.tokenizer
        self.ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        self.size = len(tokenizer)
        self.said = 0

    def forward(self, states: Tensor) -> Tensor:
        logits = torch.zeros(len(states), 1, self.size)
        for row, ids in enumerate(self.ids[: len(states)]):
            logits[row, 0, ids[min(self.said, len(ids) - 1)]] = 9
        self.said += 1
        return logits


@pytest.fixture
def say(model: QwenOmni) -> Iterator[Any]:
    """Return what lets the model say a text, each row of a batch its own."""
    head = model._model.lm_head

    def make(*texts: str) -> Script:
        script = Script(model.reader, texts)
        model._model.lm_head = script
        return script

    yield make
    model._model.lm_head = head


def test_an_invented_turn_ends_the_answer_at_once(model: QwenOmni, clips: Path, say: Any) -> None:
    given = encoded(model.reader, clips / "mute.mp4")
    script = say("[VISUAL]: A wall.\nHuman: go on, and on, and on and on and on and on")
    assert model.write([given]) == ["[VISUAL]: A wall."]
    assert script.said <= len("[VISUAL]: A wall.\nHuman: ")
    # In a batch the others go on to their own end.
    say("One.\nHuman: x", "Two sheep are here, and one more.<|im_end|>")
    assert model.write([given, given]) == ["One.", "Two sheep are here, and one more."]


def test_an_answer_has_its_most(model: QwenOmni, clips: Path, say: Any) -> None:
    given = encoded(model.reader, clips / "mute.mp4")
    script = say("a")
    assert model.write([given], max_tokens=40) == ["a" * 40]
    assert script.said == 40


def test_writing_is_given_up_between_two_words(model: QwenOmni, clips: Path, say: Any) -> None:
    script = say("a")
    given = encoded(model.reader, clips / "mute.mp4")
    with pytest.raises(CancelledError):
        model.write([given], cancelled=lambda: script.said >= 5)
    assert script.said == 5


def test_it_runs_in_bf16_with_exact_rotary_frequencies(folder: Path, clips: Path) -> None:
    half = QwenOmni.load(folder, "cpu")
    assert {p.dtype for p in half._model.parameters()} == {torch.bfloat16}
    buffers = dict(half._model.named_buffers())
    exact = 1e6 ** -(torch.arange(0, 8, 2).float() / 8)
    torch.testing.assert_close(buffers["model.language_model.rotary_emb.inv_freq"], exact)
    given = encoded(half.reader, clips / "wide.mp4")
    assert half.write([given], max_tokens=8) == half.write([given], max_tokens=8)


# What is refused


def copied(folder: Path, to: Path, *left_out: str) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        if file.name not in left_out:
            (to / file.name).write_bytes(file.read_bytes())
    return to


def test_unusable_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no config"):
        QwenOmni.load(copied(folder, tmp_path / "a", "config.json"), "cpu")
    other = copied(folder, tmp_path / "b", "config.json")
    (other / "config.json").write_text('{"model_type": "gemma3"}')
    with pytest.raises(ModelError, match="not Qwen"):
        QwenOmni.load(other, "cpu")
    pickled = copied(folder, tmp_path / "c", "model.safetensors")
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="safetensors weights"):
        QwenOmni.load(pickled, "cpu")
    with pytest.raises(ModelError, match="chat template"):
        QwenOmni.load(copied(folder, tmp_path / "d", "chat_template.json"), "cpu")
    with pytest.raises(ModelError, match="processor"):
        QwenOmni.load(copied(folder, tmp_path / "e", "preprocessor_config.json"), "cpu")
    with pytest.raises(ModelError, match="no such folder"):
        find_folder("./nowhere")


def test_weights_that_do_not_fit_the_config(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path / "a", "config.json")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    config["text_config"]["layer_types"] = ["full_attention"] * 3
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="missing"):
        QwenOmni.load(other, "cpu")


def test_8_bit_without_its_packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EnvironmentFaultError, match="bitsandbytes") as caught:
        QwenOmni.load(folder, "cpu", eight_bit=True)
    assert "ltx-tui[quantize]" in caught.value.remedy
    setup = CaptionSetup(captioner="qwen_omni", model=str(folder), device="cpu", eight_bit=True)
    with pytest.raises(EnvironmentFaultError, match="bitsandbytes"):
        CaptionStage(setup, lambda *_: None)

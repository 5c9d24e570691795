"""Text under a memory budget: a batch, one at a time, in 8 bits by name, on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

import pytest
import torch
from torch import nn

from engine.memory.forecast import text_weights
from engine.memory.ways import MemoryShortError
from engine.models.checkpoint import Checkpoint
from engine.precompute.layout import Stage
from engine.precompute.outputs import tensor
from engine.precompute.stages import text as text_stage
from engine.precompute.stages.base import Made
from engine.precompute.stages.text import TextStage
from engine.precompute.steps import (
    StageSetup,
    TextStep,
)
from tests.stage_guards import Gpu, Models, Told, go_on, nobody

# Of similar length, so that they share a batch.
PROMPTS = [
    "a man walks " * 12,
    "the camera follows a dog " * 7,
    "rain " * 40,
    "日本語 🎬 " * 2 + "rain " * 8,
]


def text_setup(models: Models, **more: object) -> StageSetup:
    return StageSetup(
        stage=Stage.CONDITIONS,
        checkpoint=str(models[0]),
        text_encoder=str(models[1]),
        **({"device": "cpu"} | more),  # type: ignore[arg-type]
    )


def text_steps() -> list[TextStep]:
    return [
        TextStep(id=n, clip=f"{n}", row=n, output="unused", prompt=prompt)
        for n, prompt in enumerate(PROMPTS)
    ]


def encode_text(stage: TextStage, count: int = len(PROMPTS)) -> list[Made]:
    steps = text_steps()[:count]
    return stage.make(steps, [stage.prepare(step) for step in steps], go_on)


def embeds(made: Sequence[Made]) -> list[torch.Tensor]:
    return [tensor(one.payload, "video_prompt_embeds") for one in made]


def near(found: Sequence[Made], wanted: Sequence[Made], tolerance: float) -> bool:
    pairs = zip(embeds(found), embeds(wanted), strict=True)
    errors = [float((a.float() - b.float()).norm() / b.float().norm()) for a, b in pairs]
    return max(errors) <= tolerance


@pytest.fixture(scope="module")
def batch_of_text(models: Models) -> list[Made]:
    made = encode_text(TextStage(text_setup(models), nobody))
    assert {one.rung for one in made} == {"batch 4"}
    return made


def test_counting_changes_no_bit_of_the_text(models: Models, batch_of_text: list[Made]) -> None:
    model = TextStage(text_setup(models), nobody).model
    plain = model.encode(PROMPTS, batch_size=len(PROMPTS))
    assert all(map(torch.equal, embeds(batch_of_text), [one.video for one in plain]))


def text_weight(models: Models) -> int:
    return text_weights(Checkpoint.open(models[0]), models[1], 2)


def text_limit(models: Models) -> int:
    """Enough for one prompt at a time, and too little for four."""
    stage = TextStage(text_setup(models), nobody)
    steps, counts = text_steps(), [stage.prepare(step) for step in text_steps()]
    batch, one = (way.need for way in stage._ways(steps, counts))
    return (batch + one) // 2


def test_prompts_are_done_one_at_a_time_where_a_batch_does_not_fit(
    models: Models, batch_of_text: list[Made]
) -> None:
    stage = TextStage(text_setup(models, limit=text_limit(models)), nobody)
    stage.open()
    assert stage.begins_with(text_steps()) == "one at a time"
    made = encode_text(stage)
    assert {one.rung for one in made} == {"one at a time"}
    assert [one.detail for one in made] == [one.detail for one in batch_of_text]
    assert near(made, batch_of_text, 0.01)


def test_so_they_are_when_a_batch_runs_out_of_memory(
    models: Models, batch_of_text: list[Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = text_limit(models)
    monkeypatch.setattr("engine.precompute.stages.text.text_peak", lambda *_, **__: 1)
    stage = TextStage(text_setup(models, limit=limit), nobody)
    stage.open()
    made = encode_text(stage)
    assert {one.rung for one in made} == {"one at a time"}
    assert near(made, batch_of_text, 0.01)
    (failed,) = [peak for peak in stage.take_learned() if not peak.fits]
    assert (failed.shape, failed.rung) == ("4 of up to 64 tokens", "batch 4")


def test_text_goes_to_the_cpu_last(
    models: Models, batch_of_text: list[Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu(monkeypatch, TextStage, text_weight(models) + 1000)
    stage = TextStage(text_setup(models), gpu.load)
    stage.open()
    made = encode_text(stage)
    assert {one.rung for one in made} == {"batch 4 on CPU"}
    assert all(one.detail.endswith("tokens, on CPU") for one in made)
    assert gpu.loaded == ["text encoder"] * 2
    assert near(made, batch_of_text, 0)


class Rounded(nn.Linear):
    """Stands in for a linear layer of bitsandbytes: one byte a weight."""

    def __init__(self, inner: int, outer: int, *, bias: bool, device: str, **_: object) -> None:
        super().__init__(inner, outer, bias=bias, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, (self.weight.float() / 256).to(x.dtype))


class Int8Params(nn.Parameter):
    """A parameter that is quantised when it is moved."""

    def __new__(
        cls, data: torch.Tensor, requires_grad: bool = False, has_fp16_weights: bool = False
    ) -> nn.Parameter:
        quantised = (data.float() * 256).round().clamp(-128, 127).to(torch.int8)
        return nn.Parameter(quantised, requires_grad=False)


@pytest.fixture
def bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("bitsandbytes")
    layers = ModuleType("bitsandbytes.nn")
    layers.Linear8bitLt, layers.Int8Params = Rounded, Int8Params  # type: ignore[attr-defined]
    module.nn = layers  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitsandbytes", module)
    monkeypatch.setattr(text_stage, "can_quantise", lambda _: True)


@pytest.mark.usefixtures("bitsandbytes")
def test_eight_bits_come_before_the_cpu_only_when_asked_for_by_name(
    models: Models, batch_of_text: list[Made]
) -> None:
    limit = text_weight(models) - 1000
    with pytest.raises(MemoryShortError):
        TextStage(text_setup(models, limit=limit), nobody).open()
    told, loaded = Told(), []
    stage = TextStage(
        text_setup(models, limit=limit, eight_bit_fallback=True),
        lambda model, _: loaded.append(model),
        report=told,
    )
    stage.open()
    assert loaded == ["text encoder in 8 bits"]
    (made,) = encode_text(stage, 1)
    # A single way, since there is no other device behind this one.
    assert (made.rung, made.approximate) == ("", "8-bit")
    assert made.detail == "37 tokens, 8-bit (approximate)"
    assert not near([made], batch_of_text[:1], 0)
    assert near([made], batch_of_text[:1], 0.5)
    assert [(step, rung) for step, rung, _ in told.lines] == [(-1, "8-bit on CPU")]


@pytest.mark.usefixtures("bitsandbytes")
def test_eight_bits_take_the_place_of_the_exact_model(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    setup = text_setup(models, limit=text_weight(models) + 1000, eight_bit_fallback=True)
    stage = TextStage(setup, lambda model, _: loaded.append(model))
    stage.open()
    assert loaded == ["text encoder"]
    assert stage.begins_with(text_steps()[:1]) == "one at a time 8-bit on CPU"
    (made,) = encode_text(stage, 1)
    assert (made.rung, made.approximate) == ("one at a time 8-bit on CPU", "8-bit")
    assert loaded == ["text encoder", "text encoder in 8 bits"]
    assert [home.form for home in stage.homes] == ["8-bit"]
    # It stays, rather than be loaded anew for each batch.
    encode_text(stage, 1)
    assert len(loaded) == 2


@pytest.mark.usefixtures("bitsandbytes")
def test_what_is_asked_for_in_eight_bits_is_no_fallback(models: Models) -> None:
    stage = TextStage(text_setup(models, eight_bit=True, eight_bit_fallback=True), nobody)
    assert {(one.rung, one.approximate) for one in encode_text(stage)} == {("batch 4", "")}

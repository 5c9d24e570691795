"""The forecast of memory, against what tensors take."""

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import ModelError
from engine.memory.calibration import Calibration
from engine.memory.forecast import (
    TextFacts,
    VideoShape,
    exceeds_index_limit,
    text_facts,
    text_peak,
    text_weights,
    video_peak,
    video_weights,
)
from engine.memory.peaks import Peak
from engine.memory.rungs import Rung, on_cpu, rung_named, video_ladder
from engine.models.checkpoint import Checkpoint
from engine.models.gemma import load_text_tower
from engine.models.gemma_config import gemma_config as read_gemma_config
from engine.models.gemma_tower import GemmaTower
from engine.models.streaming import stream_encode
from engine.models.text_encoder import TextEncoder
from engine.models.text_projection import ProjectionV1, ProjectionV2
from engine.models.toy import ToyModels, make_toy_models
from engine.models.toy_config import gemma_config
from engine.models.video_config import EncoderConfig, encoder_config
from engine.models.video_vae import VideoEncoder, load_video_encoder
from tests.memory import peak_live_bytes
from tests.video_models import CONFIGS, FULL_20, FULL_23, ODD, SHALLOW

MODELS = {
    "full 2.0": FULL_20,
    "full 2.3": FULL_23,
    "2.0": CONFIGS["2.0"],
    "2.3": CONFIGS["2.3"],
    "shallow": SHALLOW,
    "odd": ODD,
}
RUNGS = [
    Rung(kind="whole"),
    Rung(kind="whole", batch=3),
    Rung(kind="stream", chunk=24),
    Rung(kind="stream", chunk=16),
    Rung(kind="stream", chunk=8),
    Rung(kind="stream", chunk=8, batch=2),
    Rung(kind="lean", chunk=8),
    Rung(kind="offload", chunk=8),
]
WHOLE, OFFLOAD = RUNGS[0], RUNGS[-1]


@functools.cache
def on_meta(name: str, dtype: torch.dtype) -> VideoEncoder:
    with torch.device("meta"):
        return VideoEncoder(encoder_config(MODELS[name])).to(dtype)


def measured(encoder: VideoEncoder, shape: VideoShape, rung: Rung) -> int:
    """Encode without memory and return the bytes that would have been alive at most."""

    def pixels(frames: int) -> torch.Tensor:
        size = (rung.batch, 3, frames, shape.height, shape.width)
        return torch.empty(size, dtype=encoder.dtype, device="meta")

    def arriving() -> Iterator[torch.Tensor]:
        yield pixels(min(shape.frames, 1 + rung.chunk))
        for start in range(1 + rung.chunk, shape.frames, rung.chunk):
            yield pixels(min(rung.chunk, shape.frames - start))

    def run() -> object:
        if rung.kind == "whole":
            return encoder.encode(pixels(shape.frames))
        return stream_encode(
            encoder,
            arriving(),
            rung.chunk,
            frames=shape.frames,
            lean=rung.kind == "lean",
            offload=rung.kind == "offload",
        )

    return peak_live_bytes(run)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_the_video_forecast_is_what_tensors_take(name: str, rung: Rung) -> None:
    encoder = on_meta(name, torch.bfloat16)
    for size in ((960, 544, 1), (32, 96, 9), (32, 96, 25), (960, 544, 41)):
        check(encoder, VideoShape(*size), rung)


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_long_and_large_clips_in_float32(rung: Rung) -> None:
    encoder = on_meta("full 2.0", torch.float32)
    check(encoder, VideoShape(1920, 1088, 49), rung)
    check(encoder, VideoShape(416, 736, 121), rung)
    check(encoder, VideoShape(1920, 1088, 257), rung)


def check(encoder: VideoEncoder, shape: VideoShape, rung: Rung) -> None:
    found = video_peak(encoder.config, shape, rung, encoder.dtype.itemsize)
    true = measured(encoder, shape, rung)
    print(f"{shape}, {rung.name}: {found:,} of {true:,} bytes, {found / true:.4f}")
    assert 0.99 <= found / true <= 1.05


def test_each_rung_takes_less_than_the_one_above() -> None:
    config = encoder_config(FULL_20)
    for frames in (49, 121, 257):
        shape = VideoShape(960, 544, frames)
        ladder = video_ladder(frames, batch=4)
        needs = [video_peak(config, shape, rung, 2) for rung in ladder]
        assert needs == sorted(needs, reverse=True)
    # 1920x1088 fits an 8 GB card at any length.
    need = video_peak(config, VideoShape(1920, 1088, 8 * 500 + 1), OFFLOAD, 2)
    assert need < 1.2 * 2**30


def test_tensors_of_two_to_the_31_elements_are_told() -> None:
    config = encoder_config(FULL_20)
    cases = [
        (VideoShape(1920, 1088, 121), WHOLE, False),
        (VideoShape(1920, 1088, 129), WHOLE, True),
        (VideoShape(1920, 1088, 121), Rung(kind="whole", batch=2), True),
        (VideoShape(1920, 1088, 1001), Rung(kind="stream", chunk=24), False),
        (VideoShape(960, 544, 497), WHOLE, False),
        (VideoShape(960, 544, 521), WHOLE, True),
    ]
    for shape, rung, expected in cases:
        assert exceeds_index_limit(shape, rung, config) == expected, (shape, rung.name)


def test_shapes_and_rungs_are_read_back() -> None:
    for shape in (VideoShape(960, 544, 121), VideoShape(32, 32, 1, 4)):
        assert VideoShape.parse(str(shape)) == shape
    assert str(VideoShape(960, 544, 121, 4)) == "960x544x121 × 4"
    for other in ("", "960x544", "batch of 8, 187 tokens", "960x544x121 × ", "x960x544x121"):
        assert VideoShape.parse(other) is None
    ladder = video_ladder(121, batch=5)
    for rung in (*ladder, *on_cpu(ladder), Rung(kind="stream", chunk=8, batch=2, cpu=True)):
        assert rung_named(rung.name) == rung
    for other in ("", "stream", "whole 8", "batch x", "stream 16 on GPU", "tiles"):
        assert rung_named(other) is None


class TestCalibration:
    config: EncoderConfig = encoder_config(FULL_20)
    shape = VideoShape(960, 544, 121)
    stream = Rung(kind="stream", chunk=16)

    def formula(self, shape: VideoShape, rung: Rung) -> int:
        return video_peak(self.config, shape, rung, 2)

    def calibration(self, *known: Peak, usual: float = 1.0) -> Calibration:
        return Calibration(self.config, 2, known, usual=usual)

    def test_nothing_known(self) -> None:
        need = self.formula(self.shape, self.stream)
        assert self.calibration().peak(self.shape, self.stream) == need
        on_gpu = self.calibration(usual=1.1)
        assert on_gpu.peak(self.shape, self.stream) == round(1.1 * need)
        cpu = msgspec.structs.replace(self.stream, cpu=True)
        assert on_gpu.peak(self.shape, cpu) == need

    def test_what_was_measured_is_what_is_expected(self) -> None:
        known = self.calibration(Peak(shape=str(self.shape), rung="stream 16", bytes=123))
        assert known.peak(self.shape, self.stream) == 123
        known.learn(self.shape, self.stream, 456)
        assert known.peak(self.shape, self.stream) == 456
        # How many clips are at hand makes no difference to a rung that takes one at a time.
        assert known.peak(msgspec.structs.replace(self.shape, batch=4), self.stream) == 456

    def test_others_of_the_kind_follow_the_largest_ratio(self) -> None:
        known = self.calibration()
        other, lean = VideoShape(1920, 1088, 49), Rung(kind="lean", chunk=8)
        for ratio in (1.05, 1.2, 1.1):
            size = round(ratio * self.formula(self.shape, self.stream))
            known.learn(self.shape, self.stream, size)
        need = self.formula(other, self.stream)
        assert known.peak(other, self.stream) == pytest.approx(1.2 * need, rel=1e-6)
        assert known.peak(other, lean) == self.formula(other, lean)

    @pytest.mark.parametrize(("ratio", "expected"), [(0.1, 0.8), (0.9, 0.9), (30, 2.0)])
    def test_ratios_are_bounded(self, ratio: float, expected: float) -> None:
        known, other = self.calibration(usual=1.1), VideoShape(64, 64, 49)
        known.learn(self.shape, WHOLE, round(ratio * self.formula(self.shape, WHOLE)))
        need = expected * self.formula(other, WHOLE)
        assert known.peak(other, WHOLE) == pytest.approx(need, rel=1e-4)

    def test_what_did_not_fit_needs_more(self) -> None:
        need = self.formula(self.shape, self.stream)
        little = Peak(shape=str(self.shape), rung="stream 16", bytes=need // 2, fits=False)
        assert self.calibration(little).peak(self.shape, self.stream) == need
        much = msgspec.structs.replace(little, bytes=3 * need)
        known, other = self.calibration(little, much), VideoShape(64, 64, 49)
        assert known.peak(self.shape, self.stream) == 3 * need + 1
        doubled = 2 * self.formula(other, self.stream)
        assert known.peak(other, self.stream) == doubled
        known.learn(self.shape, self.stream, need)
        assert known.peak(self.shape, self.stream) == need

    def test_records_of_other_things_are_passed_over(self) -> None:
        known = self.calibration(
            Peak(shape="batch of 8, 187 tokens", rung="batch 8", bytes=5),
            Peak(shape=str(self.shape), rung="by magic", bytes=5),
        )
        assert known.peak(self.shape, self.stream) == self.formula(self.shape, self.stream)


@pytest.fixture(scope="module", params=["2.0", "2.3"])
def toy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ToyModels:
    return make_toy_models(tmp_path_factory.mktemp("toy"), generation=request.param)


class TestWeights:
    def test_video(self, toy: ToyModels) -> None:
        checkpoint = Checkpoint.open(toy.checkpoint)
        for dtype in (torch.bfloat16, torch.float32):
            encoder = load_video_encoder(checkpoint, dtype=dtype)
            true = sum(tensor.nbytes for tensor in encoder.state_dict().values())
            assert video_weights(checkpoint, dtype.itemsize) == true

    def test_text(self, toy: ToyModels, tmp_path: Path) -> None:
        checkpoint = Checkpoint.open(toy.checkpoint)
        tower = load_text_tower(toy.text_encoder, "cpu", dtype=torch.bfloat16)
        projection = checkpoint.select(checkpoint.text_projection_prefix).values()
        true = sum(tensor.nbytes for tensor in tower.parameters())
        true += sum(info.end - info.start for info in projection)
        assert text_weights(checkpoint, toy.text_encoder, 2) == true
        # Pictures and logits are not for us.
        folder = tmp_path / "gemma"
        folder.mkdir()
        (folder / "config.json").write_bytes((toy.text_encoder / "config.json").read_bytes())
        tensors = load_file(toy.text_encoder / "model.safetensors")
        tensors = {f"language_{name}": tensor for name, tensor in tensors.items()}
        extra = {"vision_tower.x_proj.weight": torch.ones(9), "lm_head.weight": torch.ones(9)}
        save_file({**tensors, **extra}, folder / "model.safetensors")
        assert text_weights(checkpoint, folder, 2) == true
        linear = [n for n in tower.state_dict() if n.endswith("_proj.weight")]
        saved = sum(tower.state_dict()[name].numel() for name in linear)
        assert text_weights(checkpoint, folder, 2, eight_bit=True) == true - saved


class Words:
    """A tokenizer of prompts that say how many tokens they have."""

    pad_id = 0

    def ids(self, prompt: str) -> list[int]:
        return [5] * int(prompt)


def text_models(dtype: torch.dtype, *, wide: bool, newer: bool) -> tuple[TextEncoder, TextFacts]:
    changes = {
        "hidden_size": 320,
        "intermediate_size": 1280,
        "num_hidden_layers": 18,
        "head_dim": 64,
        "query_pre_attn_scalar": 64,
    }
    table = {**gemma_config(), **(changes if wide else {})}
    tower = GemmaTower(read_gemma_config(table))
    for parameter in tower.parameters():
        parameter.data = parameter.data.to(dtype)
    hidden, layers = table["hidden_size"], table["num_hidden_layers"]
    video, audio = (hidden + 64, hidden // 2) if newer else (hidden, 0)
    width = hidden * (layers + 1)
    new = ProjectionV2(width, hidden, video, audio) if newer else ProjectionV1(width, video)
    projection = new.to(dtype).requires_grad_(False)
    facts = TextFacts(
        hidden=hidden,
        layers=layers,
        intermediate=table["intermediate_size"],
        head=table["head_dim"],
        window=table["sliding_window"],
        video=video,
        audio=audio,
        by_range=not newer,
    )
    return TextEncoder(tower.eval().requires_grad_(False), projection, Words()), facts


@pytest.mark.parametrize("newer", [False, True], ids=["2.0", "2.3"])
@pytest.mark.parametrize("wide", [False, True], ids=["toy", "wide"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "f32"])
def test_the_text_forecast_is_close_to_what_tensors_take(
    dtype: torch.dtype, wide: bool, newer: bool
) -> None:
    encoder, facts = text_models(dtype, wide=wide, newer=newer)
    weights = [tensor for part in encoder.parts for tensor in (*part.parameters(), *part.buffers())]
    for counts, full in (
        ((187,), False),
        ((187, 160, 180, 150), False),
        ((40, 40, 30, 40), False),
        ((700,), False),
        ((200, 300), True),
    ):
        prompts = [str(count) for count in counts]
        padding = "full" if full else "trimmed"
        true = peak_live_bytes(
            lambda prompts=prompts, padding=padding: encoder.encode(
                prompts, padding=padding, batch_size=len(prompts)
            ),
            weights,
        )
        found = text_peak(
            facts,
            batch=len(counts),
            tokens=max(counts),
            itemsize=dtype.itemsize,
            full=full,
            on_cpu=True,
        )
        print(f"{counts}, {padding}: {found:,} of {true:,} bytes, {found / true:.3f}")
        assert 0.9 <= found / true <= 1.15


def test_what_text_takes_is_read_from_the_files(toy: ToyModels, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(toy.checkpoint)
    facts = text_facts(checkpoint, toy.text_encoder)
    assert (facts.hidden, facts.layers, facts.intermediate) == (64, 6, 128)
    assert (facts.head, facts.window) == (16, 512)
    newer = checkpoint.generation == "2.3"
    assert (facts.video, facts.audio, facts.by_range) == (
        (128, 64, False) if newer else (64, 0, True)
    )
    inside = {"model_type": "gemma3", "text_config": {"hidden_size": 3840, "vision": None}}
    (tmp_path / "config.json").write_text(json.dumps(inside))
    facts = text_facts(checkpoint, tmp_path)
    assert (facts.hidden, facts.head, facts.layers) == (3840, 256, 26)
    for broken in ('{"hidden_size": "wide"}', '{"num_hidden_layers": 0}', "[]", "?"):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(ModelError, match="cannot be read"):
            text_facts(checkpoint, tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        text_facts(checkpoint, tmp_path / "nowhere")


def test_embeddings_on_another_device_do_not_count() -> None:
    facts = text_models(torch.bfloat16, wide=False, newer=True)[1]
    here, there = (
        text_peak(facts, batch=8, tokens=40, itemsize=2, on_cpu=here) for here in (True, False)
    )
    assert here > there


def test_forecasting_does_not_load_torch() -> None:
    code = (
        "import sys, engine.memory.forecast, engine.memory.calibration;"
        "sys.exit(any(name.split('.')[0] == 'torch' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

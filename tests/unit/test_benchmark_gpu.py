"""What is measured on a GPU, by a driver that the test makes up; and all of it without a GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest
import torch

from engine.models.checkpoint import Checkpoint
from engine.precompute.layout import Stage
from engine.precompute.outputs import load
from tests.benchmarks import bench_gpu, gpu_models
from tests.benchmarks.bench_gpu import SMALL, Way, apart, measure, rows_of, steady
from tests.benchmarks.gpu_watch import Figures, Moment, Watch, figures
from tests.benchmarks.rows import Usage
from tests.benchmarks.vae_on_gpu import Found, Ways, row_of
from tests.nvml import GIB, FakeGpu, FakeNvml
from tests.video_models import CONFIGS, random_clip, random_encoder


def moments(*rows: tuple[float, float | None, float | None, float | None]) -> list[Moment]:
    return [Moment(when, busy, watts, joules, None) for when, busy, watts, joules in rows]


COUNTED = moments((0, 0, 100, 1000), (1, 50, 300, 1200), (2, 100, 500, 1700), (3, 0, 90, 1800))


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(1, 2)], Figures(seconds=1, busy=100, joules=500)),
        ([(0.5, 2.5)], Figures(seconds=2, busy=62.5, joules=650)),
        ([(0, 1), (2, 3)], Figures(seconds=2, busy=25, joules=300)),
        # Beyond what was seen there is nothing to add.
        ([(2, 9)], Figures(seconds=7, busy=0, joules=100)),
        ([], Figures(seconds=0, busy=None, joules=None)),
        ([(5, 5)], Figures(seconds=0, busy=None, joules=None)),
    ],
)
def test_figures_of_stretches_of_time(spans: list[tuple[float, float]], expected: Figures) -> None:
    assert figures(COUNTED, spans) == expected


@pytest.mark.parametrize("resting", [None, 7.0])
def test_power_is_added_up_where_energy_is_not_counted(resting: float | None) -> None:
    seen = [one._replace(joules=resting) for one in COUNTED]
    # 1 s each, from 100 to 300 W and from 300 to 500 W.
    assert figures(seen, [(0, 2)]).joules == pytest.approx(200 + 400)


def test_a_driver_that_tells_nothing_leaves_no_figures() -> None:
    seen = moments((0, None, None, None), (1, None, None, None))
    assert figures(seen, [(0, 1)]) == Figures(seconds=1, busy=None, joules=None)


def test_a_gpu_is_watched_by_its_uuid() -> None:
    first, second = FakeGpu("GPU-aa"), FakeGpu("GPU-BB")
    nvml = FakeNvml(first, second)
    with Watch(nvml, uuid="bb", every=0.01) as watch:
        second.memory.used += 3 * GIB
        until = time.monotonic() + 5
        while len(watch.moments) < 4 and time.monotonic() < until:
            time.sleep(0.01)
    assert watch.fault == ""
    assert watch.peak == 3 * GIB
    assert {one.busy for one in watch.moments} == {97.0}
    assert {one.watts for one in watch.moments} == {412.5}
    joules = [one.joules for one in watch.moments]
    assert len(joules) >= 4
    assert joules == sorted(joules)
    assert first.energy == 5000.0


def test_what_a_driver_does_not_tell_is_left_out() -> None:
    gpu = FakeGpu("GPU-aa")
    gpu.errors = {
        "nvmlDeviceGetTotalEnergyConsumption": pynvml.NVML_ERROR_NOT_SUPPORTED,
        "nvmlDeviceGetUtilizationRates": pynvml.NVML_ERROR_NOT_SUPPORTED,
    }
    with Watch(FakeNvml(gpu), every=0.01) as watch:
        pass
    assert watch.moments[0] == Moment(watch.moments[0].time, None, 412.5, None, 10 * GIB)


@pytest.mark.parametrize("nvml", [FakeNvml(), object()])
def test_a_driver_without_a_gpu_is_told_of(nvml: Any) -> None:
    with Watch(nvml) as watch:
        pass
    assert watch.fault.startswith("NVML tells nothing: ")
    assert watch.moments == []
    assert watch.peak is None


def test_the_steady_part_begins_after_the_first_outputs(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / f"{number}.pt"
        path.touch()
        os.utime(path, (0, 100 + number))
    assert steady(tmp_path, 1) == ((100, 105), 5)
    assert steady(tmp_path, 4) == ((103, 105), 2)
    with pytest.raises(RuntimeError, match="too few"):
        steady(tmp_path, 6)


def test_without_a_gpu_every_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = measure(True)
    assert len(rows) == 4
    assert {row.detail for row in rows} == {"no GPU here"}
    assert all(row.ratio is None and row.reached is None for row in rows)


def way(folder: Path, began: float, each: float, watch: Watch) -> Way:
    spans = dict.fromkeys(bench_gpu.STAGES, (began, began + 4 * each))
    return Way(folder, 10 * each, spans, dict.fromkeys(bench_gpu.STAGES, 4), watch)


def test_rows_hold_the_two_ways_against_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, slow = Watch(), Watch()
    seen.moments = [Moment(t, 90, None, 400.0 * t, t * GIB) for t in range(12)]
    slow.moments = [Moment(t, 30, None, 200.0 * t, 2 * t * GIB) for t in range(12)]
    monkeypatch.setattr(bench_gpu, "apart", lambda *_: dict.fromkeys(bench_gpu.STAGES, 0.01))
    ours, plain = way(tmp_path, 1, 0.5, seen), way(tmp_path, 1, 2, slow)
    rate, busy, joules, memory = rows_of(SMALL, "5 clips", ours, plain)
    assert rate.ratio == pytest.approx(4)
    assert rate.equal
    assert "600 against 2,400" in rate.detail
    assert busy.ratio == pytest.approx(90)
    assert "the plain script 30 %" in busy.detail
    # Three stages of half a second at 400 W, against three of two seconds at 200 W.
    assert joules.ratio == pytest.approx(1200 / 600)
    assert "1.2e+03 J against 600 J, 200 W against 400 W" in joules.detail
    assert memory.ratio == pytest.approx(11)
    assert "22 GiB" in memory.detail
    monkeypatch.setattr(bench_gpu, "apart", lambda *_: dict.fromkeys(bench_gpu.STAGES, 0.5))
    assert rows_of(SMALL, "5 clips", ours, plain)[0].reached is False


def test_one_way_that_fails_is_told_of(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(command: list[str], **_: object) -> Usage:
        raise RuntimeError("ended with 1; it said: CUDA error")

    monkeypatch.setattr(bench_gpu, "timed", timed)
    (row, *_) = rows = measure(True, device="cpu", small=True, nvml=FakeNvml())
    assert len(rows) == 4
    assert "plain failed: ended with 1; it said: CUDA error; ours failed" in row.detail


def test_what_one_way_came_to_is_kept_when_the_other_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Watch()
    seen.moments = [Moment(t, 90, None, 400.0 * t, t * GIB) for t in range(12)]
    found = {"plain": "plain failed: CUDA error", "ours": way(tmp_path, 1, 0.5, seen)}
    monkeypatch.setattr(bench_gpu, "both_ways", lambda *_: found)
    (row, *_) = measure(True, device="cpu", small=True)
    assert row.detail.startswith("plain failed: CUDA error; ours: 2,400 clips an hour, 90 % busy")
    assert "600 J a clip, peak 11 GiB" in row.detail


@pytest.mark.slow
def test_the_whole_benchmark_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {}
    compare = bench_gpu.apart

    def spoil(ours: Path, plain: Path, clips: int) -> dict[Stage, float]:
        found = compare(ours, plain, clips)
        # One value of one latent is another one.
        victim = next((plain / "latents").rglob("*.pt"))
        payload = load(victim)
        payload["latents"][0, 0, 0, 0] += 100  # type: ignore[index]
        torch.save(payload, victim)
        kept["spoilt"] = apart(ours, plain, clips)[Stage.LATENTS]
        kept["missing"] = apart(ours, plain, clips + 1)[Stage.LATENTS]
        return found

    monkeypatch.setattr(bench_gpu, "apart", spoil)
    rate, busy, joules, memory = measure(
        True, device="cpu", small=True, nvml=FakeNvml(FakeGpu("GPU-aa"))
    )
    assert rate.ratio is not None
    assert rate.ratio > 0
    assert rate.equal, rate.detail
    assert kept["spoilt"] > bench_gpu.NEAR[Stage.LATENTS]
    assert kept["missing"] == float("inf")
    assert busy.ratio == pytest.approx(97)
    assert joules.ratio is not None
    assert memory.ratio == 0


def test_models_of_any_width_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 8}
    monkeypatch.setattr(gpu_models, "GEMMA", gpu_models.GEMMA | narrow | {"head_dim": 16})
    monkeypatch.setattr(gpu_models, "FULL_20", CONFIGS["2.0"])
    monkeypatch.setattr(gpu_models, "AUDIO", {})
    made = gpu_models.make_full_models(tmp_path, layers=2)
    from engine.models.audio_vae import load_audio_encoder
    from engine.models.text_encoder import TextEncoder
    from engine.models.video_vae import load_video_encoder

    checkpoint = Checkpoint.open(made.checkpoint)
    latents = load_video_encoder(checkpoint).encode(random_clip(1, 3, 9, 64, 64))
    sound = load_audio_encoder(checkpoint, "cpu").encode(torch.randn(2, 16_000), 16_000)
    (prompt,) = TextEncoder.load(made.text_encoder, checkpoint, "cpu").encode(["A blue wall"])
    for one in (latents, sound, prompt.video):
        assert bool(one.isfinite().all())
        assert float(one.float().std()) > 0.01


Compiler = Callable[..., Callable[[torch.Tensor], torch.Tensor]]


def test_a_way_that_fails_loses_none_of_the_others() -> None:
    encoder = random_encoder(CONFIGS["2.0"])
    clips = random_clip(1, 3, 9, 64, 64).expand(2, -1, -1, -1, -1).contiguous()

    def broken(_: object, *, mode: str) -> Callable[[torch.Tensor], torch.Tensor]:
        if mode == "default":
            raise RuntimeError("no C++ compiler\nat all")
        return encoder.encode

    found = Ways(encoder, clips, rounds=1, compiler=broken).measure()
    assert len(found) == 4 * 2 + 2 * 2
    assert [name for name, one in found.items() if one.fault] == [
        "compile",
        "channels-last, compile",
    ]
    row = row_of(found, "a CPU")
    assert row.ratio is not None
    assert "compile failed: no C++ compiler;" in row.detail
    assert "channels-last with cuDNN's search, batch 2 " in row.detail


def test_no_way_is_begun_when_the_time_is_up() -> None:
    encoder = random_encoder(CONFIGS["2.0"])
    found = Ways(encoder, random_clip(1, 3, 9, 64, 64), rounds=1, seconds=-1).measure()
    assert {one.fault for one in found.values()} == {"not tried, the time is up"}
    assert row_of(found, "a CPU").ratio is None


def test_the_best_way_has_to_be_right() -> None:
    found = {
        "plain": Found(1.0, 0.0),
        "wrong": Found(0.1, 0.5),
        "right": Found(0.5, 0.01),
        "broken": Found(0.0, float("inf"), "out of memory"),
    }
    row = row_of(found, "a GPU")
    assert row.ratio == 2.0
    assert "best: right" in row.detail
    assert row_of({"plain": found["plain"], "wrong": found["wrong"]}, "a GPU").ratio is None

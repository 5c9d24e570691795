"""The fastest form of an encode is found out on the clips: with a clock that the test winds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.memory.budget import LiveBytes
from engine.models import tuning
from engine.models.tuning import FORMS, PLAIN, Form, Tuner
from engine.models.video_vae import VideoEncoder
from engine.precompute.layout import Stage
from engine.precompute.stages import video
from engine.precompute.stages.video import VideoStage
from engine.precompute.steps import StageSetup, VideoStep, Window
from tests.stage_guards import PROBE, Told, go_on, latents, nobody
from tests.video_models import CONFIGS, random_clip, random_encoder, relative_error

LAST, SEARCH, BOTH = FORMS
SIZE, OTHER = (1, 3, 9, 64, 64), (1, 3, 9, 64, 96)
CHANNELS_LAST = torch.channels_last_3d
SECONDS = {PLAIN: 1.31, LAST: 1.0, SEARCH: 1.2, BOTH: 1.1}


class Bench:
    """An encoder that remembers in which form it encoded, and a clock that goes by that.

    Attributes:
        forms: Of each encode, in order.
        wrong: The form whose latents are something else.
        broken: The form that runs out of memory, from now on.
        told: What the tuner said.
        peaks: What the meter told after each clip.
    """

    def __init__(self, seconds: dict[Form, float] | None = None) -> None:
        self.encoder = random_encoder(CONFIGS["2.0"])
        self._encode = self.encoder.encode
        self.encoder.encode = self.encode  # type: ignore[method-assign, assignment]
        self.seconds = seconds or SECONDS
        self.forms: list[Form] = []
        self.wrong: Form | None = None
        self.broken: Form | None = None
        self.told: list[str] = []
        self.peaks: list[int] = []
        self.released = 0

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        weights = [p for p in self.encoder.parameters() if p.dim() == 5]
        layouts = {p.is_contiguous(memory_format=CHANNELS_LAST) for p in weights}
        assert len(layouts) == 1, "the weights lie in two ways"
        last = pixels.is_contiguous(memory_format=CHANNELS_LAST)
        assert layouts == {last}
        search = torch.backends.cudnn.benchmark
        form = next(f for f in (PLAIN, *FORMS) if (f.channels_last, f.search) == (last, search))
        self.forms.append(form)
        if form is self.broken:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        found = self._encode(pixels)
        return found + 0.1 if form is self.wrong else found

    def timed(self, work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
        return work(), self.seconds[self.forms[-1]]

    def release(self) -> None:
        self.released += 1

    def run(self, tuner: Tuner, clips: int, size: tuple[int, ...] = SIZE) -> list[torch.Tensor]:
        """Encode clips; what comes out has to be what the plain encoder makes, nearly."""
        made = []
        for number in range(clips):
            clip = random_clip(*size, seed=number)
            with LiveBytes() as meter:
                made.append(tuner.encode(self.encoder, clip, meter, self.release))
            self.peaks.append(meter.peak)
        tuner.restore(self.encoder)
        for number, one in enumerate(made):
            clip = random_clip(*size, seed=number)
            assert one.is_contiguous()
            assert relative_error(one, self._encode(clip)) < 1e-5
        return made


def tuner_of(bench: Bench, *forms: Form) -> Tuner:
    return Tuner(bench.told.append, forms=forms or FORMS, timed=bench.timed)


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_MANY", 7)


def test_the_fastest_form_is_found_and_used_and_told_once() -> None:
    bench = Bench()
    bench.run(tuner_of(bench), 10)
    # One encode more than clips at the third one, and one at the seventh.
    layouts, searches = [PLAIN, PLAIN, PLAIN, LAST, LAST, LAST, LAST], [PLAIN, BOTH, BOTH]
    assert bench.forms == [*layouts, *searches, LAST, LAST]
    assert bench.told == ["channels-last: 1.31 × as fast (64x64x9)"]


def test_a_search_that_pays_is_used_and_told() -> None:
    bench = Bench(SECONDS | {BOTH: 0.655})
    bench.run(tuner_of(bench), 9)
    assert bench.forms[-1] is BOTH
    assert bench.told == [
        "channels-last: 1.31 × as fast (64x64x9)",
        "channels-last with cuDNN's search: 2.00 × as fast (64x64x9)",
    ]


def test_the_first_clips_are_the_plain_encoders_to_the_bit() -> None:
    bench = Bench()
    for number, one in enumerate(bench.run(tuner_of(bench), 3)):
        assert torch.equal(one, bench._encode(random_clip(*SIZE, seed=number)))


def test_a_later_size_tries_only_what_won() -> None:
    bench = Bench()
    tuner = tuner_of(bench)
    bench.run(tuner, 8)
    del bench.forms[:]
    bench.run(tuner, 9, OTHER)
    assert bench.forms == [PLAIN, PLAIN, PLAIN, *[LAST] * 7]
    assert len(bench.told) == 1
    # The first size still has what it found.
    bench.run(tuner, 1)
    assert bench.forms[-1] is LAST


def test_where_nothing_is_faster_all_stays_plain_and_nothing_is_told() -> None:
    bench = Bench(dict.fromkeys(SECONDS, 1.0) | {LAST: 0.99})
    tuner = tuner_of(bench)
    bench.run(tuner, 10)
    assert bench.forms[-2:] == [PLAIN, PLAIN]
    assert BOTH not in bench.forms
    del bench.forms[:]
    bench.run(tuner, 4, OTHER)
    assert bench.forms == [PLAIN] * 4
    assert bench.told == []


def test_latents_further_off_than_rounding_are_never_written() -> None:
    bench = Bench()
    bench.wrong = LAST
    bench.run(tuner_of(bench), 8)
    assert bench.forms.count(LAST) == 1
    assert bench.told == ["cuDNN's search: 1.09 × as fast (64x64x9)"]


def test_a_form_that_gives_no_number_is_not_near() -> None:
    bench = Bench()
    tuner = tuner_of(bench, LAST)
    plain = bench._encode

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        last = pixels.is_contiguous(memory_format=CHANNELS_LAST)
        return plain(pixels) * (float("nan") if last else 1)

    bench._encode = encode  # type: ignore[assignment]
    for number in range(5):
        with LiveBytes() as meter:
            made = tuner.encode(bench.encoder, random_clip(*SIZE, seed=number), meter)
        assert bool(made.isfinite().all())


@pytest.mark.parametrize(("when", "told"), [(0, 0), (3, 0), (5, 2), (8, 2)])
def test_a_form_without_memory_is_given_up_and_the_clip_done_plainly(when: int, told: int) -> None:
    bench = Bench()
    tuner = tuner_of(bench, LAST)
    if when:
        bench.run(tuner, when)
    bench.broken = LAST
    bench.run(tuner, 9)
    # Tried at most once more.
    assert bench.forms[-9:].count(LAST) <= 1
    assert bench.forms[-2:] == [PLAIN, PLAIN]
    assert bench.released == 1
    assert len(bench.told) == told


def test_the_guard_learns_the_plain_peak_alone() -> None:
    bench = Bench()
    bench.run(tuner_of(bench), 9)
    assert bench.peaks[0] > 0
    assert set(bench.peaks) == {bench.peaks[0]}


def test_weights_are_there_once() -> None:
    bench = Bench()
    size = sum(p.untyped_storage().nbytes() for p in bench.encoder.parameters())
    parameters = list(bench.encoder.parameters())
    tuner = tuner_of(bench, LAST)
    with LiveBytes() as counter:
        bench.encoder.to(memory_format=CHANNELS_LAST)
        largest = max(p.untyped_storage().nbytes() for p in parameters)
        assert counter.peak <= size + largest
        tuner.restore(bench.encoder)
    held = sum(p.untyped_storage().nbytes() for p in bench.encoder.parameters())
    assert held == size
    assert all(a is b for a, b in zip(parameters, bench.encoder.parameters(), strict=True))


def test_every_convolution_of_a_channels_last_encoder_sees_channels_last() -> None:
    encoder: VideoEncoder = random_encoder(CONFIGS["2.0"]).to(memory_format=CHANNELS_LAST)
    seen: list[bool] = []
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.register_forward_hook(
                lambda _m, given, out: seen.extend(
                    one.is_contiguous(memory_format=CHANNELS_LAST) for one in (given[0], out)
                )
            )
    # Of one small clip the CPU does some in a way that knows no layouts.
    encoder.encode(random_clip(2, 3, 17, 64, 96).to(memory_format=CHANNELS_LAST))
    assert len(seen) > 80
    assert all(seen)


def step() -> VideoStep:
    return VideoStep(
        id=0,
        clip="a.mp4",
        row=0,
        output="unused",
        media="unused",
        probe=PROBE,
        window=Window(start=0.0, frames=9, fps=(24, 1), resample=False),
        size=(64, 64),
        reshape="center",
        seed=0,
        crop_key="",
        hdr="refuse",
    )


class Heard(Told):
    def __init__(self) -> None:
        super().__init__()
        self.remarks: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks.append(text)


@pytest.mark.parametrize("tune", [True, False])
def test_a_stage_tunes_where_it_may(
    models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tune: bool
) -> None:
    monkeypatch.setattr(video, "can_tune", lambda _device: True)
    seconds = iter([9.0, 3.0, 3.0, *[1.0] * 3])

    def timed(work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
        return work(), next(seconds)

    monkeypatch.setattr("engine.models.tuning.by_events", timed)
    told = Heard()
    setup = StageSetup(
        stage=Stage.LATENTS, checkpoint=str(models[0]), device="cpu", dtype="float32", tune=tune
    )
    stage = VideoStage(setup, nobody, report=told)
    clips = [random_clip(3, 9, 64, 64, seed=number) for number in range(8)]
    made = [stage.make([step()], [clip], go_on)[0] for clip in clips]
    assert told.remarks == (["channels-last: 3.00 × as fast (64x64x9)"] if tune else [])
    weight = stage.model.encoder.conv_in.conv.weight
    assert weight.is_contiguous(memory_format=CHANNELS_LAST) is tune
    assert len({one.peak for one in made}) == 1
    # A rung below is the plain encoder's to the bit.
    (lower,) = stage.make([step()], [clips[0]], go_on, 1)
    assert lower.rung != made[0].rung
    assert torch.equal(latents([lower])[0], latents(made)[0])
    stage.close()

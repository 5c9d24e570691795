"""Captions by Qwen2.5-Omni, in the encoder's process and under its memory guard."""

from __future__ import annotations

import functools
import importlib.util
import math
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import msgspec
import torch

from engine.captioners.answer_file import AnswerFile, write_answer
from engine.captioners.asking import Question, asked_by, better, to_file
from engine.captioners.qwen_media import Encoded, Reader
from engine.captioners.qwen_omni import (
    QwenOmni,
    find_folder,
    forecast,
    read_config,
    read_sizes,
)
from engine.errors import EnvironmentFaultError
from engine.memory.calibration import GPU_EXTRA
from engine.memory.guard import Guard
from engine.memory.peaks import Peak
from engine.memory.ways import CancelledError, Finished, Meter, Report, Way
from engine.precompute.outputs import Payload
from engine.precompute.stages.base import Cancelled, Home, Loading, Made, StageRunner
from engine.precompute.steps import CaptionSetup, CaptionStep, StageSetup

_EIGHT_BIT = "8-bit"
_ANSWER = "answer"
_TICK = 5.0
# Lengths are rounded up to a multiple of this in what is remembered of them.
_ALIKE = 1024
# Bytes of host memory that a frame of a clip takes on its way to the model.
_FRAME_BYTES = 12 << 20


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A clip that was read.

    Attributes:
        base: As in its step.
        asked: What is asked about it.
        encoded: Its clip and the prompt, as the model takes them.
        again: Makes the same with the stricter prompt.
    """

    base: str
    asked: Question
    encoded: Encoded
    again: functools.partial[Encoded]

    @property
    def tokens(self) -> int:
        """Of the prompt, the clip included."""
        return int(self.encoded["input_ids"].shape[1])

    @property
    def patches(self) -> int:
        """Of the picture."""
        return sum(
            len(self.encoded[name])
            for name in ("pixel_values", "pixel_values_videos")
            if name in self.encoded
        )


_Wrote = tuple[Home[QwenOmni], list[str]]


class CaptionStage(StageRunner[CaptionStep, Read, QwenOmni]):
    """Captions clips with the model.

    Where memory is short: one clip at a time, then in 8 bits if that extra is installed, then on
    the CPU.
    """

    def __init__(
        self,
        setup: CaptionSetup,
        loading: Loading,
        *,
        report: Report | None = None,
        peaks: Iterable[Peak] = (),
    ) -> None:
        """Find the model, and look at its files' headers; arguments as `StageRunner`'s.

        Raises:
            LtxError: The device does not exist, or the model is unusable.
        """
        # What the others read of it is in it; there is no checkpoint beside the model itself.
        self.setup = cast("StageSetup", setup)
        self._eight_bit = setup.eight_bit
        if setup.eight_bit and not _can_quantise():
            raise EnvironmentFaultError(
                "loading the captioner in 8 bits needs bitsandbytes and accelerate",
                remedy='pip install "ltx-tui[quantize]"',
            )
        self.loading = loading
        self.report = report or Report()
        self.peaks = tuple(peaks)
        self.guard = Guard(wait=setup.wait, report=self.report, peaks=self.peaks)
        self.homes = self.make_homes()
        self.batch = max(1, setup.batch_size)
        self._name = f"qwen_omni ({setup.model})"
        self._folder = self._find(setup.model)
        config = read_config(self._folder)
        self._sizes = read_sizes(self._folder, config)
        self._reader = Reader(self._folder, config.text_config.max_position_embeddings)

    def _find(self, model: str) -> Path:
        """Return the model's folder; a download shows that it is alive, however long it takes."""
        if not Path(model).expanduser().is_dir():
            self.loading(model, str(self.device))
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(_TICK):
                self.report.tick()

        ticking = threading.Thread(target=tick, daemon=True, name="download")
        ticking.start()
        try:
            return find_folder(model)
        finally:
            ended.set()
            ticking.join()

    def make_homes(self) -> list[Home[QwenOmni]]:
        """Return where the model can be, in 8 bits on the device before the CPU."""
        first, *others = super().make_homes()
        homes = [first]
        if first.device.type == "cuda" and not self._eight_bit and _can_quantise():
            homes.append(Home(first.device, first.memory, form=_EIGHT_BIT))
        return [*homes, *others]

    def weights(self, home: Home[QwenOmni]) -> int:
        """Return the bytes of the model."""
        return self._sizes.eight_bit if self._is_quantised(home) else self._sizes.weights

    def _is_quantised(self, home: Home[QwenOmni]) -> bool:
        return home.form == _EIGHT_BIT or (self._eight_bit and not home.spare)

    def load(self, home: Home[QwenOmni]) -> QwenOmni:
        """Load the model."""
        for other in self.homes:
            # One form at a time: two would take more memory than either.
            if other is not home and other.memory is home.memory:
                other.empty()
        words = "captioner in 8 bits" if self._is_quantised(home) else "captioner"
        self.loading(words, str(home.device))
        return QwenOmni.load(
            self._folder,
            home.device,
            eight_bit=self._is_quantised(home),
            reader=self._reader,
        )

    def host_bytes(self, step: CaptionStep) -> int:
        """Return the bytes of host memory that reading a clip takes, about."""
        # How long it is is not known yet: ten seconds, as most clips for training have.
        return round(10 * step.fps) * _FRAME_BYTES

    def prepare(self, step: CaptionStep) -> Read:
        """Read the clip, and make the prompt."""
        found, asked = asked_by(step)
        clip = self._reader.read(found.media, asked.request(), found.known)
        encode = functools.partial(self._reader.encode, clip)
        if asked.heard and clip.sound is None:
            # There is a track, and nothing in it: nothing is asked about it then.
            asked = msgspec.structs.replace(asked, heard=False)
        return Read(
            base=step.base,
            asked=asked,
            encoded=encode(asked.request().instruction),
            again=functools.partial(encode, asked.request(strict=True).instruction),
        )

    def begins_with(self, steps: Sequence[CaptionStep], lower: int = 0) -> str:  # noqa: ARG002
        """Return nothing: how long a clip is is only known when it is read."""
        return ""

    def make(
        self,
        steps: Sequence[CaptionStep],
        prepared: Sequence[Read],
        cancelled: Cancelled,
        lower: int = 0,
    ) -> list[Made]:
        """Caption a batch of clips."""
        if cancelled():
            raise CancelledError
        # A batch has sound or has none.
        heard = [read for read in prepared if "input_features" in read.encoded]
        mute = [read for read in prepared if "input_features" not in read.encoded]
        made: dict[int, Made] = {}
        for group in (heard, mute):
            if group:
                answers = self._answers(group, steps[0].id, cancelled, lower)
                made |= {id(read): one for read, one in zip(group, answers, strict=True)}
        return [made[id(read)] for read in prepared]

    def _answers(
        self, group: Sequence[Read], step: int, cancelled: Cancelled, lower: int
    ) -> list[Made]:
        began = time.monotonic()
        done = self._guarded(group, step, cancelled, lower)
        home, texts = done.result
        seconds = (time.monotonic() - began) / len(group)
        return [
            Made(
                payload=cast(
                    "Payload", {_ANSWER: self._settled(read, text, step, seconds, cancelled)}
                ),
                detail=home.name if home.form or home.spare else "",
                rung=done.rung,
                peak=done.peak,
            )
            for read, text in zip(group, texts, strict=True)
        ]

    def _guarded(
        self, group: Sequence[Read], step: int, cancelled: Cancelled, lower: int = 0
    ) -> Finished[_Wrote]:
        done = self.guard.run(
            _shape(group),
            self._ways(group, cancelled),
            step=step,
            lower=lower,
            cancelled=cancelled,
        )
        home, _ = done.result
        while self.homes[0].memory is home.memory and self.homes[0] is not home:
            # What did not fit once is not tried again and again: each try loads it anew.
            del self.homes[0]
        return done

    def _settled(
        self, read: Read, text: str, step: int, seconds: float, cancelled: Cancelled
    ) -> AnswerFile:
        """Return an answer; a malformed one is asked for once more, more strictly."""
        answer, asked = read.asked.understand(text), 1
        if answer.is_malformed:
            began = time.monotonic()
            strict = msgspec.structs.replace(read, encoded=read.again())
            _, (second,) = self._guarded([strict], step, cancelled).result
            answer, asked = better(answer, read.asked.understand(second)), 2
            seconds += time.monotonic() - began
        return to_file(answer, captioner=self._name, base=read.base, asked=asked, seconds=seconds)

    def _ways(self, group: Sequence[Read], cancelled: Cancelled) -> list[Way[_Wrote]]:
        ways = []
        for home in self.homes:
            for size in sorted({len(group), 1}, reverse=True):
                words = f"batch {size}" if size > 1 else "one at a time"
                where = f" {home.name}" if home.form or home.spare else ""
                run = functools.partial(self._write, group, home, size, cancelled)
                need = self._need(home, size, group)
                ways.append(self.way(home, words + where, run, need=need))
        return ways

    def _need(self, home: Home[QwenOmni], size: int, group: Sequence[Read]) -> int:
        patches = sorted((read.patches for read in group), reverse=True)[:size]
        need = forecast(
            self._sizes,
            tokens=max(read.tokens for read in group),
            patches=sum(patches),
            batch=size,
        )
        return need if home.device.type == "cpu" else round(need * GPU_EXTRA)

    def _write(
        self,
        group: Sequence[Read],
        home: Home[QwenOmni],
        size: int,
        cancelled: Cancelled,
        model: QwenOmni,
        _device: torch.device,
        _meter: Meter,
    ) -> _Wrote:
        texts: list[str] = []
        for start in range(0, len(group), size):
            part = [read.encoded for read in group[start : start + size]]
            texts += model.write(part, cancelled=cancelled)
        return home, texts

    def write(self, step: CaptionStep, made: Made) -> Path:
        """Keep the answer until it is in the dataset."""
        path = Path(step.output)
        write_answer(path, cast("AnswerFile", made.payload[_ANSWER]))
        return path


def _can_quantise() -> bool:
    needed = ("bitsandbytes", "accelerate")
    return all(importlib.util.find_spec(package) is not None for package in needed)


def _shape(group: Sequence[Read]) -> str:
    longest = max(read.tokens for read in group)
    return f"{len(group)} of up to {math.ceil(longest / _ALIKE) * _ALIKE} tokens"

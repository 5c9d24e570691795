"""Ways to have a GPU encode video, each alone and with others, against the plain one-shot encode.

Layouts of memory, cuDNN's search and batches in all their combinations, then the compiler and CUDA
graphs. A way that fails, as the compiler may, is told of and loses none of the others. No way is
begun after four minutes; most of them are the compiler's.

python -m tests.benchmarks.vae_on_gpu [--json FILE]
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from engine.models.tuning import FORMS, PLAIN, Form, Tuner
from engine.models.video_vae import VideoEncoder
from tests.benchmarks.rows import Row, main
from tests.video_models import FULL_20, random_clip, random_encoder, relative_error

GOAL = 1.3
NEAR = 0.016  # twice what bf16 itself costs against float32
SIZE, BATCH, ROUNDS = (960, 544, 49), 4, 3
SECONDS = 240.0  # after which no further way is begun
WARM = 3  # compiling, searching and recording, too
# With which layout each of the compiler's modes is tried; the second mode is CUDA graphs.
COMPILED = {"compile": "default", "compile, CUDA graphs": "reduce-overhead"}

Compile = Callable[..., Callable[[Tensor], Tensor]]


class Found(NamedTuple):
    """What a way came to.

    Attributes:
        seconds: A clip; 0 where it failed.
        error: How far its latents are off.
        fault: Why it failed; empty where it did not.
    """

    seconds: float
    error: float
    fault: str = ""


class Ways:
    """All ways to encode some clips on one device."""

    def __init__(
        self,
        encoder: VideoEncoder,
        clips: Tensor,
        *,
        rounds: int = ROUNDS,
        seconds: float = SECONDS,
        compiler: Compile = torch.compile,
    ) -> None:
        """Measure nothing yet.

        Args:
            encoder: On the device; its weights are laid out as the ways want them.
            clips: [B, 3, F, H, W] on the device, all alike.
            rounds: How often each way is timed, once it is warm.
            seconds: How long ways are begun.
            compiler: Stands in for `torch.compile`.
        """
        self._encoder = encoder
        self._clips = clips
        self._rounds = rounds
        self._until = time.monotonic() + seconds
        self._compiler = compiler
        self._tuner = Tuner()
        self._expected = encoder.encode(clips[:1]).cpu()
        self.found: dict[str, Found] = {}

    def measure(self) -> dict[str, Found]:
        """Measure each; return what they came to by name, the plain one first."""
        batch = len(self._clips)
        for form in (PLAIN, *FORMS):
            self._take(form.name, self._in_form(form, 1), 1)
        for form in (PLAIN, *FORMS) if batch > 1 else ():
            name = f"batch {batch}" if form is PLAIN else f"{form.name}, batch {batch}"
            self._take(name, self._in_form(form, batch), batch)
        # The compiler last: what it leaves behind cannot disturb what was measured before.
        for form in (PLAIN, FORMS[0]):
            for name, mode in COMPILED.items():
                words = name if form is PLAIN else f"{form.name}, {name}"
                self._take(words, self._compiled(form, mode), 1)
        self._tuner.restore(self._encoder)
        self._tuner.close()
        return self.found

    def _in_form(self, form: Form, clips: int) -> Callable[[], Callable[[], Tensor]]:
        return lambda: lambda: self._tuner.run(self._encoder, self._clips[:clips], form)

    def _compiled(self, form: Form, mode: str) -> Callable[[], Callable[[], Tensor]]:
        def make() -> Callable[[], Tensor]:
            layout = torch.channels_last_3d if form.channels_last else torch.contiguous_format
            self._encoder.to(memory_format=layout)
            pixels = self._clips[:1].to(memory_format=layout)
            encode = self._compiler(self._encoder.encode, mode=mode)
            # A copy, since CUDA graphs write the next result to the same place.
            return lambda: encode(pixels).clone()

        return make

    def _take(self, name: str, make: Callable[[], Callable[[], Tensor]], clips: int) -> None:
        if time.monotonic() > self._until:
            self.found[name] = Found(0.0, math.inf, "not tried, the time is up")
            return
        try:
            self.found[name] = self._timed(make(), clips)
        except Exception as error:  # whatever a library or compiler raises
            words = str(error).strip().splitlines()[:1] or [type(error).__name__]
            self.found[name] = Found(0.0, math.inf, words[0][:120])
        if self._clips.is_cuda:
            torch.cuda.empty_cache()

    def _timed(self, encode: Callable[[], Tensor], clips: int) -> Found:
        for _ in range(WARM):
            latents = encode()
        off = max(
            relative_error(one[None].cpu(), expected)
            for one, expected in zip(latents, [self._expected] * clips, strict=True)
        )
        seconds = []
        for _ in range(self._rounds):
            self._wait()
            began = time.perf_counter()
            encode()
            self._wait()
            seconds.append((time.perf_counter() - began) / clips)
        return Found(statistics.median(seconds), off)

    def _wait(self) -> None:
        if self._clips.is_cuda:
            torch.cuda.synchronize(self._clips.device)


def row_of(found: dict[str, Found], about: str) -> Row:
    """Return the best way that is right against the plain one, and all of them in words."""
    plain = found[PLAIN.name]
    others = {name: one for name, one in found.items() if name != PLAIN.name}
    right = {n: one for n, one in others.items() if not one.fault and one.error <= NEAR}
    best = min(right, key=lambda name: right[name].seconds, default="")
    figures = "; ".join(
        f"{name} failed: {one.fault}"
        if one.fault
        else f"{name} {plain.seconds / one.seconds:.2f} × ({one.error:.1e} off)"
        for name, one in others.items()
    )
    return empty_row(
        plain.seconds / right[best].seconds if best and not plain.fault else None,
        f"{about}, plain {plain.fault or f'{1000 * plain.seconds:.0f} ms a clip'}; "
        f"best: {best or 'none'}; {figures}",
    )


def empty_row(ratio: float | None, detail: str) -> Row:
    """Return the row with a figure, or with the reason why there is none."""
    return Row(
        what="video VAE on a GPU: best of batch, channels-last, search, compile, CUDA graphs",
        against="one-shot eager, batch 1",
        goal=GOAL,
        ratio=ratio,
        detail=detail,
    )


def on_gpu(encoder: VideoEncoder) -> Row:
    """Hold ways to use a GPU against the plain one; says so where there is none."""
    if not torch.cuda.is_available():
        return empty_row(None, "no GPU here")
    width, height, frames = SIZE
    clip = random_clip(1, 3, frames, height, width, dtype=torch.bfloat16)
    clips = clip.to("cuda").expand(BATCH, -1, -1, -1, -1).contiguous()
    found = Ways(encoder.to("cuda"), clips).measure()
    return row_of(found, f"{torch.cuda.get_device_name()}, {width}x{height}x{frames}, bf16")


def measure(_quick: bool) -> Sequence[Row]:
    """Measure this alone."""
    if not torch.cuda.is_available():
        return [empty_row(None, "no GPU here")]
    return [on_gpu(random_encoder(FULL_20, torch.bfloat16))]


if __name__ == "__main__":
    main("vae_on_gpu", __doc__, measure)

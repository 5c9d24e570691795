"""Prompt embeddings."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.errors import LtxError
from engine.memory.calibration import GPU_EXTRA
from engine.memory.forecast import TextFacts, text_facts, text_peak, text_weights
from engine.memory.ways import CancelledError, Meter, Way
from engine.models.checkpoint import Checkpoint
from engine.models.text_encoder import Padding, PromptEmbeds, TextEncoder
from engine.models.tokens import TokenCounter
from engine.precompute.outputs import (
    PROMPT_LENGTH,
    Expected,
    check,
    conditions_payload,
    expect_conditions,
    load,
)
from engine.precompute.stages.base import (
    Cancelled,
    Home,
    Made,
    StageRunner,
    resolve_dtype,
)
from engine.precompute.steps import TextStep

_Encoded = tuple[Home[TextEncoder], list[PromptEmbeds]]


# Lengths are rounded up to a multiple of this in what is remembered of them.
_ALIKE = 64
_EIGHT_BIT = "8-bit"


class TextStage(StageRunner[TextStep, int, TextEncoder]):
    """Encodes prompts with the language model and the checkpoint's projection.

    Where memory is short: one prompt at a time, then in 8 bits if the settings allow that, then
    on the CPU.
    """

    def read_headers(self) -> None:
        """Read the tokenizer, and how large all is."""
        self.batch = self.setup.batch_size
        self._folder = Path(self.setup.text_encoder)
        self._tokens = TokenCounter(self._folder)
        self._widths = _widths(self.checkpoint)

    def make_homes(self) -> list[Home[TextEncoder]]:
        """Return where the model can be, in 8 bits on the device before the CPU."""
        first, *others = super().make_homes()
        homes = [first]
        if self.setup.eight_bit_fallback and not self.setup.eight_bit and can_quantise(first):
            homes.append(Home(first.device, first.memory, form=_EIGHT_BIT))
        return [*homes, *others]

    def weights(self, home: Home[TextEncoder]) -> int:
        """Return the bytes of the language model and the projection."""
        exact, eight_bit = self._sizes
        return eight_bit if self._is_quantised(home) else exact

    @functools.cached_property
    def _sizes(self) -> tuple[int, int]:
        """Bytes of the weights, exact and in 8 bits."""
        size = resolve_dtype(self.setup.dtype).itemsize
        exact = text_weights(self.checkpoint, self._folder, size)
        return exact, text_weights(self.checkpoint, self._folder, size, eight_bit=True)

    @functools.cached_property
    def _facts(self) -> TextFacts:
        return text_facts(self.checkpoint, self._folder)

    def _is_quantised(self, home: Home[TextEncoder]) -> bool:
        return home.form == _EIGHT_BIT or (self.setup.eight_bit and not home.spare)

    def load(self, home: Home[TextEncoder]) -> TextEncoder:
        """Load the language model and the projection."""
        for other in self.homes:
            # One form at a time: two would take more memory than either.
            if other is not home and other.memory is home.memory:
                other.empty()
        words = "text encoder in 8 bits" if home.form else "text encoder"
        self.loading(words, str(home.device))
        return TextEncoder.load(
            self._folder,
            self.checkpoint,
            home.device,
            eight_bit=self._is_quantised(home),
            dtype=resolve_dtype(self.setup.dtype),
        )

    def prepare(self, step: TextStep) -> int:
        """Count the prompt's tokens."""
        return self._tokens.count(step.prompt)

    def begins_with(self, steps: Sequence[TextStep], lower: int = 0) -> str:
        """Return the first way that fits."""
        counts = [self._tokens.count(step.prompt) for step in steps]
        return self.guard.begins(_shape(counts), self._ways(steps, counts), lower)

    def make(
        self,
        steps: Sequence[TextStep],
        prepared: Sequence[int],
        cancelled: Cancelled,
        lower: int = 0,
    ) -> list[Made]:
        """Encode a batch of prompts."""
        if cancelled():
            raise CancelledError
        done = self.guard.run(
            _shape(prepared),
            self._ways(steps, prepared),
            step=steps[0].id,
            lower=lower,
            cancelled=cancelled,
        )
        home, embeds = done.result
        while self.homes[0].memory is home.memory and self.homes[0] is not home:
            # What did not fit once is not tried again and again: each try loads it anew.
            del self.homes[0]
        detail = _detail(home)
        schema = self.setup.conditions_schema
        return [
            Made(
                payload=conditions_payload(one.video, one.mask, one.audio, schema),
                detail=f"{min(count, PROMPT_LENGTH)} tokens{detail}",
                warnings=_truncation(count),
                rung=done.rung,
                peak=done.peak,
                approximate=home.form,
            )
            for one, count in zip(embeds, prepared, strict=True)
        ]

    def _ways(self, steps: Sequence[TextStep], counts: Sequence[int]) -> list[Way[_Encoded]]:
        ways = []
        for home in self.homes:
            for size in sorted({len(steps), 1}, reverse=True):
                words = f"batch {size}" if size > 1 else "one at a time"
                where = f" {home.name}" if home.form or home.spare else ""
                run = functools.partial(self._encode, steps, home, size)
                ways.append(self.way(home, words + where, run, need=self._need(home, size, counts)))
        return ways

    def _need(self, home: Home[TextEncoder], size: int, counts: Sequence[int]) -> int:
        facts, itemsize = self._facts, resolve_dtype(self.setup.dtype).itemsize
        on_cpu = home.device.type == "cpu"
        need = text_peak(
            facts,
            batch=size,
            tokens=max(counts),
            itemsize=itemsize,
            full=self.setup.padding == "full",
            on_cpu=on_cpu,
        )
        if not on_cpu:
            return round(need * GPU_EXTRA)
        # The prompts before the last one are finished, and lie in the same memory.
        finished = len(counts) - size
        return need + finished * PROMPT_LENGTH * (facts.video + facts.audio) * itemsize

    def _encode(
        self,
        steps: Sequence[TextStep],
        home: Home[TextEncoder],
        size: int,
        model: TextEncoder,
        _device: torch.device,
        _meter: Meter,
    ) -> _Encoded:
        padding: Padding = "full" if self.setup.padding == "full" else "trimmed"
        prompts = [step.prompt for step in steps]
        return home, model.encode(prompts, padding=padding, batch_size=size)

    def expected(self, step: TextStep) -> Expected:  # noqa: ARG002 (all prompts look alike)
        """Return the embeddings' shape."""
        dtype = resolve_dtype(self.setup.dtype)
        return expect_conditions(self._widths, self.setup.conditions_schema, dtype)

    def verify(self, step: TextStep) -> None:
        """Check an existing output, and that its mask has as many tokens as the prompt."""
        payload = load(Path(step.output))
        check(payload, self.expected(step))
        mask = payload["prompt_attention_mask"]
        wanted = min(self._tokens.count(step.prompt), PROMPT_LENGTH)
        if isinstance(mask, torch.Tensor) and int(mask.sum()) != wanted:
            raise LtxError(
                f"was made from {int(mask.sum())} tokens, and the prompt now has {wanted}",
                remedy="let a run encode it again",
            )


def _widths(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return the widths of the video and the audio embeddings, 0 where there are none."""
    maps = checkpoint.select(checkpoint.text_projection_prefix)
    both = maps.get("aggregate_embed.weight")
    if both is not None:
        return both.shape[0], both.shape[0]
    video, audio = (maps.get(f"{name}_aggregate_embed.weight") for name in ("video", "audio"))
    return (video.shape[0] if video else 0, audio.shape[0] if audio else 0)


def can_quantise(home: Home[TextEncoder]) -> bool:
    """Whether the language model can be loaded in 8 bits there."""
    return home.device.type == "cuda" and importlib.util.find_spec("bitsandbytes") is not None


def _shape(counts: Sequence[int]) -> str:
    longest = min(max(counts), PROMPT_LENGTH)
    return f"{len(counts)} of up to {math.ceil(longest / _ALIKE) * _ALIKE} tokens"


def _detail(home: Home[TextEncoder]) -> str:
    if home.form:
        return f", {home.form} (approximate)"
    return f", {home.name}" if home.spare else ""


def _truncation(count: int) -> tuple[str, ...]:
    if count <= PROMPT_LENGTH:
        return ()
    return (f"the caption has {count:,} tokens; the last {count - PROMPT_LENGTH:,} are cut off",)

"""Prompt embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from engine.errors import LtxError
from engine.models.checkpoint import Checkpoint
from engine.models.text_encoder import TextEncoder
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
    CancelledError,
    Loading,
    Made,
    StageRunner,
    resolve_dtype,
)
from engine.precompute.steps import StageSetup, TextStep


class TextStage(StageRunner[TextStep, int, TextEncoder]):
    """Encodes prompts with the language model and the checkpoint's projection."""

    def __init__(self, setup: StageSetup, loading: Loading) -> None:
        super().__init__(setup, loading)
        self.batch = setup.batch_size
        self._folder = Path(setup.text_encoder)
        self._tokens = TokenCounter(self._folder)
        self._widths = _widths(self.checkpoint)

    def load(self) -> TextEncoder:
        """Load the language model and the projection."""
        self.loading("text encoder", str(self.device))
        return TextEncoder.load(
            self._folder,
            self.checkpoint,
            self.device,
            eight_bit=self.setup.eight_bit,
            dtype=resolve_dtype(self.setup.dtype),
        )

    def prepare(self, step: TextStep) -> int:
        """Count the prompt's tokens."""
        return self._tokens.count(step.prompt)

    def make(
        self, steps: Sequence[TextStep], prepared: Sequence[int], cancelled: Cancelled
    ) -> list[Made]:
        """Encode a batch of prompts."""
        if cancelled():
            raise CancelledError
        embeds = self.model.encode(
            [step.prompt for step in steps],
            padding="full" if self.setup.padding == "full" else "trimmed",
            batch_size=len(steps),
        )
        schema = self.setup.conditions_schema
        return [
            Made(
                payload=conditions_payload(one.video, one.mask, one.audio, schema),
                detail=f"{min(count, PROMPT_LENGTH)} tokens",
                warnings=_truncation(count),
            )
            for one, count in zip(embeds, prepared, strict=True)
        ]

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


def _truncation(count: int) -> tuple[str, ...]:
    if count <= PROMPT_LENGTH:
        return ()
    return (f"the caption has {count:,} tokens; the last {count - PROMPT_LENGTH:,} are cut off",)

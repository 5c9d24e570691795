"""From prompts to the embeddings that the trainer reads.

A prompt of n tokens stands at the end of 1,024 places. By default only the n are run, at the
positions that they have there; the rest is what the projection makes of padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from engine.errors import LtxError, ModelError
from engine.models.checkpoint import Checkpoint
from engine.models.gemma import load_text_tower
from engine.models.gemma_config import text_tower_config
from engine.models.text_projection import (
    Features,
    ProjectionV1,
    ProjectionV2,
    load_text_projection,
)
from engine.models.tokens import MAX_TOKENS, TokenCounter

Padding = Literal["trimmed", "full"]

# What a prompt's length is to be of the longest one's in its batch: padding is computed in vain.
_ALIKE = 0.75


class PromptEmbeds(NamedTuple):
    """The embeddings of one prompt, on the CPU.

    Attributes:
        video: [1024, D], in the encoder's dtype.
        audio: [1024, Da]; the very tensor `video` in LTX-2.0; None where the model has no sound.
        mask: int64 [1024], 1 for the prompt's own tokens, which come last.
        tokens: How many those are.
        truncated: How many more the prompt had.
    """

    video: Tensor
    audio: Tensor | None
    mask: Tensor
    tokens: int
    truncated: int


class TextEncoder:
    """A language model and the checkpoint's projection of its hidden states."""

    def __init__(
        self, tower: nn.Module, projection: ProjectionV1 | ProjectionV2, tokenizer: TokenCounter
    ) -> None:
        self._tower = tower
        self._projection = projection
        self._tokenizer = tokenizer
        self._device = next(projection.parameters()).device

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """The modules that hold the weights."""
        return self._tower, self._projection

    @classmethod
    def load(
        cls,
        folder: Path,
        checkpoint: Checkpoint,
        device: torch.device | str,
        *,
        eight_bit: bool = False,
        dtype: torch.dtype = torch.bfloat16,
    ) -> TextEncoder:
        """Load the language model, its tokenizer and the projection.

        Args:
            folder: A Gemma 3 folder.
            checkpoint: Holds the text projection.
            device: Where to.
            eight_bit: Quantise the language model's linear layers; approximate.
            dtype: Of the weights and of the result.

        Raises:
            ModelError: A part is missing, does not fit the others, or is of LTX-2.5.
            EnvironmentFaultError: `eight_bit` without bitsandbytes.
        """
        if checkpoint.generation == "2.5":
            raise ModelError(
                "LTX-2.5's text encoder is not supported yet",
                file=checkpoint.path,
                remedy="use an LTX-2.0 or 2.3 checkpoint",
            )
        config = text_tower_config(folder)
        tokenizer = TokenCounter(folder)
        projection = load_text_projection(
            checkpoint,
            hidden=config.hidden_size,
            layers=config.num_hidden_layers + 1,
            device=device,
            dtype=dtype,
        )
        # Last, as it takes longest and the others find most faults.
        tower = load_text_tower(folder, device, dtype=dtype, eight_bit=eight_bit)
        return cls(tower, projection, tokenizer)

    def encode(
        self,
        prompts: Sequence[str],
        *,
        padding: Padding = "trimmed",
        batch_size: int = 8,
    ) -> list[PromptEmbeds]:
        """Encode prompts, in their order.

        Args:
            prompts: Whole prompts, trigger included; space around them is dropped.
            padding: "trimmed" runs the real tokens only, prompts of similar length together;
                "full" runs all the 1,024 of each prompt by itself, which gives the reference's
                very bits.
            batch_size: Prompts a batch, at most.

        Raises:
            LtxError: A prompt is empty and the tokenizer adds nothing to it.
        """
        ids = [self._tokenizer.ids(prompt) for prompt in prompts]
        if not all(ids):
            raise LtxError("a prompt without a single token cannot be encoded")
        rows = [row[:MAX_TOKENS] for row in ids]
        features: dict[int, Features] = {}
        for batch in _batches([len(row) for row in rows], 1 if padding == "full" else batch_size):
            length = MAX_TOKENS if padding == "full" else max(len(rows[i]) for i in batch)
            # "full" is for the reference's bits, so it takes the kernels that the reference takes.
            states = self._states([rows[i] for i in batch], length, fastest=padding != "full")
            for at, i in enumerate(batch):
                kept = length if padding == "full" else len(rows[i])
                features[i] = self._features([s[at] for s in states], len(rows[i]), kept)
        return [
            _finished(features[i], len(row), len(ids[i]) - len(row)) for i, row in enumerate(rows)
        ]

    @torch.inference_mode()
    def _states(
        self, rows: Sequence[list[int]], length: int, *, fastest: bool
    ) -> tuple[Tensor, ...]:
        """Run the language model on left-padded rows; return all hidden states [B, length, D].

        The last place is always position 1023, however short the rows are.
        """
        pad = self._tokenizer.pad_id
        ids = torch.tensor([[pad] * (length - len(row)) + row for row in rows])
        padded = any(len(row) < length for row in rows)
        mask = torch.stack([_mask(len(row), length) for row in rows]) if padded else None
        positions = torch.arange(MAX_TOKENS - length, MAX_TOKENS)
        out: Any = self._tower(
            input_ids=ids.to(self._device),
            attention_mask=None if mask is None else mask.to(self._device),
            position_ids=positions.to(self._device)[None],
            output_hidden_states=True,
            fastest=fastest,
        )
        states: tuple[Tensor, ...] = out.hidden_states
        return states

    @torch.inference_mode()
    def _features(self, states: Sequence[Tensor], tokens: int, length: int) -> Features:
        """Project the last `length` of one prompt's states [T, D] to features [1024, D]."""
        stacked = torch.stack([s[s.shape[0] - length :] for s in states], dim=-1)[None]
        mask = _mask(tokens, length)[None].bool().to(self._device)
        video, audio = self._projection(stacked, mask)
        pad_video, pad_audio = self._projection.padding()
        placed = _behind(pad_video, video[0])
        if audio is video:
            return placed, placed
        if audio is None or pad_audio is None:
            return placed, None
        return placed, _behind(pad_audio, audio[0])


def _behind(pad: Tensor, real: Tensor) -> Tensor:
    """Return [1024, D] on the CPU: `real` at the end, rows of `pad` before it."""
    return torch.cat([pad.expand(MAX_TOKENS - real.shape[0], -1), real]).cpu()


def _mask(tokens: int, length: int) -> Tensor:
    mask = torch.zeros(length, dtype=torch.int64)
    mask[length - tokens :] = 1
    return mask


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield indices of prompts of similar length together, the longest first.

    So memory, if it is short, is so at once. No prompt is padded by more than a third.
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) == size or lengths[i] < _ALIKE * lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _finished(features: Features, tokens: int, truncated: int) -> PromptEmbeds:
    video, audio = features
    return PromptEmbeds(video, audio, _mask(tokens, MAX_TOKENS), tokens, truncated)

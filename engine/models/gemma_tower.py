"""Gemma 3's text tower: from token ids to the hidden states of all layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine.models.gemma_config import GemmaConfig, LayerKind
from engine.models.gemma_kernels import Attend, attention
from engine.models.gemma_layers import DecoderLayer, RmsNorm, RotaryEmbedding, ScaledEmbedding


class TowerOutput(NamedTuple):
    """What the tower gives.

    Attributes:
        last_hidden_state: [B, T, width], normed.
        hidden_states: One more than there are layers: the scaled embeddings, what each layer but
            the last one gives, and `last_hidden_state`; None where they were not asked for.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None


class GemmaTower(nn.Module):
    """The text part of a Gemma 3, without logits and without a cache.

    On the CPU its states are those of transformers' `Gemma3TextModel` to the bit.
    """

    def __init__(self, config: GemmaConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = ScaledEmbedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in config.layer_types)
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = RotaryEmbedding(config)
        self._attend = Attend()

    def fill(self, device: torch.device | str) -> None:
        """Compute what no file holds, on a tower that was built on "meta"."""
        self.embed_tokens.fill(device)
        self.rotary_emb.fill(device)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        fastest: bool = True,
    ) -> TowerOutput:
        """Run all layers.

        Args:
            input_ids: int64 [B, T].
            attention_mask: [B, T], 0 where a prompt is padded; None where none is.
            position_ids: [B or 1, T]; 0 … T-1 by default.
            output_hidden_states: Keep and return all states.
            fastest: Use the attention kernel that is fastest here; else the one that torch
                chooses, as transformers does.
        """
        length, device = input_ids.shape[1], input_ids.device
        if position_ids is None:
            position_ids = torch.arange(length, device=device)[None]
        x = self.embed_tokens(input_ids)
        masks = _masks(attention_mask, length, self.config.sliding_window, device)
        turns = {
            kind: self.rotary_emb(position_ids, kind, x.dtype)
            for kind in set(self.config.layer_types)
        }
        attend = self._attend if fastest else attention
        states = []
        for layer, kind in zip(self.layers, self.config.layer_types, strict=True):
            if output_hidden_states:
                states.append(x)
            x = layer(x, turns[kind], masks[kind], attend)
        x = self.norm(x)
        return TowerOutput(x, (*states, x) if output_hidden_states else None)


def _masks(
    padding: Tensor | None, length: int, window: int, device: torch.device
) -> dict[LayerKind, Tensor | None]:
    """Return what each kind of layer sees, as in `Heads`; both the same where they can be.

    Without padding and within the window there is no mask: whether torch is given one or told that
    each token sees what is before it makes no difference to a single bit on the CPU.
    """
    if padding is not None and bool(padding.all()):
        padding = None
    places = torch.arange(length, device=device)
    if padding is not None:
        every = (places[:, None] >= places) & padding.bool()[:, None, None]
        near = every if length <= window else every & (places > places[:, None] - window)
        return {"full_attention": every, "sliding_attention": near}
    if length <= window:
        return {"full_attention": None, "sliding_attention": None}
    near = (places > places[:, None] - window).logical_and_(places[:, None] >= places)
    return {"full_attention": None, "sliding_attention": near[None, None]}

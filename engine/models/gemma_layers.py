"""What Gemma 3's text tower is made of, rounding as transformers does, in the same places.

Tensors are [B, T, width], or [B, heads, T, head_dim] inside the attention. The modules' attributes
are named as in the checkpoints.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models.gemma_config import GemmaConfig, LayerKind
from engine.models.gemma_kernels import Heads, Kernel

# Cosines and sines [B or 1, 1, T, head_dim], in the states' dtype.
Turn = tuple[Tensor, Tensor]


class RmsNorm(nn.Module):
    """To a root mean square of 1 over the last axis, times 1 + weight, all in float32."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return a new tensor of the shape and dtype of `x`."""
        wide = x.float()
        scale = wide.pow(2).mean(-1, keepdim=True).add_(self.epsilon).rsqrt_()
        return (wide * scale).mul_(1.0 + self.weight.float()).type_as(x)


class ScaledEmbedding(nn.Embedding):
    """Token embeddings, times the root of their width as the weights' dtype rounds it."""

    embed_scale: Tensor

    def __init__(self, tokens: int, width: int) -> None:
        # Weights that are given are not drawn first, for which torch would load its compiler.
        super().__init__(tokens, width, _weight=torch.empty(tokens, width))
        self._scale = width**0.5
        self.register_buffer("embed_scale", torch.tensor(self._scale), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return [B, T, width] for ids [B, T]."""
        return super().forward(ids).mul_(self.embed_scale.to(self.weight.dtype))

    def fill(self, device: torch.device | str) -> None:
        """Compute what no file holds."""
        self.embed_scale = torch.tensor(self._scale, device=device)


class RotaryEmbedding(nn.Module):
    """The frequencies with which positions turn queries and keys, float32 for each kind of layer.

    The buffers are those of transformers, name by name. They never take another dtype: in
    bfloat16 a late position would be more than a per cent off.
    """

    def __init__(self, config: GemmaConfig) -> None:
        super().__init__()
        self._config = config
        for kind in sorted(set(config.layer_types)):
            for name in _buffers(kind):
                self.register_buffer(name, torch.empty(config.head_dim // 2), persistent=False)
        if not torch.empty(0).is_meta:
            self.fill("cpu")

    def fill(self, device: torch.device | str) -> None:
        """Compute the frequencies."""
        width = self._config.head_dim
        for kind in set(self._config.layer_types):
            rotary = self._config.rotary(kind)
            steps = torch.arange(0, width, 2, dtype=torch.float32) / width
            frequencies = 1.0 / (rotary.rope_theta**steps) / rotary.divisor
            for name in _buffers(kind):
                setattr(self, name, frequencies.to(device, copy=True))

    def forward(self, positions: Tensor, kind: LayerKind, dtype: torch.dtype) -> Turn:
        """Return cosines and sines for positions [B or 1, T]."""
        angles = positions[:, None, :, None].float() * self.get_buffer(_buffers(kind)[0])
        both = torch.cat((angles, angles), dim=-1)
        return both.cos().to(dtype), both.sin().to(dtype)


class Attention(nn.Module):
    """Attention with normed queries and keys, of which several heads share one."""

    def __init__(self, config: GemmaConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.scale = config.query_pre_attn_scalar**-0.5
        width, bias = config.hidden_size, config.attention_bias
        inner = config.num_attention_heads * config.head_dim
        shared = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(width, inner, bias=bias)
        self.k_proj = nn.Linear(width, shared, bias=bias)
        self.v_proj = nn.Linear(width, shared, bias=bias)
        self.o_proj = nn.Linear(inner, width, bias=bias)
        self.q_norm = RmsNorm(config.head_dim, config.rms_norm_eps)
        self.k_norm = RmsNorm(config.head_dim, config.rms_norm_eps)

    def forward(self, x: Tensor, turn: Turn, mask: Tensor | None, attend: Kernel) -> Tensor:
        """Return [B, T, width]; `mask` is as in `Heads`."""
        query = _turned(self.q_norm(self._heads(self.q_proj(x))), turn)
        key = _turned(self.k_norm(self._heads(self.k_proj(x))), turn)
        value = self._heads(self.v_proj(x))
        out = attend(Heads(query, key, value, mask, self.scale))
        return cast("Tensor", self.o_proj(out.transpose(1, 2).flatten(2)))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], -1, self.head_dim).transpose(1, 2)


class FeedForward(nn.Module):
    """A gated feed-forward part."""

    def __init__(self, config: GemmaConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, T, width]."""
        gated = functional.gelu(self.gate_proj(x), approximate="tanh")
        gated *= self.up_proj(x)
        return cast("Tensor", self.down_proj(gated))


class DecoderLayer(nn.Module):
    """Attention and feed-forward, each between two norms."""

    def __init__(self, config: GemmaConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = FeedForward(config)
        width, epsilon = config.hidden_size, config.rms_norm_eps
        self.input_layernorm = RmsNorm(width, epsilon)
        self.post_attention_layernorm = RmsNorm(width, epsilon)
        self.pre_feedforward_layernorm = RmsNorm(width, epsilon)
        self.post_feedforward_layernorm = RmsNorm(width, epsilon)

    def forward(self, x: Tensor, turn: Turn, mask: Tensor | None, attend: Kernel) -> Tensor:
        """Return a new tensor [B, T, width]."""
        inner = self.self_attn(self.input_layernorm(x), turn, mask, attend)
        x = self.post_attention_layernorm(inner).add_(x)
        del inner  # before the widest part
        inner = self.mlp(self.pre_feedforward_layernorm(x))
        return cast("Tensor", self.post_feedforward_layernorm(inner).add_(x))


def _turned(x: Tensor, turn: Turn) -> Tensor:
    """Return [B, heads, T, head_dim], each half of a head turned with the other one."""
    cosine, sine = turn
    first, second = x.chunk(2, dim=-1)
    return (x * cosine).add_(torch.cat((-second, first), dim=-1).mul_(sine))


def _buffers(kind: LayerKind) -> tuple[str, str]:
    return f"{kind}_inv_freq", f"{kind}_original_inv_freq"

"""From the hidden states of a language model to prompt embeddings.

Every state counts: the embeddings' and each layer's, stacked on a last axis.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.errors import ModelError
from engine.models.checkpoint import Checkpoint
from engine.models.weights import load_into
from engine.text import listed, visible

_EPSILON = 1e-6

Features = tuple[Tensor, Tensor | None]


class ProjectionV1(nn.Module):
    """LTX-2.0: one map without bias; sound gets the same features as the picture."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.aggregate_embed = nn.Linear(width, outputs, bias=False)

    def forward(self, states: Tensor, mask: Tensor) -> Features:
        """Project the states of a batch.

        Args:
            states: [B, T, hidden, layers].
            mask: bool [B, T], False where a prompt is padded.

        Returns:
            Video and audio features [B, T, outputs], the same tensor; zeros where padded.
        """
        video = self.aggregate_embed(normalise_by_range(states, mask).to(states.dtype))
        return video, video

    def padding(self) -> Features:
        """Return what a padded token becomes: [outputs] each, the same tensor."""
        weight = self.aggregate_embed.weight
        row = weight.new_zeros(weight.shape[0])
        return row, row


class ProjectionV2(nn.Module):
    """LTX-2.3: two maps with bias, of features with the root mean square of their target's."""

    def __init__(self, width: int, hidden: int, video: int, audio: int | None) -> None:
        super().__init__()
        self.hidden = hidden
        self.video_aggregate_embed = nn.Linear(width, video)
        self.audio_aggregate_embed = None if audio is None else nn.Linear(width, audio)

    def forward(self, states: Tensor, mask: Tensor) -> Features:
        """As `ProjectionV1`, but for the two outputs' widths and the bias where padded."""
        features = normalise_by_token(states, mask)
        video = self._project(self.video_aggregate_embed, features)
        if self.audio_aggregate_embed is None:
            return video, None
        return video, self._project(self.audio_aggregate_embed, features)

    def padding(self) -> Features:
        """Return what a padded token becomes: the bias of each map."""
        audio = self.audio_aggregate_embed
        return self.video_aggregate_embed.bias, None if audio is None else audio.bias

    def _project(self, linear: nn.Linear, features: Tensor) -> Tensor:
        out: Tensor = linear(features * math.sqrt(linear.out_features / self.hidden))
        return out


def normalise_by_range(states: Tensor, mask: Tensor) -> Tensor:
    """Return 8 (x - mean) / (max - min + 1e-6) for each prompt and layer.

    Mean, maximum and minimum are over the real tokens and the hidden axis.

    Args:
        states: [B, T, hidden, layers].
        mask: bool [B, T].

    Returns:
        [B, T, hidden · layers], zero where padded; float32 at least, since the mean is.
    """
    batch, _, hidden, _ = states.shape
    real = mask[:, :, None, None]
    count = (mask.sum(dim=1) * hidden).view(batch, 1, 1, 1)
    mean = states.masked_fill(~real, 0).sum(dim=(1, 2), keepdim=True) / (count + _EPSILON)
    least = states.masked_fill(~real, math.inf).amin(dim=(1, 2), keepdim=True)
    most = states.masked_fill(~real, -math.inf).amax(dim=(1, 2), keepdim=True)
    features = 8 * (states - mean) / (most - least + _EPSILON)
    return features.masked_fill(~real, 0).flatten(2)


def normalise_by_token(states: Tensor, mask: Tensor) -> Tensor:
    """Return x / sqrt(mean of x² over the hidden axis + 1e-6), for each token and layer.

    Shapes as in `normalise_by_range`; the dtype is that of `states`.
    """
    scale = torch.rsqrt(torch.mean(states**2, dim=2, keepdim=True) + _EPSILON)
    return (states * scale).masked_fill(~mask[:, :, None, None], 0).flatten(2)


def load_text_projection(
    checkpoint: Checkpoint,
    *,
    hidden: int,
    layers: int,
    device: torch.device | str,
    dtype: torch.dtype,
) -> ProjectionV1 | ProjectionV2:
    """Build the text projection of a checkpoint and load its weights.

    Args:
        checkpoint: Its generation follows from the names of the tensors.
        hidden: Width of the language model.
        layers: Its hidden states: layers plus one for the embeddings.
        device: Where to.
        dtype: Of the weights.

    Raises:
        ModelError: There is none, or it is for another language model.
    """
    prefix = checkpoint.text_projection_prefix
    shapes = {name: info.shape for name, info in checkpoint.select(prefix).items()}
    width = hidden * layers
    maps = [name for name in shapes if name.endswith("aggregate_embed.weight")]
    if not maps:
        raise ModelError(
            f"its text projection is of an unknown kind: {visible(listed(sorted(shapes)))}",
            file=checkpoint.path,
            remedy="use an original LTX-2.0 or 2.3 checkpoint",
        )
    for name in maps:
        if len(shapes[name]) != 2 or shapes[name][1] != width:
            raise ModelError(
                f"its text projection {name} has the shape {shapes[name]}, but the language "
                f"model gives {layers} states of {hidden} ({width})",
                file=checkpoint.path,
                remedy="give the language model that belongs to the checkpoint",
            )
    with torch.device("meta"):
        module = _build({name: shapes[name][0] for name in maps}, width, hidden)
    load_into(module, checkpoint, prefix, device=device, dtype=dtype)
    return module


def _build(outputs: dict[str, int], width: int, hidden: int) -> ProjectionV1 | ProjectionV2:
    video = outputs.get("video_aggregate_embed.weight")
    if video is None:
        return ProjectionV1(width, next(iter(outputs.values())))
    return ProjectionV2(width, hidden, video, outputs.get("audio_aggregate_embed.weight"))

"""How much memory models and encodes take, from headers and configs alone, without torch.

Figures are live tensors. What an allocator rounds up and a kernel needs for itself comes on top:
`engine.memory.calibration` learns that from measured peaks.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import ModelError
from engine.memory.rungs import Rung
from engine.memory.video_walk import Walk
from engine.models.checkpoint import Checkpoint, model_folder_shards
from engine.models.gemma_config import USUAL
from engine.models.header import TensorInfo, json_object, read_header
from engine.models.video_config import EncoderConfig

# torch's convolutions count the elements of a tensor in 32 bits.
_MOST_ELEMENTS = 2**31
_MOST_TOKENS = 1024
_FLOAT = 4
_COLOURS = 3
_STATISTICS = ("per_channel_statistics.mean-of-means", "per_channel_statistics.std-of-means")
# Parts of a Gemma folder that are not loaded.
_NOT_TEXT = ("vision_tower.", "multi_modal_projector.", "lm_head.")
_SHAPE = re.compile(r"(\d+)x(\d+)x(\d+)(?: × (\d+))?", re.ASCII)
# What is read of a Gemma 3 config, which leaves it out where it has the usual value.
_GEMMA = ("hidden_size", "intermediate_size", "num_hidden_layers", "head_dim", "sliding_window")


class VideoShape(msgspec.Struct, frozen=True):
    """What is encoded: width × height × frames.

    Attributes:
        batch: Clips of it at a time. A rung says how many itself, and wins.
    """

    width: int
    height: int
    frames: int
    batch: int = 1

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}x{self.frames}"
        return size if self.batch == 1 else f"{size} × {self.batch}"

    @classmethod
    def parse(cls, text: str) -> VideoShape | None:
        """Read what `str` wrote; None for anything else."""
        found = _SHAPE.fullmatch(text)
        return cls(*(int(figure or 1) for figure in found.groups())) if found else None


class TextFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a language model and its projection on which memory depends.

    Attributes:
        hidden: Width.
        layers: Decoder layers; there is one hidden state more.
        intermediate: Width inside a layer's feed-forward part.
        head: Width of an attention head.
        window: Tokens that the local layers see.
        video: Width of the embeddings for the picture.
        audio: Width of those for sound; 0 where there are none, or where they are the same.
        by_range: Normalised by range in float32 (LTX-2.0), not by token (2.3).
    """

    hidden: int
    layers: int
    intermediate: int
    head: int
    window: int
    video: int
    audio: int
    by_range: bool


def video_peak(config: EncoderConfig, shape: VideoShape, rung: Rung, itemsize: int) -> int:
    """Return the most bytes of tensors beside the weights while a video is encoded.

    Args:
        config: The encoder's.
        shape: Of one clip.
        rung: How; `rung.batch` clips at a time. With "offload", what lies in host memory is not
            counted.
        itemsize: Bytes an element: 2 for bfloat16.
    """
    return _walk(config, shape, rung).peak * itemsize


def part_ahead(shape: VideoShape, rung: Rung, itemsize: int) -> int:
    """Return the bytes of the part of a clip that travels to a GPU while another is encoded.

    That is beside `video_peak`. Arguments as there; 0 where there is but one part, and where a rung
    saves memory, which is worth more there than the time of a copy.
    """
    if not rung.ahead:
        return 0
    frames = min(rung.chunk, max(0, shape.frames - rung.chunk - 1))
    return _COLOURS * rung.batch * frames * shape.height * shape.width * itemsize


def exceeds_index_limit(shape: VideoShape, rung: Rung, config: EncoderConfig) -> bool:
    """Whether a tensor of that encode has 2³¹ elements or more, too many for a convolution."""
    return _walk(config, shape, rung).largest >= _MOST_ELEMENTS


def video_weights(checkpoint: Checkpoint, itemsize: int) -> int:
    """Return the bytes of the video encoder's weights, in a dtype of `itemsize` bytes.

    Raises:
        ModelError: The file has no video VAE.
    """
    tensors = checkpoint.select(checkpoint.video_vae_prefix)
    return itemsize * _elements(
        info for name, info in tensors.items() if name.startswith("encoder.") or name in _STATISTICS
    )


def text_weights(
    checkpoint: Checkpoint, text_encoder: Path, itemsize: int, *, eight_bit: bool = False
) -> int:
    """Return the bytes of the language model's text part and of the projection.

    Args:
        checkpoint: Holds the projection.
        text_encoder: The language model's folder.
        itemsize: Bytes an element.
        eight_bit: The language model's linear layers take one byte an element.

    Raises:
        ModelError: A part is missing or cannot be read.
    """
    projection = checkpoint.select(checkpoint.text_projection_prefix)
    tower = {
        name: info
        for shard in model_folder_shards(text_encoder)
        for name, info in read_header(shard).tensors.items()
        if not any(part in name for part in _NOT_TEXT)
    }
    linear = _elements(info for name, info in tower.items() if name.endswith("_proj.weight"))
    rest = _elements(tower.values()) - linear + _elements(projection.values())
    return rest * itemsize + linear * (1 if eight_bit else itemsize)


def text_facts(checkpoint: Checkpoint, text_encoder: Path) -> TextFacts:
    """Read what `text_peak` needs to know.

    Raises:
        ModelError: The folder's config or the checkpoint's projection cannot be used.
    """
    file = text_encoder / "config.json"
    table = json_object(file.read_bytes()) if file.is_file() else None
    inner = (table or {}).get("text_config")
    text: dict[str, Any] = {**USUAL, **(inner if isinstance(inner, dict) else table or {})}
    figures = {key: text[key] for key in _GEMMA}
    if table is None or any(type(n) is not int or n < 1 for n in figures.values()):
        raise ModelError(
            "the language model's config cannot be read",
            file=file,
            remedy="download the language model's folder again",
        )
    maps = checkpoint.select(checkpoint.text_projection_prefix)
    widths = {
        name.partition("aggregate_embed")[0]: info.shape[0]
        for name, info in maps.items()
        if name.endswith("aggregate_embed.weight")
    }
    return TextFacts(
        hidden=figures["hidden_size"],
        layers=figures["num_hidden_layers"],
        intermediate=figures["intermediate_size"],
        head=figures["head_dim"],
        window=figures["sliding_window"],
        video=widths.get("") or widths.get("video_", 0),
        audio=widths.get("audio_", 0),
        by_range="" in widths,
    )


def text_peak(
    facts: TextFacts,
    *,
    batch: int,
    tokens: int,
    itemsize: int,
    full: bool = False,
    on_cpu: bool = False,
) -> int:
    """Return the most bytes of tensors beside the weights while prompts are encoded.

    Args:
        facts: Of the models.
        batch: Prompts.
        tokens: Of the longest one.
        itemsize: Bytes an element.
        full: All 1,024 places are run, for one prompt at a time.
        on_cpu: The finished embeddings lie in the same memory.
    """
    length = _MOST_TOKENS if full else min(tokens, _MOST_TOKENS)
    together = 1 if full else batch
    padded = full or batch > 1
    # Within the window both kinds of layers share one, and without padding none is made.
    masks = (padded + (length > facts.window)) * together * length**2
    states = together * length * facts.hidden * (facts.layers + 1) * itemsize
    # A layer's feed-forward part: its input, gate and other half; cosines and sines of both kinds.
    layer = together * (facts.hidden + 2 * facts.intermediate) + 4 * facts.head
    run = states + length * layer * itemsize + masks
    if full and batch > 1:
        # The states of the prompt before are there until the next ones are.
        run += states + (_placed(facts) * (batch - 1) * itemsize if on_cpu else 0)
    return max(run, states + _projection_peak(facts, length, batch if on_cpu else 1, itemsize))


def _projection_peak(facts: TextFacts, length: int, kept: int, itemsize: int) -> int:
    """Bytes that projecting a prompt takes, beside all states; `kept` results are there at last."""
    stacked = length * facts.hidden * (facts.layers + 1)
    placed, out = _placed(facts), length * (facts.video + facts.audio)
    if facts.by_range:
        normalised = 2 * stacked * max(_FLOAT, itemsize)
    else:
        normalised = 2 * stacked * itemsize + out * itemsize
    before = (kept - 1) * placed * itemsize
    return before + stacked * itemsize + max(normalised, (out + placed) * itemsize)


def _placed(facts: TextFacts) -> int:
    """Elements of one prompt's embeddings."""
    return _MOST_TOKENS * (facts.video + facts.audio)


@functools.lru_cache(maxsize=512)  # asked for every rung of every clip, and shapes are few
def _walk(config: EncoderConfig, shape: VideoShape, rung: Rung) -> Walk:
    return Walk(config, rung, width=shape.width, height=shape.height, frames=shape.frames)


def _elements(tensors: Iterable[TensorInfo]) -> int:
    return sum(math.prod(info.shape) for info in tensors)

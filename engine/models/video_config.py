"""What a checkpoint's own metadata says of its video VAE, read without torch.

Every figure comes from the file: block lists have no default, since a default that does not fit
is found out late or never.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from engine.errors import ModelError
from engine.text import visible

Padding = Literal["zeros", "reflect"]

# Name → stride in (time, height, width). The encoder's end in `_res`, the decoder's do not.
STRIDES: dict[str, tuple[int, int, int]] = {
    "compress_space": (1, 2, 2),
    "compress_time": (2, 1, 1),
    "compress_all": (2, 2, 2),
}
_ENCODER_BLOCKS = ("res_x", *(f"{name}_res" for name in STRIDES))
_DECODER_BLOCKS = ("res_x", *STRIDES)

# conv_out's channels beside the means, which come first.
_LOG_VARIANCE = {"none": 0, "uniform": 1, "constant": 1}
_OTHER_MODEL = "use an original LTX-2 checkpoint"


class Block(msgspec.Struct, frozen=True):
    """One entry of a block list.

    Attributes:
        name: As in the file, such as "compress_all_res".
        layers: Residual blocks (`res_x` only).
        multiplier: Encoder: output channels over input channels. Decoder: the reverse.
        residual: The decoder's up-sampling adds its own input.
    """

    name: str
    layers: int = 0
    multiplier: int = 1
    residual: bool = False

    @property
    def stride(self) -> tuple[int, int, int]:
        """Step in (time, height, width); ones for `res_x`."""
        return STRIDES.get(self.name.removesuffix("_res"), (1, 1, 1))


class EncoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The video encoder: `latent_channels` is also its width at full resolution."""

    in_channels: int
    latent_channels: int
    out_channels: int
    patch_size: int
    padding: Padding
    blocks: tuple[Block, ...]

    @property
    def scale_factors(self) -> tuple[int, int]:
        """(space, time): patch size, and 2 for every block that compresses."""
        return _scale(self.patch_size, self.blocks)


class DecoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The video decoder; `blocks` are in the order in which they run."""

    latent_channels: int
    out_channels: int
    base_channels: int
    patch_size: int
    padding: Padding
    causal: bool
    blocks: tuple[Block, ...]

    @property
    def scale_factors(self) -> tuple[int, int]:
        """(space, time): patch size, and 2 for every block that expands."""
        return _scale(self.patch_size, self.blocks)

    @property
    def first_width(self) -> int:
        """Channels behind the first convolution: always 8 × base, whatever the blocks divide by."""
        return self.base_channels * 8


def encoder_config(vae: Mapping[str, Any], file: Path | None = None) -> EncoderConfig:
    """Read the encoder's part of the `vae` section of a checkpoint's config.

    LTX-2.5's `CausalDiffusionVAE` nests it under `encoder`, with `blocks` and `out_channels`.

    Raises:
        ModelError: No block list, an unknown block, or a figure that makes no sense.
    """
    nested = vae.get("encoder")
    reader = _Reader(nested if isinstance(nested, dict) else vae, file)
    is_nested = reader.table is not vae
    reader.require("dims", 3)
    reader.require("norm_layer", "pixel_norm")
    latent = reader.number("out_channels" if is_nested else "latent_channels", 128, most=4096)
    log_variance = reader.choice("latent_log_var", "uniform", (*_LOG_VARIANCE, "per_channel"))
    config = EncoderConfig(
        in_channels=reader.number("in_channels", 3, most=16),
        latent_channels=latent,
        out_channels=latent + _LOG_VARIANCE.get(log_variance, latent),
        patch_size=reader.number("patch_size", 4, most=16),
        padding=reader.padding("zeros"),
        blocks=reader.blocks("blocks" if is_nested else "encoder_blocks", _ENCODER_BLOCKS, 2),
    )
    width = latent
    for block in config.blocks:
        cells = math.prod(block.stride)
        # The convolution makes out / cells channels; the skip takes means over cells / multiplier.
        if cells % block.multiplier or width * block.multiplier % cells:
            raise reader.fail(f"has {block.name!r} at {width} channels, which does not divide")
        width *= block.multiplier
    return config


def decoder_config(vae: Mapping[str, Any], file: Path | None = None) -> DecoderConfig:
    """Read the decoder's part of the `vae` section of a checkpoint's config.

    Raises:
        ModelError: As `encoder_config`; also for LTX-2.5's diffusion decoder, for noise injection
            and for timestep conditioning, which no LTX-2.0 or 2.3 decoder has.
    """
    if isinstance(vae.get("decoder"), dict):
        raise ModelError(
            "its decoder is a diffusion model (CausalDiffusionVAE), which is not supported yet",
            file=file,
            remedy="encoding works; decode with the model's own tools",
        )
    reader = _Reader(vae, file)
    reader.require("dims", 3)
    reader.require("norm_layer", "pixel_norm")
    reader.require("timestep_conditioning", False)
    config = DecoderConfig(
        latent_channels=reader.number("latent_channels", 128, most=4096),
        out_channels=reader.number("out_channels", 3, most=16),
        base_channels=reader.number("decoder_base_channels", 128, most=4096),
        patch_size=reader.number("patch_size", 4, most=16),
        padding=reader.padding("reflect"),
        causal=reader.flag("causal_decoder"),
        # The file lists the blocks as an encoder would meet them.
        blocks=reader.blocks("decoder_blocks", _DECODER_BLOCKS, 1)[::-1],
    )
    width = config.first_width
    for block in config.blocks:
        cells = math.prod(block.stride)
        # A residual is spread over the cells, then repeated cells / multiplier times.
        if width % block.multiplier or (
            block.residual and (cells % block.multiplier or width % cells)
        ):
            raise reader.fail(f"has {block.name!r} at {width} channels, which does not divide")
        width //= block.multiplier
    return config


def _scale(patch_size: int, blocks: Sequence[Block]) -> tuple[int, int]:
    space, time = patch_size, 1
    for block in blocks:
        time *= block.stride[0]
        space *= block.stride[1]
    return space, time


class _Reader:
    """Typed look-ups in one section, with errors that name the key."""

    def __init__(self, table: Mapping[str, Any], file: Path | None) -> None:
        self.table = table
        self.file = file

    def fail(self, what: str) -> ModelError:
        return ModelError(
            f"the video VAE's config {visible(what)}", file=self.file, remedy=_OTHER_MODEL
        )

    def require(self, key: str, value: object) -> None:
        found = self.table.get(key, value)
        if found != value:
            raise self.fail(f"has {key} = {found!r}; only {value!r} is supported")

    def number(self, key: str, default: int, *, most: int) -> int:
        return self._number(self.table, key, default, 1, most)

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self.fail(f"has {key} = {value!r}; true or false is expected")
        return value

    def choice(self, key: str, default: str, allowed: Sequence[str]) -> str:
        value = self.table.get(key, default)
        if value not in allowed:
            raise self.fail(f"has {key} = {value!r}; known are {', '.join(allowed)}")
        return str(value)

    def padding(self, default: Padding) -> Padding:
        value = self.choice("spatial_padding_mode", default, get_args(Padding))
        return "zeros" if value == "zeros" else "reflect"

    def blocks(self, key: str, known: Sequence[str], multiplier: int) -> tuple[Block, ...]:
        found = self.table.get(key)
        if not isinstance(found, list) or not found:
            raise self.fail(f"has no block list {key!r}")
        return tuple(self._block(entry, known, multiplier) for entry in found)

    def _block(self, entry: object, known: Sequence[str], multiplier: int) -> Block:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise self.fail(f"has the block {entry!r}; a pair [name, settings] is expected")
        name, settings = entry
        if name not in known:
            raise self.fail(f"has the unknown block {name!r}; known are {', '.join(known)}")
        if isinstance(settings, int) and not isinstance(settings, bool):
            settings = {"num_layers": settings}
        if not isinstance(settings, dict):
            raise self.fail(f"has the block {entry!r}; a pair [name, settings] is expected")
        if settings.get("inject_noise", False) is not False:
            raise self.fail(f"has the block {name!r} with inject_noise, which is not supported")
        if name == "res_x":
            if "num_layers" not in settings:
                raise self.fail("has a block 'res_x' without num_layers")
            return Block(name, layers=self._number(settings, "num_layers", 0, 0, 64))
        residual = settings.get("residual", False)
        if not isinstance(residual, bool) or (residual and name != "compress_all"):
            raise self.fail(f"has the block {name!r} with residual = {residual!r}")
        return Block(
            name,
            multiplier=self._number(settings, "multiplier", multiplier, 1, 8),
            residual=residual,
        )

    def _number(
        self, table: Mapping[str, Any], key: str, default: int, least: int, most: int
    ) -> int:
        value = table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.fail(f"has {key} = {value!r}; {least} to {most} is expected")
        return value

"""What a checkpoint's metadata says of its audio VAE and vocoder, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from engine.errors import ModelError
from engine.text import visible

# Far above any real figure, and low enough that a broken file cannot ask for terabytes.
_Width = Annotated[int, msgspec.Meta(ge=1, le=16_384)]
_Rate = Annotated[int, msgspec.Meta(ge=1_000, le=384_000)]
_Few = Annotated[int, msgspec.Meta(ge=1, le=64)]
_Odd = Annotated[int, msgspec.Meta(ge=1, le=99)]
_FewInts = Annotated[tuple[_Few, ...], msgspec.Meta(min_length=1, max_length=16)]

_Section = TypeVar("_Section", bound=msgspec.Struct)


class AudioLayout(msgspec.Struct, frozen=True, kw_only=True):
    """`ddconfig`: the shape of the encoder and of the decoder.

    Only what LTX-2 files use is accepted: pixel norm, causal in time, no attention.
    """

    ch: _Width
    ch_mult: _FewInts
    num_res_blocks: _Few
    z_channels: _Width
    in_channels: _Few = 2
    out_ch: _Few = 2
    mel_bins: _Width | None = None
    double_z: bool = True
    norm_type: Literal["pixel"] = "pixel"
    causality_axis: Literal["height"] = "height"
    mid_block_add_attention: Literal[False] = False
    attn_resolutions: Annotated[tuple[int, ...], msgspec.Meta(max_length=0)] = ()
    resamp_with_conv: Literal[True] = True


class AudioConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The audio VAE and its mel front end.

    Attributes:
        layout: The networks.
        sample_rate: Hz.
        mel_bins: Bins of the spectrogram.
        hop_length: Samples from one spectrogram frame to the next.
        n_fft: Samples a window.
    """

    layout: AudioLayout
    sample_rate: int
    mel_bins: int
    hop_length: int
    n_fft: int

    @property
    def compression(self) -> int:
        """Spectrogram frames (and bins) a latent: 2 for every level but the last."""
        return int(2 ** (len(self.layout.ch_mult) - 1))

    @property
    def frequency_bins(self) -> int:
        """Size of the latents' last axis."""
        return self.mel_bins // self.compression


class VocoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One generator from mel spectrogram to waveform.

    Attributes:
        resblock: "1" is HiFi-GAN's, "AMP1" BigVGAN's with anti-aliased activations.
        output_sampling_rate: Hz.
        apply_final_activation: Limit the output to -1 … 1.
    """

    upsample_initial_channel: _Width
    upsample_rates: _FewInts
    upsample_kernel_sizes: _FewInts
    resblock_kernel_sizes: tuple[_Odd, ...]
    resblock_dilation_sizes: tuple[tuple[_Few, ...], ...]
    resblock: Literal["1", "AMP1"]
    stereo: Literal[True] = True
    activation: Literal["snake", "snakebeta"] | None = None
    use_tanh_at_final: bool = True
    use_bias_at_final: bool = True
    apply_final_activation: bool = True
    output_sampling_rate: _Rate = 24_000

    def __post_init__(self) -> None:
        """Check what the types cannot say; msgspec turns a ValueError into its own error."""
        rates = self.upsample_rates
        if len(rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes differ in length")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        if self.upsample_initial_channel % 2 ** len(rates):
            raise ValueError(f"upsample_initial_channel cannot be halved {len(rates)} times")
        for rate, kernel in zip(rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate:
                raise ValueError(f"upsample_kernel_sizes has {kernel}, below its rate {rate}")
        if self.resblock == "AMP1" and self.activation != "snakebeta":
            raise ValueError(f"activation is {self.activation!r}, expected 'snakebeta'")


class ExtensionConfig(VocoderConfig, frozen=True, kw_only=True):
    """LTX-2.3's second stage, from the first one's waveform to a higher rate.

    Attributes:
        input_sampling_rate: Hz of the first stage.
        hop_length: Samples from one spectrogram frame to the next.
        n_fft: Samples a window.
        num_mels: Bins of the spectrogram.
    """

    input_sampling_rate: _Rate
    hop_length: _Width
    n_fft: _Width
    num_mels: _Width

    def __post_init__(self) -> None:
        """Check that both ways through the stage come out equally long."""
        super().__post_init__()
        rates = self.output_sampling_rate, self.input_sampling_rate
        product = 1
        for rate in self.upsample_rates:
            product *= rate
        if rates[0] % rates[1] or product * rates[1] != self.hop_length * rates[0]:
            raise ValueError("its upsample_rates, hop_length and sampling rates do not agree")


def audio_config(section: Mapping[str, Any], file: Path | None = None) -> AudioConfig:
    """Read the `audio_vae` section of a checkpoint's config.

    Raises:
        ModelError: A figure is missing, makes no sense or belongs to another architecture.
    """
    params = _table(_table(section, "model"), "params")
    preprocessing = _table(section, "preprocessing")
    stft, mel = _table(preprocessing, "stft"), _table(preprocessing, "mel")
    layout = _convert(_table(params, "ddconfig"), AudioLayout, "audio_vae", file)
    figures = {
        "sample_rate": params.get("sampling_rate", 16_000),
        "mel_bins": layout.mel_bins or mel.get("n_mel_channels", 64),
        "hop_length": stft.get("hop_length", 160),
        "n_fft": stft.get("filter_length", 1024),
    }
    checked = _convert(figures, _FrontEnd, "audio_vae", file)
    config = AudioConfig(layout=layout, **msgspec.structs.asdict(checked))
    if config.mel_bins % config.compression:
        raise _fault(f"{config.mel_bins} mel bins do not divide", "audio_vae", file)
    return config


def vocoder_config(
    section: Mapping[str, Any], file: Path | None = None
) -> tuple[VocoderConfig, ExtensionConfig | None]:
    """Read the `vocoder` section of a checkpoint's config.

    Returns:
        The generator, and LTX-2.3's bandwidth extension, or None.

    Raises:
        ModelError: As `audio_config`.
    """
    if "bwe" not in section:
        return _convert(section, VocoderConfig, "vocoder", file), None
    bwe = {**_table(section, "bwe"), "apply_final_activation": False}
    extension = _convert(bwe, ExtensionConfig, "vocoder", file)
    first = {
        **_table(section, "vocoder"),
        "output_sampling_rate": extension.input_sampling_rate,
    }
    return _convert(first, VocoderConfig, "vocoder", file), extension


class _FrontEnd(msgspec.Struct, frozen=True):
    sample_rate: _Rate
    mel_bins: _Width
    hop_length: _Width
    n_fft: _Width


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = table.get(name, {})
    return value if isinstance(value, dict) else {}


def _convert(
    table: Mapping[str, Any], kind: type[_Section], section: str, file: Path | None
) -> _Section:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise _fault(visible(error), section, file) from error


def _fault(what: str, section: str, file: Path | None) -> ModelError:
    return ModelError(
        f"the section {section!r} of its config cannot be used: {what}",
        file=file,
        remedy="use an original LTX-2 checkpoint",
    )

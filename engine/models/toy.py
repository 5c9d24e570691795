"""Tiny models with random weights, for a demo and for tests: made in seconds, offline.

They have the real architectures' blocks and the real files' layout, so everything runs as with
the real ones; what comes out of the decoders is noise.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
import torchaudio
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.files.safe import atomic_path, atomic_write
from engine.models.audio_config import audio_config, vocoder_config
from engine.models.audio_vae import AudioDecoder, AudioEncoder
from engine.models.gemma_config import gemma_config as read_gemma_config
from engine.models.gemma_tower import GemmaTower
from engine.models.mel import MelFrontEnd
from engine.models.text_projection import ProjectionV1, ProjectionV2
from engine.models.toy_config import (
    HIDDEN,
    LAYERS,
    VOCABULARY,
    ToyGeneration,
    gemma_config,
    projection_widths,
    toy_config,
)
from engine.models.toy_tokenizer import write_tokenizer
from engine.models.video_config import decoder_config, encoder_config
from engine.models.video_vae import VideoDecoder, VideoEncoder
from engine.models.vocoder import CausalMel, ExtendedVocoder, build_vocoder

_DTYPE = torch.bfloat16
_EMBEDDED = 0.02  # Gemma's initial deviation of embeddings


class ToyModels(NamedTuple):
    """Where the models are.

    Attributes:
        checkpoint: A unified checkpoint: video VAE, audio VAE, vocoder, text projection.
        text_encoder: A Gemma 3 folder.
    """

    checkpoint: Path
    text_encoder: Path


def make_toy_models(folder: Path, *, generation: ToyGeneration = "2.0", seed: int = 0) -> ToyModels:
    """Write a checkpoint and a language model, a few megabytes in all.

    Args:
        folder: Where to; made if need be. The files in it are replaced.
        generation: Whose layout.
        seed: Of the weights; the same seed gives the same files.
    """
    paths = ToyModels(folder / f"ltx-{generation}-toy.safetensors", folder / "gemma-3-toy")
    paths.text_encoder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        config = toy_config(generation)
        tensors = {
            **_video(config["vae"]),
            **_audio(config["audio_vae"]),
            **_vocoder(config["vocoder"], config["audio_vae"]),
            **_projection(generation),
        }
        _write(paths.checkpoint, tensors, {"config": msgspec.json.encode(config).decode()})
        _write_gemma(paths.text_encoder)
    return paths


def _video(section: dict[str, object]) -> dict[str, Tensor]:
    encoder = VideoEncoder(encoder_config(section)).eval()
    decoder = VideoDecoder(decoder_config(section)).eval()
    # Latents of a drifting pattern get mean 0 and deviation 1, as the real statistics give.
    _set_statistics(encoder, torch.zeros(()), torch.ones(()))
    latents = encoder.encode(_pattern(9, 64, 96)[None])[0]
    _set_statistics(encoder, latents.flatten(1).mean(1), latents.flatten(1).std(1))
    return _named("vae.", encoder, decoder)


def _audio(section: dict[str, object]) -> dict[str, Tensor]:
    config = audio_config(section)
    encoder, decoder = AudioEncoder(config).eval(), AudioDecoder(config).eval()
    mel = MelFrontEnd(config)(torch.randn(1, 2, 32_000) * 0.1, config.sample_rate)
    latents = encoder(mel)[0].transpose(0, 1).flatten(1)
    _set_statistics(encoder, latents.mean(0), latents.std(0))
    return _named("audio_vae.", encoder, decoder)


def _vocoder(section: dict[str, object], audio: dict[str, object]) -> dict[str, Tensor]:
    model = build_vocoder(*vocoder_config(section), audio_config(audio).mel_bins)
    if isinstance(model, ExtendedVocoder):
        _set_fourier_basis(model.mel_stft, model.sample_rate // model.ratio)
    return _named("vocoder.", model)


def _projection(generation: ToyGeneration) -> dict[str, Tensor]:
    width = HIDDEN * (LAYERS + 1)
    video, audio = projection_widths(generation)
    module: nn.Module = (
        ProjectionV1(width, video)
        if generation == "2.0"
        else ProjectionV2(width, HIDDEN, video, audio)
    )
    return _named("text_embedding_projection.", module)


def _write_gemma(folder: Path) -> None:
    config = gemma_config()
    write_tokenizer(folder, VOCABULARY)
    atomic_write(folder / "config.json", msgspec.json.format(msgspec.json.encode(config)))
    tower = GemmaTower(read_gemma_config(config))
    tower.embed_tokens.weight.normal_(std=_EMBEDDED)
    tower.embed_tokens.weight[config["pad_token_id"]] = 0
    maps = [module for module in tower.modules() if isinstance(module, nn.Linear)]
    for one in maps:
        # Drawn in vain, for the same numbers to follow as when transformers drew them first.
        one.weight.normal_()
    for one in maps:
        # Large enough for words to matter to one another.
        one.weight.normal_(std=1 / math.sqrt(one.in_features))
    _write(folder / "model.safetensors", _named("model.", tower), {"format": "pt"})


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    # One key of metadata: safetensors writes several in any order, and the bytes would vary.
    with atomic_path(path) as part:
        save_file(tensors, part, metadata=metadata)


def _named(prefix: str, *modules: nn.Module) -> dict[str, Tensor]:
    """Return the modules' tensors under one prefix, as a file has them; the first one wins."""
    return {
        prefix + name: tensor.to(_DTYPE).contiguous()
        for module in reversed(modules)
        for name, tensor in module.state_dict().items()
    }


def _set_statistics(module: nn.Module, mean: Tensor, deviation: Tensor) -> None:
    statistics = module.get_submodule("per_channel_statistics")
    statistics.get_buffer("mean-of-means").copy_(mean)
    statistics.get_buffer("std-of-means").copy_(deviation.clamp(min=1e-3))


def _set_fourier_basis(mel: CausalMel, rate: int) -> None:
    """Fill in what a trained file brings: windowed cosines and sines, and mel filters."""
    basis = mel.stft_fn.get_buffer("forward_basis")
    filters = mel.get_buffer("mel_basis")
    rows, size = basis.shape[0] // 2, basis.shape[2]
    angles = 2 * math.pi / size * torch.arange(rows)[:, None] * torch.arange(size)
    window = torch.hann_window(size)
    basis.copy_(torch.cat([angles.cos() * window, -angles.sin() * window])[:, None])
    mel.stft_fn.get_buffer("inverse_basis").copy_(basis / size)
    filters.copy_(
        torchaudio.functional.melscale_fbanks(
            rows, 0.0, rate / 2, filters.shape[0], rate, norm="slaney", mel_scale="slaney"
        ).T
    )


def _pattern(frames: int, height: int, width: int) -> Tensor:
    """Return colours that drift, float32 [3, F, H, W] in -1 … 1."""
    time = torch.arange(frames)[None, :, None, None] / 8
    down = torch.arange(height)[None, None, :, None] / 11
    across = torch.arange(width)[None, None, None, :] / 17
    phase = torch.arange(3)[:, None, None, None] * 2
    return torch.sin(down + time + phase) * torch.cos(across - time + phase)

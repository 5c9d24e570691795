"""The figures of the toy models: Lightricks' real layouts at small width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

ToyGeneration = Literal["2.0", "2.3"]

HIDDEN = 64
LAYERS = 6
VOCABULARY = 1024

_Block = list[Any]


def _blocks(
    layers: Sequence[int], between: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[_Block]:
    """Return a block list: residual blocks, with what compresses between them."""
    blocks: list[_Block] = [["res_x", {"num_layers": layers[0]}]]
    for count, (name, settings) in zip(layers[1:], between, strict=True):
        blocks += [[name, dict(settings)], ["res_x", {"num_layers": count}]]
    return blocks


_ONE = {"multiplier": 1}
_ENCODER = _blocks(
    (1, 0, 0, 0, 1),
    [(f"compress_{axes}_res", _ONE) for axes in ("space", "time", "all", "all")],
)
_DECODER = {
    "2.0": _blocks((1, 1, 1, 1), [("compress_all", {"multiplier": 2, "residual": True})] * 3),
    "2.3": _blocks(
        (1, 1, 1, 1, 1),
        [
            ("compress_space", {"multiplier": 2}),
            ("compress_time", {"multiplier": 2}),
            ("compress_all", _ONE),
            ("compress_all", {"multiplier": 2}),
        ],
    ),
}

_AUDIO_VAE = {
    "model": {
        "params": {
            "sampling_rate": 16_000,
            "ddconfig": {
                "double_z": True,
                "mel_bins": 64,
                "z_channels": 8,
                "resolution": 256,
                "downsample_time": False,
                "in_channels": 2,
                "out_ch": 2,
                "ch": 16,
                "ch_mult": [1, 2, 4],
                "num_res_blocks": 1,
                "attn_resolutions": [],
                "dropout": 0.0,
                "mid_block_add_attention": False,
                "norm_type": "pixel",
                "causality_axis": "height",
            },
        }
    },
    "preprocessing": {
        "stft": {"filter_length": 1024, "hop_length": 160, "win_length": 1024, "causal": True},
        "mel": {"n_mel_channels": 64, "mel_fmin": 0, "mel_fmax": 8000},
    },
}

_RESBLOCKS = {
    "stereo": True,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
}
_PERIODIC = {
    **_RESBLOCKS,
    "resblock": "AMP1",
    "activation": "snakebeta",
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
}
_VOCODER = {
    "2.0": {
        **_RESBLOCKS,
        "resblock": "1",
        "upsample_initial_channel": 64,
        "upsample_rates": [6, 5, 2, 2, 2],
        "upsample_kernel_sizes": [16, 15, 8, 4, 4],
    },
    "2.3": {
        "vocoder": {
            **_PERIODIC,
            "upsample_initial_channel": 64,
            "upsample_rates": [5, 2, 2, 2, 2, 2],
            "upsample_kernel_sizes": [11, 4, 4, 4, 4, 4],
        },
        "bwe": {
            **_PERIODIC,
            "upsample_initial_channel": 64,
            "upsample_rates": [6, 5, 2, 2, 2],
            "upsample_kernel_sizes": [12, 11, 4, 4, 4],
            "apply_final_activation": False,
            "input_sampling_rate": 16_000,
            "output_sampling_rate": 48_000,
            "hop_length": 80,
            "n_fft": 512,
            "win_size": 512,
            "num_mels": 64,
        },
    },
}

# Number and size of the transformer's heads; LTX-2.3's prompt embeddings are as wide.
_VIDEO_HEADS = (4, 32)
_AUDIO_HEADS = (4, 16)
_TRANSFORMER = {
    "_class_name": "AVTransformer3DModel",
    "num_layers": 2,
    "num_attention_heads": _VIDEO_HEADS[0],
    "attention_head_dim": _VIDEO_HEADS[1],
    "cross_attention_dim": math.prod(_VIDEO_HEADS),
    "audio_num_attention_heads": _AUDIO_HEADS[0],
    "audio_attention_head_dim": _AUDIO_HEADS[1],
    "audio_cross_attention_dim": math.prod(_AUDIO_HEADS),
    "caption_channels": HIDDEN,
}
_TRANSFORMER_V2 = {
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_projection_second_linear": False,
    "caption_proj_input_norm": False,
    "text_encoder_norm_type": "per_token_rms",
}


def toy_config(generation: ToyGeneration) -> dict[str, Any]:
    """Return the `config` of a checkpoint's metadata."""
    newer = generation == "2.3"
    return {
        "transformer": {**_TRANSFORMER, **(_TRANSFORMER_V2 if newer else {})},
        "vae": {
            "_class_name": "CausalVideoAutoencoder",
            "dims": 3,
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 128,
            "patch_size": 4,
            "norm_layer": "pixel_norm",
            "latent_log_var": "uniform",
            "scaling_factor": 1.0,
            "use_quant_conv": False,
            "causal_decoder": False,
            "timestep_conditioning": False,
            "normalize_latent_channels": False,
            "encoder_base_channels": 128,
            "decoder_base_channels": 8,
            **({"spatial_padding_mode": "zeros"} if newer else {}),
            "encoder_blocks": _ENCODER,
            "decoder_blocks": _DECODER[generation],
        },
        "audio_vae": _AUDIO_VAE,
        "vocoder": _VOCODER[generation],
    }


def projection_widths(generation: ToyGeneration) -> tuple[int, int]:
    """Return the widths of the video and the audio embeddings."""
    if generation == "2.0":
        return HIDDEN, HIDDEN
    return math.prod(_VIDEO_HEADS), math.prod(_AUDIO_HEADS)


def gemma_config() -> dict[str, Any]:
    """Return the config.json of the language model: text alone, six layers, the last one global."""
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "max_position_embeddings": 131_072,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }

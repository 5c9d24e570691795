"""A very small Qwen2.5-Omni with random weights, and the real processor's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    WhisperFeatureExtractor,
)

_TOKENS = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
}
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *_TOKENS.values())
SYSTEM = "You are a helpful assistant."
# As the published one does it, in fewer words.
_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\n" + SYSTEM + "<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "<|vision_bos|><|IMAGE|><|vision_eos|>{% elif content['type'] == 'video' %}"
    "<|vision_bos|><|VIDEO|><|vision_eos|>{% else %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer() -> Any:
    """Return a tokenizer of bytes."""
    inner = Tokenizer(BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        [], BpeTrainer(vocab_size=256, initial_alphabet=letters, show_progress=False)
    )
    inner.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in _SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        extra_special_tokens=_TOKENS,
    )


def make_config(tokenizer: Any, context: int = 32768) -> Any:
    """Return a Thinker's config of few layers."""
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in _TOKENS.items()}
    return Qwen2_5OmniThinkerConfig(
        audio_config={
            "model_type": "qwen2_5_omni_audio_encoder",
            "num_mel_bins": 128,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "d_model": 16,
            "output_dim": 32,
        },
        vision_config={
            "model_type": "qwen2_5_omni_vision_encoder",
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        text_config={
            "model_type": "qwen2_5_omni_text",
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": context,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [2, 1, 1],
                "rope_theta": 1e6,
            },
        },
        audio_token_index=ids["audio_token"],
        image_token_index=ids["image_token"],
        video_token_index=ids["video_token"],
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
    )


def make_thinker(folder: Path, seed: int = 0) -> Path:
    """Write a folder with the Thinker alone."""
    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    model = Qwen2_5OmniThinkerForConditionalGeneration(make_config(tokenizer))
    model.save_pretrained(folder)
    _write_processor(folder, tokenizer)
    return folder


def make_whole(thinker: Path, folder: Path) -> Path:
    """Write a folder laid out as the published one: all parts in one file, older names."""
    folder.mkdir(parents=True)
    tensors = load_file(thinker / "model.safetensors")
    whole = {f"thinker.{name}": tensor for name, tensor in tensors.items()}
    whole["talker.thinker_to_talker_proj.bias"] = torch.zeros(4)
    whole["token2wav.code2wav_dit_model.norm_out.linear.bias"] = torch.zeros(4)
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    inner = json.loads((thinker / "config.json").read_text())
    config = {"model_type": "qwen2_5_omni", "thinker_config": inner}
    (folder / "config.json").write_text(json.dumps(config))
    _write_processor(folder, make_tokenizer())
    return folder


def _write_processor(folder: Path, tokenizer: Any) -> None:
    tokenizer.save_pretrained(folder)
    # One file for both, as the published folder has it.
    sound = WhisperFeatureExtractor(
        feature_size=128, chunk_length=300, return_attention_mask=True, padding_side="left"
    ).to_dict()
    images = Qwen2VLImageProcessorPil(min_pixels=3136, max_pixels=12845056).to_dict()
    sound.pop("mel_filters", None)
    settings = images | sound | {"processor_class": "Qwen2_5OmniProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": _TEMPLATE}))

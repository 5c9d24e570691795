"""Models of LTX-2.0's real shapes with random weights: as much work and memory as the real ones.

The encoders of both VAEs are whole. Gemma has its real widths; it may have fewer layers, since 48
are 22 GiB to write, and a small vocabulary, of which one row a token is read whatever its size.

python -m tests.benchmarks.gpu_models FOLDER [--layers 6] [--device cuda:0]
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.models.audio_config import audio_config
from engine.models.audio_vae import AudioEncoder
from engine.models.gemma_config import gemma_config as read_gemma_config
from engine.models.gemma_tower import GemmaTower
from engine.models.text_projection import ProjectionV1
from engine.models.toy import ToyModels
from engine.models.toy_config import gemma_config, toy_config
from engine.models.toy_tokenizer import write_tokenizer
from engine.models.video_config import encoder_config
from engine.models.video_vae import VideoEncoder
from tests.video_models import FULL_20

GEMMA = {
    "vocab_size": 8192,
    "hidden_size": 3840,
    "intermediate_size": 15360,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 1024,
}
LAYERS = 6  # five that look at a window and one that looks at all, as in each sixth of the 48
AUDIO = {"ch": 128, "num_res_blocks": 2}


def make_full_models(
    folder: Path, *, layers: int = LAYERS, device: str = "cpu", seed: int = 0
) -> ToyModels:
    """Write a checkpoint and a language model.

    Args:
        folder: Where to; made if need be.
        layers: Of the language model.
        device: Where the weights are drawn: a GPU is quicker, and draws others.
        seed: Of the weights.
    """
    paths = ToyModels(folder / "ltx-2.0-random.safetensors", folder / "gemma-3-random")
    paths.text_encoder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator(device).manual_seed(seed)
    config = checkpoint_config()
    gemma = gemma_config() | GEMMA | {"num_hidden_layers": layers}
    with torch.device("meta"):
        video = VideoEncoder(encoder_config(config["vae"]))
        audio = AudioEncoder(audio_config(config["audio_vae"]))
        projection = ProjectionV1(GEMMA["hidden_size"] * (layers + 1), GEMMA["hidden_size"])
        tower = GemmaTower(read_gemma_config(gemma))
    tensors = {
        **filled("vae.", video.state_dict().items(), generator),
        **filled("audio_vae.", audio.state_dict().items(), generator),
        **filled("text_embedding_projection.", projection.state_dict().items(), generator),
    }
    save_file(tensors, paths.checkpoint, {"config": json.dumps(config)})
    write_tokenizer(paths.text_encoder, GEMMA["vocab_size"])
    (paths.text_encoder / "config.json").write_text(json.dumps(gemma))
    weights = filled("model.", tower.named_parameters(), generator)
    save_file(weights, paths.text_encoder / "model.safetensors", {"format": "pt"})
    return paths


def checkpoint_config() -> dict[str, dict[str, object]]:
    """Return the `config` of the checkpoint's metadata."""
    toy = copy.deepcopy(toy_config("2.0"))
    toy["audio_vae"]["model"]["params"]["ddconfig"] |= AUDIO
    transformer = toy["transformer"] | {"caption_channels": GEMMA["hidden_size"]}
    return {"transformer": transformer, "vae": FULL_20, "audio_vae": toy["audio_vae"]}


def filled(
    prefix: str, tensors: Iterable[tuple[str, Tensor]], generator: torch.Generator
) -> dict[str, Tensor]:
    """Return random weights in bfloat16 on the CPU, of which every layer keeps its input's scale.

    Args:
        prefix: Put before each name.
        tensors: Names and shapes; the values do not count.
        generator: Draws them, on its own device.
    """
    found = {}
    for name, like in tensors:
        drawn = torch.empty(like.shape, dtype=torch.bfloat16, device=generator.device)
        drawn.normal_(0, _scale(name, like), generator=generator)
        if name.endswith("std-of-means"):
            drawn.abs_().add_(0.5)
        found[prefix + name] = drawn.cpu()
    return found


def _scale(name: str, like: Tensor) -> float:
    if like.dim() < 2 or name.endswith("-of-means"):
        return 0.1
    # An embedding is read one row at a time, and Gemma multiplies it by the root of its width.
    inputs = like.shape[1] if name.endswith("embed_tokens.weight") else like[0].numel()
    return float(inputs**-0.5)


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    for path in make_full_models(options.folder, layers=options.layers, device=options.device):
        print(path)


if __name__ == "__main__":
    main()

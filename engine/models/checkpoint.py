"""A model file: what it holds, which generation it is, and what its parts are called.

Only the header is read, without torch, so that planning stays quick and light.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import ModelError
from engine.files.identity import hash_blocks
from engine.models.header import TensorInfo, json_object, read_header, tensor_blocks
from engine.models.video_config import encoder_config
from engine.text import listed, visible

Generation = Literal["2.0", "2.3", "2.5"]

_TRANSFORMER = ("model.diffusion_model.", "diffusion_model.", "transformer_blocks.")
# `.alpha` alone says nothing: LTX-2.3's vocoder has such parameters too.
_LORA = re.compile(r"[._](lora_[AB]|lora_down|lora_up|lokr_w\d|hada_w\d)(_|\.|$)")
_DIFFUSERS = re.compile(r"\.resnets\.\d+\.|^latents_mean$|^transformer_blocks\.\d+\.attn1\.to_q\.")

# The files of a language model's folder on which its embeddings depend.
_FOLDER_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


class Checkpoint:
    """A safetensors file in Lightricks' layout, unified or one part of a split pack.

    Attributes:
        path: The file.
        config: The `config` of its metadata: sections `vae`, `audio_vae`, `vocoder` and so on.
        tensors: Its tensors by name, in name order.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], tensors: Mapping[str, TensorInfo]
    ) -> None:
        self.path = path
        self.config = config
        self.tensors = tensors

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Read the header and the config of a model file.

        Raises:
            ModelError: It is missing, no safetensors file, truncated, a LoRA, the transformer
                alone, in the diffusers layout, or without a config.
        """
        header = read_header(path)
        _refuse_other_models(path, header.tensors)
        text = header.metadata.get("config")
        config = json_object(text) if text is not None else None
        if config is None:
            missing = "has no" if text is None else "has an unreadable"
            raise ModelError(
                f"the file {missing} `config` in its metadata, so its layout is unknown",
                file=path,
                remedy="use the original checkpoint; converters often drop the metadata",
            )
        return cls(path, config, header.tensors)

    def has(self, prefix: str) -> bool:
        """Whether any tensor's name begins with `prefix`."""
        return any(name.startswith(prefix) for name in self.tensors)

    def select(self, prefix: str) -> dict[str, TensorInfo]:
        """Return the tensors under `prefix`, without it in their names."""
        return {
            name.removeprefix(prefix): info
            for name, info in self.tensors.items()
            if name.startswith(prefix)
        }

    def section(self, name: str) -> dict[str, Any]:
        """Return one section of the config.

        Raises:
            ModelError: It is not there, or no table.
        """
        value = self.config.get(name)
        if not isinstance(value, dict):
            raise ModelError(
                f"its config has no section {name!r}",
                file=self.path,
                remedy="use the original checkpoint",
            )
        return value

    @property
    def generation(self) -> Generation:
        """Tell the generation by the names of the tensors alone."""
        if self.has("text_embedding_projection.aggregate_embed."):
            return "2.0"
        if self.has("tokenizer_json") or self._is_bare_video_vae:
            return "2.5"
        # Without a text projection: 2.3's decoder has nine blocks where 2.0's has seven, and its
        # vocoder has a second stage.
        newer = (
            "text_embedding_projection.video_aggregate_embed.",
            "vae.decoder.up_blocks.8.",
            "vocoder.bwe_generator.",
            "vocoder.vocoder.",
        )
        return "2.3" if any(self.has(prefix) for prefix in newer) else "2.0"

    @property
    def video_vae_prefix(self) -> str:
        """Prefix of `encoder.*`, `decoder.*` and `per_channel_statistics.*`: "vae." or "".

        Raises:
            ModelError: The file has no video VAE; the other prefixes do likewise.
        """
        return "" if self._is_bare_video_vae else self._prefix("vae.", "video VAE")

    @property
    def audio_vae_prefix(self) -> str:
        """Prefix of the audio VAE."""
        return self._prefix("audio_vae.", "audio VAE")

    @property
    def vocoder_prefix(self) -> str:
        """Prefix of the vocoder."""
        return self._prefix("vocoder.", "vocoder")

    @property
    def text_projection_prefix(self) -> str:
        """Prefix of the projection from the language model's states to prompt embeddings."""
        return self._prefix("text_embedding_projection.", "text projection")

    @property
    def scale_factors(self) -> tuple[int, int]:
        """(pixels a latent in space, frames a latent in time); (32, 8) for LTX-2.

        Raises:
            ModelError: The config has no encoder block list, or an unknown block.
        """
        return encoder_config(self.section("vae"), self.path).scale_factors

    def digest(self, prefixes: Sequence[str]) -> str:
        """Return the identity of the tensors under `prefixes`, reading their bytes.

        Names, dtypes, shapes, bytes and the config sections of the parts go into it, so the same
        VAE has one identity in a unified file and in a file of its own.

        Raises:
            ModelError: Nothing lies under one of the prefixes.
        """
        chosen = {name for prefix in prefixes for name in self._under(prefix)}
        rows = sorted((_common_name(name), name) for name in chosen)
        sections = sorted({_section_of(name) for name in chosen} & self.config.keys())
        return hash_blocks(self._digest_blocks(rows, sections))

    def _digest_blocks(
        self, rows: Sequence[tuple[str, str]], sections: Sequence[str]
    ) -> Iterator[bytes]:
        for section in sections:
            yield _canonical([section, self.config[section]])
        for common, name in rows:
            yield from _named_tensor(common, self.path, self.tensors[name])

    def _under(self, prefix: str) -> list[str]:
        names = [name for name in self.tensors if name.startswith(prefix)]
        if not names:
            raise ModelError(f"it has no tensors under {prefix!r}", file=self.path)
        return names

    def _prefix(self, prefix: str, what: str) -> str:
        if not self.has(prefix):
            raise ModelError(
                f"it has no {what} (no tensors under {prefix!r})",
                file=self.path,
                remedy=f"give a checkpoint that holds the {what}",
            )
        return prefix

    @property
    def _is_bare_video_vae(self) -> bool:
        return self.has("encoder.") and self.has("per_channel_statistics.")


def model_folder_digest(folder: Path) -> str:
    """Return the identity of a language model's folder: config, tokenizer, weights.

    How the weights are spread over files does not matter, nor do a readme or an image
    processor's settings.

    Raises:
        ModelError: No such folder, no config, no safetensors weights, or a shard is missing.
    """
    shards = model_folder_shards(folder)
    return hash_blocks(_folder_blocks(folder, shards))


def model_folder_shards(folder: Path) -> list[Path]:
    """Return a language model folder's weight files, after checking that they are complete.

    Raises:
        ModelError: No such folder, no config.json, no safetensors weights, a missing shard.
    """
    if not folder.is_dir():
        what = "this is a file" if folder.exists() else "there is no such folder"
        raise ModelError(what, file=folder, remedy="give the folder of the language model")
    if not (folder / "config.json").is_file():
        raise ModelError(
            "the folder has no config.json",
            file=folder,
            remedy="give the folder that holds the language model's config and weights",
        )
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        shards = sorted(folder.glob("*.safetensors"))
        if not shards:
            raise ModelError(
                "the folder has no .safetensors weights",
                file=folder,
                remedy="download the safetensors files; pickled weights are never opened",
            )
        return shards
    weights = (json_object(index.read_bytes()) or {}).get("weight_map")
    names = set(weights.values()) if isinstance(weights, dict) else set()
    if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
        raise ModelError("its weight_map is unreadable", file=index, remedy="download it again")
    missing = sorted(n for n in names if not (folder / n).is_file())
    if missing:
        raise ModelError(
            f"the weights are not complete: {visible(listed(missing))} missing",
            file=folder,
            remedy="finish the download",
        )
    return [folder / n for n in sorted(names)]


def _folder_blocks(folder: Path, shards: Sequence[Path]) -> Iterator[bytes]:
    for name in _FOLDER_FILES:
        file = folder / name
        if file.is_file():
            data = file.read_bytes()
            yield _canonical([name, len(data)])
            yield data
    rows = sorted(
        (
            (name, shard, info)
            for shard in shards
            for name, info in read_header(shard).tensors.items()
        ),
        key=lambda row: (row[0], row[1]),
    )
    for name, shard, info in rows:
        yield from _named_tensor(name, shard, info)


def _named_tensor(name: str, path: Path, info: TensorInfo) -> Iterator[bytes]:
    yield _canonical([name, info.dtype, info.shape])
    yield from tensor_blocks(path, info)


def _canonical(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted") + b"\n"


def _common_name(name: str) -> str:
    # Split packs have the video VAE without its prefix.
    return name.removeprefix("vae.")


def _section_of(name: str) -> str:
    head = name.partition(".")[0]
    return "vae" if head in {"encoder", "decoder", "per_channel_statistics"} else head


def _refuse_other_models(path: Path, tensors: Mapping[str, TensorInfo]) -> None:
    """Say what a safetensors file is that is not a checkpoint with the parts we need."""
    if not tensors:
        raise ModelError("it holds no tensors", file=path, remedy="download it again")
    if any(_LORA.search(name) for name in tensors):
        raise ModelError(
            "this is a LoRA, not a checkpoint",
            file=path,
            remedy="give the base model that the LoRA was trained on",
        )
    parts = ("vae.", "encoder.", "audio_vae.", "vocoder.", "text_embedding_projection.")
    usable = any(name.startswith(parts) or name == "tokenizer_json" for name in tensors)
    if any(_DIFFUSERS.search(name) for name in tensors) and not any(
        name.startswith(_TRANSFORMER[:2]) for name in tensors
    ):
        raise ModelError(
            "this file is in the diffusers layout",
            file=path,
            remedy="use the original single-file checkpoint",
        )
    if usable:
        return
    if any(name.startswith(_TRANSFORMER) for name in tensors):
        raise ModelError(
            "this file holds only the transformer",
            file=path,
            remedy="give the full checkpoint, or the files of the VAEs and the text projection",
        )
    heads = sorted({name.partition(".")[0] for name in tensors})
    raise ModelError(
        f"this is no LTX-2 checkpoint: its tensors are named {visible(listed(heads))}",
        file=path,
        remedy="give an LTX-2 checkpoint",
    )

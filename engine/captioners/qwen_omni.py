"""Qwen2.5-Omni's Thinker, alone: it sees and hears a clip, and writes what there is."""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from torch import Tensor, nn
from transformers import (
    BitsAndBytesConfig,
    GenerationConfig,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    StoppingCriteria,
)

from engine.captioners.answers import cut_invented_turn
from engine.captioners.base import MAX_TOKENS
from engine.captioners.check import KINDS, other_model
from engine.captioners.qwen_media import Reader, together
from engine.errors import EnvironmentFaultError, ModelError
from engine.memory.ways import CancelledError
from engine.models.checkpoint import model_folder_shards
from engine.models.header import folder_config, read_header
from engine.text import listed, visible

Cancelled = Callable[[], bool]

_FILES = ("*.json", "*.txt", "*.jinja", "*.safetensors")
# The parts that speak.
_OTHER_PARTS = ("talker.", "token2wav.")
_PART = "thinker."
_REMEDY = "download the folder of Qwen2.5-Omni again"
# Where the model begins to play the user.
_TURN = "\nHuman"
# Tokens that are looked at for it: it may be cut into pieces.
_TAIL = 12


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """What the memory that a caption takes depends on.

    Attributes:
        weights: Bytes of the Thinker's weights in bf16.
        cache: Bytes that one token takes in the attention's cache, in bf16.
        width: Elements that one token takes on its way through a layer.
        patch_width: The same for a patch of the picture.
    """

    weights: int
    eight_bit: int
    cache: int
    width: int
    patch_width: int


def find_folder(model: str) -> Path:
    """Return the model's folder; a name of the Hugging Face hub is downloaded or found there.

    Args:
        model: A folder, or a name such as "Qwen/Qwen2.5-Omni-7B".

    Raises:
        ModelError: There is no such folder, and no such model on the hub.
        EnvironmentFaultError: The hub is out of reach.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or model.count("/") != 1 or model.startswith("."):
        raise ModelError(
            "there is no such folder", file=folder, remedy="give the folder of Qwen2.5-Omni"
        )
    try:
        return Path(snapshot_download(model, allow_patterns=list(_FILES)))
    except (LocalEntryNotFoundError, ConnectionError) as error:
        raise EnvironmentFaultError(
            f"{model} is not here, and the Hugging Face hub is out of reach",
            remedy="connect to the network, or give a folder that is here with --model",
        ) from error
    except (HfHubHTTPError, ValueError) as error:
        raise ModelError(
            f"{model} cannot be downloaded: {visible(str(error).splitlines()[0])}",
            remedy="check the name, or give a folder that is here with --model",
        ) from error


def read_config(folder: Path) -> Any:
    """Return the Thinker's config, a `Qwen2_5OmniThinkerConfig`.

    Raises:
        ModelError: It is missing, damaged, or of another model.
    """
    file, table = folder_config(folder, _REMEDY)
    kind = str(table.get("model_type"))
    inner = table.get("thinker_config") if kind == "qwen2_5_omni" else table
    if kind not in KINDS or not isinstance(inner, dict):
        raise other_model(kind, file)
    try:
        return Qwen2_5OmniThinkerConfig.from_dict(inner)
    except Exception as error:  # transformers' validation raises many kinds
        raise ModelError(visible(error), file=file, remedy=_REMEDY) from error


def read_sizes(folder: Path, config: Any) -> Sizes:
    """Return what a forecast needs, from the headers of the weights alone.

    Raises:
        ModelError: The weights are missing or damaged.
    """
    shapes = {
        name: info.shape
        for shard in model_folder_shards(folder)
        for name, info in read_header(shard).tensors.items()
    }
    is_whole = any(name.startswith(_PART) for name in shapes)
    own = {n: s for n, s in shapes.items() if not is_whole or n.startswith(_PART)}
    elements = sum(math.prod(shape) for shape in own.values())
    # In 8 bits the linear layers are; the table of words is not.
    table = config.text_config.vocab_size * config.text_config.hidden_size
    kept = (1 if config.tie_word_embeddings else 2) * table
    text, vision = config.text_config, config.vision_config
    head = text.hidden_size // text.num_attention_heads
    return Sizes(
        weights=2 * elements,
        eight_bit=max(0, elements - kept) + 2 * min(kept, elements),
        cache=2 * 2 * text.num_hidden_layers * text.num_key_value_heads * head,
        width=8 * text.hidden_size + 3 * text.intermediate_size,
        patch_width=8 * vision.hidden_size + 3 * vision.intermediate_size,
    )


def forecast(sizes: Sizes, *, tokens: int, patches: int, batch: int) -> int:
    """Return the bytes beside the weights for captions.

    Args:
        sizes: The model's.
        tokens: Of the longest prompt, its clip included.
        patches: Of the picture, all clips of the batch together.
        batch: Clips at a time.
    """
    text = batch * (tokens + MAX_TOKENS) * sizes.cache + 2 * batch * tokens * sizes.width
    return text + 2 * patches * sizes.patch_width


class QwenOmni:
    """The Thinker with its processor.

    Attributes:
        reader: Turns clips into what it takes.
    """

    def __init__(self, model: Any, reader: Reader) -> None:
        """Take what `load` made."""
        self.reader = reader
        self._model = model
        # One of its own: the reader's is in use in other threads.
        self._tokenizer = copy.deepcopy(reader.processor.tokenizer)
        # Only the last place's logits are looked at: those of all the others would take
        # gigabytes for a long clip.
        model.lm_head.register_forward_pre_hook(lambda _, given: (given[0][:, -1:],))

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """The modules that hold the weights."""
        return (self._model,)

    @classmethod
    def load(
        cls,
        folder: Path,
        device: torch.device | str,
        *,
        eight_bit: bool = False,
        dtype: torch.dtype = torch.bfloat16,
        reader: Reader | None = None,
    ) -> QwenOmni:
        """Load the Thinker's weights and the processor.

        Args:
            folder: Of Qwen2.5-Omni, or of its Thinker alone.
            device: Where to.
            eight_bit: Quantise the linear layers.
            dtype: Of the weights.
            reader: The processor, where it is loaded already.

        Raises:
            ModelError: A file is missing or damaged, or weights do not fit the config.
            EnvironmentFaultError: A package is missing.
        """
        config = read_config(folder)
        model_folder_shards(folder)  # says what is missing in our own words
        reader = reader or Reader(folder, config.text_config.max_position_embeddings)
        place = torch.device(device)
        more: dict[str, Any] = {}
        if eight_bit:
            _require("bitsandbytes", "loading the captioner in 8 bits", "quantize")
            more["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
        if place.type != "cpu":
            _require("accelerate", "loading the captioner onto a GPU", "captions")
            more["device_map"] = {"": str(place)}
        try:
            model, report = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **more,
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"its weights cannot be loaded: {visible(str(error).splitlines()[0])}",
                file=folder,
                remedy=_REMEDY,
            ) from error
        _check(report, folder)
        return cls(model.eval().requires_grad_(False), reader)

    @torch.inference_mode()
    def write(
        self,
        clips: Sequence[Mapping[str, Tensor]],
        *,
        cancelled: Cancelled = lambda: False,
        max_tokens: int = MAX_TOKENS,
    ) -> list[str]:
        """Return what the model says about each clip, cut at an invented turn.

        The likeliest word is taken each time, so that the same clip gives the same caption.

        Args:
            clips: From `Reader.encode`; either all with sound or all without.
            cancelled: Asked at each word.
            max_tokens: How long an answer may be.

        Raises:
            CancelledError: `cancelled` said so.
            torch.OutOfMemoryError: The device lacks memory.
        """
        if cancelled():
            raise CancelledError
        batch = together([dict(clip) for clip in clips], self._pad)
        given = {name: self._place(value) for name, value in batch.items()}
        length = given["input_ids"].shape[1]
        out: Tensor = self._model.generate(
            **given,
            use_audio_in_video="feature_attention_mask" in given,
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=max_tokens,
                eos_token_id=self._ends,
                pad_token_id=self._pad,
            ),
            stopping_criteria=[_Stop(cancelled, self._says_turn, length)],
        )
        texts = self._tokenizer.batch_decode(
            out[:, length:], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [cut_invented_turn(text).strip() for text in texts]

    @property
    def _pad(self) -> int:
        pad = self._tokenizer.pad_token_id
        return int(self._ends[0] if pad is None else pad)

    @property
    def _ends(self) -> list[int]:
        """The tokens that end an answer: of the turn, and of all text."""
        ends = {self._tokenizer.eos_token_id, self._tokenizer.pad_token_id}
        return sorted(end for end in ends if end is not None)

    def _place(self, value: Tensor) -> Tensor:
        kind = self._model.dtype if value.is_floating_point() else None
        return value.to(self._model.device, kind)

    def _says_turn(self, ids: Tensor) -> bool:
        return _TURN in self._tokenizer.decode(ids[-_TAIL:])


class _Stop(StoppingCriteria):  # type: ignore[misc]
    """Ends an answer where the model plays the user, and all of them when the job is stopped."""

    def __init__(
        self, cancelled: Cancelled, says_turn: Callable[[Tensor], bool], length: int
    ) -> None:
        self._cancelled = cancelled
        self._says_turn = says_turn
        self._length = length

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: object) -> Tensor:  # noqa: ARG002
        if self._cancelled():
            raise CancelledError
        ends = [self._says_turn(row[self._length :]) for row in input_ids]
        return torch.tensor(ends, device=input_ids.device)


def _require(package: str, what: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise EnvironmentFaultError(
            f"{what} needs {package}", remedy=f'pip install "ltx-tui[{extra}]"'
        )


def _check(report: Mapping[str, Any], folder: Path) -> None:
    """Refuse weights that are not all there, or not all ours."""
    foreign = [k for k in report["unexpected_keys"] if not k.startswith(_OTHER_PARTS)]
    for what, names in (
        ("missing", report["missing_keys"]),
        ("unexpected", foreign),
        ("of another shape", report["mismatched_keys"]),
    ):
        if names:
            shown = visible(listed(sorted(str(name) for name in names)))
            raise ModelError(
                f"its weights do not fit its config; {what}: {shown}", file=folder, remedy=_REMEDY
            )

"""What a Gemma 3 folder's config.json says of its text part, read without torch.

What a file leaves out has the value that transformers gives it: older files leave out a lot.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from engine.errors import ModelError
from engine.models.header import folder_config
from engine.text import visible

LayerKind = Literal["full_attention", "sliding_attention"]

REMEDY = "download the language model's folder again"

# Far above any real figure, and low enough that a broken file cannot ask for millions.
_MOST_LAYERS = 512
_USUAL_PATTERN = 6

_Size = Annotated[int, msgspec.Meta(ge=1)]
_Layers = Annotated[int, msgspec.Meta(ge=1, le=_MOST_LAYERS)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_One = Annotated[float, msgspec.Meta(ge=1, le=1)]

# The kind of layer → the older name for the base of its frequencies, and its usual value.
_BASES: dict[LayerKind, tuple[str, float]] = {
    "full_attention": ("rope_theta", 1_000_000.0),
    "sliding_attention": ("rope_local_base_freq", 10_000.0),
}

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class Rotary(msgspec.Struct, frozen=True, kw_only=True):
    """How positions turn one kind of layer's queries and keys.

    Attributes:
        rope_theta: Base of the frequencies.
        rope_type: "linear" divides them by `factor`.
        factor: By how much longer texts may be than those that the base was made for.
        partial_rotary_factor: What part of a head is turned; all of it.
    """

    rope_theta: _Positive
    rope_type: Literal["default", "linear"] = "default"
    factor: _Positive | None = None
    partial_rotary_factor: _One = 1.0

    def __post_init__(self) -> None:
        """Check what the types cannot say; msgspec turns a ValueError into its own error."""
        if self.rope_type == "linear" and self.factor is None:
            raise ValueError("rope_type is 'linear', and there is no factor")

    @property
    def divisor(self) -> float:
        """By what the frequencies are divided."""
        return self.factor if self.rope_type == "linear" and self.factor else 1.0


class GemmaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The text part of a Gemma 3, under the names of its config.json.

    Attributes:
        num_key_value_heads: Each is shared by as many heads.
        query_pre_attn_scalar: Scores are divided by its root.
        sliding_window: Tokens that a local layer sees, its own included.
        layer_types: Of each layer: "sliding_attention" is local, "full_attention" global.
        attention_bias: The projections around the attention have a bias.
        full_attention: How positions enter the global layers.
        sliding_attention: And the local ones.
        attn_logit_softcapping: Gemma 2's, which no Gemma 3 has. What `final_logit_softcapping`
            says concerns the logits alone, and so no hidden state.
        use_bidirectional_attention: That of models for embedding whole texts.
    """

    vocab_size: _Size = 262_208
    hidden_size: _Size = 2304
    intermediate_size: _Size = 9216
    num_hidden_layers: _Layers = 26
    num_attention_heads: _Size = 8
    num_key_value_heads: _Size = 4
    head_dim: _Size = 256
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    rms_norm_eps: _Positive = 1e-6
    pad_token_id: Annotated[int, msgspec.Meta(ge=0)] | None = 0
    attention_bias: bool = False
    query_pre_attn_scalar: _Positive = 256
    sliding_window: _Size = 4096
    layer_types: tuple[LayerKind, ...]
    full_attention: Rotary
    sliding_attention: Rotary
    attn_logit_softcapping: None = None
    use_bidirectional_attention: Literal[False] | None = False

    def __post_init__(self) -> None:
        """Check what the types cannot say; msgspec turns a ValueError into its own error."""
        if len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(
                f"layer_types has {len(self.layer_types)} entries, and num_hidden_layers is "
                f"{self.num_hidden_layers}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads is {self.num_attention_heads}, which num_key_value_heads "
                f"({self.num_key_value_heads}) does not divide"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}, which is odd")
        if (self.pad_token_id or 0) >= self.vocab_size:
            raise ValueError(
                f"pad_token_id is {self.pad_token_id}, and vocab_size {self.vocab_size}"
            )

    def rotary(self, kind: LayerKind) -> Rotary:
        """Return how positions enter one kind of layer."""
        return self.full_attention if kind == "full_attention" else self.sliding_attention


# What a file leaves out, by name.
USUAL: dict[str, Any] = {
    field.name: field.default for field in msgspec.structs.fields(GemmaConfig) if not field.required
}


def text_tower_config(folder: Path) -> GemmaConfig:
    """Read the config of a folder's text part.

    Raises:
        ModelError: It is missing or cannot be used, or the folder is of another model.
    """
    if folder.is_file():
        raise _unsupported(folder, "a packed text encoder (LTX-2.5)")
    file, table = folder_config(folder, REMEDY)
    kind = str(table.get("model_type"))
    text = table.get("text_config") if kind == "gemma3" else table
    if kind.startswith("gemma4"):
        raise _unsupported(folder, "Gemma 4 (LTX-2.5)")
    if kind not in {"gemma3", "gemma3_text"} or not isinstance(text, dict):
        raise ModelError(
            f"this is a {visible(kind)!r} model, not Gemma 3",
            file=file,
            remedy="LTX-2.0 and 2.3 take the folder of Gemma 3 12B",
        )
    return gemma_config(text, file)


def gemma_config(table: Mapping[str, Any], file: Path | None = None) -> GemmaConfig:
    """Read a config.json of a text model, or what another has under `text_config`.

    Args:
        table: With the older names or those of transformers 5.
        file: Where it is from.

    Raises:
        ModelError: A field makes no sense, or asks for what no Gemma 3 has; it is named.
    """
    made = {"layer_types": _layer_types(table, file)}
    made |= {kind: _rotary(table, kind, file) for kind in _BASES}
    return _convert({**table, **made}, GemmaConfig, "", file)


def _layer_types(table: Mapping[str, Any], file: Path | None) -> Any:
    """Return the list of a newer file; make that of an older one, whose every n-th is global."""
    named = table.get("layer_types")
    count = table.get("num_hidden_layers", USUAL["num_hidden_layers"])
    if named is not None or type(count) is not int or not 0 < count <= _MOST_LAYERS:
        return named or ()  # a count that makes no sense is told by its own name
    step = table.get("sliding_window_pattern", _USUAL_PATTERN)
    if type(step) is not int or step < 1:
        raise _fault(f"sliding_window_pattern is {step!r}", file)
    return ["sliding_attention" if i % step else "full_attention" for i in range(1, count + 1)]


def _rotary(table: Mapping[str, Any], kind: LayerKind, file: Path | None) -> Rotary:
    """Read one kind's part of `rope_parameters`, or what older files have in its place."""
    older_base, usual = _BASES[kind]
    known = _table(table, "rope_parameters", file)
    if known and not known.keys() & _BASES.keys():
        # transformers would read none of it, and go on with the usual values.
        raise _fault("rope_parameters does not say which kind of layer it is for", file)
    own = dict(_table(known, kind, file))
    own.setdefault("rope_type", own.get("type", "default"))
    if kind == "full_attention":
        scaling = _table(table, "rope_scaling", file)
        if "type" in scaling and "rope_type" not in scaling:
            # transformers drops it without a word: nobody could say which one is meant.
            raise _fault("rope_scaling has `type`, which is rope_type now", file)
        own |= scaling
    own.setdefault("rope_theta", table.get(older_base, usual))
    return _convert(own, Rotary, f" in the positions of {kind}", file)


def _table(table: Mapping[str, Any], name: str, file: Path | None) -> Mapping[str, Any]:
    value = table.get(name)
    if value is not None and not isinstance(value, dict):
        raise _fault(f"{name} is {value!r}, no table", file)
    return value or {}


def _convert(table: Mapping[str, Any], kind: type[_Kind], where: str, file: Path | None) -> _Kind:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise _fault(f"{error}{where}", file) from error


def _fault(what: str, file: Path | None) -> ModelError:
    return ModelError(f"it cannot be used: {visible(what)}", file=file, remedy=REMEDY)


def _unsupported(path: Path, what: str) -> ModelError:
    return ModelError(
        f"this is {what}, which is not supported yet",
        file=path,
        remedy="use an LTX-2.0 or 2.3 checkpoint with the folder of Gemma 3 12B",
    )

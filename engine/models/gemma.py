"""The text tower of a Gemma 3 folder: built from its config, loaded by assignment."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.errors import EnvironmentFaultError, ModelError
from engine.models.checkpoint import model_folder_shards
from engine.models.gemma_config import REMEDY, text_tower_config
from engine.models.gemma_tower import GemmaTower
from engine.models.header import TensorInfo, read_header
from engine.text import listed, visible

# What stands before the text tower's own names, in files of different transformers releases.
_PREFIXES = ("language_model.model.", "model.language_model.", "language_model.", "model.", "")
# Parts of the whole model that no embedding depends on.
_IGNORED = (
    "vision_tower.",
    "model.vision_tower.",
    "multi_modal_projector.",
    "model.multi_modal_projector.",
    "lm_head.",
    "language_model.lm_head.",
)

# Takes the module's name, the tensor and returns the parameter that it becomes.
_Place = Callable[[str, Tensor], nn.Parameter]


def load_text_tower(
    folder: Path, device: torch.device | str, *, dtype: torch.dtype, eight_bit: bool = False
) -> GemmaTower:
    """Load the text tower alone, ready to run.

    The module is never cast: its rotary frequencies stay in float32. Tensors come straight to the
    device and are cast there; what is to be quantised comes by way of the CPU.

    Raises:
        ModelError: No Gemma 3 folder, or weights that do not fit its config.
        EnvironmentFaultError: `eight_bit` without bitsandbytes.
    """
    config = text_tower_config(folder)
    shards = model_folder_shards(folder)
    with torch.device("meta"):
        tower = GemmaTower(config)
    tensors = _text_tensors(folder, shards)
    _compare(tower, folder, {name: info.shape for name, (_, _, info) in tensors.items()})
    tower.fill(device)
    place = _eight_bit(tower, device) if eight_bit else _plain
    for name, tensor in _read(tensors, "cpu" if eight_bit else device):
        owner, _, leaf = name.rpartition(".")
        setattr(tower.get_submodule(owner), leaf, place(name, tensor.to(dtype)))
    left = [name for name, t in (*tower.named_parameters(), *tower.named_buffers()) if t.is_meta]
    if left:
        raise _fault(folder, "no value for", left)
    return tower.eval().requires_grad_(False)


_Tensors = dict[str, tuple[Path, str, TensorInfo]]


def _text_tensors(folder: Path, shards: list[Path]) -> _Tensors:
    """Map the text tower's own names to (file, name there, header entry)."""
    found = {
        name: (shard, name, info)
        for shard in shards
        for name, info in read_header(shard).tensors.items()
        if not name.startswith(_IGNORED)
    }
    prefix = next((p for p in _PREFIXES if f"{p}embed_tokens.weight" in found), None)
    if prefix is None:
        raise _fault(folder, "missing", ["embed_tokens.weight"])
    foreign = [name for name in found if not name.startswith(prefix)]
    if foreign:
        raise _fault(folder, "unexpected", foreign)
    return {name.removeprefix(prefix): where for name, where in found.items()}


def _compare(tower: nn.Module, folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in tower.state_dict().items()}
    if missing := wanted.keys() - shapes.keys():
        raise _fault(folder, "missing", list(missing))
    if unexpected := shapes.keys() - wanted.keys():
        raise _fault(folder, "unexpected", list(unexpected))
    if other := [name for name, shape in shapes.items() if shape != wanted[name]]:
        raise _fault(folder, "of another shape", other)


def _read(tensors: _Tensors, device: torch.device | str) -> Iterator[tuple[str, Tensor]]:
    """Read shard by shard, so that no more than one file is open."""
    for shard in sorted({path for path, _, _ in tensors.values()}):
        names = {own: name for own, (path, name, _) in tensors.items() if path == shard}
        try:
            with safe_open(shard, framework="pt", device=str(device)) as file:
                for own, name in names.items():
                    yield own, file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"its tensors cannot be read: {visible(error)}", file=shard, remedy=REMEDY
            ) from error


def _plain(_: str, tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)


def _eight_bit(tower: nn.Module, device: torch.device | str) -> _Place:
    """Replace the linear layers by 8-bit ones; weights are quantised as they arrive."""
    try:
        bnb: Any = importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise EnvironmentFaultError(
            "loading the text encoder in 8 bits needs bitsandbytes",
            remedy='pip install "ltx-tui[quantize]"',
        ) from error
    names = {n for n, m in tower.named_modules() if isinstance(m, nn.Linear)}
    for name in names:
        owner, _, leaf = name.rpartition(".")
        old: Any = tower.get_submodule(name)
        new = bnb.nn.Linear8bitLt(
            old.in_features,
            old.out_features,
            bias=old.bias is not None,
            has_fp16_weights=False,
            threshold=6.0,
            device="meta",
        )
        setattr(tower.get_submodule(owner), leaf, new)

    def place(name: str, tensor: Tensor) -> nn.Parameter:
        if name.removesuffix(".weight") not in names:
            return nn.Parameter(tensor.to(device), requires_grad=False)
        # Moving it to the device is what quantises it.
        weight = bnb.nn.Int8Params(tensor, requires_grad=False, has_fp16_weights=False)
        quantised: nn.Parameter = weight.to(device)
        return quantised

    return place


def _fault(folder: Path, what: str, names: list[str]) -> ModelError:
    return ModelError(
        f"its weights do not fit its config; {what}: {visible(listed(sorted(names)))}",
        file=folder,
        remedy=REMEDY,
    )

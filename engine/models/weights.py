"""Put a checkpoint's tensors into a module, and make sure that all of them arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from engine.errors import ModelError
from engine.models.checkpoint import Checkpoint
from engine.text import listed, visible

_REMEDY = "use an original checkpoint, complete and not converted"


def load_into(
    module: nn.Module,
    checkpoint: Checkpoint,
    prefix: str,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    rename: Callable[[str], str | None] | None = None,
) -> None:
    """Load the tensors under `prefix` into `module`, which may have been built on "meta".

    Tensors are assigned, not copied, so the weights are in memory once. Names and shapes are
    compared with the header before anything is read. The module is left in evaluation mode and
    without gradients.

    Args:
        module: Takes its parameters and persistent buffers from the file.
        checkpoint: Where the tensors are.
        prefix: What comes before the module's own names, such as "vae.".
        device: Where the tensors go.
        dtype: Floating-point tensors are cast to it; others keep theirs.
        rename: Maps a name without prefix to the module's; None leaves the tensor out.

    Raises:
        ModelError: A key is missing, unexpected or of another shape, or a tensor of the module
            has no value in the end.
    """
    # The module's name → the file's.
    names: dict[str, str] = {}
    for name in checkpoint.select(prefix):
        own = rename(name) if rename else name
        if own is not None:
            names[own] = prefix + name
    _compare(module, checkpoint, names)
    state: dict[str, torch.Tensor] = {}
    try:
        with safe_open(checkpoint.path, framework="pt", device=str(device)) as file:
            for own, name in names.items():
                tensor = file.get_tensor(name)
                state[own] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"its tensors cannot be read: {visible(error)}",
            file=checkpoint.path,
            remedy="download it again",
        ) from error
    module.load_state_dict(state, assign=True)
    left = [name for name, tensor in _tensors(module) if tensor.is_meta]
    if left:
        raise _fault(checkpoint, "no value for", left)
    module.eval().requires_grad_(False)


def _compare(module: nn.Module, checkpoint: Checkpoint, names: dict[str, str]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if missing := wanted.keys() - names.keys():
        raise _fault(checkpoint, "missing", missing)
    if unexpected := names.keys() - wanted.keys():
        raise _fault(checkpoint, "unexpected", [names[name] for name in unexpected])
    shapes = {own: checkpoint.tensors[name].shape for own, name in names.items()}
    if other := [own for own, shape in shapes.items() if shape != wanted[own]]:
        first = min(other)
        raise _fault(checkpoint, f"of another shape than {wanted[first]} ({shapes[first]})", other)


def _fault(checkpoint: Checkpoint, what: str, names: Iterable[str]) -> ModelError:
    return ModelError(
        f"its weights do not fit its config; {what}: {visible(listed(sorted(names)))}",
        file=checkpoint.path,
        remedy=_REMEDY,
    )


def _tensors(module: nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()

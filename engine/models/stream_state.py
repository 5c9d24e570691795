"""What the frames so far leave behind when a clip is encoded in chunks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes


class StreamState:
    """The memory of an encoder between two chunks of a clip.

    A causal convolution needs its last two input frames, and a block that halves the frame rate
    needs to know whether the clip has begun. One state belongs to one clip at a time; `clear`
    makes it ready for the next one.

    Attributes:
        lean: Buffers are used again in place: the same mathematics in less memory.
        offload: What is kept lies in host memory, and the blocks at full frame rate take two
            frames at a time; implies `lean`.
        started: Whether a first chunk has been through the encoder.
        last: The chunk at hand is the clip's last one, so that nothing more is kept.
    """

    def __init__(self, *, lean: bool = False, offload: bool = False) -> None:
        self.started = False
        self.last = False
        self._kept: dict[nn.Module, Tensor] = {}
        self._host: dict[nn.Module, Tensor] = {}
        self.choose(lean=lean, offload=offload)

    def choose(self, *, lean: bool, offload: bool) -> None:
        """Set how the next clip is encoded; forgets the one at hand."""
        self.clear()
        self.lean = lean or offload
        self.offload = offload

    def take(self, module: nn.Module, device: torch.device) -> Tensor | None:
        """Hand over the frames kept for `module`, on `device`; None before the first chunk."""
        host = self._host.get(module)
        if host is None:
            return self._kept.pop(module, None)
        # All copies are queued on the device's current stream, in order, and the host never looks
        # into its buffers: so none of them is read too early or written too late.
        return torch.empty_like(host, device=device).copy_(host, non_blocking=True)

    def keep(self, module: nn.Module, frames: Tensor) -> None:
        """Keep `frames` for the next chunk, as a copy: a view would hold the whole chunk."""
        if self.last:
            return
        if not self.offload:
            self._kept[module] = frames.clone()
            return
        # In one piece, as a copy between devices would make it unseen.
        whole = frames.contiguous()
        # Host memory is none of the device's: what counts or limits that must not see it.
        with _disable_current_modes():
            if module not in self._host:
                self._host[module] = _host_memory(whole)
            self._host[module].copy_(whole, non_blocking=True)

    def clear(self) -> None:
        """Forget the clip and free what was kept."""
        self._kept.clear()
        self._host.clear()
        self.started = False
        self.last = False

    @property
    def kept_bytes(self) -> int:
        """Bytes of the frames kept on the device now."""
        return sum(frames.nbytes for frames in self._kept.values())

    @property
    def host_bytes(self) -> int:
        """Bytes of the frames kept in host memory now."""
        return sum(frames.nbytes for frames in self._host.values())


def _host_memory(like: Tensor) -> Tensor:
    """Return an uninitialised tensor in host memory; pinned, where that makes copies quick.

    Tensors without memory (the "meta" device) get another such.
    """
    if not like.is_cuda:
        return torch.empty_like(like)
    try:
        return torch.empty_like(like, device="cpu", pin_memory=True)
    except RuntimeError:
        # The system may allow no more pinned memory. Copies from and to the rest wait by
        # themselves, so they are slower and no less right.
        return torch.empty_like(like, device="cpu")

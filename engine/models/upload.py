"""Takes clips to the device that encodes them, one piece ahead of the one that is in use.

On a GPU a stream of its own copies from pinned memory, so that the next piece travels while the
present one is encoded. All memory comes from the stream that computes, and each copy waits for what
was queued there when its memory was handed out: so nothing that may still be in use is written
over, and memory goes back to where the encoder takes it from. The stream that computes waits for a
copy before its memory can be used or handed out again; that is also why torch need not be told of
the second stream (`record_stream`), which would hold each piece for longer than it is used.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Lane(Protocol):
    """Where copies are queued, beside what computes."""

    def copying(self) -> AbstractContextManager[object]:
        """Return what surrounds copies: they begin after all that is queued to compute now."""

    def mark(self) -> object:
        """Return a mark behind the copies that are queued; asked inside of `copying`."""

    def wait(self, mark: object) -> None:
        """Let what is queued to compute from now on begin after a mark is reached."""


class CudaLane:
    """A stream of its own on a GPU."""

    def __init__(self, device: torch.device) -> None:
        """Make the stream."""
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def copying(self) -> Iterator[None]:
        """Surround copies: they begin after all that is queued to compute now."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield

    def mark(self) -> object:
        """Return an event behind the copies that are queued."""
        return self._stream.record_event()

    def wait(self, mark: object) -> None:
        """Let what is queued to compute from now on begin after an event."""
        assert isinstance(mark, torch.cuda.Event)  # noqa: S101 - see `mark`
        torch.cuda.current_stream(self._device).wait_event(mark)


class _Coming(NamedTuple):
    """A piece on its way."""

    piece: Tensor
    mark: object


class Uploader:
    """Takes pieces of clips to one device, in order."""

    def __init__(self, device: torch.device, lane: Lane | None = None) -> None:
        """Queue nothing yet.

        Args:
            device: Where to.
            lane: Where copies are queued; None for one of its own on a GPU, and else for none:
                pieces are then moved when they are asked for, and on the CPU not at all.
        """
        self._device = device
        self._lane = lane
        if lane is None and device.type == "cuda":
            self._lane = CudaLane(device)

    def pieces(self, pieces: Iterable[Sequence[Tensor]], *, ahead: bool = True) -> Iterator[Tensor]:
        """Yield pieces on the device, each stacked: [B, …].

        Close it (`contextlib.closing`) or drop it where not all pieces are taken.

        Args:
            pieces: Each of one or several tensors on the host, alike; they may be views, and are
                asked for one ahead.
            ahead: Whether there is memory for one more than the one in use.
        """
        if self._lane is None:
            for piece in pieces:
                yield _stacked(piece).to(self._device)
            return
        lane = self._lane
        coming: deque[_Coming] = deque()
        try:
            for piece in pieces:
                coming.append(self._begin(piece, lane))
                if len(coming) > ahead:
                    yield _arrived(coming.popleft(), lane)
            while coming:
                yield _arrived(coming.popleft(), lane)
        finally:
            # Their memory is handed out again, but not before the copies into it are over.
            for one in coming:
                lane.wait(one.mark)

    def _begin(self, piece: Sequence[Tensor], lane: Lane) -> _Coming:
        first = piece[0]
        there = torch.empty((len(piece), *first.shape), dtype=first.dtype, device=self._device)
        with lane.copying():
            for place, one in zip(there, piece, strict=True):
                _copy(place, one)
            return _Coming(there, lane.mark())


def _arrived(coming: _Coming, lane: Lane) -> Tensor:
    lane.wait(coming.mark)
    return coming.piece


def _copy(place: Tensor, source: Tensor) -> None:
    """Queue a copy, part by part where the source is not in one piece.

    Torch would first bring such a one together, in memory that is not pinned.
    """
    if source.is_contiguous() or source.ndim <= 1:
        place.copy_(source, non_blocking=True)
        return
    for inner_place, inner in zip(place, source, strict=True):
        _copy(inner_place, inner)


def _stacked(piece: Sequence[Tensor]) -> Tensor:
    return piece[0][None] if len(piece) == 1 else torch.stack(list(piece))

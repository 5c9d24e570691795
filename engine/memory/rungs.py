"""The ladder: the ways to encode a clip, from the fastest to the one that takes least memory.

All of them give the same latents. Plain data, so that a plan can name a rung without torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

Kind = Literal["whole", "stream", "lean", "offload"]

_CHUNKED: tuple[Kind, ...] = ("stream", "lean", "offload")

_NAME = re.compile(
    r"(?:one-shot|batch (?P<batch>\d+)|(?P<kind>stream|lean|offload) (?P<chunk>\d+)"
    r"(?: × (?P<times>\d+))?)(?P<cpu> on CPU)?",
    re.ASCII,
)
# Chunks in frames, from DESIGN: below the last one there is only the lean form.
_CHUNKS = (24, 16, 8)


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One way to encode.

    Attributes:
        kind: "whole": all frames at once. "stream": in chunks. "lean": in chunks, with buffers
            used again in place. "offload": lean, two frames at a time through the blocks at full
            frame rate, what is remembered between chunks kept in host memory.
        chunk: Frames at a time; 0 for "whole".
        batch: Clips at a time.
        cpu: On the CPU, because no rung fits the GPU.
    """

    kind: Kind
    chunk: int = 0
    batch: int = 1
    cpu: bool = False

    @property
    def ahead(self) -> bool:
        """Whether the next part of a clip is taken to a GPU while another is encoded."""
        return self.kind in ("whole", "stream")

    @property
    def name(self) -> str:
        """For display and for the journal: "batch 4", "one-shot", "stream 16", "lean 8 on CPU"."""
        words = "one-shot" if self.kind == "whole" else f"{self.kind} {self.chunk}"
        if self.batch > 1:
            words = f"batch {self.batch}" if self.kind == "whole" else f"{words} × {self.batch}"
        return f"{words} on CPU" if self.cpu else words


def rung_named(name: str) -> Rung | None:
    """Return the rung that has this name; None where none has."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    kind: Kind = "whole"
    for other in _CHUNKED:
        kind = other if found["kind"] == other else kind
    return Rung(
        kind=kind,
        chunk=int(found["chunk"] or 0),
        batch=int(found["batch"] or found["times"] or 1),
        cpu=found["cpu"] is not None,
    )


def video_ladder(frames: int, *, batch: int = 1, first: int = 0) -> tuple[Rung, ...]:
    """Return the rungs of a video encode on one device, the fastest first.

    Args:
        frames: F of the clip; chunks that are as long as the clip are left out.
        batch: Clips of this shape that are at hand.
        first: Frames of the longest chunk to try (`video.chunk`); 0, or as long as the clip, for
            all rungs.
    """
    sizes = sorted({batch, *(b for b in (8, 4, 2, 1) if b < batch), 1}, reverse=True)
    whole = [Rung(kind="whole", batch=size) for size in sizes]
    chunks = sorted({first, *_CHUNKS} if first else _CHUNKS, reverse=True)
    useful = [c for c in chunks if c < frames - 1 and (not first or c <= first)]
    streams = [Rung(kind="stream", chunk=chunk) for chunk in useful]
    last = _CHUNKS[-1]
    lean = [Rung(kind="lean", chunk=last), Rung(kind="offload", chunk=last)]
    if first and first < frames - 1:
        whole = []
    return (*whole, *streams, *lean)


def on_cpu(ladder: Sequence[Rung]) -> tuple[Rung, ...]:
    """Return the same ladder for the CPU, one clip at a time."""
    alone = [rung for rung in ladder if rung.batch == 1 and rung.kind != "offload"]
    return tuple(msgspec.structs.replace(rung, cpu=True) for rung in alone)

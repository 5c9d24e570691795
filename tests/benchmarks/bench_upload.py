"""Clips to a GPU: pinned and a part ahead against plain copies in turns, and scaling there.

Copies are measured beside a load that keeps the GPU busy for as long as the plain copies take, as
an encoder would. Scaling is measured from source frames in host memory to the bucket's frames on
the GPU, in both ways; on the CPU in as many threads as scale in a job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import torch
from torch import Tensor

from engine.media.cores import SCALERS, keep_to_one_core
from engine.media.geometry import fit
from engine.media.on_device import OnDevice, plan
from engine.media.source_frames import SourceFrames
from engine.models.pinned import HostMemory
from engine.models.upload import Uploader
from tests.benchmarks.rows import Row, in_turns, main, ratio_of, spread

# Both have to be no slower; how much quicker they are depends on the card and on its link.
GOAL = 1.0
SOURCE, BUCKET, FRAMES, CHUNK = (1920, 1080), (960, 544), 121, 24
ROUNDS, QUICK_ROUNDS = 5, 2
# Elements of a side of what the GPU multiplies meanwhile.
SIDE = 4096
GIB = 1 << 30


class Copies:
    """A clip that goes to the GPU in parts, beside a load."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        shape = (3, FRAMES, BUCKET[1], BUCKET[0])
        self._pageable = torch.rand(shape).to(torch.bfloat16)
        self._pinned = HostMemory(device, GIB).empty(shape, torch.bfloat16)
        self._pinned.copy_(self._pageable)
        self._matrix = torch.rand((SIDE, SIDE), device=device, dtype=torch.bfloat16)
        self._uploader = Uploader(device)
        self._load = 0
        plain = self.plain()
        busy = self._seconds(lambda: self._work(100)) / 100
        self._load = max(1, round(plain / busy / len(self._bounds())))

    def plain(self) -> float:
        """Copy one part after another from memory that is not pinned."""

        def run() -> None:
            for start, end in self._bounds():
                self._use(self._pageable[None, :, start:end].to(self._device))

        return self._seconds(run)

    def ahead(self) -> float:
        """Copy one part ahead from pinned memory."""

        def run() -> None:
            parts = ([self._pinned[:, start:end]] for start, end in self._bounds())
            for part in self._uploader.pieces(parts):
                self._use(part)

        return self._seconds(run)

    def equal(self) -> bool:
        """Whether both ways bring the same."""
        parts = ([self._pinned[:, start:end]] for start, end in self._bounds())
        there = torch.cat([part.cpu() for part in self._uploader.pieces(parts)], dim=2)
        return torch.equal(there[0], self._pageable)

    def _bounds(self) -> list[tuple[int, int]]:
        return [(at, min(at + CHUNK, FRAMES)) for at in range(0, FRAMES, CHUNK)]

    def _use(self, part: Tensor) -> None:
        self._work(self._load)
        part.mul_(1)

    def _work(self, times: int) -> None:
        for _ in range(times):
            torch.mm(self._matrix, self._matrix)

    def _seconds(self, run: Callable[[], None]) -> float:
        return seconds(run, self._device)


class Scalings:
    """Frames of 1080p that become those of a bucket on the GPU."""

    def __init__(self, device: torch.device, frames: int) -> None:
        self._device = device
        how = plan(*SOURCE, fit(*SOURCE, *BUCKET))
        if how is None:
            raise RuntimeError("torch itself has to scale on this processor")
        kept = (frames, how.rows[1] - how.rows[0], how.columns[1] - how.columns[0], 3)
        pinned = HostMemory(device, 2 * GIB).empty(kept, torch.uint8)
        pinned.copy_(torch.randint(0, 256, kept, dtype=torch.uint8))
        self._clip = SourceFrames(pinned, how, torch.bfloat16)
        self._uploader = Uploader(device)
        self._scaler = OnDevice(device)
        self.possible = self._scaler.can(how)
        self._step = self._scaler.frames(how)

    def on_cpu(self) -> Tensor:
        """Scale in threads, then copy."""
        frames = len(self._clip.frames)
        share = -(-frames // SCALERS)
        starts = range(0, frames, share)
        with ThreadPoolExecutor(SCALERS, initializer=keep_to_one_core) as pool:
            ends = [min(start + share, frames) for start in starts]
            done = list(pool.map(self._clip.scaled, starts, ends))
        return torch.cat(done, dim=1).to(self._device)

    def there(self) -> Tensor:
        """Copy, and scale there."""
        clip = self._clip
        out = torch.empty(clip.shape, dtype=clip.dtype, device=self._device)
        starts = range(0, len(clip.frames), self._step)
        pieces = self._uploader.pieces([clip.frames[at : at + self._step]] for at in starts)
        for at, piece in zip(starts, pieces, strict=True):
            self._scaler.scale(piece[0], clip.scaling, out[:, at : at + self._step])
        return out


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Return how long something takes, what it has queued included."""
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began


def measure(quick: bool) -> Sequence[Row]:
    """Measure both; says so where there is no GPU."""
    parts = Row(
        what="960x544x121 to a GPU in parts of 24 frames, pinned, one part ahead",
        against="pageable, one part after another",
        goal=GOAL,
        detail="no GPU here",
    )
    scaled = Row(
        what="1080p → 960x544 on a GPU, clips a second",
        against="on the CPU, then copied",
        goal=GOAL,
        detail="no GPU here",
    )
    if not torch.cuda.is_available():
        return [parts, scaled]
    device, rounds = torch.device("cuda", 0), QUICK_ROUNDS if quick else ROUNDS
    copies = Copies(device)
    took = in_turns({"plain": copies.plain, "ahead": copies.ahead}, rounds)
    rows = [_row(parts, took["plain"], took["ahead"], equal=copies.equal())]
    scalings = Scalings(device, 25 if quick else FRAMES)
    if not scalings.possible:
        return [*rows, _with(scaled, detail="this GPU has other bits: left to the CPU")]
    same = torch.equal(scalings.there(), scalings.on_cpu())
    ways = {
        "cpu": lambda: seconds(scalings.on_cpu, device),
        "there": lambda: seconds(scalings.there, device),
    }
    took = in_turns(ways, rounds)
    return [*rows, _row(scaled, took["cpu"], took["there"], equal=same)]


def _row(row: Row, before: Sequence[float], after: Sequence[float], *, equal: bool) -> Row:
    return _with(
        row,
        ratio=ratio_of(before, after),
        equal=equal,
        detail=f"{spread(before)} against {spread(after)} a clip",
    )


def _with(row: Row, **changes: object) -> Row:
    return msgspec.structs.replace(row, **changes)


if __name__ == "__main__":
    main("upload", __doc__, measure)

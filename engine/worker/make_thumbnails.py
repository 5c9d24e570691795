"""Run as `python -m engine.worker.make_thumbnails`: reads frames and sound for the workbench.

Takes requests as JSON lines from stdin and answers in JSON lines; a new request ends the one before
at its next frame. It ends when stdin does. A clip that cannot be read is an answer, not a fault of
this program; one that brings a codec down takes only this process with it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from engine.child import answer
from engine.errors import EnvironmentFaultError, LtxError, MediaError, UsageError
from engine.media.arrays import Pixels
from engine.media.compare import pairs
from engine.media.containers import Check
from engine.media.envelope import MOST_COLUMNS, envelope
from engine.media.geometry import Geometry, fit
from engine.media.probe import PROBE_VERSION, Probe, probe
from engine.media.selection import (
    effective_fps,
    evenly,
    exact_rate,
    first_index,
    in_order,
    spread,
)
from engine.media.thumbnails import (
    MOST_SIDE,
    crop_box,
    fitting,
    marked,
    shrink,
)
from engine.precompute.ledger import Ledger
from engine.worker.frame_cache import FrameCache, Taken, drawn_edges
from engine.worker.spec import Fault, decoder
from engine.worker.thumbnail_types import (
    MOST_FRAMES,
    PALETTE,
    Ask,
    Decoded,
    Done,
    Errors,
    Facts,
    Failed,
    Shot,
    Sound,
)

# A clip that takes longer than this to show is given up, in seconds.
PATIENCE = 120.0
_TELL = 0.3  # seconds between two tidings of errors
_KINDNESS = 5  # the user's own programs, and the worker, come first
_MEMORY = 16 << 30  # bytes of address space; a file that wants more is meant to harm
_CACHE = FrameCache()


class Superseded(Exception):  # noqa: N818 - no error
    """Another request has come."""


class Requests:
    """Stdin, read by a thread of its own, of which only the latest line counts."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._latest: bytes | None = None

    def listen(self) -> None:
        """Read until stdin is closed, then end the process."""
        rest = b""
        # Not through sys.stdin, whose lock a thread must not hold when the interpreter ends.
        while data := os.read(0, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            if lines:
                with self._changed:
                    self._latest = lines[-1]
                    self._changed.notify()
        os._exit(0)

    def take(self) -> bytes:
        """Wait for a request, and return the latest."""
        with self._changed:
            while self._latest is None:
                self._changed.wait()
            line, self._latest = self._latest, None
            return line

    @property
    def is_waiting(self) -> bool:
        """Whether another one has come."""
        return self._latest is not None


def main() -> None:
    """Answer until stdin ends."""
    requests = Requests()
    threading.Thread(target=requests.listen, daemon=True).start()
    os.nice(_KINDNESS)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    asks = decoder(Ask)
    while True:
        ask: Ask = asks.decode(requests.take())
        with contextlib.suppress(Superseded):
            show(ask, checking(requests))
            answer(Done(id=ask.id))


def checking(requests: Requests, patience: float = PATIENCE) -> Check:
    """Return what is called now and then while a request is answered."""
    end = time.monotonic() + patience

    def check() -> None:
        if requests.is_waiting:
            raise Superseded
        if time.monotonic() > end:
            raise MediaError(
                f"takes longer than {patience:g} s to read", remedy="use a shorter clip"
            )

    return check


def show(ask: Ask, check: Check) -> None:
    """Answer a request, all but its end.

    Raises:
        Superseded: Another one has come.
    """
    found: list[Probe] = []

    def look() -> None:
        found.append(_probe(ask.media, ask.state_dir))

    if not _part(ask, "clip", look):
        return
    clip = found[0]
    place = _place(ask, clip)
    if ask.at >= 0:
        if clip.kind != "audio":
            _part(ask, "picture", lambda: _single(ask, clip, place))
        return
    answer(_facts(ask, clip, place))
    decoded = ask.decoded
    if decoded is not None:
        _part(ask, "decoded", lambda: _compare(ask, clip, place, decoded, check))
    elif clip.kind != "audio":
        _part(ask, "picture", lambda: _strip(ask, clip, place, check))
    if ask.columns:
        _part(ask, "sound", lambda: _sound(ask, clip, check))


def _part(ask: Ask, part: str, make: Callable[[], None]) -> bool:
    """Make a part of an answer, or say why it cannot be made."""
    try:
        make()
    except Superseded:
        raise
    except LtxError as error:
        fault = Fault.of(error)
    except MemoryError:
        fault = Fault.of(EnvironmentFaultError("needs more memory than it may take"))
    except Exception as error:  # one bad clip must not end this process
        fault = Fault.of(error)
    else:
        return True
    answer(Failed(id=ask.id, part=part, fault=fault))  # type: ignore[arg-type]
    return False


def _probe(path: Path, state_dir: Path) -> Probe:
    """Return a file's probe, from the project's journal where it is there.

    Raises:
        LtxError: It cannot be read.
    """
    if not path.name:
        raise MediaError("the dataset names no file", remedy="fill the cell in")
    try:
        path.stat()
    except OSError as error:
        raise MediaError(
            f"cannot be read: {error.strerror}", remedy="check the path", file=path
        ) from error
    with contextlib.suppress(LtxError, OSError), Ledger(state_dir) as ledger:
        data, _ = ledger.probe_bytes(
            path, PROBE_VERSION, lambda file: msgspec.json.encode(probe(file))
        )
        return msgspec.json.decode(data, type=Probe)
    return probe(path)


def _place(ask: Ask, clip: Probe) -> Geometry | None:
    if ask.bucket is None or clip.kind == "audio":
        return None
    width, height, _ = ask.bucket
    return fit(
        clip.width,
        clip.height,
        width,
        height,
        ask.reshape,
        seed=ask.seed,
        crop_key=ask.crop_key,
    )


def _rate(ask: Ask) -> Fraction | None:
    # People write 29.97 and mean 30000/1001; as in `engine.precompute.survey`.
    return exact_rate(ask.fps, slack=0.005) if ask.fps else None


def kept_numbers(ask: Ask, clip: Probe) -> tuple[int, int]:
    """Return the first and the last source frame that are kept; (0, -1) for none."""
    if ask.bucket is None or clip.kind == "audio":
        return 0, -1
    frames, fps = ask.bucket[2], _rate(ask)
    if in_order(clip, fps):
        first = first_index(clip, ask.start)
        return first, min(clip.frames, first + frames) - 1
    last = Fraction(ask.start) + (frames - 1) / effective_fps(clip, fps)
    numbers = (int(Fraction(ask.start) * clip.fps), int(last * clip.fps))
    return min(numbers[0], clip.frames - 1), min(numbers[1], clip.frames - 1)


def _facts(ask: Ask, clip: Probe, place: Geometry | None) -> Facts:
    kept, count = kept_numbers(ask, clip), max(1, min(MOST_FRAMES, ask.count))
    if ask.decoded is not None and ask.bucket is not None:
        numbers = evenly(0, ask.bucket[2] - 1, count)
    else:
        numbers = spread(clip.frames, kept, count)
    return Facts(
        id=ask.id,
        kind=clip.kind,
        size=(clip.width, clip.height),
        frames=clip.frames,
        seconds=clip.duration,
        fps=float(clip.fps),
        rate=clip.fps.as_integer_ratio(),
        vfr=clip.vfr,
        kept=kept,
        box=crop_box(place) if place is not None else (0.0, 0.0, 1.0, 1.0),
        numbers=tuple(numbers),
    )


def _size(ask: Ask, width: int, height: int) -> tuple[int, int]:
    most = tuple(max(1, min(MOST_SIDE, side)) for side in ask.size)
    return fitting(width, height, (most[0], most[1]))


def _strip(ask: Ask, clip: Probe, place: Geometry | None, check: Check) -> None:
    kept = kept_numbers(ask, clip)
    numbers = spread(clip.frames, kept, max(1, min(MOST_FRAMES, ask.count)))
    box = crop_box(place) if place is not None else None
    size = _size(ask, clip.width, clip.height)
    grey = ask.canny is not None
    pictures = _CACHE.frames(
        ask.media, clip, numbers, size, tonemap=ask.tonemap, grey=grey, check=check
    )
    with contextlib.closing(pictures):
        for at, taken in enumerate(pictures):
            is_kept = kept[0] <= taken.number <= kept[1]
            pixels = marked(taken.pixels, box if is_kept else None, ask.line)
            _tell_pair(ask, at, clip, taken, pixels)


def _single(ask: Ask, clip: Probe, place: Geometry | None) -> None:
    """Tell of one frame. A next request waits for it: otherwise a held key would show nothing."""
    end = time.monotonic() + PATIENCE

    def check() -> None:
        if time.monotonic() > end:
            raise MediaError("takes too long to read", remedy="use a shorter clip")

    size = _size(ask, clip.width, clip.height)
    number = min(ask.at, max(0, clip.frames - 1))
    grey = ask.canny is not None
    taken = _CACHE.frame(ask.media, clip, number, size, tonemap=ask.tonemap, grey=grey, check=check)
    pixels = taken.pixels
    if place is not None:
        pixels = marked(pixels, crop_box(place), ask.line)
    _tell_pair(ask, 0, clip, taken, pixels)


def _tell_pair(ask: Ask, place: int, clip: Probe, taken: Taken, pixels: Pixels) -> None:
    """Tell of a frame, and of its edges where they are asked for."""
    seconds = float(taken.number / clip.fps)
    _tell_shot(ask, place, pixels, taken.number, seconds)
    if ask.canny is not None and taken.grey is not None:
        size = (pixels.shape[1], pixels.shape[0])
        drawn = drawn_edges(taken.grey, *ask.canny, size)
        _tell_shot(ask, place, drawn, taken.number, seconds, is_right=True)


def _compare(ask: Ask, clip: Probe, place: Geometry | None, decoded: Decoded, check: Check) -> None:
    """Hold the kept frames against the decoded ones, telling of both.

    Raises:
        LtxError: There is no decoded clip, or it is another one.
    """
    if ask.bucket is None or place is None:
        raise UsageError("has no bucket, so there is nothing to decode")
    _check_decoded(decoded)
    frames, fps = ask.bucket[2], _rate(ask)
    wanted = evenly(0, frames - 1, max(1, min(MOST_FRAMES, ask.count)))
    size = _size(ask, ask.bucket[0], ask.bucket[1])
    rate = effective_fps(clip, fps)
    errors: list[float] = []
    told = time.monotonic()
    both = pairs(
        ask.media,
        clip,
        decoded.file,
        probe(decoded.file),
        place,
        frames=frames,
        start=ask.start,
        fps=fps,
        tonemap=ask.tonemap,
        check=check,
    )
    with contextlib.closing(both):
        for number, pair in enumerate(both):
            errors.append(pair.error)
            if number in wanted:
                at, seconds = wanted.index(number), float(number / rate)
                source = np.rint(pair.source).astype(np.uint8)
                _tell_shot(ask, at, shrink(source, size), number, seconds)
                _tell_shot(ask, at, shrink(pair.decoded, size), number, seconds, is_right=True)
            if number + 1 == frames or time.monotonic() - told > _TELL:
                told = time.monotonic()
                answer(Errors(id=ask.id, values=tuple(errors)))


def _check_decoded(decoded: Decoded) -> None:
    if not decoded.latents.exists():
        raise MediaError(
            "is not encoded yet",
            remedy="`ltx-tui run` encodes it, `--stages decoded_videos` decodes it",
        )
    if not decoded.file.exists():
        raise MediaError(
            "is not decoded yet", remedy="`ltx-tui run --stages decoded_videos` decodes it"
        )
    if decoded.file.stat().st_mtime_ns < decoded.latents.stat().st_mtime_ns:
        raise MediaError(
            "was decoded before it was encoded anew",
            remedy="`ltx-tui run --stages decoded_videos` decodes it again",
        )


def _tell_shot(
    ask: Ask, place: int, pixels: Pixels, number: int, seconds: float, *, is_right: bool = False
) -> None:
    palette = b""
    size = (pixels.shape[1], pixels.shape[0])
    if ask.palette:
        few = Image.fromarray(pixels).quantize(PALETTE, dither=Image.Dither.FLOYDSTEINBERG)
        pixels, palette = np.asarray(few), bytes(few.getpalette() or ())[: 3 * PALETTE]
    answer(
        Shot(
            id=ask.id,
            place=place,
            is_right=is_right,
            number=number,
            seconds=seconds,
            size=size,
            pixels=pixels.tobytes(),
            palette=palette,
        )
    )


def _sound(ask: Ask, clip: Probe, check: Check) -> None:
    found = envelope(ask.media, clip, min(MOST_COLUMNS, ask.columns), check=check)
    if found is None:
        answer(Sound(id=ask.id))
        return
    low, high, rms = (tuple(round(float(v), 4) for v in values) for values in found[:3])
    answer(Sound(id=ask.id, low=low, high=high, rms=rms, peak=found.peak))


if __name__ == "__main__":
    main()

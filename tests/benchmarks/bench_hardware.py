"""Decoding in hardware against software on all cores, where there is an NVIDIA GPU.

1080p and 4K, H.264 and HEVC, decoded to the frames that clips are scaled from: with the GPU by way
of `engine.media.hardware_decoder`, its frames brought to software's arrangement, and in software in
as many threads as there are cores. In turns, in one process, opening the file included. What counts
is the processor's time, which is what the other work of a job needs; frames a second on the wall
stand beside it. All frames of both are compared to the bit.

python -m tests.benchmarks.bench_hardware [--quick]
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from engine.media.hardware_decoder import Decoder, decoder_of, why_unusable
from engine.media.hardware_planes import HardwareFaultError, difference
from engine.media.probe import Probe, probe
from engine.media.video_frames import video_frames
from tests.benchmarks.rows import Row, in_turns, main, ratio_of, spread

GOAL = 2.0
SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160)}
CODECS = {"h264": "libx264", "hevc": "libx265"}
FRAMES, QUICK_FRAMES = 121, 49
ROUNDS, QUICK_ROUNDS = 5, 2
AGAINST = "software on all cores, processor time"


def pictures(count: int, width: int, height: int) -> Iterator[VideoFrame]:
    """Yield frames with some texture that moves, and some that is new in each."""
    rng = np.random.default_rng(5)
    across, down = np.arange(width + 8 * count), np.arange(height)[:, None]
    smooth = 120 + 60 * np.sin(across / 37) * np.cos(down / 29)
    for number in range(count):
        frame = VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            step = width // plane.width
            part = smooth[::step, 8 * number :: step][: plane.height, : plane.width]
            grain = rng.integers(0, 6, part.shape, dtype=np.uint8)
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
            rows[:, : plane.width] = part.astype(np.uint8) + grain
        yield frame


def write(path: Path, codec: str, size: tuple[int, int], count: int) -> Path:
    """Write a clip.

    Raises:
        av.FFmpegError: This FFmpeg has no such encoder.
    """
    options = {"preset": "veryfast", "crf": "20", "x265-params": "log-level=none"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(24), options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in pictures(count, *size):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def compared(decoder: Decoder, path: Path, found: Probe) -> str:
    """Return how the frames of both ways differ; empty where they do not.

    Raises:
        HardwareFaultError: Hardware cannot decode the clip.
    """
    with (
        contextlib.closing(decoder.frames(path, found)) as frames,
        contextlib.closing(video_frames(path, found)) as wanted,
    ):
        for number, (got, expected) in enumerate(itertools.zip_longest(frames, wanted)):
            if got is None or expected is None:
                return f"one has only {number} frames"
            if why := difference(got, expected):
                return f"frame {number + 1}: {why}"
    return ""


def measured(decoder: Decoder, path: Path, name: str, rounds: int) -> Row:
    """Decode a clip both ways."""
    row = Row(what=f"{name} decoded to frames by the GPU", against=AGAINST, goal=GOAL)
    found = probe(path)
    try:
        why = compared(decoder, path, found)
    except HardwareFaultError as error:
        return Row(what=row.what, against=AGAINST, goal=GOAL, detail=f"not decoded: {error}")
    ways: dict[str, Callable[[], Iterator[VideoFrame]]] = {
        "software": lambda: video_frames(path, found),
        "hardware": lambda: decoder.frames(path, found),
    }
    wall: dict[str, list[float]] = {way: [] for way in ways}

    def run(way: str) -> float:
        began, before = time.perf_counter(), time.process_time()
        count = sum(1 for _ in ways[way]())
        wall[way].append(count / (time.perf_counter() - began))
        return time.process_time() - before

    seconds = in_turns({way: lambda way=way: run(way) for way in ways}, rounds)
    return Row(
        what=row.what,
        against=AGAINST,
        goal=GOAL,
        ratio=ratio_of(seconds["software"], seconds["hardware"]),
        equal=not why,
        detail=f"{found.frames} frames: {spread(seconds['software'])} against "
        f"{spread(seconds['hardware'])} of processor time; on the wall "
        f"{spread(wall['software'], 'frames/s')} against {spread(wall['hardware'], 'frames/s')}; "
        + (why or "frames equal to the bit"),
    )


def measure(quick: bool) -> Sequence[Row]:
    """Measure each size and codec; without a GPU, say so."""
    if why_unusable("cuda", None):
        what = "1080p and 4K, h264 and hevc, decoded to frames by the GPU"
        return [Row(what=what, against=AGAINST, goal=GOAL, detail="no GPU here")]
    decoder = decoder_of("cuda")
    count, rounds = (QUICK_FRAMES, QUICK_ROUNDS) if quick else (FRAMES, ROUNDS)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for (size, pixels), (codec, encoder) in itertools.product(SIZES.items(), CODECS.items()):
            path = write(Path(folder) / f"{size}-{codec}.mp4", encoder, pixels, count)
            rows.append(measured(decoder, path, f"{size} {codec}", rounds))
    return rows


if __name__ == "__main__":
    main("hardware", __doc__, measure)

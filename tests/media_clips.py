"""Small videos and sounds made on the spot, each with one trait that a test is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.video.frame import VideoFrame

Frame = npt.NDArray[np.uint8]

FIRST_GREY, GREY_STEP = 24, 3


def grey(index: int, width: int = 64, height: int = 48) -> Frame:
    """Return the luma of a flat frame that tells its own index; see `index_of`."""
    return np.full((height, width), FIRST_GREY + GREY_STEP * index, dtype=np.uint8)


def index_of(rgb: npt.NDArray[np.floating] | float) -> int:
    """Return the index of a frame made by `grey`, from its mean in −1 … 1 (limited range)."""
    value = (float(np.mean(rgb)) + 1) * 127.5
    luma = 16 + value * 219 / 255
    return round((luma - FIRST_GREY) / GREY_STEP)


@dataclass(kw_only=True)
class Sound:
    """A sound track.

    Attributes:
        samples: float32 [channels, n].
        start: Seconds after time 0 of the container.
    """

    samples: npt.NDArray[np.float32]
    rate: int = 48000
    layout: str = "stereo"
    codec: str = "aac"
    start: float = 0.0


@dataclass(kw_only=True)
class Video:
    """How a video is encoded; lossless, so that frames can be told apart.

    Attributes:
        pts: Presentation times in ticks; frame numbers at `fps` where not given.
        time_base: Seconds a tick, with `pts`.
        tags: Codec context attributes, such as colorspace and color_range.
        matrix: Display matrix, nine numbers.
    """

    fps: Fraction = Fraction(24)
    pts: Sequence[int] | None = None
    time_base: Fraction | None = None
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    gop: int = 12
    b_frames: int = 2
    options: dict[str, str] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    matrix: Sequence[int] | None = None
    pixel_aspect: Fraction | None = None


def tone(seconds: float, rate: int = 48000, channels: int = 2) -> npt.NDArray[np.float32]:
    """Return a ramp of sines, so that no two moments and no two channels are alike."""
    t = np.arange(round(seconds * rate)) / rate
    rows = [0.4 * np.sin(2 * np.pi * (200 + 150 * c + 80 * t) * t) for c in range(channels)]
    return np.stack(rows).astype(np.float32)


def make_video(
    path: Path,
    frames: Iterable[VideoFrame | Frame],
    video: Video | None = None,
    sound: Sound | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video.

    Args:
        path: Its suffix decides the container.
        frames: PyAV frames in `video.pix_fmt`, or luma [H, W] with neutral chroma.
        video: How it is encoded.
        sound: A sound track.
        container_options: For the muxer.
    """
    video = video or Video()
    with av.open(str(path), "w", options=container_options or {}) as container:
        made = (f if isinstance(f, VideoFrame) else from_luma(f, video.pix_fmt) for f in frames)
        first = next(made)
        stream = container.add_stream(video.codec, rate=video.fps, options=_options(video))
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, video.pix_fmt
        base = video.time_base or 1 / video.fps
        context = stream.codec_context
        context.time_base = stream.time_base = base
        context.gop_size = video.gop
        if video.pixel_aspect:
            context.sample_aspect_ratio = video.pixel_aspect
        for name, value in video.tags.items():
            setattr(context, name, value)
        if video.matrix:
            stream.set_display_matrix(video.matrix)
        track = _add_track(container, sound)
        for index, frame in enumerate([first, *made]):
            frame.pts = video.pts[index] if video.pts else index
            frame.time_base = base
            for name, value in video.tags.items():
                setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None and track is not None:
            _encode_sound(container, track, sound)
    return path


def _options(video: Video) -> dict[str, str]:
    if video.codec != "libx264":
        return video.options
    return {"qp": "0", "bf": str(video.b_frames), "preset": "ultrafast", **video.options}


def from_luma(luma: Frame, pix_fmt: str) -> VideoFrame:
    """Return a grey frame in a planar format of 8 bits."""
    height, width = luma.shape
    frame = VideoFrame(width, height, pix_fmt)
    for index, plane in enumerate(frame.planes):
        rows = np.full((plane.height, plane.line_size), 128, dtype=np.uint8)
        if index == 0:
            rows[:, :width] = luma
        plane.update(rows.tobytes())
    return frame


def flat(
    components: Sequence[int], width: int = 64, height: int = 48, pix_fmt: str = "yuv420p"
) -> VideoFrame:
    """Return a frame of one colour, given as the values of its planes (8 or 16 bits each)."""
    frame = VideoFrame(width, height, pix_fmt)
    kind = np.uint16 if "10le" in pix_fmt else np.uint8
    for value, plane in zip(components, frame.planes, strict=True):
        plane.update(np.full(plane.buffer_size // kind().itemsize, value, dtype=kind).tobytes())
    return frame


def make_sound(path: Path, sound: Sound) -> Path:
    """Write a sound file."""
    with av.open(str(path), "w") as container:
        track = _add_track(container, sound)
        assert track is not None
        _encode_sound(container, track, sound)
    return path


def _add_track(container: OutputContainer, sound: Sound | None) -> av.AudioStream | None:
    if sound is None:
        return None
    return container.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)


def _encode_sound(container: OutputContainer, track: av.AudioStream, sound: Sound) -> None:
    frame = AudioFrame.from_ndarray(
        np.ascontiguousarray(sound.samples), format="fltp", layout=sound.layout
    )
    frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
    frame.pts = round(sound.start * sound.rate)
    to_codec = AudioResampler(
        format=track.codec_context.format, layout=sound.layout, rate=sound.rate,
        frame_size=track.codec_context.frame_size or 1024,
    )  # fmt: skip
    for part in [*to_codec.resample(frame), *to_codec.resample(None)]:
        container.mux(track.encode(part))
    container.mux(track.encode(None))


def cut_bytes(source: Path, target: Path, keep: float) -> Path:
    """Write the first `keep` (0 … 1) of a file's bytes, as an interrupted copy does."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * keep)])
    return target

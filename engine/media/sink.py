"""Write a video frame by frame, whole or not at all. Loads no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from engine.errors import MediaError
from engine.files.safe import atomic_path
from engine.media.aac import add_aac
from engine.media.arrays import Pixels

# What each suffix is written as: FFmpeg's container, and a codec that it can hold.
_FORMATS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
}
# Fine edges on black are what references are made of: a little better than what x264 calls
# visually lossless.
_CRF = 16
# Of such pictures slower ones make no smaller files.
_PRESET = "veryfast"


class SoundFormat(NamedTuple):
    """What sound is written, see `engine.media.aac`.

    Attributes:
        rate: Samples a second.
        layout: FFmpeg's name of the channels, such as "stereo".
    """

    rate: int
    layout: str


def written_suffix(suffix: str) -> str:
    """Return the suffix under which a video of this suffix is written: its own, or ".mp4"."""
    return suffix.lower() if suffix.lower() in _FORMATS else ".mp4"


class VideoSink:
    """A video that is being written."""

    def __init__(
        self,
        path: Path,
        container: OutputContainer,
        video: VideoStream,
        tick: Fraction,
        sound: AudioStream | None,
    ) -> None:
        """Take open streams; see `video_sink`."""
        self.frames = 0
        self._path = path
        self._container = container
        self._video = video
        self._tick = tick
        self._sound = sound
        self._last = -1
        self._is_over = False
        self._lasting: dict[int, int] = {}

    def write(self, pixels: Pixels, time: int | None = None, lasting: int | None = None) -> None:
        """Write a frame.

        Args:
            pixels: uint8 [H, W, 3], RGB.
            time: When it is shown, in ticks; by default one tick after the frame before.
            lasting: For how many ticks; it matters for the last frame alone.

        Raises:
            MediaError: It is of another size or type, or not later than the one before.
        """
        wanted = (self._video.height, self._video.width, 3)
        if pixels.dtype != np.uint8 or pixels.shape != wanted:
            raise MediaError(
                f"a frame is {pixels.dtype} {list(pixels.shape)}, and uint8 {list(wanted)} is "
                "needed",
                file=self._path,
            )
        time = self._last + 1 if time is None else time
        if time <= self._last:
            raise MediaError("its frames are not in order of time", file=self._path)
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(
            format=self._video.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = time, self._tick
        if lasting:
            self._lasting[time] = lasting
        self._put(frame)
        self._last = time
        self.frames += 1

    def _put(self, frame: VideoFrame | None) -> None:
        for packet in self._video.encode(frame):
            # Encoders make up durations from the rate.
            if packet.pts is not None and packet.pts in self._lasting:
                packet.duration = self._lasting.pop(packet.pts)
            self._container.mux(packet)

    def write_sound(self, frame: AudioFrame) -> None:
        """Write sound in the format that was asked for; its `pts` says when it is heard."""
        if self._sound is not None:
            self._container.mux(self._sound.encode(frame))

    def end_picture(self) -> None:
        """Write what the encoder of the picture still holds; no frame comes after it."""
        if not self._is_over:
            self._put(None)
            self._is_over = True

    def finish(self) -> None:
        """Write what the encoders still hold.

        Raises:
            MediaError: No frame was written.
        """
        if not self.frames:
            raise MediaError("there is no frame to write", file=self._path)
        self.end_picture()
        if self._sound is not None:
            self._container.mux(self._sound.encode(None))


@contextlib.contextmanager
def video_sink(
    path: Path,
    size: tuple[int, int],
    fps: Fraction,
    *,
    tick: Fraction | None = None,
    sound: SoundFormat | None = None,
    crf: int = _CRF,
    preset: str = _PRESET,
) -> Iterator[VideoSink]:
    """Open a video for writing; on success it takes its place, on an error nothing is left.

    H.264 (VP9 in .webm), BT.709, limited range; 4:2:0, or 4:4:4 where a side is odd, so that no
    line is lost.

    Args:
        path: The file to make or replace; its suffix is one that `written_suffix` gives.
        size: Width and height.
        fps: Frames a second, exactly.
        tick: Seconds a tick of the times; by default a frame.
        sound: What sound is written, if any.
        crf: Quality, 0 (lossless) … 51.
        preset: x264's, from quick and large to slow and small.

    Raises:
        MediaError: Encoding failed, or no frame was written.
    """
    kind, codec = _FORMATS[path.suffix.lower()]
    muxing = {"movflags": "+faststart"} if kind in ("mp4", "mov") else {}
    tick = tick or 1 / fps
    with (
        atomic_path(path) as part,
        _writing(path),
        av.open(str(part.absolute()), "w", format=kind, options=muxing) as container,
    ):
        options = _options(codec, crf, preset, is_steady=tick == 1 / fps)
        video = _add_video(container, codec, size, fps, tick, options)
        track: AudioStream | None = None
        if sound is not None:
            track = add_aac(container, sound.rate, sound.layout)
        sink = VideoSink(path, container, video, tick, track)
        yield sink
        sink.finish()


@contextlib.contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn a fault of the disk or of a folder into one about the file that is being made.

    Raises:
        MediaError: The block failed.
    """
    try:
        yield
    except OSError as error:
        raise MediaError(
            f"cannot be written: {error.strerror or error}",
            remedy="make the folder writable, and space on its disk",
            file=path,
        ) from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors into one about the file that is being made."""
    try:
        yield
    except av.FFmpegError as error:
        raise MediaError(
            f"cannot be written: {error.strerror}", remedy="check the disk", file=path
        ) from error


def _options(codec: str, crf: int, preset: str, *, is_steady: bool) -> dict[str, str]:
    if codec != "libx264":  # VP9 takes a bit rate of 0 for "by quality alone"
        vp9 = {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
        return {"crf": str(crf), **vp9}
    # Frames out of order would make MP4's durations, and so the mean rate, other ones.
    return {"crf": str(crf), "preset": preset, **({} if is_steady else {"bf": "0"})}


def _add_video(
    container: OutputContainer,
    codec: str,
    size: tuple[int, int],
    fps: Fraction,
    tick: Fraction,
    options: dict[str, str],
) -> VideoStream:
    stream = container.add_stream(codec, rate=fps, options=options)
    assert isinstance(stream, VideoStream)  # noqa: S101 - both codecs are, for the type checker
    stream.width, stream.height = size
    stream.pix_fmt = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
    stream.time_base = stream.codec_context.time_base = tick
    context = stream.codec_context
    context.colorspace = Colorspace.ITU709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    context.color_range = ColorRange.MPEG
    return stream

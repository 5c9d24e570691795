"""Open media files with FFmpeg, and turn each of its faults into one that names the file."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import MediaError

# Called now and then while media is read or written; what it raises ends the work.
Check = Callable[[], None]

# Only formats that hold their own data. Playlists and the like (hls, concat, dash, image2) name
# other files or addresses, and a media file of unknown origin must not make us open those.
_FORMATS = (
    "aac,ac3,aiff,apng,asf,av1,avi,caf,eac3,flac,flv,gif,h264,hevc,ivf,m4v,matroska,webm,mjpeg,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,opus,rm,w64,wav"
)
# Boxes at the top of an MP4 are few; fragmented ones have their index first.
_MOST_BOXES = 64
# 2^28: a 16K square. A header that claims more is damaged, or meant to fill the memory.
MOST_PIXELS = 1 << 28
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}


class DamagedDataError(Exception):
    """Data inside a container is marked as damaged; never leaves this package."""


@contextlib.contextmanager
def faults(path: Path, what: str = "cannot be read") -> Iterator[None]:
    """Turn an error of FFmpeg or of the file system into a MediaError about `path`.

    Args:
        path: The file the block works on.
        what: What to say about it; FFmpeg's own words follow.

    Raises:
        MediaError: The block failed.
    """
    try:
        yield
    except (av.FFmpegError, DamagedDataError, UnicodeError, OSError) as error:
        raise MediaError(
            f"{what}: {reason(error)}",
            remedy="play it to see whether it is whole; copy or export it again",
            file=path,
        ) from error


def check_file(path: Path) -> None:
    """Refuse what is not a file with something in it.

    Raises:
        MediaError: It is missing, no file, empty or not ours to read.
    """
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except FileNotFoundError as error:
        raise MediaError("does not exist", remedy="check the path", file=path) from error
    except IsADirectoryError as error:
        raise MediaError("is a folder", remedy="name a media file", file=path) from error
    except OSError as error:
        raise MediaError(
            f"cannot be opened: {error.strerror}", remedy="check its permissions", file=path
        ) from error
    if not first:
        raise MediaError("is empty (0 bytes)", remedy="copy or export it again", file=path)


@contextlib.contextmanager
def opened(path: Path, hardware: HWAccel | None = None) -> Iterator[InputContainer]:
    """Open a media file for reading, and close it whatever happens.

    Args:
        path: The file.
        hardware: What decodes it; None for software.

    Raises:
        MediaError: It is missing, empty or no media file, or FFmpeg failed inside the block.
    """
    check_file(path)
    try:
        # An absolute path, so that FFmpeg takes no part of the name for a protocol.
        container = av.open(
            str(path.absolute()), options=_OPTIONS, metadata_errors="replace", hwaccel=hardware
        )
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"is not a video or a sound that can be read ({_detail(path, error)})",
            remedy="check that it plays; export it again, or take it out of the dataset",
            file=path,
        ) from error
    with container, faults(path):
        yield container


def _detail(path: Path, error: Exception) -> str:
    """Return why a file did not open, in more than FFmpeg's one line for everything."""
    if _lacks_index(path):
        return "it has no index: the copy or the recording was cut short"
    return reason(error)


def reason(error: Exception) -> str:
    """Return what an error of FFmpeg says, without its number and the file's name."""
    text = str(getattr(error, "strerror", None) or error)
    return f"{text[:1].lower()}{text[1:]}"


def _lacks_index(path: Path) -> bool:
    """Whether this is an MP4 or MOV without the `moov` box, which is often written last."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        end = path.stat().st_size
        at = 0
        kinds: list[bytes] = []
        while at + 8 <= end and len(kinds) < _MOST_BOXES:
            file.seek(at)
            size, kind, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
            kinds.append(kind)
            length = large if size == 1 else size
            at += length or end  # 0: as far as the file goes
        return kinds[:1] == [b"ftyp"] and b"moov" not in kinds
    return False


def video_stream(container: InputContainer) -> VideoStream | None:
    """Return the first moving-picture stream; cover art of a sound file is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def require_video(container: InputContainer, path: Path) -> VideoStream:
    """Return the first moving-picture stream, ready to decode.

    Raises:
        MediaError: There is none, or none that can be decoded.
    """
    stream = video_stream(container)
    if stream is None:
        raise MediaError("holds no video", remedy="check that it is the right file", file=path)
    # PyAV gives no context for a codec that its FFmpeg lacks; its stubs do not say so.
    context: VideoCodecContext | None = stream.codec_context
    if context is None or stream.time_base is None:
        raise MediaError(
            "holds video of a kind that FFmpeg cannot decode",
            remedy="export it as H.264",
            file=path,
        )
    if context.width * context.height > MOST_PIXELS:
        raise MediaError(
            f"says that its frames have {context.width}x{context.height} pixels, which is too many",
            remedy="scale it down first",
            file=path,
        )
    return stream


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return the first audio stream, the one that the official preprocessing takes."""
    return next(iter(container.streams.audio), None)


def seconds(value: int | None, time_base: Fraction | None) -> Fraction:
    """Return a timestamp as exact seconds; 0 where there is none."""
    return value * time_base if value is not None and time_base is not None else Fraction(0)


def decode(
    container: InputContainer, stream: VideoStream, threads: int = 0
) -> Iterator[VideoFrame]:
    """Yield frames in presentation order, decoded in threads.

    Damaged frames before the first whole one (after a cut inside a group of pictures) are left
    out, as players do.

    Args:
        container: The file.
        stream: Its video.
        threads: That decode; 0 for as many as there are cores.

    Raises:
        av.FFmpegError, DamagedDataError: A packet or a frame is damaged. Threads may then have
            lost whole frames just before it: `salvage` gets those as well.
    """
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    yield from whole_frames(container.demux(stream))


def whole_frames(packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
    """Yield the frames of packets, the last of which is the flush, as `decode` does.

    Raises:
        av.FFmpegError, DamagedDataError: A packet or a frame is damaged.
    """
    begun = False
    for packet in packets:
        if packet.is_corrupt:
            raise DamagedDataError("damaged data")
        for frame in packet.decode():
            if not frame.is_corrupt:
                begun = True
                yield frame
            elif begun:
                raise DamagedDataError("a damaged frame")


def salvage(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield every whole frame up to the first damage, then end; one thread, so it is exact."""
    stream.codec_context.thread_count = 1
    begun = False
    for frame in _frames_before_damage(container, stream):
        if not frame.is_corrupt:
            begun = True
            yield frame
        elif begun:
            return


def _frames_before_damage(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                break
            yield from packet.decode()
        else:
            return  # the last packet of a demuxer is the flush
    except av.FFmpegError:
        pass
    with contextlib.suppress(av.FFmpegError):
        yield from stream.codec_context.decode(None)

"""Cut a video into pieces at exact frames, with sound, in one pass. Loads no torch.

A piece has the source's frames one for one: at the exact rate of a constant one, at their own
times otherwise; upright, with the source's colour tags. Its sound is that of the same span of time,
to the sample. Pieces are written one after the other, each whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from engine.errors import EnvironmentFaultError, LtxError, MediaError
from engine.files.safe import atomic_path
from engine.media.aac import add_aac, sound_frame
from engine.media.containers import Check, reason
from engine.media.cut_frames import Frames, begins
from engine.media.cut_picture import Look, Shaper, look_at, tag
from engine.media.geometry import at_most
from engine.media.orientation import Turn, of_frame, turned
from engine.media.scene_options import Cutting
from engine.media.scene_types import CutPiece, Found, Piece
from engine.media.sound_track import SoundTrack

# Called with a piece (or an image's target) and its whole file, just before that gets its name.
Note = Callable[[CutPiece, Path], None]
NoteImage = Callable[[int, Path, Path], None]

# What to do about sound that cannot be decoded.
_WITHOUT = "cut it without sound with --no-audio"
# The longest side of a preview image.
_PREVIEW = 960
_QUALITY = 88


def cut(
    path: Path,
    found: Found,
    wanted: Sequence[CutPiece],
    cutting: Cutting,
    *,
    note: Note | None = None,
    note_image: NoteImage | None = None,
    progress: Callable[[int], None] | None = None,
    check: Check | None = None,
) -> Generator[CutPiece]:
    """Write pieces of a video and their preview images, and yield each piece that is there.

    Args:
        path: The video.
        found: What `engine.media.scenes.find` says about it.
        wanted: In the order of the video, none overlapping another.
        cutting: How they are encoded.
        note: Called with a piece and its whole file, just before that gets its name.
        note_image: Called with a frame's number, the image's name to be, and its whole file.
        progress: Called after each frame, with how many were taken.
        check: Called before each frame; what it raises ends the cutting, and leaves no half file.

    Raises:
        MediaError: The video cannot be decoded that far, or a piece cannot be encoded.
        EnvironmentFaultError: The disk is full, or the folder cannot be written to.
    """
    has_sound = cutting.audio and any(one.target for one in wanted)
    sound = SoundTrack(path, without=_WITHOUT) if has_sound else None
    with contextlib.ExitStack() as stack:
        frames = Frames(path, found, check)
        stack.callback(frames.close)
        if sound is not None:
            stack.callback(sound.close)
        job = _Job(path, found, cutting, frames, sound, progress, note_image)
        for one in wanted:
            if one.target is None:
                job.save_images(one)
            else:
                with writing(one.target), atomic_path(one.target) as part:
                    job.write(one, part)
                    if note is not None:
                        note(one, part)
            yield one


class _Job:
    """One pass over a video."""

    def __init__(
        self,
        path: Path,
        found: Found,
        cutting: Cutting,
        frames: Frames,
        sound: SoundTrack | None,
        progress: Callable[[int], None] | None,
        note_image: NoteImage | None,
    ) -> None:
        self._path = path
        self._found = found
        self._cutting = cutting
        self._frames = frames
        self._sound = sound
        self._progress = progress
        self._note_image = note_image
        self._turn: Turn | None = None
        self._taken = 0
        self._times = found.times()

    def write(self, one: CutPiece, part: Path) -> None:
        """Encode a piece into a file, and save its preview images on the way."""
        kept, images = one.piece.kept, dict(one.images)
        writer: _Writer | None = None
        with (
            contextlib.closing(self._frames.take(kept.first, kept.end)) as frames,
            av.open(
                str(part.absolute()), "w", format="mp4", options={"movflags": "+faststart"}
            ) as container,
        ):
            for number, frame in enumerate(frames, kept.first):
                if number in images:
                    self._save(number, frame, images[number])
                if writer is None:
                    writer = self._writer(container, frame, one.piece)
                writer.add(frame)
                self._count()
            if writer is not None:
                writer.finish()

    def save_images(self, one: CutPiece) -> None:
        """Save preview images alone."""
        for number, image in one.images:
            for frame in self._frames.take(number, number + 1):
                self._save(number, frame, image)
                self._count()

    def _save(self, number: int, frame: VideoFrame, target: Path) -> None:
        with writing(target), atomic_path(target) as part:
            preview(frame, self._turn_of(frame)).save(part, format="JPEG", quality=_QUALITY)
            if self._note_image is not None:
                self._note_image(number, target, part)

    def _turn_of(self, frame: VideoFrame) -> Turn:
        """Return the video's turn; looked up once, see `engine.media.scene_reduce`."""
        if self._turn is None:
            self._turn = of_frame(frame)
        return self._turn

    def _count(self) -> None:
        self._taken += 1
        if self._progress is not None:
            self._progress(self._taken)

    def _writer(self, container: OutputContainer, first: VideoFrame, piece: Piece) -> _Writer:
        begin = begins(self._found, self._times, piece.kept.first)
        track = _Track(self._sound, begin, self._seconds(piece))
        clock = _Clock(self._found, self._times, piece)
        look = look_at(first, self._turn_of(first))
        return _Writer(self._path, container, look, clock, self._cutting, track)

    def _seconds(self, piece: Piece) -> Fraction:
        found = self._found
        end = found.seconds(piece.kept.end, self._times)
        return end - found.seconds(piece.kept.first, self._times)


class _Clock:
    """When the frames of a piece are shown, from 0 on."""

    def __init__(self, found: Found, times: np.typing.NDArray[np.int64] | None, piece: Piece):
        self.fps = found.fps
        self.aspect = Fraction(*found.pixel_aspect)
        self._times = times if found.vfr else None
        self._first = piece.kept.first
        self.base = found.tick if self._times is not None else 1 / found.fps

    def ticks(self, index: int) -> int:
        """Return the time of a frame, counted from the piece's first one, in `base`."""
        if self._times is None:
            return index
        return int(self._times[self._first + index] - self._times[self._first])


class _Track:
    """What the piece's sound is cut from; nothing where it has none."""

    def __init__(self, sound: SoundTrack | None, begin: Fraction, seconds: Fraction) -> None:
        rate = sound.rate if sound is not None else 0
        self.first = round(begin * rate)
        self.samples = int(seconds * rate)
        end = round((begin + seconds) * rate)
        self.sound = sound if sound is not None and sound.is_heard(self.first, end) else None


class _Writer:
    """A piece that is being encoded; sound follows picture, so that little waits in memory."""

    def __init__(
        self,
        source: Path,
        container: OutputContainer,
        look: Look,
        clock: _Clock,
        cutting: Cutting,
        track: _Track,
    ) -> None:
        self._source = source
        self._container = container
        self._clock = clock
        self._track = track
        self._shape = Shaper(look)
        self._video = self._add_video(look, cutting)
        tag(self._video.codec_context, look)
        self._audio = self._add_audio()
        self._frames = self._samples = 0

    def _add_video(self, look: Look, cutting: Cutting) -> VideoStream:
        options = {"crf": str(cutting.crf), "preset": cutting.preset}
        stream = self._container.add_stream("libx264", rate=self._clock.fps, options=options)
        stream.width, stream.height = look.out_size
        stream.pix_fmt = look.format
        stream.time_base = stream.codec_context.time_base = self._clock.base
        aspect = self._clock.aspect
        if aspect != 1:
            turned = look.turn.rotation in (90, 270)
            stream.codec_context.sample_aspect_ratio = 1 / aspect if turned else aspect
        return stream

    def _add_audio(self) -> AudioStream | None:
        sound = self._track.sound
        if sound is None:
            return None
        return add_aac(self._container, sound.rate, sound.layout)

    def add(self, frame: VideoFrame) -> None:
        """Encode the next frame, and the sound up to it."""
        try:
            frame = self._shape(frame)
        except ValueError as error:
            raise MediaError(
                str(error), remedy="export it again as one video", file=self._source
            ) from error
        frame.pts, frame.time_base = self._clock.ticks(self._frames), self._clock.base
        self._container.mux(self._video.encode(frame))
        shown = frame.pts * self._clock.base
        self._frames += 1
        self._add_sound(shown)

    def _add_sound(self, until: Fraction | None) -> None:
        sound, stream, track = self._track.sound, self._audio, self._track
        if sound is None or stream is None:
            return
        end = track.samples if until is None else min(track.samples, int(until * sound.rate))
        count = end - self._samples
        if count < sound.rate // 4 and until is not None:
            return
        while self._samples < end:
            count = min(end - self._samples, sound.rate)
            samples = sound.read(track.first + self._samples, count)
            frame = sound_frame(samples, sound.layout, sound.rate, self._samples)
            self._container.mux(stream.encode(frame))
            self._samples += count

    def finish(self) -> None:
        """Encode what is left."""
        self._container.mux(self._video.encode(None))
        self._add_sound(None)
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))


def preview(frame: VideoFrame, turn: Turn) -> Image.Image:
    """Return a frame upright, at most 960 pixels wide or high."""
    width, height = at_most(frame.width, frame.height, _PREVIEW)
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
    return Image.fromarray(turned(pixels, turn))


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn faults of the disk and of encoders into errors about the file that is being made."""
    try:
        yield
    except LtxError:
        raise
    except (av.FFmpegError, OSError) as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise EnvironmentFaultError(
                "the disk is full",
                remedy="free some space; the same command goes on from there",
                file=target.parent,
            ) from error
        raise EnvironmentFaultError(
            f"cannot be written: {reason(error)}",
            remedy="check the folder, its permissions and the disk",
            file=target,
        ) from error
    except ValueError as error:
        raise MediaError(f"cannot be encoded: {error}", file=target) from error

"""What is asked of the program that finds and cuts scenes, and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from engine.media.scene_options import Choosing, Cutting, Finding
from engine.media.scene_types import Found, Piece, Range
from engine.worker.spec import Fault

Doing = Literal["find", "cut", "copy", "images"]


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """A video to look at.

    Attributes:
        id: Stands in all that is told about it.
        path: The file.
        name: What its pieces are called: NAME-Scene-001.mp4.
        stats: Where the CSV of its frames goes; None for none.
        found: What is known of its scenes already; None to find them.
        ranges: The pieces that a person chose; None to choose from what is found.
    """

    id: int
    path: Path
    name: str
    stats: Path | None = None
    found: Found | None = None
    ranges: tuple[Range, ...] | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Attributes:
        out: The folder of the pieces; None where nothing is cut.
        cutting: How pieces are written; None to find scenes only.
        images: Preview images of each piece.
        scores: Whether the scores of all frames are told.
        overwrite: Whether files are replaced that were not made here, or changed since.
        jobs: Videos that are worked on side by side.
    """

    videos: tuple[Video, ...]
    out: Path | None = None
    finding: Finding = Finding()
    choosing: Choosing = Choosing()
    cutting: Cutting | None = None
    images: int = 0
    scores: bool = False
    overwrite: bool = False
    jobs: int = 1


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One video of what is wanted, for one lane."""

    wanted: Wanted
    video: Video


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress", tag_field="tell"):
    """How far a video is.

    Attributes:
        done: Frames; of `total`, which is 0 where it is not known, and may be a little off.
        cuts: Cuts found up to here.
    """

    video: int
    doing: Doing
    done: int
    total: int
    cuts: int = 0


class Scores(msgspec.Struct, frozen=True, kw_only=True, tag="scores", tag_field="tell"):
    """What is held against the threshold, frame by frame.

    Attributes:
        row: The place of the first of these among all frames that are looked at.
        values: float32 in the machine's order; NaN where a frame has none.
        changes: Of the adaptive detector, the content scores of the same frames, in the same way.
    """

    video: int
    row: int
    values: bytes
    changes: bytes = b""


class Scenes(msgspec.Struct, frozen=True, kw_only=True, tag="scenes", tag_field="tell"):
    """The scenes of a video are known.

    Attributes:
        pieces: What is chosen of them.
        is_known: Whether they were found by an earlier run.
    """

    video: int
    found: Found
    pieces: tuple[Piece, ...]
    is_known: bool = False


class PieceDone(msgspec.Struct, frozen=True, kw_only=True, tag="piece", tag_field="tell"):
    """A piece is there.

    Attributes:
        file: Its name in the folder.
        kept: The frames that it really has.
        fresh: Whether it was there already.
        images: Names of its preview images.
    """

    video: int
    piece: Piece
    file: Path
    kept: Range
    fresh: bool = False
    images: tuple[Path, ...] = ()


class PieceFailed(msgspec.Struct, frozen=True, kw_only=True, tag="piece-failed", tag_field="tell"):
    """A piece could not be made; the others go on."""

    video: int
    piece: Piece
    fault: Fault


class Warned(msgspec.Struct, frozen=True, kw_only=True, tag="warned", tag_field="tell"):
    """Something that the user should know of a video."""

    video: int
    text: str
    remedy: str = ""


class VideoFailed(msgspec.Struct, frozen=True, kw_only=True, tag="video-failed", tag_field="tell"):
    """A video could not be worked on; the others go on."""

    video: int
    fault: Fault


class VideoDone(msgspec.Struct, frozen=True, kw_only=True, tag="video-done", tag_field="tell"):
    """A video is done.

    Attributes:
        scenes: That were found.
        chosen: Pieces that are wanted.
        made: Pieces that were written.
        fresh: Pieces that were there already.
        failed: Pieces that could not be made.
        removed: Names of pieces of earlier settings that were removed.
        replaced: Pieces of earlier settings that have other frames now.
    """

    video: int
    scenes: int
    chosen: int
    made: int = 0
    fresh: int = 0
    failed: int = 0
    removed: tuple[Path, ...] = ()
    replaced: int = 0
    seconds: float = 0.0


class Stopped(msgspec.Struct, frozen=True, kw_only=True, tag="stopped", tag_field="tell"):
    """The work cannot begin or go on as a whole."""

    fault: Fault


class AllDone(msgspec.Struct, frozen=True, kw_only=True, tag="done", tag_field="tell"):
    """That was all.

    Attributes:
        report: The HTML report, where one was written.
        cancelled: Whether it was ended early.
    """

    report: Path | None = None
    cancelled: bool = False


def fault_of(error: Exception) -> Fault:
    """Return an error as data; names of other bytes than UTF-8 become text that JSON holds."""
    fault = Fault.of(error)
    return msgspec.structs.replace(
        fault,
        message=_as_text(fault.message),
        remedy=_as_text(fault.remedy),
        file=None if fault.file is None else _as_text(fault.file),
    )


def _as_text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


OfVideo = Progress | Scores | Scenes | PieceDone | PieceFailed | Warned | VideoFailed | VideoDone
Tell = OfVideo | Stopped | AllDone

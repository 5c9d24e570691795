"""How suspicious each caption is, as it was found last: `.ltx-tui/suspicion.msgpack`.

Scores and kinds of reasons lie in arrays, ten bytes a row; the reasons themselves are unpacked when
a row is looked at.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence

import msgspec

from engine.files.identity import hash_text, stamp
from engine.files.safe import atomic_write
from engine.project import Project
from engine.suspicion.types import KINDS, SUSPICIOUS, Kind, Reason

FILE = "suspicion.msgpack"
_VERSION = 1
_EMPTY = 1 << KINDS.index("empty")
_UNKNOWN = -1.0
_NOWHERE = 0xFFFFFFFF

_REASONS = msgspec.msgpack.Decoder(tuple[Reason, ...])


class Basis(msgspec.Struct, frozen=True, array_like=True):
    """What scores were found from: another basis means that they may be out of date.

    Attributes:
        settings: Hash of the dataset's path and the settings that count.
        dataset: Size and modification time of the dataset file; (0, 0) where there is none.
        captions: The same of what is known of captions.
    """

    settings: str
    dataset: tuple[int, int]
    captions: tuple[int, int]


def basis_of(project: Project) -> Basis:
    """Return what scores would be found from now; opens no file."""
    from engine.dataset.caption_db import FILE as CAPTIONS_FILE  # SQLite, which lists do not need

    # Relative, so that a project folder can be moved as a whole.
    dataset = os.path.relpath(project.dataset_path, project.state_dir.parent)
    names, text = project.dataset, project.text
    settings = (
        dataset,
        names.video_column,
        names.caption_column,
        names.audio_column,
        text.trigger,
        text.strip_prefixes,
        project.captions.audio,
        project.models.text_encoder,
    )
    return Basis(
        settings=hash_text(repr(settings)),
        dataset=stamp(project.dataset_path),
        captions=stamp(project.state_dir / CAPTIONS_FILE),
    )


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """Tokens of long prompts.

    Attributes:
        tokenizer: What counted them.
        is_exact: Whether that is a tokenizer; otherwise they are estimated.
        tokens: By the digest of the prompt.
    """

    tokenizer: str = ""
    is_exact: bool = False
    tokens: dict[int, int] = {}


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """The file.

    Attributes:
        basis: What it was found from.
        is_whole: Whether every clip was listened to whose sound counts.
        names: Of all rows, joined by line feeds, which none of them has.
        scores: Of all rows, as float32.
        kinds: Of all rows, as uint16: a bit for each of `KINDS`.
        starts: Where each row's reasons begin in `reasons`, and the last one's end, as uint32.
        reasons: For each row with reasons a tuple of them, in MessagePack.
        digests: Of all that each row's result was found from, as uint64.
        counted: Tokens, so that they need not be counted again.
    """

    version: int
    basis: Basis
    is_whole: bool
    names: str
    scores: bytes
    kinds: bytes
    starts: bytes
    reasons: bytes
    digests: bytes
    counted: Counted


_STORED = msgspec.msgpack.Decoder(Stored)


def write_stored(project: Project, stored: Stored) -> None:
    """Write the file, atomically.

    Raises:
        OSError: It cannot be written.
    """
    atomic_write(project.state_dir / FILE, msgspec.msgpack.encode(stored))


def read_stored(project: Project) -> Stored | None:
    """Return what was found last; None where that is nothing, or of another dataset."""
    try:
        stored = _STORED.decode((project.state_dir / FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
    if stored.version != _VERSION or stored.basis.settings != basis_of(project).settings:
        return None
    rows = len(stored.scores) // 4
    whole = len(stored.kinds) == 2 * rows and len(stored.starts) == 4 * (rows + 1)
    return stored if whole and (rows == _count(stored.names)) else None


def _count(names: str) -> int:
    return names.count("\n") + 1 if names else 0


class Result(msgspec.Struct, frozen=True, array_like=True):
    """What there is against one caption, and the digest of what that was found from."""

    digest: int
    score: float
    reasons: tuple[Reason, ...] = ()


def stored_of(
    names: Sequence[str],
    results: Sequence[Result],
    *,
    basis: Basis,
    is_whole: bool,
    counted: Counted,
) -> Stored:
    """Return results as a file.

    Args:
        names: Of all rows.
        results: Of all rows.
        basis: What they were found from.
        is_whole: Whether every clip was listened to whose sound counts.
        counted: Tokens of long prompts.
    """
    packed = [msgspec.msgpack.encode(one.reasons) if one.reasons else b"" for one in results]
    starts, place = array("I", [0]), 0
    for piece in packed:
        place += len(piece)
        starts.append(place)
    return Stored(
        version=_VERSION,
        basis=basis,
        is_whole=is_whole,
        names="\n".join(names),
        scores=array("f", (one.score for one in results)).tobytes(),
        kinds=array("H", (_mask(one) for one in results)).tobytes(),
        starts=starts.tobytes(),
        reasons=b"".join(packed),
        digests=array("Q", (one.digest for one in results)).tobytes(),
        counted=counted,
    )


def _mask(result: Result) -> int:
    mask = 0
    for reason in result.reasons:
        mask |= 1 << KINDS.index(reason.kind)
    return mask


def results_of(stored: Stored) -> dict[int, Result]:
    """Return the results of a file by their digests."""
    scores, starts = array("f", stored.scores), array("I", stored.starts)
    found = {}
    for row, digest in enumerate(array("Q", stored.digests)):
        data = stored.reasons[starts[row] : starts[row + 1]]
        found[digest] = Result(digest, scores[row], _REASONS.decode(data) if data else ())
    return found


class Scores:
    """The scores of a table's rows.

    Attributes:
        basis: What they were found from.
        is_whole: Whether every clip was listened to whose sound counts.
        names: Of all rows.
        values: 0 … 1, or below 0 where a caption was not scored.
    """

    def __init__(self, stored: Stored) -> None:
        self.basis = stored.basis
        self.is_whole = stored.is_whole
        self.names: Sequence[str] = stored.names.split("\n") if stored.names else []
        self.values = array("f", stored.scores)
        self._kinds = array("H", stored.kinds)
        self._starts = array("I", stored.starts)
        self._reasons = stored.reasons
        # Where each row's reasons stand, where rows have come, gone or moved.
        self._places: array[int] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def value(self, row: int) -> float | None:
        """Return a score; None where a caption was not scored."""
        return self.values[row] if self.values[row] >= 0 else None

    def reasons(self, row: int) -> tuple[Reason, ...]:
        """Return what there is against a caption, the weightiest first."""
        place = self._places[row] if self._places is not None else row
        if place == _NOWHERE:
            return ()
        data = self._reasons[self._starts[place] : self._starts[place + 1]]
        return _REASONS.decode(data) if data else ()

    def has(self, row: int, kind: Kind) -> bool:
        """Whether there is a reason of some kind."""
        return bool(self._kinds[row] >> KINDS.index(kind) & 1)

    def is_suspicious(self, row: int) -> bool:
        """Whether there is much against a caption that somebody has written."""
        return self.values[row] >= SUSPICIOUS and self._kinds[row] != _EMPTY

    def differing(self, other: Scores | None) -> list[int]:
        """Return the rows that other scores of the same rows tell something else of."""
        if other is None:
            return list(range(len(self)))
        return [
            row
            for row in range(len(self))
            if self.values[row] != other.values[row]
            or self._kinds[row] != other._kinds[row]
            or (self._kinds[row] and self.reasons(row) != other.reasons(row))
        ]

    def of_rows(self, names: Sequence[str]) -> Scores:
        """Return the scores of a table's rows: each is found by its name."""
        if names is self.names:
            return self
        same = len(names) == len(self.names) and list(names) == list(self.names)
        found = Scores.__new__(Scores)
        found.basis, found.is_whole, found.names = self.basis, self.is_whole, names
        found._starts, found._reasons = self._starts, self._reasons
        if same:
            found.values, found._kinds, found._places = self.values, self._kinds, self._places
            return found
        found.values = array("f", [_UNKNOWN]) * len(names)
        found._kinds = array("H", [0]) * len(names)
        found._places = array("I", [_NOWHERE]) * len(names)
        for row, before in self._moved(names):
            found.values[row], found._kinds[row] = self.values[before], self._kinds[before]
            found._places[row] = self._places[before] if self._places is not None else before
        return found

    def _moved(self, names: Sequence[str]) -> list[tuple[int, int]]:
        """Return (row, row before); of several rows of one name the nth was the nth."""
        before: dict[str, list[int]] = {}
        for row in range(len(self.names) - 1, -1, -1):
            before.setdefault(self.names[row], []).append(row)
        return [
            (row, waiting.pop()) for row, name in enumerate(names) if (waiting := before.get(name))
        ]


def read_scores(project: Project) -> Scores | None:
    """Return the scores that were found last; None where there are none of the dataset."""
    stored = read_stored(project)
    return Scores(stored) if stored is not None else None

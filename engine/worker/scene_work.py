"""One video: its scenes are found, chosen, and what is missing of its pieces is made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import MediaError
from engine.files.identity import stat_identity
from engine.media import scenes
from engine.media.cut import cut, writing
from engine.media.cut_copy import Copied, copy
from engine.media.scene_detectors import Watch
from engine.media.scene_report import write_stats
from engine.media.scene_types import CutPiece, Found, Piece, Range, pieces, pieces_of
from engine.text import plural
from engine.worker.scene_messages import (
    Doing,
    OfVideo,
    PieceDone,
    PieceFailed,
    Progress,
    Scenes,
    Scores,
    Video,
    VideoDone,
    Wanted,
    Warned,
    fault_of,
)
from engine.worker.scene_plan import ScenePlan
from engine.worker.scene_record import Made, Record, Search

# Seconds between two tidings of how far it is.
_TELL = 0.2
# Scores of the last rows come late: an adaptive window has to pass.
_LATE_ROWS = 8


class SceneWork:
    """One video, from its scenes to its pieces."""

    def __init__(
        self,
        wanted: Wanted,
        video: Video,
        tell: Callable[[OfVideo], None],
        check: Callable[[], None],
    ) -> None:
        """Do nothing yet.

        Args:
            wanted: What is asked for.
            video: The video of it.
            tell: Called with all that is worth telling.
            check: Called before each frame; what it raises ends the work.
        """
        self._wanted = wanted
        self._video = video
        self._tell = tell
        self._check = check
        self._told = 0.0
        self._scored = 0
        self._made = self._fresh = self._failed = 0

    def run(self) -> None:
        """Do what is wanted.

        Raises:
            LtxError: The video cannot be worked on.
        """
        began = time.monotonic()
        wanted, video = self._wanted, self._video
        record: Record | None = None
        if wanted.out is not None and wanted.cutting is not None:
            record = Record(wanted.out, video.name)
            _begin(record, video.path)
        found, is_known = self._find(record)
        if found.damaged:
            self._warn_damaged(found)
        chosen = self._choose(found)
        self._tell(Scenes(video=video.id, found=found, pieces=tuple(chosen), is_known=is_known))
        removed: tuple[Path, ...] = ()
        replaced = 0
        if record is not None:
            plan = ScenePlan(wanted, video, record, chosen)
            self._make(plan, found)
            removed, replaced = plan.remove_old(), plan.replaced
        self._tell(
            VideoDone(
                video=video.id,
                scenes=len(found.scenes),
                chosen=len(chosen),
                made=self._made,
                fresh=self._fresh,
                failed=self._failed,
                removed=removed,
                replaced=replaced,
                seconds=time.monotonic() - began,
            )
        )

    def _find(self, record: Record | None) -> tuple[Found, bool]:
        wanted, video = self._wanted, self._video
        if video.found is not None:
            return video.found, True
        known = record.found(wanted.finding) if record is not None else None
        if known is not None and video.stats is None and not wanted.scores:
            return known, True
        looked = scenes.find(
            video.path,
            wanted.finding,
            whole=video.stats is not None,
            threads=_threads(wanted.jobs),
            progress=self._looked,
            check=self._check,
        )
        if wanted.scores:
            self._tell_scores(looked.watch, 0)
        if video.stats is not None:
            with writing(video.stats):
                write_stats(video.stats, looked.watch, looked.found)
        if record is not None:
            with writing(record.file):
                record.add(Search(finding=wanted.finding, found=looked.found))
        return looked.found, False

    def _choose(self, found: Found) -> list[Piece]:
        if self._video.ranges is not None:
            return pieces_of(found, list(self._video.ranges))
        return pieces(found, self._wanted.choosing)

    def _warn_damaged(self, found: Found) -> None:
        self._tell(
            Warned(
                video=self._video.id,
                text=f"damaged or cut short: {plural(found.frames, 'frame')} decode, and the "
                "scenes end there",
                remedy="copy or export it again to use the rest",
            )
        )

    def _looked(self, done: int, total: int, watch: Watch) -> None:
        if not self._is_time():
            return
        cuts = len(watch.cuts(done))
        video = self._video.id
        self._tell(Progress(video=video, doing="find", done=done, total=total, cuts=cuts))
        if self._wanted.scores:
            self._tell_scores(watch, _LATE_ROWS + (self._wanted.finding.adaptive_window or 0))

    def _tell_scores(self, watch: Watch, late: int) -> None:
        values = watch.scores(self._scored)
        values = values[: max(0, len(values) - late)]
        if len(values):
            row, self._scored = self._scored, self._scored + len(values)
            changes = watch.changes(row)[: len(values)].tobytes()
            self._tell(
                Scores(video=self._video.id, row=row, values=values.tobytes(), changes=changes)
            )

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._told < _TELL:
            return False
        self._told = now
        return True

    def _make(self, plan: ScenePlan, found: Found) -> None:
        plan.refuse_strangers()
        for piece, made in plan.fresh:
            self._fresh += 1
            self._tell_piece(piece, made, is_fresh=True)
        videos = [one for one in plan.to_make if one.target is not None]
        if not plan.cutting.copy:
            self._cut(plan, found, plan.to_make, "cut")
            return
        self._copy(plan, found, videos)
        images = [
            CutPiece(piece=one.piece, target=None, images=one.images)
            for one in plan.to_make
            if one.images
        ]
        self._cut(plan, found, images, "images")

    def _cut(self, plan: ScenePlan, found: Found, wanted: Sequence[CutPiece], doing: Doing) -> None:
        """Encode pieces, with their images on the way."""
        total = sum(
            len(one.images) if one.target is None else one.piece.kept.frames for one in wanted
        )
        if not wanted:
            return
        notes: dict[int, Made] = {}

        def note(one: CutPiece, part: Path) -> None:
            notes[one.piece.number] = plan.note(one, part, one.piece.kept)

        for one in cut(
            self._video.path,
            found,
            wanted,
            plan.cutting,
            note=note,
            note_image=plan.note_image,
            progress=lambda done: self._count(doing, done, total),
            check=self._check,
        ):
            if one.target is not None:
                self._made += 1
                self._tell_piece(one.piece, notes[one.piece.number])

    def _copy(self, plan: ScenePlan, found: Found, wanted: Sequence[CutPiece]) -> None:
        """Copy pieces; one that has no key frame fails alone."""
        notes: dict[int, Made] = {}

        def note(copied: Copied, part: Path) -> None:
            notes[copied.one.piece.number] = plan.note(copied.one, part, copied.kept)

        if not wanted:
            return
        run = copy(self._video.path, found, wanted, plan.cutting, note=note, check=self._check)
        for done, copied in enumerate(run, 1):
            piece = copied.one.piece
            if copied.error is not None:
                self._failed += 1
                fault = fault_of(copied.error)
                self._tell(PieceFailed(video=self._video.id, piece=piece, fault=fault))
            else:
                self._made += 1
                self._tell_piece(piece, notes[piece.number])
            self._count("copy", done, len(wanted))

    def _tell_piece(self, piece: Piece, made: Made, *, is_fresh: bool = False) -> None:
        self._tell(
            PieceDone(
                video=self._video.id,
                piece=piece,
                file=made.file,
                kept=made.kept or Range(*piece.kept),
                fresh=is_fresh,
                images=made.images,
            )
        )

    def _count(self, doing: Doing, done: int, total: int) -> None:
        if self._is_time():
            self._tell(Progress(video=self._video.id, doing=doing, done=done, total=total))


def _threads(jobs: int) -> int:
    """Return how many threads decode each of several videos; 0 for FFmpeg's own choice."""
    return 0 if jobs < 2 else max(1, len(os.sched_getaffinity(0)) // jobs)


def _begin(record: Record, path: Path) -> None:
    try:
        stat_identity(path)
    except OSError as error:
        raise MediaError(
            f"cannot be opened: {error.strerror}", remedy="check the path", file=path
        ) from error
    with writing(record.file):
        record.begin(path)

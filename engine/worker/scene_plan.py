"""Which pieces of a video are there already, which have to be made, and which are left over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.errors import UsageError
from engine.files.identity import stat_identity
from engine.media.cut_copy import copy_suffix
from engine.media.scene_options import Cutting
from engine.media.scene_report import preview_frames
from engine.media.scene_types import CutPiece, Piece, Range
from engine.text import listed
from engine.worker.scene_messages import Video, Wanted
from engine.worker.scene_record import IMAGES, Made, Record, image_key, piece_key


class ScenePlan:
    """The pieces of one video in one folder.

    Attributes:
        cutting: How they are written.
        fresh: Those that are there.
        to_make: Those that are not, or lack images.
        replaced: How many of these take the place of one with other frames.
    """

    def __init__(
        self, wanted: Wanted, video: Video, record: Record, chosen: Sequence[Piece]
    ) -> None:
        """Compare what is wanted with what is there.

        Args:
            wanted: With `out` and `cutting`.
            video: The video.
            record: What was made of it.
            chosen: The pieces.

        Raises:
            MediaError: The video cannot be opened.
        """
        assert wanted.out is not None  # noqa: S101 - for the type checker
        assert wanted.cutting is not None  # noqa: S101
        assert record.source is not None  # noqa: S101
        self._out = wanted.out
        self._record = record
        self._overwrite = wanted.overwrite
        self._identity = record.source.identity
        self._images: dict[int, tuple[Path, ...]] = {}
        self._names: set[Path] = set()
        self.cutting: Cutting = wanted.cutting
        self.fresh: list[tuple[Piece, Made]] = []
        self.to_make: list[CutPiece] = []
        self.replaced = 0
        suffix = copy_suffix(video.path, audio=self.cutting.audio) if self.cutting.copy else ".mp4"
        width = max(3, len(str(len(chosen))))
        for piece in chosen:
            stem = f"{video.name}-Scene-{piece.number:0{width}}"
            shots = {
                number: Path(IMAGES) / f"{stem}-{place:02}.jpg"
                for place, number in enumerate(preview_frames(piece.kept, wanted.images), 1)
            }
            self._add(piece, Path(f"{stem}{suffix}"), shots)

    def _add(self, piece: Piece, file: Path, shots: dict[int, Path]) -> None:
        record, again = self._record, self._overwrite
        images = self._images[piece.number] = tuple(shots.values())
        self._names.update((file, *images))
        made = None if again else record.fresh(file, self._key(piece))
        missing = tuple(
            (number, self._out / image)
            for number, image in shots.items()
            if again or record.fresh(image, image_key(self._identity, number)) is None
        )
        if made is not None:
            self.fresh.append((piece, msgspec.structs.replace(made, images=images)))
            if made.images != images:
                record.add(msgspec.structs.replace(made, images=images))
        elif record.has_other_frames(file, piece.kept):
            self.replaced += 1
        if made is None or missing:
            target = self._out / file if made is None else None
            self.to_make.append(CutPiece(piece=piece, target=target, images=missing))

    def _key(self, piece: Piece) -> str:
        return piece_key(self._identity, piece, self.cutting)

    def refuse_strangers(self) -> None:
        """Refuse to replace files that were not made here, or changed since.

        Raises:
            UsageError: There are such files.
        """
        targets = [one.target for one in self.to_make if one.target is not None]
        targets += [image for one in self.to_make for _, image in one.images]
        strange = [
            target
            for target in targets
            if (target.is_symlink() or target.exists())
            and not self._record.is_ours(target.relative_to(self._out))
        ]
        if not self._overwrite and strange:
            names = listed([str(target.relative_to(self._out)) for target in strange])
            verb = "was" if len(strange) == 1 else "were"
            raise UsageError(
                f"{names} {verb} not made by this command, or changed since",
                remedy="give another folder, move them away, or replace them with --overwrite",
                file=self._out,
            )
        for target in strange:
            if target.is_symlink():
                target.unlink()  # what it leads to may lie outside of the folder

    def note(self, one: CutPiece, part: Path, kept: Range) -> Made:
        """Write down a piece that is about to get its name."""
        assert one.target is not None  # noqa: S101 - for the type checker
        note = Made(
            file=one.target.relative_to(self._out),
            identity=stat_identity(part),
            key=self._key(one.piece),
            piece=one.piece,
            kept=kept,
            images=self._images[one.piece.number],
        )
        self._record.add(note)
        return note

    def note_image(self, number: int, target: Path, part: Path) -> None:
        """Write down a preview image that is about to get its name."""
        self._record.add(
            Made(
                file=target.relative_to(self._out),
                identity=stat_identity(part),
                key=image_key(self._identity, number),
            )
        )

    def remove_old(self) -> tuple[Path, ...]:
        """Remove what earlier settings made and these do not; what changed since stays.

        Preview images stay where none are asked for.

        Returns:
            The names of the pieces that are gone.
        """
        removed = []
        for made in self._record.files():
            is_kept_image = made.piece is None and not any(self._images.values())
            if made.file in self._names or is_kept_image:
                continue
            (self._out / made.file).unlink(missing_ok=True)
            self._record.forget(made.file)
            if made.piece is not None:
                removed.append(made.file)
        return tuple(removed)

"""Captions as two text files: `X_captions.txt` and `X_paths.txt`, a line for each clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.errors import DatasetError
from engine.files.safe import atomic_write, read_text

Line = tuple[str, str]
"""A media path, and its caption."""


class TextFiles:
    """The two files of an output name such as `clips.txt`."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.folder = path.parent
        self.captions = path.with_name(f"{path.stem}_captions.txt")
        self.paths = path.with_name(f"{path.stem}_paths.txt")
        # There while the two are written: only then may one be ahead of the other.
        self._marker = path.with_name(f".{path.stem}_captions.writing")

    def read(self) -> list[Line]:
        """Return the lines; none where the files are not there.

        Raises:
            DatasetError: They cannot be read, or one has more lines than the other.
        """
        if not self.captions.exists() and not self.paths.exists():
            return []
        captions, paths = self._lines(self.captions), self._lines(self.paths)
        if len(captions) > len(paths) and self._marker.exists():
            # We were ended between the two; what came last is kept elsewhere and comes again.
            captions = captions[: len(paths)]
        if len(captions) != len(paths):
            raise DatasetError(
                f"has {len(captions):,} lines, and {self.paths.name} has {len(paths):,}",
                remedy="mend the two files so that a line of one belongs to that of the other, or "
                "write to another file with -o",
                file=self.captions,
            )
        return list(zip(paths, captions, strict=True))

    def write(self, lines: Sequence[Line]) -> None:
        """Write both; the one of the captions first, so that no path is without its own."""
        if self.read() == list(lines):
            return
        atomic_write(self._marker, b"")
        atomic_write(self.captions, "".join(f"{caption}\n" for _, caption in lines).encode())
        atomic_write(self.paths, "".join(f"{path}\n" for path, _ in lines).encode())
        self._marker.unlink(missing_ok=True)

    def _lines(self, path: Path) -> list[str]:
        text = read_text(path, DatasetError, "put it back, or write to another file with -o")
        return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []

"""The logs of the worker and its encoders: of bounded size, without secrets, safe to show."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import logging.handlers
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.text import visible

# A log is this many files of this size, the newest without a number.
LOG_BYTES, LOG_FILES = 5_000_000, 3

_BLOCK = 1 << 16
# A line that is longer is shown in pieces.
_LONGEST_LINE = 1 << 20

_SECRET_NAMES = ("API_KEY", "ACCESS_KEY", "TOKEN", "SECRET", "PASSWORD")
_SHORTEST_SECRET = 8
_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[\w-]{16,}|AIza[\w-]{30,}|hf_[A-Za-z0-9]{16,})"
    r"|(?<=Bearer )[\w.~+/=-]{8,}",
    re.ASCII,
)


def redact(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return `text` with "…" for everything that looks like a key.

    Args:
        text: A line for a log.
        environ: The values of its variables named …API_KEY, …ACCESS_KEY, …TOKEN, …SECRET and
            …PASSWORD are secrets, unless they are shorter than 8 characters.
    """
    secrets = {
        line.strip()
        for name, value in environ.items()
        if name.upper().endswith(_SECRET_NAMES)
        for line in value.splitlines()
        if len(line.strip()) >= _SHORTEST_SECRET
    }
    # The longest first: one may be the beginning of another.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "…")
    return _KEYS.sub("…", text)


class _Formatter(logging.Formatter):
    """Redacts the whole record, the traceback as well, and leaves no control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(redact(super().format(record)), keep="\n\t")


def setup_worker_log(folder: Path, *, level: int = logging.INFO) -> logging.Handler:
    """Send all that is logged to `folder/worker.log`, and the stacks of a crash to stderr.

    Returns:
        The handler, for `logging.getLogger().removeHandler` where the process goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / "worker.log",
        maxBytes=LOG_BYTES,
        backupCount=LOG_FILES - 1,
        encoding="utf-8",
        errors="backslashreplace",
    )
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    with contextlib.suppress(OSError, ValueError):  # a stderr without a file behind it
        faulthandler.enable(sys.stderr)
    return handler


class EncoderLog:
    """The log of one encoder. It never raises: a full disk must not stop whoever writes it."""

    def __init__(self, path: Path, *, limit: int = LOG_BYTES, files: int = LOG_FILES) -> None:
        """Open nothing yet.

        Args:
            path: Such as `logs/encoder-cuda-0.log`; older files are `….log.1`, `….log.2`.
            limit: Bytes of a file.
            files: How many are kept, this one included.
        """
        self._path = path
        self._limit = limit
        self._files = files
        self._file: FileIO | None = None
        self._size = 0

    def write(self, line: str) -> None:
        """Add a line, without its end and without control characters."""
        data = redact(line).encode("utf-8", "backslashreplace") + b"\n"
        try:
            file = self._file or self._open()
            if self._size and self._size + len(data) > self._limit:
                self._rotate()
                file = self._open()
            self._size += file.write(data)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file; another `write` opens it again."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _open(self) -> FileIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what an encoder said last is what counts when it or we are killed.
        self._file = self._path.open("ab", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        return self._file

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files - 1, 0, -1):
            older = _numbered(self._path, number - 1)
            with contextlib.suppress(FileNotFoundError):
                older.replace(_numbered(self._path, number))


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a log, those of the file before it too where it has just rotated.

    Args:
        path: The newest file; it need not exist.
        lines: At most so many.
    """
    found: list[str] = []
    for number in range(LOG_FILES):
        if len(found) >= lines:
            break
        found = _last_lines(_numbered(path, number), lines - len(found)) + found
    return found


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a log that is followed."""

    path: Path
    text: str

    def __str__(self) -> str:
        """The line with the name of its log, "encoder-cuda-0: …"."""
        return f"{self.path.stem}: {self.text}"


async def follow(
    paths: Callable[[], Iterable[Path]], *, lines: int = 10, interval: float = 0.25
) -> AsyncIterator[LogLine]:
    """Yield the last lines of some logs, then what is added to them, for ever.

    A log may rotate, be cut or be removed meanwhile, and others may come to be.

    Args:
        paths: Tells which; asked at every look.
        lines: How many of each to begin with.
        interval: Seconds between two looks.
    """
    open_logs: dict[Path, _Followed] = {}
    first = True
    try:
        while True:
            for path in sorted(paths()):
                if path not in open_logs:
                    open_logs[path] = _Followed(path)
                    if first:
                        for text in open_logs[path].begin(lines):
                            yield LogLine(path=path, text=text)
            for path, log in open_logs.items():
                for text in log.read():
                    yield LogLine(path=path, text=text)
            first = False
            await asyncio.sleep(interval)
    finally:
        for log in open_logs.values():
            log.close()


class _Followed:
    """A log as far as it has been read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def begin(self, lines: int) -> list[str]:
        """Return the last whole lines, and go on after them."""
        self._open()
        if self._file is None:
            return []
        end = _end_of_lines(self._file)
        before = _numbered(self._path, 1)
        found = _lines_before(self._file, end, lines)
        if len(found) < lines:
            found = _last_lines(before, lines - len(found)) + found
        self._file.seek(end)
        return found

    def read(self) -> Iterator[str]:
        """Yield what has been added."""
        yield from self._added()
        if self._replaced():
            # What was written between the look at the old file and its renaming.
            yield from self._added()
            if self._rest:
                yield _shown(self._rest)
            self.close()
            self._open()
            yield from self._added()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            self._file = self._path.open("rb", buffering=0)

    def _added(self) -> Iterator[str]:
        if self._file is None:
            self._open()
        if self._file is None:
            return
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # it was cut
            self._rest = b""
        while block := self._file.read(_BLOCK):
            *whole, self._rest = (self._rest + block).split(b"\n")
            yield from map(_shown, whole)
            if len(self._rest) > _LONGEST_LINE:
                yield _shown(self._rest)
                self._rest = b""

    def _replaced(self) -> bool:
        if self._file is None:
            return False
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False  # between two renames, or removed: there may be more to come


def _end_of_lines(file: BinaryIO) -> int:
    """Return where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        last = file.read(end - start).rfind(b"\n")
        if last >= 0:
            return start + last + 1
        end = start
    return 0


def _lines_before(file: BinaryIO, end: int, lines: int) -> list[str]:
    """Return the last lines before a place in a file, reading no more than needed."""
    data, start = b"", end
    while start and data.count(b"\n") <= lines and len(data) < lines * _LONGEST_LINE:
        size = min(_BLOCK, start)
        start -= size
        file.seek(start)
        data = file.read(size) + data
    parts = data.split(b"\n")
    if parts[-1] == b"":
        parts.pop()
    return [_shown(part) for part in parts[-lines:]] if lines > 0 else []


def _last_lines(path: Path, lines: int) -> list[str]:
    try:
        with path.open("rb") as file:
            return _lines_before(file, file.seek(0, os.SEEK_END), lines)
    except OSError:
        return []


def _shown(line: bytes) -> str:
    return visible(redact(line.decode("utf-8", "replace").rstrip("\r")), keep="\t")


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path

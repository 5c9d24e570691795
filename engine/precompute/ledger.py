"""What is known of files and outputs, in the project's journal.

One process makes outputs at a time (see `run_lock`); any number may plan.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import LtxError
from engine.files.identity import FileIdentity, file_identity, hash_text, stat_identity
from engine.precompute.fingerprint import Fingerprint
from engine.state.database import Database
from engine.state.file import stored


class OutputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An output that we made or adopted.

    Attributes:
        aside: Where it was moved, empty while it is in its place.
        adopted: Made by another tool, and verified.
    """

    fingerprint: Fingerprint
    identity: FileIdentity
    aside: str = ""
    adopted: bool = False
    seconds: float = 0.0
    detail: str = ""


class Ledger:
    """The open ledger of a project; usable from several threads of one process."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create the project's journal.

        Raises:
            EnvironmentFaultError: As `Database`.
        """
        self.database = Database(state_dir)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def probe_bytes(
        self, path: Path, reader: int, probe: Callable[[Path], bytes]
    ) -> tuple[bytes, bool]:
        """Return the probe of a file from the cache, or take it and keep it.

        Args:
            path: The media file.
            reader: Version of the prober: a cache entry of another version does not count.
            probe: Takes the probe; what it raises is passed on and not kept.

        Returns:
            The encoded probe, and whether it came from the cache.
        """
        now = stat_identity(path)
        row = self.database.one(
            "SELECT probe FROM media WHERE path=? AND size=? AND mtime_ns=? AND reader=?",
            (self.database.key(path), now.size, now.mtime_ns, reader),
        )
        if row is not None:
            return bytes(row[0]), True
        taken = probe(path)
        self.database.write(
            "INSERT OR REPLACE INTO media VALUES (?,?,?,?,?)",
            (self.database.key(path), now.size, now.mtime_ns, reader, taken),
            durable=False,  # it can be taken again
        )
        return taken, False

    def known_probes(self, paths: Sequence[Path], reader: int) -> Iterator[tuple[Path, bytes]]:
        """Yield the kept probes of those files that have not changed since."""
        yield from self._known("probe", "media", "reader", reader, paths)

    def known_digests(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Yield the kept digests of those files that have not changed since."""
        yield from self._known("digest", "digests", "part", "", paths)

    def _known(
        self, what: str, table: str, column: str, wanted: object, paths: Sequence[Path]
    ) -> Iterator[tuple[Path, Any]]:
        """Ask for many files at once, and hold each against size and time of what is known."""
        for start in range(0, len(paths), _TOGETHER):
            keys = {self.database.key(path): path for path in paths[start : start + _TOGETHER]}
            rows = self.database.all(
                f"SELECT path, size, mtime_ns, {what} FROM {table} "  # noqa: S608
                f"WHERE {column}=? AND path IN ({','.join('?' * len(keys))})",
                (wanted, *keys),
            )
            for key, size, mtime_ns, value in rows:
                with contextlib.suppress(OSError):
                    found = keys[key].stat()
                    if (found.st_size, found.st_mtime_ns) == (size, mtime_ns):
                        yield keys[key], value

    def digest(self, path: Path, part: str = "", take: Callable[[], str] | None = None) -> str:
        """Return the digest of a file, a part of it or a folder, reading only what changed.

        Args:
            path: The file, or a flat folder of files.
            part: Which part, such as "video_vae"; empty for all its bytes.
            take: Takes the digest; needed for a part and for a folder.
        """
        now = _folder_identity(path) if path.is_dir() else stat_identity(path)
        row = self.database.one(
            "SELECT digest FROM digests WHERE path=? AND part=? AND size=? AND mtime_ns=?",
            (self.database.key(path), part, now.size, now.mtime_ns),
        )
        if row is not None:
            return str(row[0])
        digest = take() if take is not None else file_identity(path).digest
        self.database.write(
            "INSERT OR REPLACE INTO digests VALUES (?,?,?,?,?)",
            (self.database.key(path), part, now.size, now.mtime_ns, digest),
            durable=False,
        )
        return digest

    def outputs(self, folder: Path) -> dict[str, OutputRecord]:
        """Return the records of a stage's folder by path inside it."""
        rows = self.database.all(
            f"SELECT {_RECORD}, path FROM outputs WHERE folder=?",  # noqa: S608
            (self.database.key(folder),),
        )
        return {row[-1]: _to_record(row) for row in rows}

    def has_outputs(self, folder: Path) -> bool:
        """Whether anything was ever made in a stage's folder."""
        key = self.database.key(folder)
        return self.database.one("SELECT 1 FROM outputs WHERE folder=? LIMIT 1", (key,)) is not None

    def output(self, folder: Path, path: str) -> OutputRecord | None:
        """Return the record of one output, or None."""
        row = self.database.one(
            f"SELECT {_RECORD} FROM outputs WHERE folder=? AND path=?",  # noqa: S608
            (self.database.key(folder), stored(path)),
        )
        return _to_record(row) if row is not None else None

    def record(self, folder: Path, path: str, record: OutputRecord) -> None:
        """Keep what an output depends on."""
        self.database.write(
            "INSERT OR REPLACE INTO outputs VALUES (?,?,?,?,?,?,?,?,?)",
            (
                self.database.key(folder),
                stored(path),
                msgspec.json.encode(record.fingerprint.facts),
                record.identity.size,
                record.identity.mtime_ns,
                record.aside,
                int(record.adopted),
                record.seconds,
                record.detail,
            ),
        )


# Files that one query asks for: SQLite takes no more than 32,766 values.
_TOGETHER = 1000
_RECORD = "facts, size, mtime_ns, aside, adopted, seconds, detail"
_FACTS = msgspec.json.Decoder(dict[str, str])


def _to_record(row: tuple[Any, ...]) -> OutputRecord:
    facts, size, mtime_ns, aside, adopted, seconds, detail = row[:7]
    return OutputRecord(
        fingerprint=Fingerprint(_FACTS.decode(facts)),
        identity=FileIdentity(size=size, mtime_ns=mtime_ns),
        aside=aside,
        adopted=bool(adopted),
        seconds=seconds,
        detail=detail,
    )


def _folder_identity(folder: Path) -> FileIdentity:
    # Every file's name, size and time, so that no exchange of two files goes unseen.
    stats = sorted((f.name, f.stat()) for f in folder.iterdir() if f.is_file())
    rows = "".join(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n" for name, stat in stats)
    return FileIdentity(
        size=sum(stat.st_size for _, stat in stats), mtime_ns=int(hash_text(rows)[:15], 16)
    )


class BusyError(LtxError):
    """Another process runs a job in the project."""


@contextlib.contextmanager
def run_lock(state_dir: Path) -> Iterator[None]:
    """Hold the project for one run.

    Raises:
        BusyError: Another process runs a job in this project.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "run.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise BusyError(
                f"another run is going on in this project (process {pid})",
                file=path,
                remedy="wait for it, or stop it: `ltx-tui status` shows a job of the worker's, "
                "and one in the foreground ends with Ctrl-C where it runs",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield

"""What a person chose about the scenes of videos: `.ltx-tui/scenes.db`.

Kept by what a video is: one that was renamed or moved keeps its choices, one that has other frames
under its old name does not get them.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from pathlib import Path

import msgspec

from engine.files.identity import FileIdentity, hash_text, stat_identity
from engine.media.scene_options import Finding
from engine.media.scene_rules import measuring
from engine.media.scene_types import Found
from engine.scenes.choices import Choices
from engine.state.file import About, StateFile
from engine.state.kept import Kept
from engine.worker.spec import encode

FILE = "scenes.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS chosen (
    path TEXT NOT NULL PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    at REAL NOT NULL, data BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chosen_stat ON chosen (size, mtime_ns);
"""
_UNKEPT = (
    "what is chosen about scenes cannot be kept",
    "make its folder writable, and space on its disk; cutting works all the same",
)
_ABOUT = About(
    name="what is chosen about scenes",
    migrations=(_SCHEMA,),
    unopened=_UNKEPT,
    unwritten=_UNKEPT,
)
# Raise it when detectors begin to give other scores.
_VERSION = 1


class SceneStore(StateFile):
    """The open file; usable from several threads of one process."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create `state_dir/scenes.db`.

        Raises:
            EnvironmentFaultError: The folder is not writable, or the file damaged or newer.
        """
        super().__init__(state_dir / FILE, _ABOUT)

    def choices(self, path: Path) -> Choices | None:
        """Return what was chosen about a video; None where nothing was, or it has other bytes.

        Raises:
            OSError: There is no such file.
        """
        now, key = stat_identity(path), self.key(path)
        rows = self.all(
            "SELECT path, data FROM chosen WHERE size=? AND mtime_ns=? ORDER BY path=? DESC, "
            "at DESC",
            (now.size, now.mtime_ns, key),
        )
        for name, data in rows:
            # Of another path only where nothing is there any more: it was moved, not copied.
            if name == key or not self._file(name).exists():
                with contextlib.suppress(msgspec.MsgspecError):
                    return msgspec.json.decode(data, type=Choices)
        return None

    def keep(self, path: Path, identity: FileIdentity, choices: Choices) -> None:
        """Keep what is chosen about a video as it is at `identity`."""
        self.write(
            "INSERT OR REPLACE INTO chosen VALUES (?,?,?,?,?)",
            (self.key(path), identity.size, identity.mtime_ns, time.time(), encode(choices)),
        )

    def paths(self) -> list[Path]:
        """Return all videos about which something was chosen, and that are there."""
        rows = self.all("SELECT path FROM chosen ORDER BY path")
        return [path for (name,) in rows if (path := self._file(name)).is_file()]

    def _file(self, key: str) -> Path:
        """Return the file that a key stands for."""
        return self.path.parent.parent.absolute() / key


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What looking at a video gave.

    Attributes:
        finding: The options that it was looked at with.
        found: Its scenes by these.
        scores: float32 of each frame; packed.
        changes: The same of the content scores; adaptive alone.
    """

    finding: Finding
    found: Found
    scores: bytes
    changes: bytes = b""


def kept_measures(state_dir: Path, path: Path, finding: Finding) -> Measured | None:
    """Return what looking at a video gave before; None where that has to be done.

    Raises:
        EnvironmentFaultError: What is known of media cannot be read.
        OSError: There is no such file.
    """
    with Kept(state_dir) as kept:
        data = kept.fresh(_kind(finding), path)
    if data is None:
        return None
    with contextlib.suppress(zlib.error, msgspec.MsgspecError):
        return msgspec.msgpack.decode(zlib.decompress(data), type=Measured)
    return None


def keep_measures(
    state_dir: Path, path: Path, finding: Finding, identity: FileIdentity, measured: Measured
) -> None:
    """Keep what looking at a video gave.

    Raises:
        EnvironmentFaultError: It cannot be written.
    """
    data = zlib.compress(msgspec.msgpack.encode(measured), 3)
    with Kept(state_dir) as kept:
        kept.keep(_kind(finding), path, identity, data)


def _kind(finding: Finding) -> str:
    options = encode([_VERSION, measuring(finding)]).decode()
    return f"scenes-{hash_text(options)[:16]}"

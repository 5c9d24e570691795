"""What the workbench looked like: kept in `.ltx-tui/workbench.json`, restored at the next start."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from engine.files.safe import atomic_write

STATE_FILE = "workbench.json"
_LARGEST = 1 << 20


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the user was.

    Attributes:
        clip: Name of the clip under the cursor.
        filter: As typed.
        sort: Column, empty for the order of the dataset.
        reverse: Whether the order is turned around.
        scroll: First row of the clip list that is seen.
        pane: "clips", "caption", "buckets" or "jobs".
        instruction: With which a clip was captioned again last.
    """

    clip: str = ""
    filter: str = ""
    sort: str = ""
    reverse: bool = False
    scroll: int = 0
    pane: str = "clips"
    instruction: str = ""


def load_state(folder: Path) -> State:
    """Return the state of a project; one that cannot be read is as good as none.

    Args:
        folder: The project's `state_dir`.
    """
    file = folder / STATE_FILE
    with contextlib.suppress(OSError, msgspec.DecodeError):
        if file.stat().st_size <= _LARGEST:
            return msgspec.json.decode(file.read_bytes(), type=State)
    return State()


class StateKeeper:
    """Holds the state, and writes it when it is told to and something has changed."""

    def __init__(self, folder: Path) -> None:
        """Read what is there.

        Args:
            folder: The project's `state_dir`; made when something is written.
        """
        self._folder = folder
        self.state = load_state(folder)
        self._written = self.state

    @property
    def is_dirty(self) -> bool:
        """Whether something has changed since the last write."""
        return self.state != self._written

    def change(self, **changes: object) -> bool:
        """Change fields; return whether there is something to write."""
        self.state = msgspec.structs.replace(self.state, **changes)
        return self.is_dirty

    def write(self) -> None:
        """Write the state, atomically; blocks for as long as the disk does.

        It is a convenience: a full or read-only disk is no reason to bother anybody.
        """
        state = self.state
        if state == self._written:
            return
        data = msgspec.json.format(msgspec.json.encode(state), indent=1)
        with contextlib.suppress(OSError):
            atomic_write(self._folder / STATE_FILE, data + b"\n")
            self._written = state

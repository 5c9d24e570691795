"""What the doctor finds of clips: data, without what it takes to find it."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.errors import UsageError
from engine.events import Event
from engine.project import Project
from engine.text import guessed

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

STAGE = "doctor"

PROXY = "_proxy"  # what a proxy has behind its clip's stem

# What can be mended by a proxy, and how, in the words of the remedy.
FIXES: dict[str, str] = {
    "vfr": "at a constant rate",
    "odd-fps": "at the rate of the other clips",
    "rotated": "upright",
    "hdr": "in SDR",
    "matrix-missing": "read as BT.709, and tagged",
    "matrix-wrong": "with tags that agree",
    "borders": "without its bars",
    "audio-late": "with the silence before its sound written out",
    "audio-short": "with the silence after its sound written out",
    "truncated": "of the frames that decode",
}


class Finding(Event, frozen=True, tag="finding"):
    """Something about a clip, or about the whole set.

    Attributes:
        row: 0-based row of the dataset; None when it is about the whole set.
        clip: The media path, safe to show; empty when it is about the whole set.
        code: A short stable name, such as "vfr".
        severity: "error" keeps the clip from being used, "warning" spoils training, a "note" is
            worth knowing and taken care of.
        text: What is so.
        remedy: What to do about it.
        fix: What `--fix` would write, such as "at a constant rate"; empty where there is nothing.
    """

    row: int | None
    clip: str
    code: str
    severity: Severity
    text: str
    remedy: str
    fix: str = ""


class Fixed(Event, frozen=True, tag="fixed"):
    """A clip has a proxy now, or its own file again.

    Attributes:
        codes: What was mended; empty where it was undone.
        media: What the dataset's row names now.
        source: What it named before.
    """

    row: int
    clip: str
    codes: tuple[str, ...]
    media: str
    source: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A look at the clips of a project.

    Attributes:
        fix: Codes to mend; empty: only look.
        undo: Give rows their own files back instead.
        only: Names of the clips that are mended or given back; empty for all.
        workers: Clips side by side; 0: as many as suit the machine.
        given_up: Rows that are not looked at: the program died of them.
    """

    project: Project
    fix: tuple[str, ...] = ()
    undo: bool = False
    only: tuple[str, ...] = ()
    workers: int = 0
    given_up: tuple[int, ...] = ()


def parse_codes(text: str) -> tuple[str, ...]:
    """Read "vfr,hdr".

    Raises:
        UsageError: One of them is none that can be mended.
    """
    codes = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for code in codes:
        if code not in FIXES:
            words = guessed(code, list(FIXES), otherwise="use")
            raise UsageError(f"nothing mends {code!r}", remedy=words)
    if not codes:
        raise UsageError("no code is given", remedy=f"use {', '.join(FIXES)}")
    return codes

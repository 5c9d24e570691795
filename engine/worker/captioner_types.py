"""What is asked of `check_captioner`, and what it answers; loads nothing that captions."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.settings import CaptionsSection
from engine.worker.spec import Fault


class Wanted(msgspec.Struct, frozen=True):
    """Who is to caption.

    Attributes:
        root: Where relative folders start from.
    """

    section: CaptionsSection
    root: Path


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it can.

    Attributes:
        model: Its folder or name; empty for a service's own choice.
        at_once: How many clips are captioned at once.
        lacks_key: Whether the service wants a key and there is none; all else was looked at as if
            there were one.
        notes: What the user should know.
        fault: Why it cannot; None where it can.
    """

    model: str
    at_once: int
    lacks_key: bool = False
    notes: tuple[str, ...] = ()
    fault: Fault | None = None

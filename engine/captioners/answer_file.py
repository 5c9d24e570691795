"""A captioner's answer on disk, from when it is there until it is in the dataset.

A service's answer costs money and a model's costs minutes: whatever ends meanwhile, it is kept.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.files.safe import atomic_write


class AnswerFile(msgspec.Struct, frozen=True, kw_only=True):
    """An answer.

    Attributes:
        text: The caption.
        is_malformed: Whether sections are missing, or it is none, although it was asked twice.
        problems: What was wrong with it.
        captioner: Which one gave it, and with which model.
        base: What told the caption that the clip had when it was asked about from others.
        asked: How often it was asked.
        seconds: How long that took.
    """

    text: str
    is_malformed: bool
    captioner: str
    base: str = ""
    problems: tuple[str, ...] = ()
    asked: int = 1
    seconds: float = 0.0


def write_answer(path: Path, answer: AnswerFile) -> None:
    """Write an answer, all of it or nothing.

    Raises:
        OSError: It cannot be written.
    """
    atomic_write(path, msgspec.json.encode(answer))


def read_answer(path: Path) -> AnswerFile | None:
    """Return an answer; None where there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=AnswerFile)
    except (OSError, msgspec.DecodeError):
        return None

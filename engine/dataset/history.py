"""Undo and redo of one text, kept as small steps that outlive the program."""

from __future__ import annotations

import json

import msgspec

MAX_STEPS = 200
MAX_CHARACTERS = 2_000_000


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One change: at `start`, `old` became `new`."""

    start: int
    old: str
    new: str

    def forward(self, text: str) -> str:
        """Return the text with the change made."""
        return text[: self.start] + self.new + text[self.start + len(self.old) :]

    def back(self, text: str) -> str:
        """Return the text with the change taken back."""
        return text[: self.start] + self.old + text[self.start + len(self.new) :]


def step_between(before: str, after: str) -> Step:
    """Return the one change that leads from a text to another."""
    start = _common(before, after, min(len(before), len(after)))
    most = min(len(before), len(after)) - start
    end = _common(before[::-1], after[::-1], most)
    return Step(start, before[start : len(before) - end], after[start : len(after) - end])


class History:
    """A text with the steps that led to it, and those that were taken back.

    Attributes:
        text: As it is now.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps: list[Step] = []
        self._position = 0

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._position > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a step that was taken back."""
        return self._position < len(self._steps)

    def edit(self, text: str, *, joined: bool = False) -> None:
        """Change the text; what was taken back can no longer be made again.

        Args:
            text: The new text.
            joined: Whether the change belongs to the last step, as letters of a word do.
        """
        if text == self.text:
            return
        before = self.text
        if joined and self.can_undo and not self.can_redo:
            before = self._steps[-1].back(before)
            self._position -= 1
        del self._steps[self._position :]
        if text != before:
            self._steps.append(step_between(before, text))
        self._forget()
        self._position = len(self._steps)
        self.text = text

    def undo(self) -> int | None:
        """Take a step back; return where the text changed, None when there is none."""
        if not self.can_undo:
            return None
        self._position -= 1
        step = self._steps[self._position]
        self.text = step.back(self.text)
        return step.start + len(step.old)

    def redo(self) -> int | None:
        """Make a step again that was taken back; return where the text changed."""
        if not self.can_redo:
            return None
        step = self._steps[self._position]
        self._position += 1
        self.text = step.forward(self.text)
        return step.start + len(step.new)

    def to_bytes(self) -> bytes:
        """Return all of it; half surrogates are kept."""
        steps = [[step.start, step.old, step.new] for step in self._steps]
        return json.dumps([self.text, self._position, steps]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> History:
        """Return the history of `to_bytes`.

        Raises:
            ValueError: It is damaged.
        """
        try:
            text, position, steps = json.loads(data)
            history = cls(msgspec.convert(text, str))
            history._steps = msgspec.convert(steps, list[Step])
            history._position = msgspec.convert(position, int)
        except (TypeError, ValueError) as error:
            raise ValueError("not a history") from error
        if not 0 <= history._position <= len(history._steps):
            raise ValueError("not a history")
        return history

    def _forget(self) -> None:
        """Drop the oldest steps where there are too many, or too much is in them."""
        size = 0
        for count, step in enumerate(reversed(self._steps)):
            size += len(step.old) + len(step.new)
            if count and (count >= MAX_STEPS or size > MAX_CHARACTERS):
                del self._steps[: len(self._steps) - count]
                return


def _common(one: str, other: str, most: int) -> int:
    """Return how many characters two texts begin with in common, at most `most`."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low

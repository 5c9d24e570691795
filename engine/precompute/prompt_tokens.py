"""How many tokens the prompts of a project have, for whoever goes through all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.captioners.base import MAX_TOKENS
from engine.errors import ModelError
from engine.project import Project

if TYPE_CHECKING:
    from engine.models.tokens import TokenCounter

_BYTES_PER_TOKEN = 4.3  # of English captions with Gemma's vocabulary


class PromptTokens:
    """Counts long prompts: with the tokenizer that the project names, else by estimate."""

    def __init__(self, project: Project) -> None:
        """Read nothing yet: the tokenizer takes seconds, and most prompts are short."""
        self._folder = project.text_encoder_path
        self._counter: TokenCounter | None = None

    @property
    def is_exact(self) -> bool:
        """Whether a tokenizer counts."""
        self._open()
        return self._counter is not None

    @staticmethod
    def may_be_long(words: str) -> bool:
        """Whether a prompt may have too many tokens; most need not be counted."""
        # No token is less than a byte, and one is put in front.
        return len(words.encode("utf-8", "replace")) >= MAX_TOKENS

    def count(self, words: str) -> int:
        """Return how many tokens a prompt has."""
        self._open()
        if self._counter is None:
            return _estimate(words)
        return self._counter.count(words.encode("utf-8", "replace").decode())

    def _open(self) -> None:
        if self._folder is None:
            return
        from engine.models.tokens import TokenCounter

        try:
            self._counter = TokenCounter(self._folder)
        except ModelError:  # which the doctor tells of the models
            pass
        finally:
            self._folder = None  # once is enough


def _estimate(words: str) -> int:
    return max(len(words.split()), round(len(words.encode("utf-8", "replace")) / _BYTES_PER_TOKEN))

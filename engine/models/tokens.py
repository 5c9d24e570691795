"""Caption tokens as the language model gets them, without torch or transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from engine.errors import ModelError
from engine.models.header import json_object
from engine.text import visible

MAX_TOKENS = 1024


class TokenCounter:
    """The tokenizer of a Gemma folder: `tokenizer.json`, and what `tokenizer_config.json` adds.

    Attributes:
        pad_id: The token that fills a prompt up.
    """

    def __init__(self, folder: Path) -> None:
        """Read the tokenizer.

        Raises:
            ModelError: It is missing, unreadable, or lacks a special token that it should add.
        """
        self._folder = folder
        self._tokenizer = _read(folder / "tokenizer.json")
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._config = _table(folder / "tokenizer_config.json")
        # As transformers' Gemma tokenizer does, whatever template tokenizer.json has.
        self._before = self._added("bos", default=True)
        self._after = self._added("eos", default=False)
        named = self._config.get("pad_token") or self._config.get("eos_token") or "<pad>"
        self.pad_id = self._id(named)

    def ids(self, text: str) -> list[int]:
        """Return all the token ids of a prompt, untruncated; space around it does not count."""
        inner = self._tokenizer.encode(text.strip(), add_special_tokens=False).ids
        return [*self._before, *inner, *self._after]

    def count(self, text: str) -> int:
        """Return how many tokens a prompt has, the added ones included.

        More than `MAX_TOKENS` are cut off when the prompt is encoded.
        """
        return len(self.ids(text))

    def _added(self, name: str, *, default: bool) -> list[int]:
        wanted = self._config.get(f"add_{name}_token", default)
        return [self._id(self._config.get(f"{name}_token") or f"<{name}>")] if wanted else []

    def _id(self, token: Any) -> int:
        # Older transformers write special tokens as tables.
        content = token.get("content") if isinstance(token, dict) else token
        found = self._tokenizer.token_to_id(content) if isinstance(content, str) else None
        if found is None:
            raise ModelError(
                f"the tokenizer has no token {visible(content)!r}",
                file=self._folder / "tokenizer_config.json",
                remedy="download the language model's folder again",
            )
        return found


def _read(file: Path) -> Tokenizer:
    if not file.is_file():
        raise ModelError(
            "the language model's folder has no tokenizer.json",
            file=file.parent,
            remedy="download tokenizer.json; tokenizer.model alone is not enough",
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exception, whatever is wrong
        raise ModelError(
            f"the tokenizer cannot be read: {visible(error)}",
            file=file,
            remedy="download it again",
        ) from error


def _table(file: Path) -> dict[str, Any]:
    return (json_object(file.read_bytes()) or {}) if file.is_file() else {}

"""Token counts of prompts, from the real tokenizer in a child process, or estimated."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec

from engine.errors import EnvironmentFaultError
from ltx_tui.children.child import Child

MAX_TOKENS = 1024  # engine.models.tokens has it too, but loads the tokenizers library
_BYTES_PER_TOKEN = 4.3  # of English captions with Gemma's vocabulary


class TokenCount(msgspec.Struct, frozen=True):
    """How many tokens a prompt has.

    Attributes:
        exact: Whether the real tokenizer counted them.
        problem: Why it did not; empty where no tokenizer is set.
    """

    tokens: int
    exact: bool
    problem: str = ""

    def __str__(self) -> str:
        about = "" if self.exact else "≈"
        over = " ⚠ cut off" if self.tokens > MAX_TOKENS else ""
        return f"{about}{self.tokens:,}/{MAX_TOKENS:,} tokens{over}"


def estimate(prompt: str) -> int:
    """Return about how many tokens a prompt has, the one before it included."""
    words = len(prompt.split())
    return 1 + max(words, round(len(prompt.strip().encode("utf-8", "replace")) / _BYTES_PER_TOKEN))


class TokenCounts:
    """Counts one prompt at a time; of those that wait only the last is counted."""

    def __init__(self, folder: Path | None) -> None:
        """Count with the tokenizer of a Gemma folder, or estimate without one."""
        self._folder = folder
        self._child: Child | None = None
        self._problem = ""
        self._lock = asyncio.Lock()
        self._wanted = 0

    async def count(self, prompt: str) -> TokenCount | None:
        """Return the count of a prompt; None when a later one was asked for meanwhile."""
        self._wanted += 1
        mine = self._wanted
        if self._folder is None or self._problem:
            return TokenCount(estimate(prompt), exact=False, problem=self._problem)
        async with self._lock:
            if mine != self._wanted:
                return None
            tokens = await self._ask(prompt)
        if tokens is None:
            return TokenCount(estimate(prompt), exact=False, problem=self._problem)
        return TokenCount(tokens, exact=True)

    async def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    async def _ask(self, prompt: str) -> int | None:
        try:
            if self._child is None:
                self._child = await Child.start(
                    "engine.models.count_tokens", str(self._folder), name="the tokenizer"
                )
            await self._child.send(json.dumps(prompt).encode())
            told = json.loads(await self._child.line())
        except EnvironmentFaultError as error:
            told = {"problem": error.message, "remedy": error.remedy}
        except (OSError, ValueError) as error:  # it died
            told = {"problem": f"the tokenizer ended: {error}", "remedy": "run `ltx-tui doctor`"}
        if isinstance(told, int):
            return told
        self._problem = f"{told['problem']} — {told['remedy']}"
        await self.close()
        return None

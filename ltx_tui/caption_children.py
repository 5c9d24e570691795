"""The child processes behind the captions: one writes the dataset, one searches."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from typing import TypeVar

import msgspec

from engine.dataset.replace_text import Found, Query, Search, search
from engine.dataset.write_captions import Answer, Request, to_json
from engine.errors import EnvironmentFaultError, UsageError

SEARCH_SECONDS = 5.0
_Answer = TypeVar("_Answer", Answer, Found)


async def write_captions(request: Request) -> Answer:
    """Write captions into the dataset file.

    The child goes on to its end even if this process is killed.
    """
    arguments = () if request.edits else ("--nice",)
    try:
        return await _ask("engine.dataset.write_captions", request, Answer, *arguments)
    except (OSError, EnvironmentFaultError) as error:
        return Answer(problem=f"captions cannot be saved: {error}", remedy="run `ltx-tui doctor`")


async def find_changes(query: Query, texts: tuple[str, ...]) -> Found:
    """Return every match of a query; one whose expression never ends is given up.

    Raises:
        UsageError: The expression makes no sense, or takes too long.
    """
    if not query.regex:
        return await asyncio.to_thread(search, query, texts)
    wanted = Search(query=query, texts=texts)
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            found = await _ask("engine.dataset.replace_text", wanted, Found)
    except TimeoutError as error:
        raise UsageError("the expression takes too long", remedy="make it simpler") from error
    except (OSError, EnvironmentFaultError) as error:
        raise UsageError(f"cannot search: {error}", remedy="run `ltx-tui doctor`") from error
    if found.problem:
        raise UsageError(found.problem, remedy="mend it")
    return found


async def _ask(module: str, request: object, answer: type[_Answer], *arguments: str) -> _Answer:
    """Run a module as a child of its own session, and return its answer.

    Raises:
        EnvironmentFaultError: It failed.
    """
    with tempfile.TemporaryFile() as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            out, _ = await child.communicate(to_json(request))
        except asyncio.CancelledError:
            # A writer finishes what it began; a search is of no use any more.
            if answer is Found:
                child.kill()
                await child.wait()
            raise
        try:
            return msgspec.convert(json.loads(out), answer)
        except (ValueError, msgspec.ValidationError) as error:
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            raise EnvironmentFaultError(
                f"{module} ended with status {child.returncode}: {lines[-1] if lines else ''}",
                remedy="run `ltx-tui doctor`",
            ) from error

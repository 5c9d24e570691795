"""The child processes behind the captions: one writes the dataset, one searches."""

from __future__ import annotations

import asyncio
import json
from typing import TypeVar

import msgspec

from engine.dataset.replace_text import Found, Query, Search, search
from engine.dataset.write_captions import Answer, Request, to_json
from engine.errors import EnvironmentFaultError, UsageError
from ltx_tui.children.child import ask

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
            found = await _ask("engine.dataset.replace_text", wanted, Found, kill=True)
    except TimeoutError as error:
        raise UsageError("the expression takes too long", remedy="make it simpler") from error
    except (OSError, EnvironmentFaultError) as error:
        raise UsageError(f"cannot search: {error}", remedy="run `ltx-tui doctor`") from error
    if found.problem:
        raise UsageError(found.problem, remedy="mend it")
    return found


async def _ask(
    module: str, request: object, answer: type[_Answer], *arguments: str, kill: bool = False
) -> _Answer:
    """Run a module as a child, and return its answer.

    Raises:
        EnvironmentFaultError: It failed.
    """
    return await ask(
        module,
        *arguments,
        request=to_json(request),
        decode=lambda out: msgspec.convert(json.loads(out), answer),
        name=module,
        kill=kill,
    )

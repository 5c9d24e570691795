"""A web server of a few lines that answers as a test says, also with what breaks off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(kw_only=True)
class Request:
    """What a client sent; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True)
class Reply:
    """What it gets.

    Attributes:
        cut: Leave out so many of the last bytes and close the connection.
        delay: Seconds before anything is sent.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    delay: float = 0.0


def answer(value: Any, status: int = 200, **headers: str) -> Reply:
    """Return a reply in JSON; `retry_after="1"` becomes the header retry-after."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(
        status=status,
        body=json.dumps(value).encode(),
        headers={"content-type": "application/json", **named},
    )


@asynccontextmanager
async def serving(handle: Callable[[Request], Awaitable[Reply]]) -> AsyncIterator[str]:
    """Serve on a free port of this machine and give the address."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while request := await _read(reader):
                if not await _write(writer, await handle(request)):
                    break
        except (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method=method, path=unquote(urlsplit(target).path), headers=headers, body=body)


async def _write(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Send a reply; return whether the connection goes on."""
    await asyncio.sleep(reply.delay)
    lines = [f"HTTP/1.1 {reply.status} Said", f"content-length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    writer.write(reply.body[: len(reply.body) - reply.cut])
    await writer.drain()
    return not reply.cut

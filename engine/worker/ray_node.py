"""What runs on the machines of a Ray cluster: a keeper for each encoder, and the look at files.

The encoder is the very child process that runs where there is no Ray; its keeper passes lines on.
Both ends number what they pass, so that a call that Ray repeats changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import psutil

from engine.files.identity import stat_identity
from engine.memory.monitor import Monitor, NodeMemory
from engine.worker.process import LINE_LIMIT
from engine.worker.ray_messages import Check, Problem

log = logging.getLogger("ltx_tui.ray")

# A call for news is answered after so many seconds, news or not; memory is told as often.
_NEWS = 2.0
# Lines that may wait for a scheduler that does not ask; past that the encoder is not read.
_WAITING = 4096
# Ray sets these for each of its processes; an encoder is to have what its machine has.
_THREADS = ("OMP_NUM_THREADS",)

_REMEDY = (
    "project, outputs, media and models have to lie on storage that every node mounts at the same "
    "path; see docs/scale.md"
)


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A program was started.

    Attributes:
        shown: The device as its machine numbers it.
        device: The same as the program sees it.
    """

    shown: str
    device: str


class News(msgspec.Struct, frozen=True):
    """Something that came of a program.

    Attributes:
        number: From 1 on.
        kind: "out" and "log" are lines, "end" is its status, "memory" a `NodeMemory` as JSON.
    """

    number: int
    kind: str
    text: str


class Keeper:
    """Keeps one encoder: an actor of Ray, all of whose methods run in one event loop."""

    def __init__(self, node: str) -> None:
        """Start nothing yet.

        Args:
            node: What this machine is called.
        """
        self._node = node
        self._process: Process | None = None
        self._begun: Begun | None = None
        self._news: deque[News] = deque()
        self._number = 0
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._written = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._monitor = Monitor()
        self._looked = 0.0

    async def begin(self, module: str) -> Begun:
        """Start a program.

        Args:
            module: Which; it speaks `engine.worker.messages`.
        """
        if self._begun is not None:
            return self._begun
        self._begun = _device()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=LINE_LIMIT,
            env=_environment(),
            start_new_session=True,
        )
        self._tasks.append(asyncio.create_task(self._follow(self._process)))
        return self._begun

    async def write(self, number: int, lines: list[str]) -> None:
        """Pass lines on to the program; what comes a second time is left out.

        Args:
            number: Of the first line, from 1 on.
            lines: Without their ends.
        """
        new = lines[max(0, self._written + 1 - number) :]
        self._written += len(new)
        stdin = self._process.stdin if self._process is not None else None
        if stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            stdin.write("".join(f"{line}\n" for line in new).encode())
            await stdin.drain()

    async def close(self) -> None:
        """Close the program's input."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def kill(self) -> None:
        """End the program at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def read(self, seen: int) -> list[News]:
        """Return what has come since; after a while also nothing.

        Args:
            seen: Number of the last news that arrived.
        """
        while self._news and self._news[0].number <= seen:
            self._news.popleft()
        self._room.set()
        await self._look()
        if not self._news:
            self._ready.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), _NEWS)
        return list(self._news)

    def _tell(self, kind: str, text: str) -> None:
        self._number += 1
        self._news.append(News(self._number, kind, text))
        self._ready.set()

    async def _follow(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - both are pipes, see `begin`
        assert process.stderr is not None  # noqa: S101
        await asyncio.gather(
            self._pass_on("out", process.stdout), self._pass_on("log", process.stderr)
        )
        self._tell("end", str(await process.wait()))

    async def _pass_on(self, kind: str, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            if not line.endswith(b"\n") and kind == "out":
                return  # half a line of a program that died
            self._tell(kind, line.decode("utf-8", "replace").rstrip("\n"))
            if len(self._news) > _WAITING:
                self._room.clear()
                await self._room.wait()

    async def _look(self) -> None:
        """Tell the memory, now and then."""
        if time.monotonic() - self._looked < _NEWS or self._begun is None:
            return
        self._looked = time.monotonic()
        sample = await asyncio.to_thread(self._monitor.sample)
        # Ray shows each program its own GPU alone.
        gpu = sample.gpus[0] if sample.gpus and self._begun.device != "cpu" else None
        memory = NodeMemory(node=self._node, device=self._begun.shown, host=sample.host, gpu=gpu)
        self._tell("memory", msgspec.json.encode(memory).decode())


def _device() -> Begun:
    """Return the device that Ray gave to this process."""
    given = _gpus()
    if not given:
        return Begun(shown="cpu", device="cpu")
    return Begun(shown=f"cuda:{given[0]}", device="cuda:0")


def _gpus() -> list[str]:
    import ray

    return [str(number) for number in ray.get_runtime_context().get_accelerator_ids()["GPU"]]


def _environment() -> dict[str, str]:
    """Return this process's variables, without what Ray put there for itself."""
    environment = dict(os.environ)
    try:
        node = psutil.Process().parent()
        own: dict[str, str] = node.environ() if node is not None else {}
    except psutil.Error:
        own = {}
    for name in _THREADS:
        environment.pop(name, None)
        if name in own:
            environment[name] = own[name]
    return environment


def look(check: Check, node: str, name: str) -> list[Problem]:
    """Look at the files that every machine has to see alike; run once on each of them.

    Args:
        check: What to look at.
        node: This machine's id.
        name: What it is called.
    """
    problems = []
    for folder in check.folders:
        problem = _folder(Path(folder), check, node)
        if problem:
            problems.append(Problem(node=name, reason=problem, remedy=_REMEDY, path=folder))
    if not problems:
        for file in check.files:
            problem = _file(file.path, file.size, file.mtime_ns)
            if problem:
                problems.append(Problem(node=name, reason=problem, remedy=_REMEDY, path=file.path))
    return problems


def _folder(folder: Path, check: Check, node: str) -> str:
    try:
        if (folder / check.probe).read_text() != check.nonce:
            return "sees another folder under this path than the worker does"
    except OSError as error:
        if not folder.is_dir():
            return "does not have this folder"
        return f"does not see what the worker writes to this folder ({error.strerror})"
    try:
        (folder / f"{check.probe}-{node}").write_text(check.nonce)
    except OSError as error:
        return f"cannot write to this folder ({error.strerror})"
    return ""


def _file(path: str, size: int, mtime_ns: int) -> str:
    try:
        there = stat_identity(Path(path))
    except OSError as error:
        return f"cannot see this file ({error.strerror})"
    if (there.size, there.mtime_ns) != (size, mtime_ns):
        theirs, ours = _moment(there.mtime_ns), _moment(mtime_ns)
        return (
            f"sees another file under this path: {there.size:,} bytes of {theirs}, "
            f"the worker {size:,} bytes of {ours}"
        )
    return ""


def _moment(mtime_ns: int) -> str:
    return time.strftime("%F %T", time.localtime(mtime_ns / 1e9))


def actor(ray: Any) -> Any:
    """Return the class of keepers for Ray; its calls are repeated until it answers or is dead."""
    return ray.remote(max_restarts=0, max_task_retries=-1)(Keeper)

"""Starting a project's worker, so that it goes on when whoever started it has gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import site
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

import engine
from engine.errors import EnvironmentFaultError, LtxError
from engine.text import visible
from engine.worker.lock import await_worker
from engine.worker.logout import Logout, logout_policy
from engine.worker.logs import redact
from engine.worker.place import own, runtime_name

STDERR_LOG = "worker.stderr.log"

_MODULE = "engine.worker.server"
_KEPT = 256 << 10
_LAST_LINES = 5
# Of stdout, before the answer, and of the answer itself.
_LONGEST = 1 << 20


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The one line that a worker prints when it is ready, or cannot be.

    Attributes:
        ready: A worker of the project takes connections.
        pid: Which; another process where one was there already.
        message: Why there is none.
        remedy: What to do about it.
    """

    ready: bool
    pid: int = 0
    message: str = ""
    remedy: str = ""


def answer_ready(pid: int) -> None:
    """Tell whoever started us that there is a worker: this process, or another one."""
    _report(Report(ready=True, pid=pid))


def answer_unfit(error: LtxError) -> None:
    """Tell whoever started us why there can be no worker."""
    _report(Report(ready=False, message=error.headline, remedy=error.remedy))


def _report(line: Report) -> None:
    # Whoever asked may have gone, and that is no reason to stop.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        _write_all(1, msgspec.json.encode(line) + b"\n")
    # One line it is: what is printed from now on goes nowhere.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


async def launch(
    state_dir: Path,
    *,
    idle: float,
    module: str = _MODULE,
    patience: float = 60.0,
    logout: Logout | None = None,
) -> str:
    """Start the project's worker and wait until there is one that takes connections.

    Where two clients do so at once, one of the two workers finds the other and reports it.

    Args:
        state_dir: The project's `.ltx-tui`; made where it is missing.
        idle: Seconds without work and clients after which the worker ends by itself.
        module: What is run; it takes `state_dir --idle SECONDS` and calls
            `answer_ready` or `answer_unfit`.
        patience: Seconds to wait for it.
        logout: What a logout does here; found out where it is not given.

    Returns:
        What the user should know about logging out; usually nothing.

    Raises:
        EnvironmentFaultError: It cannot run: its own reason, or its last words.
    """
    own(state_dir)
    if logout is None:
        logout = await logout_policy()
    command = _command(state_dir, module, idle)
    if logout.runtime:
        with contextlib.suppress(_NoScopeError):
            await _start([*_scope(state_dir), *command], state_dir, patience, logout.runtime)
            return logout.warning
        logout = logout.without_scope()
    await _start(command, state_dir, patience, "")
    return logout.warning


class _NoScopeError(Exception):
    """systemd-run did not come as far as our command."""


def _command(state_dir: Path, module: str, idle: float) -> list[str]:
    # Nothing that lies in the folder we are called from can stand in for a module.
    start = [sys.executable, "-P", "-m", module]
    return [*start, str(state_dir.absolute()), "--idle", str(idle)]


def _scope(state_dir: Path) -> list[str]:
    unit = f"ltx-tui-{runtime_name(state_dir)[:12]}-{os.getpid()}-{time.time_ns():x}"
    return ["systemd-run", "--user", "--scope", "--collect", "--quiet", f"--unit={unit}", "--"]


async def _start(command: list[str], state_dir: Path, patience: float, runtime: str) -> None:
    environ = _environment(os.environ)
    if runtime:
        environ["XDG_RUNTIME_DIR"] = runtime
    log = state_dir / "logs" / STDERR_LOG
    try:
        before = _trim(log)
        process = await asyncio.to_thread(_spawn, command, log, environ)
    except OSError as error:
        if runtime:
            raise _NoScopeError from error
        raise EnvironmentFaultError(
            f"the worker cannot be started: {error.strerror or error}",
            file=state_dir,
            remedy="run `ltx-tui doctor`",
        ) from error
    # A client that stays must not keep a zombie when the worker ends before it.
    threading.Thread(target=process.wait, name="worker", daemon=True).start()
    answer = await _answer(process, patience, log, before)
    if answer is None:
        status = await _ended(process)
        if runtime:
            raise _NoScopeError
        raise EnvironmentFaultError(
            f"the worker does not start: {status}{_last_words(log, before)}",
            file=log,
            remedy="run `ltx-tui doctor`",
        )
    if not answer.ready:
        raise EnvironmentFaultError(visible(answer.message), remedy=visible(answer.remedy))
    if answer.pid != process.pid:
        # Another client's, which may not listen yet.
        await asyncio.to_thread(await_worker, state_dir)


def _spawn(command: list[str], log: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Not asyncio's own way, which kills the child when the loop that started it is closed.
    with log.open("ab") as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            cwd="/",
            env=dict(environ),
        )


async def _answer(
    process: subprocess.Popen[bytes], patience: float, log: Path, before: int
) -> Report | None:
    """Return the line that the worker prints; None where it ends without one.

    Raises:
        EnvironmentFaultError: It takes too long; it is then ended.
    """
    reader = asyncio.StreamReader(limit=_LONGEST)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    try:
        async with asyncio.timeout(patience):
            # What something prints at import is passed over.
            async for line in reader:
                with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    return msgspec.json.decode(line, type=Report)
    except ValueError:
        return None  # a line that has no end
    except TimeoutError as error:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await _ended(process)
        raise EnvironmentFaultError(
            f"the worker does not come up within {patience:g} s{_last_words(log, before)}",
            file=log,
            remedy="try again; if the disk is slow now, wait a little",
        ) from error
    finally:
        transport.close()
    return None


async def _ended(process: subprocess.Popen[bytes]) -> str:
    try:
        code = await asyncio.to_thread(process.wait, 10)
    except subprocess.TimeoutExpired:
        return "it closed its output"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"


def _trim(log: Path) -> int:
    """Cut a log to its last lines, and return its size then.

    In place, since another worker may be writing at its end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= _KEPT:
            return size
        file.seek(size - _KEPT)
        kept = file.read().partition(b"\n")[2]
        file.truncate(0)
        file.write(kept)
        return len(kept)


def _last_words(log: Path, before: int) -> str:
    with contextlib.suppress(OSError), log.open("rb") as file:
        lines = [line for line in _since(file, before).splitlines() if line.strip()]
        words = "; ".join(visible(redact(line.strip())) for line in lines[-_LAST_LINES:])
        return f" ({words})" if words else ""
    return ""


def _since(file: BinaryIO, before: int) -> str:
    end = file.seek(0, os.SEEK_END)
    file.seek(max(before, end - (1 << 14)))
    return file.read().decode("utf-8", "replace")


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ours, with import paths that hold in another folder and lead to the same engine."""
    paths = [str(Path(p).absolute()) for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    home = str(Path(engine.__file__).resolve().parent.parent)
    # The folder of installed packages is found without, and must not come before Python's own.
    installed = {os.path.realpath(p) for p in (*site.getsitepackages(), site.getusersitepackages())}
    if home not in installed and home not in paths:
        paths.insert(0, home)
    return {**environ, "PYTHONPATH": os.pathsep.join(paths)} if paths else dict(environ)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]

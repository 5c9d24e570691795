"""Whether this system ends a user's processes at logout, and what keeps a worker from that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

# An answer of systemd's tools that takes longer is not waited for, in seconds.
_PATIENCE = 3.0

_LINGER = "run `loginctl enable-linger` once"


class Logout(msgspec.Struct, frozen=True, kw_only=True):
    """What a logout does to a worker.

    Attributes:
        ends: It would end a process that is started the plain way.
        runtime: XDG_RUNTIME_DIR of a user manager that can be reached, to start the worker in a
            scope of its own where that helps; empty where it does not or there is none.
        warning: What the user should know and do; empty where a worker outlives the logout.
    """

    ends: bool = False
    runtime: str = ""
    warning: str = ""

    def without_scope(self) -> Logout:
        """Return what holds when a scope could not be had after all."""
        return Logout(ends=True, warning=_no_scope()) if self.runtime else self


async def logout_policy(
    *,
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
    uid: int | None = None,
) -> Logout:
    """Find out what a logout does; nothing where there is no systemd.

    Args:
        root: Where the system's own files lie.
        environ: Where XDG_RUNTIME_DIR is looked for.
        uid: Stands in for the user's number.
    """
    uid = os.geteuid() if uid is None else uid
    if sys.platform != "linux" or not (root / "run" / "systemd" / "system").is_dir():
        return Logout()
    if f"/user@{uid}.service/" in _groups(root):
        # What a desktop starts belongs to the user manager, which ends after the last logout.
        if await _lingers(root, uid):
            return Logout()
        return Logout(
            ends=True,
            warning="this system ends your processes when you log out for the last time: "
            f"{_LINGER}, or stay logged in until the work is done",
        )
    # The superuser is excepted unless someone has changed that.
    if uid == 0 or not await _kills():
        return Logout()
    runtime = _manager(root, environ, uid)
    if not runtime:
        return Logout(ends=True, warning=_no_scope())
    if await _lingers(root, uid):
        return Logout(ends=True, runtime=runtime)
    return Logout(
        ends=True,
        runtime=runtime,
        warning="this system ends your processes when you log out for the last time: "
        f"{_LINGER}, or keep a session open",
    )


def _no_scope() -> str:
    return (
        f"this system ends your processes when you log out: {_LINGER}, keep a session open, or use "
        "tmux started with `systemd-run --user --scope tmux`"
    )


async def _kills() -> bool:
    login = "org.freedesktop.login1"
    told = await _ask(
        "busctl",
        "get-property",
        login,
        "/org/freedesktop/login1",
        f"{login}.Manager",
        "KillUserProcesses",
    )
    if told in ("b true", "b false"):
        return told == "b true"
    # Without a session's name it tells of the manager itself.
    told = await _ask("loginctl", "show-session", "-p", "KillUserProcesses", "--value")
    return told.removeprefix("KillUserProcesses=") == "yes"


async def _lingers(root: Path, uid: int) -> bool:
    with contextlib.suppress(KeyError, OSError):
        if (root / "var/lib/systemd/linger" / pwd.getpwuid(uid).pw_name).exists():
            return True
    told = await _ask("loginctl", "show-user", str(uid), "-p", "Linger", "--value")
    return told.removeprefix("Linger=") == "yes"


def _manager(root: Path, environ: Mapping[str, str], uid: int) -> str:
    if shutil.which("systemd-run", path=environ.get("PATH")) is None:
        return ""
    for runtime in (environ.get("XDG_RUNTIME_DIR", ""), str(root / "run" / "user" / str(uid))):
        if not runtime:
            continue
        for name in ("systemd/private", "bus"):
            with contextlib.suppress(OSError):
                if (Path(runtime) / name).exists():
                    return runtime
    return ""


def _groups(root: Path) -> str:
    try:
        return (root / "proc" / "self" / "cgroup").read_text("utf-8", "replace")
    except OSError:
        return ""


async def _ask(*command: str) -> str:
    """Return what a command prints, without the space around it; empty where it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
    except TimeoutError:
        return ""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return out.decode("utf-8", "replace").strip() if process.returncode == 0 else ""

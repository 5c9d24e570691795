"""Stand-ins for systemd's tools, and a root folder that looks like a system with it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from engine.worker.logout import Logout, logout_policy


class System:
    """A root folder and a PATH with stand-ins for systemd's tools."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "root"
        self.tools = folder / "bin"
        self.tools.mkdir()
        (self.root / "run/systemd/system").mkdir(parents=True)
        (self.root / "proc/self").mkdir(parents=True)
        self.group("/user.slice/user-1000.slice/session-3.scope")
        # `sleep`, `cat` and `echo` of the stand-ins are the system's own.
        monkeypatch.setenv("PATH", f"{self.tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
        for name in ("busctl", "loginctl", "systemd-run"):
            self.tool(name, "exit 1")

    def tool(self, name: str, body: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def group(self, name: str) -> None:
        (self.root / "proc/self/cgroup").write_text(f"0::{name}\n")

    def manager(self) -> Path:
        private = self.root / "run/user/1000/systemd/private"
        private.parent.mkdir(parents=True)
        private.touch()
        return private.parent.parent

    def policy(self, uid: int = 1000) -> Logout:
        environ = {"PATH": os.environ["PATH"]}
        return asyncio.run(logout_policy(root=self.root, environ=environ, uid=uid))

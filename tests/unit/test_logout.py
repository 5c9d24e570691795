"""Whether a logout ends a worker, as systemd's tools tell it."""

import asyncio
import pwd
from pathlib import Path

import psutil
import pytest

from engine.worker import logout
from engine.worker.logout import Logout, logout_policy
from tests.systemd import System


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(tmp_path, monkeypatch)


KILLS = 'case "$*" in *"Manager KillUserProcesses") echo b true;; *) exit 1;; esac'
LINGERS = 'case "$*" in "show-user 1000 "*Linger*) echo yes;; *) exit 1;; esac'


def test_without_systemd_there_is_nothing_to_do(system: System) -> None:
    system.tool("busctl", KILLS)
    (system.root / "run/systemd/system").rmdir()
    assert system.policy() == Logout()


def test_where_logout_kills_the_worker_gets_a_scope(system: System) -> None:
    system.tool("busctl", KILLS)
    system.tool("loginctl", LINGERS)
    runtime = system.manager()
    assert system.policy() == Logout(ends=True, runtime=str(runtime))


def test_a_scope_without_lingering_needs_a_word(system: System) -> None:
    system.tool("busctl", KILLS)
    runtime = system.manager()
    policy = system.policy()
    assert policy.runtime == str(runtime)
    assert "log out for the last time: run `loginctl enable-linger` once" in policy.warning


@pytest.mark.parametrize("lack", ["manager", "systemd-run"])
def test_without_a_scope_the_user_is_told_what_to_do(system: System, lack: str) -> None:
    system.tool("busctl", KILLS)
    system.tool("loginctl", LINGERS)
    if lack == "systemd-run":
        system.manager()
        (system.tools / "systemd-run").unlink()
        environ = {"PATH": str(system.tools)}
        policy = asyncio.run(logout_policy(root=system.root, environ=environ, uid=1000))
    else:
        policy = system.policy()
    assert policy.ends
    assert not policy.runtime
    assert "loginctl enable-linger" in policy.warning
    assert "systemd-run --user --scope tmux" in policy.warning


@pytest.mark.parametrize(
    ("busctl", "loginctl", "ends"),
    [
        ("echo b false", "exit 1", False),
        ("exit 1", 'case "$*" in show-session*) echo yes;; *) exit 1;; esac', True),
        ("exit 1", 'case "$*" in show-session*) echo no;; *) exit 1;; esac', False),
        ("echo something else", "exit 1", False),
    ],
)
def test_what_logind_says_counts(busctl: str, loginctl: str, ends: bool, system: System) -> None:
    system.tool("busctl", busctl)
    system.tool("loginctl", loginctl)
    assert system.policy().ends == ends


def test_the_superuser_is_excepted(system: System) -> None:
    system.tool("busctl", KILLS)
    assert system.policy(uid=0) == Logout()


def test_what_the_user_manager_runs_ends_with_it(system: System) -> None:
    system.group("/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope")
    policy = system.policy()
    assert policy.ends
    assert not policy.runtime
    assert "loginctl enable-linger" in policy.warning
    system.tool("loginctl", LINGERS)
    assert system.policy() == Logout()


def test_the_file_of_a_user_who_lingers_is_enough(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.group("/user@1000.service/x.scope")
    entry = pwd.struct_passwd(("ada", "x", 1000, 1000, "", "/srv/ada", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
    (system.root / "var/lib/systemd/linger").mkdir(parents=True)
    assert system.policy().ends
    (system.root / "var/lib/systemd/linger/ada").touch()
    assert system.policy() == Logout()


def test_a_tool_that_hangs_or_is_not_there_holds_nobody_up(
    system: System, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(logout, "_PATIENCE", 0.5)
    system.tool("busctl", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    system.tool("loginctl", "exec sleep 600")
    assert system.policy() == Logout()
    if (tmp_path / "pid").exists() and (pid := (tmp_path / "pid").read_text()):
        assert not psutil.pid_exists(int(pid))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert system.policy() == Logout()

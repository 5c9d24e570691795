"""Where a worker lives: its socket, and the folders that it must not trust."""

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.errors import EnvironmentFaultError
from engine.worker import place
from engine.worker.lock import (
    WorkerInfo,
    take_lock,
)
from engine.worker.place import address, bind, own, socket_path


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="lt", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def me(**changes: object) -> WorkerInfo:
    return msgspec.structs.replace(
        WorkerInfo.of_this_process(version="0.1.0", protocol=3), **changes
    )


# --- the socket


def modes(path: Path) -> tuple[int, int]:
    return stat.S_IMODE(path.parent.stat().st_mode), stat.S_IMODE(path.stat().st_mode)


def talks(path: Path, server: socket.socket) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        server.setblocking(True)
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"hello")
            return accepted.recv(5) == b"hello"


def test_the_socket_is_the_users_alone(short: Path) -> None:
    state = short / ".ltx-tui"
    mask = os.umask(0)
    try:
        with bind(state) as server:
            path = socket_path(server)
            assert path == state / "worker.sock"
            assert modes(path) == (0o700, 0o600)
            assert not server.getblocking()
            assert talks(path, server)
            assert os.umask(0) == 0  # that of the process is left as it was
    finally:
        os.umask(mask)


def test_an_open_folder_is_closed_and_a_stale_socket_removed(short: Path) -> None:
    state = short / ".ltx-tui"
    state.mkdir(mode=0o777)
    state.chmod(0o777)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(state / "worker.sock"))
    with bind(state) as server:
        assert modes(socket_path(server)) == (0o700, 0o600)
        assert talks(socket_path(server), server)


def test_a_file_in_the_sockets_place_is_left_alone(short: Path) -> None:
    state = short / ".ltx-tui"
    state.mkdir()
    (state / "worker.sock").write_text("mine")
    with bind(state, environ={}, tmp=short) as server:
        assert socket_path(server).parent == short / f"ltx-tui-{os.geteuid()}"
    assert (state / "worker.sock").read_text() == "mine"


def long_state(folder: Path) -> Path:
    return folder / ("a" * 90) / ".ltx-tui"


@pytest.mark.parametrize("name", ["é" * 48, "a" * 96])
def test_a_path_that_is_too_long_falls_back_to_the_runtime_folder(name: str, short: Path) -> None:
    runtime = short / "run"
    runtime.mkdir(mode=0o700)
    state = short / name / ".ltx-tui"
    with bind(state, environ={"XDG_RUNTIME_DIR": str(runtime)}, tmp=short) as server:
        path = socket_path(server)
        assert path == runtime / "ltx-tui" / f"{place.runtime_name(state)}.sock"
        assert modes(path) == (0o700, 0o600)
        assert talks(path, server)


def test_two_projects_have_two_names_and_one_has_one(short: Path) -> None:
    (short / "link").symlink_to(short / "a")
    names = {place.runtime_name(short / part) for part in ("a", "b", "link", "a/../b")}
    assert len(names) == 2


def test_a_name_that_is_no_utf8_falls_back(short: Path) -> None:
    state = Path(os.fsdecode(os.fsencode(short) + b"/caf\xe9")) / ".ltx-tui"
    with bind(state, environ={}, tmp=short) as server:
        assert socket_path(server).parent == short / f"ltx-tui-{os.geteuid()}"


@pytest.mark.parametrize("runtime", ["", "relative", "/proc/nowhere", "long"])
def test_a_runtime_folder_that_is_none_is_passed_over(runtime: str, short: Path) -> None:
    if runtime == "long":
        (short / ("b" * 90)).mkdir()
        runtime = str(short / ("b" * 90))
    with bind(long_state(short), environ={"XDG_RUNTIME_DIR": runtime}, tmp=short) as server:
        path = socket_path(server)
        assert path.parent == short / f"ltx-tui-{os.geteuid()}"
        assert modes(path) == (0o700, 0o600)


def prepared(folder: Path, how: str) -> None:
    """Do what another user could do to a folder in /tmp."""
    if how == "a link":
        (folder.parent / "trap").mkdir(mode=0o700)
        folder.symlink_to(folder.parent / "trap")
    elif how == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o711)


@pytest.mark.parametrize(
    ("how", "reason"),
    [("a link", "not a folder"), ("a file", "not a folder"), ("open", "other users can enter")],
)
def test_a_folder_that_others_may_have_prepared_is_refused(
    how: str, reason: str, short: Path
) -> None:
    prepared(short / f"ltx-tui-{os.geteuid()}", how)
    with pytest.raises(EnvironmentFaultError, match=reason) as caught:
        bind(long_state(short), environ={}, tmp=short)
    assert "too long" in caught.value.message
    assert "XDG_RUNTIME_DIR" in caught.value.remedy
    trap = short / "trap"
    assert not trap.exists() or not list(trap.iterdir())


def test_a_folder_of_someone_else_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = short / ".ltx-tui"
    own(state)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(EnvironmentFaultError, match="this project is the user"):
        own(state)
    with pytest.raises(EnvironmentFaultError, match="this folder is the user"):
        place._make_private(state)
    with (
        take_lock(state, me(socket=str(state / "worker.sock"))),
        pytest.raises(EnvironmentFaultError, match="this project is the user"),
    ):
        address(state)


@pytest.mark.parametrize("call", ["bind", "connect"])
def test_a_folder_that_takes_no_sockets_falls_back(
    call: str, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = short / ".ltx-tui"

    class Odd(socket.socket):
        """A socket on a file system that keeps none, or its name only."""

    go_on = getattr(socket.socket, call)

    def refuse(self: Odd, at: str) -> None:
        if at.startswith(str(state)):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        go_on(self, at)

    setattr(Odd, call, refuse)
    monkeypatch.setattr(place.socket, "socket", Odd)
    with bind(state, environ={}, tmp=short) as server:
        assert socket_path(server).parent == short / f"ltx-tui-{os.geteuid()}"
    assert not (state / "worker.sock").exists()


def test_a_folder_whose_modes_do_not_change_falls_back(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = short / ".ltx-tui"
    state.mkdir()
    state.chmod(0o755)
    change = Path.chmod
    monkeypatch.setattr(
        Path, "chmod", lambda self, mode: None if self == state else change(self, mode)
    )
    with bind(state, environ={}, tmp=short) as server:
        assert socket_path(server).parent == short / f"ltx-tui-{os.geteuid()}"


def test_a_client_finds_the_worker(short: Path) -> None:
    state = short / ".ltx-tui"
    own(state)
    assert address(state) is None
    with take_lock(state, me()) as held:
        starting = address(state)
        assert starting is not None
        assert starting.socket == ""
        with bind(state) as server:
            held.tell(me(socket=str(socket_path(server))))
            info = address(state)
            assert info is not None
            assert talks(Path(info.socket), server)
    assert address(state) is None
    assert not Path(info.socket).exists()


def test_a_client_does_not_go_where_the_lock_leads_it_astray(short: Path) -> None:
    state = short / ".ltx-tui"
    own(state)
    (short / "open").mkdir(mode=0o755)
    for astray in (short / "open", short / "nowhere"):
        with (
            take_lock(state, me(socket=str(astray / "x.sock"))),
            pytest.raises(EnvironmentFaultError),
        ):
            address(state)

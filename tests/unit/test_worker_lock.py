"""The lock of a project's worker: who holds it, on which machine, on which file system."""

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EnvironmentFaultError, LtxError
from engine.worker import lock as lock_module
from engine.worker.lock import (
    WorkerInfo,
    WorkerRunsError,
    await_worker,
    network_file_system,
    read_lock,
    take_lock,
)
from engine.worker.place import address, own

HOLDER = """
import sys, time
from pathlib import Path
from engine.worker.lock import WorkerInfo, take_lock
with take_lock(Path(sys.argv[1]), WorkerInfo.of_this_process(version="1", protocol=7)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / ".ltx-tui"
    own(folder)
    return folder


def me(**changes: object) -> WorkerInfo:
    return msgspec.structs.replace(
        WorkerInfo.of_this_process(version="0.1.0", protocol=3), **changes
    )


def elsewhere(**changes: object) -> WorkerInfo:
    return me(host="node-7", boot_id="another", pid=4242, **changes)


@contextlib.contextmanager
def holder(state: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock until its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.communicate()


# --- the lock


def test_the_lock_tells_who_holds_it(state: Path) -> None:
    assert read_lock(state) is None
    info = me()
    with take_lock(state, info) as held:
        assert read_lock(state) == info
        held.tell(msgspec.structs.replace(info, socket="/a/b.sock"))
        told = read_lock(state)
        assert told is not None
        assert told.socket == "/a/b.sock"
        held.tell(info)  # shorter than what stood there
        assert read_lock(state) == info
        assert stat.S_IMODE((state / "worker.lock").stat().st_mode) == 0o600
    assert read_lock(state) is None
    with take_lock(state, info):
        assert read_lock(state) == info


def test_a_second_worker_is_refused(state: Path) -> None:
    with holder(state) as child:
        with (
            pytest.raises(WorkerRunsError, match=f"process {child.pid}") as caught,
            take_lock(state, me()),
        ):
            pass
        assert caught.value.info.protocol == 7
        assert "worker stop" in caught.value.remedy
        assert read_lock(state) == caught.value.info


def test_what_a_killed_worker_left_holds_nobody_up(state: Path) -> None:
    with holder(state) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert b'"pid"' in (state / "worker.lock").read_bytes()
    assert read_lock(state) is None
    with take_lock(state, me()):
        assert read_lock(state) == me(started=(read_lock(state) or me()).started)


def test_a_worker_is_not_kept_out_by_those_who_ask(state: Path) -> None:
    stop = threading.Event()
    seen: set[int] = set()

    def ask() -> None:
        while not stop.is_set():
            info = read_lock(state)
            if info is not None:
                seen.add(info.pid)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(50):
            with take_lock(state, me()):
                pass
        with take_lock(state, me()):
            while not seen:
                assert all(asker.is_alive() for asker in askers)
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert seen == {os.getpid()}


def test_a_child_does_not_inherit_the_lock(state: Path) -> None:
    with take_lock(state, me()):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        assert read_lock(state) is None
    finally:
        child.kill()
        child.wait()


def test_a_lock_whose_file_was_removed_keeps_nobody_out(state: Path) -> None:
    with take_lock(state, me()) as first:
        assert first.in_place()
        (state / "worker.lock").unlink()
        assert not first.in_place()
        with take_lock(state, me()) as second:
            assert second.in_place()
            assert not first.in_place()
    shutil.rmtree(state)
    assert not second.in_place()


def test_a_worker_on_another_machine(state: Path) -> None:
    with take_lock(state, elsewhere(socket="/x/worker.sock")):
        with pytest.raises(WorkerRunsError) as caught:
            address(state)
        assert "runs on host node-7 (process 4242)" in caught.value.message
        assert "run there, or stop it there with `ltx-tui worker stop`" in caught.value.remedy


NFS = "1 0 0:1 / / rw - ext4 /dev/a rw\n31 1 0:28 / {at} rw - {kind} host:/x rw,{options}\n"


@pytest.mark.parametrize(
    ("kind", "options", "refused"),
    [
        ("ext4", "", False),
        ("nfs4", "local_lock=none", False),
        ("nfs4", "local_lock=all", True),
        ("nfs", "nolock", True),
        ("fuse.sshfs", "", True),
    ],
)
def test_a_name_from_another_machine_counts_where_locks_are_only_local(
    kind: str, options: str, refused: bool, state: Path
) -> None:
    (state / "worker.lock").write_bytes(msgspec.json.encode(elsewhere()) + b"\n")
    table = NFS.format(at=os.path.realpath(state.parent), kind=kind, options=options)
    if refused:
        with (
            pytest.raises(LtxError, match="may still run on host node-7") as caught,
            take_lock(state, me(), table),
        ):
            pass
        assert "delete" in caught.value.remedy
        (state / "worker.lock").write_bytes(b"")
    with take_lock(state, me(), table):
        assert read_lock(state) is not None


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused(
    code: int, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    (state / "worker.lock").touch()
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(
        lock_module,
        "read_mountinfo",
        lambda: NFS.format(at=os.path.realpath(state), kind="smb3", options=""),
    )
    attempts: tuple[Callable[[], object], ...] = (
        lambda: read_lock(state),
        lambda: take_lock(state, me()).__enter__(),
    )
    for attempt in attempts:
        with pytest.raises(EnvironmentFaultError, match=r"cannot be locked .*\(smb3\)") as caught:
            attempt()
        assert "local disk" in caught.value.remedy


def test_a_folder_that_cannot_be_written(state: Path) -> None:
    nowhere = Path("/proc/self/.ltx-tui")
    with pytest.raises(EnvironmentFaultError, match="cannot be written") as caught:
        own(nowhere)
    assert caught.value.file == nowhere
    with (
        pytest.raises(EnvironmentFaultError, match="lock cannot be used"),
        take_lock(nowhere, me()),
    ):
        pass
    (state / "worker.lock").symlink_to(state / "elsewhere")
    with pytest.raises(EnvironmentFaultError, match="lock cannot be used"), take_lock(state, me()):
        pass
    assert not (state / "elsewhere").exists()


def test_a_lock_without_a_name_is_an_error_that_says_so(state: Path) -> None:
    with (state / "worker.lock").open("w") as file:
        file.write("{}")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LtxError, match="does not say which"):
            read_lock(state)
        with pytest.raises(LtxError, match="does not say which"), take_lock(state, me()):
            pass


def test_a_worker_that_starts_is_waited_for(state: Path) -> None:
    assert await_worker(state) is None
    with take_lock(state, me()) as held:
        slow = await_worker(state, patience=0)
        assert slow is not None
        assert slow.socket == ""
        ready = threading.Timer(0.1, lambda: held.tell(me(socket="/s")))
        ready.start()
        info = await_worker(state)
        assert info is not None
        assert info.socket == "/s"
        ready.join()


@given(host=st.text(), started=st.floats(0, 1e12), pid=st.integers(1, 1 << 22))
def test_what_a_worker_tells_is_read_back(host: str, started: float, pid: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        info = me(host=host, started=started, pid=pid, boot_id="other")
        with take_lock(Path(folder), info):
            assert read_lock(Path(folder)) == info


# --- file systems


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/a/p", "nfs4"),
        ("/data/a/local/p", None),
        ("/database/p", None),
        ("/mnt/my disk/p", "fuse.sshfs"),
        ("/p", None),
        ("/late/p", "cifs"),
    ],
)
def test_the_deepest_and_last_mount_counts(path: str, kind: str | None) -> None:
    table = (
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        "2 1 0:2 / /data rw,relatime shared:7 - nfs4 srv:/data rw,vers=4.2\n"
        "3 2 8:2 / /data/a/local rw - xfs /dev/b rw\n"
        "4 1 0:9 / /mnt/my\\040disk rw - fuse.sshfs me@host:/ rw\n"
        "5 1 0:3 / /late rw - autofs x rw\n"
        "6 1 0:3 / /late rw - cifs x rw\n"
        "a line of another kind\n"
    )
    assert network_file_system(Path(path), table) == kind


def test_a_link_into_a_network_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    table = NFS.format(at=os.path.realpath(tmp_path / "far"), kind="lustre", options="")
    assert network_file_system(tmp_path / "near" / "p", table) == "lustre"
    assert network_file_system(tmp_path, "") is None

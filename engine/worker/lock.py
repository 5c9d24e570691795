"""The lock of a project's worker: one at a time, and anyone may ask who it is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec
import psutil

from engine.errors import EnvironmentFaultError, LtxError
from engine.files.mounts import Mount, mounts, read_mountinfo

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}

# Whoever asks holds the lock for an instant: a worker that comes up then tries again.
_TRIES, _PAUSE = 20, 0.025

# File systems of other machines. Where one machine's locks bind the others as well, True.
_NETWORK = {
    "9p": False,
    "afs": False,
    "beegfs": False,
    "ceph": True,
    "cifs": True,
    "coda": False,
    "davfs": False,
    "fuse.ceph": True,
    "fuse.ceph-fuse": True,
    "fuse.gcsfuse": False,
    "fuse.glusterfs": True,
    "fuse.juicefs": True,
    "fuse.rclone": False,
    "fuse.s3fs": False,
    "fuse.sshfs": False,
    "glusterfs": True,
    "gpfs": True,
    "lustre": True,
    "nfs": True,
    "nfs4": True,
    "orangefs": False,
    "panfs": True,
    "smb3": True,
    "smbfs": False,
    "virtiofs": False,
    "wekafs": True,
}
# … unless the mount says that they do not.
_LOCAL_LOCKS = {"nolock", "local_lock=flock", "local_lock=all", "localflock", "noflock", "nobrl"}


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a project; what its lock file says.

    Attributes:
        host: The name of the machine, for people.
        boot_id: The machine and its start, for us: containers on one machine share it.
        socket: Where it listens; empty while it starts.
        version: Of ltx-tui.
        protocol: Of the messages on the socket.
        started: Seconds since 1970.
    """

    pid: int
    host: str
    boot_id: str
    version: str
    protocol: int
    started: float
    socket: str = ""

    @classmethod
    def of_this_process(cls, *, version: str, protocol: int) -> WorkerInfo:
        """Describe this process, as a worker that starts."""
        return cls(
            pid=os.getpid(),
            host=socket.gethostname(),
            boot_id=_boot_id(),
            version=version,
            protocol=protocol,
            started=time.time(),
        )

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine, so that its socket can be reached."""
        if self.boot_id and (ours := _boot_id()):
            return self.boot_id == ours
        return self.host == socket.gethostname()


class WorkerRunsError(LtxError):
    """Another worker holds the project.

    Attributes:
        info: Who it is.
    """

    def __init__(self, info: WorkerInfo, file: Path) -> None:
        """Say where it runs."""
        if info.is_here:
            text = f"another worker of this project is running (process {info.pid})"
            remedy = "use that one, or stop it with `ltx-tui worker stop`"
        else:
            text = f"the worker of this project runs on host {info.host} (process {info.pid})"
            remedy = "run there, or stop it there with `ltx-tui worker stop`"
        super().__init__(text, remedy=remedy, file=file)
        self.info = info


class WorkerLock:
    """The lock that this process holds; see `take_lock`."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path
        self._socket = ""

    def tell(self, info: WorkerInfo) -> None:
        """Write who holds the lock, where it listens above all."""
        line = msgspec.json.encode(info) + b"\n"
        # In this order a reader finds a whole first line at any moment.
        os.pwrite(self._fd, line, 0)
        os.ftruncate(self._fd, len(line))
        self._socket = info.socket

    def forget(self) -> None:
        """Remove what was told, and the socket, at the end."""
        if self._socket:
            with contextlib.suppress(OSError):
                Path(self._socket).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)

    def in_place(self) -> bool:
        """Whether the lock still keeps others out: nobody has removed the file or its folder."""
        try:
            there = self._path.lstat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._fd))


@contextlib.contextmanager
def take_lock(
    state_dir: Path, info: WorkerInfo, mountinfo: str | None = None
) -> Iterator[WorkerLock]:
    """Hold the project as its worker; the end of the process gives it back, however it ends.

    Args:
        state_dir: The project's `.ltx-tui`, which exists.
        info: Who we are.
        mountinfo: Stands in for the system's.

    Yields:
        The lock; at the end the socket that it was told of is removed.

    Raises:
        WorkerRunsError: Another worker holds it, here or on another machine.
        EnvironmentFaultError: The folder cannot be written, or its file system has no locks.
    """
    path = state_dir / "worker.lock"
    fd = _open_and_lock(path)
    try:
        before = _read(fd)
        if before is not None and not before.is_here and not _binding(state_dir, mountinfo):
            # Here the lock says nothing about other machines: the name of one must be believed.
            raise LtxError(
                f"the worker of this project may still run on host {before.host} "
                f"(process {before.pid}): this file system's locks do not tell",
                file=path,
                remedy=f"stop it there with `ltx-tui worker stop`; if it is gone, delete {path}",
            )
        lock = WorkerLock(fd, path)
        lock.tell(info)
        try:
            yield lock
        finally:
            lock.forget()
    finally:
        os.close(fd)


def read_lock(state_dir: Path) -> WorkerInfo | None:
    """Return who holds the project; None where nobody does, whatever the file says.

    Raises:
        EnvironmentFaultError: The file cannot be read, or its file system has no locks.
    """
    path = state_dir / "worker.lock"
    info = None
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refusal(path, error) from error
        try:
            if _lock(fd, fcntl.LOCK_SH, path):
                return None
            info = _read(fd)
        finally:
            os.close(fd)
        # A worker that has just taken the lock may not have written its name yet.
        if info is not None and (not info.is_here or psutil.pid_exists(info.pid)):
            return info
    if info is None:
        raise LtxError(
            "a worker holds this project and does not say which",
            file=path,
            remedy="end the process that has this file open (`fuser` tells)",
        )
    return info  # in another container: its number means nothing here


def await_worker(state_dir: Path, patience: float = 30.0) -> WorkerInfo | None:
    """Wait until the worker that holds the project listens; None where it ends instead.

    Args:
        state_dir: The project's `.ltx-tui`.
        patience: Seconds; what is known by then is returned.
    """
    end = time.monotonic() + patience
    while True:
        info = read_lock(state_dir)
        if info is None or info.socket or time.monotonic() >= end:
            return info
        time.sleep(_PAUSE)


def network_file_system(path: Path, mountinfo: str | None = None) -> str | None:
    """Return the type of the network file system that a path is on; None on a local one.

    Args:
        path: A file or folder that need not exist.
        mountinfo: Stands in for the system's.
    """
    mount = _mount_of(path, mountinfo)
    return mount.kind if mount is not None and mount.kind in _NETWORK else None


def _mount_of(path: Path, mountinfo: str | None) -> Mount | None:
    table = mounts(read_mountinfo() if mountinfo is None else mountinfo)
    place = PurePosixPath(os.path.realpath(path))
    found = [mount for mount in table if place.is_relative_to(mount.point)]
    # The deepest, and of those at one place the one that was mounted last.
    return max(reversed(found), key=lambda mount: len(mount.point.parts), default=None)


def _binding(path: Path, mountinfo: str | None) -> bool:
    mount = _mount_of(path, mountinfo)
    if mount is None or mount.kind not in _NETWORK:
        return True
    return _NETWORK[mount.kind] and not _LOCAL_LOCKS.intersection(mount.options)


def _open_and_lock(path: Path) -> int:
    holder = None
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refusal(path, error) from error
        try:
            taken = _lock(fd, fcntl.LOCK_EX, path)
            # The file may have been removed since it was opened: that lock keeps nobody out.
            if taken and WorkerLock(fd, path).in_place():
                return fd
            holder = _read(fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    if holder is None:
        raise LtxError(
            "another process holds this project and does not say which",
            file=path,
            remedy="end the process that has this file open (`fuser` tells)",
        )
    raise WorkerRunsError(holder, path)


def _lock(fd: int, how: int, path: Path) -> bool:
    """Try to lock; False where someone else has it."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno == errno.EACCES:
            return False
        if error.errno not in _NO_LOCKS:
            raise _refusal(path, error) from error
        kind = network_file_system(path)
        raise EnvironmentFaultError(
            f"files cannot be locked on this file system{f' ({kind})' if kind else ''}, so that "
            "two workers could not be kept apart",
            file=path,
            remedy="move the project to a local disk, or have the folder mounted with locks",
        ) from error
    return True


def _read(fd: int) -> WorkerInfo | None:
    try:
        return msgspec.json.decode(os.pread(fd, 1 << 16, 0).split(b"\n", 1)[0], type=WorkerInfo)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _refusal(path: Path, error: OSError) -> EnvironmentFaultError:
    return EnvironmentFaultError(
        f"the worker's lock cannot be used: {error.strerror or error}",
        file=path,
        remedy="make the project's folder writable for you; a project on a read-only disk, or of "
        "another user, has to be copied first",
    )


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""

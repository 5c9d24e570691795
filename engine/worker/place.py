"""Where a project's worker listens: a socket that is the user's alone."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.errors import EnvironmentFaultError, LtxError
from engine.files.identity import hash_text
from engine.worker.lock import WorkerInfo, WorkerRunsError, read_lock

# Bytes that sockaddr_un has room for, without the zero at the end.
_LONGEST = 107 if sys.platform == "linux" else 103

# Not what TMPDIR says: that path may be long, and differ between a worker and its clients.
_TMP = Path("/tmp")  # noqa: S108 - the folder in it is made for us alone, and checked

# Clients that may wait to be accepted.
_BACKLOG = 64


def own(state_dir: Path) -> bool:
    """Make the project's state folder, for its user only.

    Returns:
        Whether it is private: some file systems know no modes.

    Raises:
        EnvironmentFaultError: It cannot be written, or is another user's.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(state_dir)
        if state_dir.stat().st_mode & 0o077:
            with contextlib.suppress(OSError):
                state_dir.chmod(0o700)
        if not os.access(state_dir, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return not state_dir.stat().st_mode & 0o077
    except OSError as error:
        raise EnvironmentFaultError(
            f"the project's folder cannot be written: {error.strerror or error}",
            file=state_dir,
            remedy="make it writable; a project on a read-only disk has to be copied first",
        ) from error


def bind(
    state_dir: Path, *, environ: Mapping[str, str] = os.environ, tmp: Path = _TMP
) -> socket.socket:
    """Listen for clients, in the project's folder or else in the user's runtime folder.

    Only for a process that holds the project's lock: a socket that is there is removed.

    Args:
        state_dir: The project's `.ltx-tui`.
        environ: Where XDG_RUNTIME_DIR is looked for.
        tmp: The folder of last resort.

    Returns:
        A listening socket that does not block; `socket_path` tells where.

    Raises:
        EnvironmentFaultError: There is no place where others could not get between.
    """
    reasons = []
    for path, folder in _folders(state_dir, environ, tmp):
        if len(os.fsencode(path)) > _LONGEST:
            reasons.append(f"{path.parent}: the path is too long for a socket")
            continue
        if not _is_text(path):
            # It could not be told to clients, in the lock file's JSON.
            reasons.append(f"{path.parent}: the path is no UTF-8")
            continue
        try:
            if folder is not None:
                _make_private(folder)
            return _listen(path)
        except OSError as error:
            reasons.append(f"{path.parent}: {error.strerror or error}")
        except LtxError as error:
            reasons.append(error.headline)
    raise EnvironmentFaultError(
        f"there is no folder for the worker's socket ({'; '.join(reasons)})",
        file=state_dir,
        remedy="set XDG_RUNTIME_DIR to a folder of your own that nobody else can enter "
        "(`chmod 700`) and whose path is short",
    )


def socket_path(listening: socket.socket) -> Path:
    """Return where a socket of `bind` listens."""
    return Path(os.fsdecode(listening.getsockname()))


def address(state_dir: Path) -> WorkerInfo | None:
    """Return the worker of this project if there is one that can be reached.

    While it starts its `socket` is empty.

    Raises:
        WorkerRunsError: It runs on another machine.
        EnvironmentFaultError: The project is another user's, or its socket lies where others
            could have put it.
    """
    info = read_lock(state_dir)
    if info is None:
        return None
    if not info.is_here:
        raise WorkerRunsError(info, state_dir / "worker.lock")
    _check_owner(state_dir)
    if info.socket:
        folder = Path(info.socket).parent
        if os.path.realpath(folder) != os.path.realpath(state_dir):
            _check_private(folder)
    return info


def runtime_name(state_dir: Path) -> str:
    """Return a project's name among those of one user: xxh3-128 of its folder, in hexadecimal."""
    return hash_text(os.path.realpath(state_dir))


def _folders(
    state_dir: Path, environ: Mapping[str, str], tmp: Path
) -> Iterator[tuple[Path, Path | None]]:
    """Yield where the socket may lie, and the folder to make for it where that is not ours yet."""
    if own(state_dir):
        yield state_dir.absolute() / "worker.sock", None
    name = f"{runtime_name(state_dir)}.sock"
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    # After `sudo` it may be the folder of someone else.
    if Path(runtime).is_absolute() and _owner(Path(runtime)) == os.geteuid():
        yield Path(runtime) / "ltx-tui" / name, Path(runtime) / "ltx-tui"
    folder = tmp / f"ltx-tui-{os.geteuid()}"
    yield folder / name, folder


def _is_text(path: Path) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in str(path))


def _check_owner(state_dir: Path) -> None:
    """Refuse another user's project.

    Raises:
        EnvironmentFaultError: It is; root may use anyone's, as it does in many containers.
    """
    owner = _owner(state_dir)
    if owner is not None and owner != os.geteuid() and os.geteuid() != 0:
        raise EnvironmentFaultError(
            f"this project is the user {_user(owner)}'s",
            file=state_dir,
            remedy="ask them to run it, or copy the project to a folder of your own",
        )


def _make_private(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _check_private(folder)


def _check_private(folder: Path) -> None:
    """Refuse a folder that someone else could have made, or could put a socket into.

    Raises:
        EnvironmentFaultError: It is a link, another user's, or open to others.
    """
    try:
        there = folder.lstat()
    except OSError as error:
        raise EnvironmentFaultError(
            f"it cannot be looked at: {error.strerror or error}", file=folder
        ) from error
    if not stat.S_ISDIR(there.st_mode):
        fault = "this is not a folder"
    elif there.st_uid != os.geteuid():
        fault = f"this folder is the user {_user(there.st_uid)}'s"
    elif there.st_mode & 0o077:
        fault = "other users can enter this folder"
    else:
        return
    raise EnvironmentFaultError(
        fault, file=folder, remedy="remove it, unless it is needed for something else"
    )


def _listen(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, f"{path.name} is there and is no socket")
        path.unlink()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On Linux the file gets this mode as it is made; elsewhere its folder guards it till then.
        with contextlib.suppress(OSError):
            os.fchmod(server.fileno(), 0o600)
        server.bind(os.fspath(path))
        path.chmod(0o600)
        server.listen(_BACKLOG)
        _reach(server, path)
        server.setblocking(False)
    except BaseException:
        server.close()
        path.unlink(missing_ok=True)
        raise
    return server


def _reach(server: socket.socket, path: Path) -> None:
    # Some file systems keep a socket's name, and nobody can connect to it there.
    server.settimeout(5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(os.fspath(path))
        server.accept()[0].close()


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

"""A port that passes everything on to another one, until its connections are dropped."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class FlakyPort:
    """A port of 127.0.0.1, with all that has been connected through it."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.number = int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Connect whoever comes, until the port is closed."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._behind))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=ends, daemon=True).start()

    def drop(self) -> int:
        """Break every connection, as a network does; return how many ends there were."""
        dropped, self._open = self._open, []
        for one in dropped:
            _break(one)
        return len(dropped)

    def close(self) -> None:
        """Break every connection, and take no more."""
        _break(self._listener)
        self._listener.close()
        self.drop()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for one in (source, target):
        _break(one)


def _break(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def flaky(behind: int) -> Iterator[FlakyPort]:
    """Have a port in front of another one."""
    port = FlakyPort(behind)
    threading.Thread(target=port.serve, daemon=True).start()
    try:
        yield port
    finally:
        port.close()

"""Keys that are pressed while a picture is drawn in place: an echo of them would tear it apart."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import termios

_LOCAL_FLAGS = 3  # in what termios.tcgetattr returns


class Echo:
    """The echo of the terminal that keys come from; what is typed ahead goes to the shell later."""

    def __init__(self) -> None:
        self._before: list[int | list[bytes | int]] | None = None
        atexit.register(self.restore)

    def silence(self) -> None:
        """Turn it off; again where a shell has turned it on meanwhile."""
        with contextlib.suppress(termios.error, OSError, ValueError, AttributeError):
            terminal = _terminal()
            if terminal is None:
                return
            flags = termios.tcgetattr(terminal)
            if self._before is None:
                self._before = termios.tcgetattr(terminal)
            flags[_LOCAL_FLAGS] &= ~termios.ECHO
            termios.tcsetattr(terminal, termios.TCSANOW, flags)

    def restore(self) -> None:
        """Make it what it was."""
        before, self._before = self._before, None
        with contextlib.suppress(termios.error, OSError, ValueError, AttributeError):
            terminal = _terminal()
            if before is not None and terminal is not None:
                termios.tcsetattr(terminal, termios.TCSANOW, before)
        atexit.unregister(self.restore)


def _terminal() -> int | None:
    """Return stdin where it is a terminal that is ours now; others would be stopped for it."""
    fd = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
    return fd if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp() else None

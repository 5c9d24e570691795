"""The terminal itself: told to Textual before it is imported, left clean whatever happens."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping

from rich.cells import cell_len

from ltx_tui.drawing.signs import LIKE
from ltx_tui.terminal.handled import handled

# Kitty's keys off, mouse in all its forms off, focus reports and bracketed paste off, window
# reports off, line wrap on, the main screen, a visible cursor, plain colours.
_RESET = (
    "\x1b[<u\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?1004l"
    "\x1b[?2004l\x1b[?2048l\x1b[?2026l\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"
)

# What a terminal that does not take its output may cost at the end, in seconds.
_PATIENCE = 3.0

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Say to Textual how to treat this terminal; to be called before Textual is imported.

    Nothing moves by itself, and a terminal that is far away gets fewer frames.
    """
    # A size that is said in the environment does not change with the window.
    for name in ("COLUMNS", "LINES"):
        environ.pop(name, None)
    environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    if is_remote(environ):
        environ.setdefault("TEXTUAL_FPS", "15")


def is_remote(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether every byte counts: over SSH, or inside tmux, where it may be SSH."""
    return bool(environ.get("SSH_CONNECTION") or environ.get("TMUX"))


def draw_plainly() -> None:
    """Have each sign that the terminal's encoding lacks drawn by one that looks like it.

    Signs that carry a state are chosen by `ltx_tui.drawing.signs`; this is for frames, dots and
    dashes, and for whatever captions and names have. All keep their width.
    """
    stream = sys.__stderr__  # where Textual draws
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("ltx-tui-plain", _plain)
        stream.reconfigure(errors="ltx-tui-plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(LIKE.get(one) or "?" * cell_len(one) for one in letters), error.end


class Guard:
    """Remembers how the terminal was, and can bring it back at any moment, even from a signal."""

    def __init__(self) -> None:
        """Look at the terminal as it is now, before the workbench changes it."""
        self._attributes: list[object] | None = None
        with contextlib.suppress(termios.error, OSError, ValueError, AttributeError):
            self._attributes = termios.tcgetattr(sys.__stdin__.fileno())  # type: ignore[union-attr]

    def restore(self) -> None:
        """Leave all special modes; harmless where that has been done already.

        It never waits for a terminal that takes no output.
        """
        with contextlib.suppress(OSError, ValueError, AttributeError):
            fd = sys.__stderr__.fileno()  # type: ignore[union-attr]
            blocking = os.get_blocking(fd)
            os.set_blocking(fd, False)
            try:
                os.write(fd, _RESET.encode())
            finally:
                os.set_blocking(fd, blocking)
        if self._attributes is not None:
            with contextlib.suppress(termios.error, OSError, ValueError, AttributeError):
                fd = sys.__stdin__.fileno()  # type: ignore[union-attr]
                termios.tcsetattr(fd, termios.TCSANOW, self._attributes)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def watching(
        self,
        ended: Callable[[signal.Signals], None],
        *,
        last: Callable[[], object] | None = None,
        patience: float = _PATIENCE,
    ) -> Iterator[None]:
        """Take the signals that end a program; a terminal that goes away is taken for SIGHUP.

        Args:
            ended: Called in the signal handler, for each signal; it must not block.
            last: Called before the process ends because patience has run out.
            patience: Seconds after which the process ends in any case, even where it hangs in a
                write to a terminal that nobody reads.
        """

        def give_up(number: int) -> None:
            if last is not None:
                last()
            self.restore()
            os._exit(128 + number)

        with (
            handled(ended, SIGNALS, ends=SIGNALS, patience=patience, give_up=give_up),
            _hanging_up(),
        ):
            yield


def is_gone() -> bool:
    """Whether the terminal is not there any more, so that reading and writing fail."""
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        poll.register(sys.__stdin__.fileno(), 0)  # type: ignore[union-attr]
        return any(told & (select.POLLHUP | select.POLLERR) for _, told in poll.poll(0))
    return False


@contextlib.contextmanager
def _hanging_up() -> Iterator[None]:
    """Send SIGHUP to this process when its terminal goes away.

    The kernel sends it to the leader of the terminal's session alone. Without it, what reads keys
    would be woken for ever by a terminal that has nothing more to say. A thread, because the loop
    hangs where it waits to write to that terminal; it sleeps until something happens.
    """
    try:
        fd = sys.__stdin__.fileno()  # type: ignore[union-attr]
        is_terminal = os.isatty(fd)
    except (OSError, ValueError, AttributeError):
        is_terminal = False
    if not is_terminal:
        yield
        return
    end, ending = os.pipe()

    def watch() -> None:
        poll = select.poll()
        poll.register(fd, 0)  # nothing but that it is gone, which is always told
        poll.register(end, select.POLLIN)
        if any(one == fd for one, _ in poll.poll()):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)

    thread = threading.Thread(target=watch, name="terminal-is-there", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(ending)
        thread.join()
        os.close(end)

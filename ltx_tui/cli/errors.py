"""Errors in words, and the exit code of each."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable

import click

from engine.errors import (
    DatasetError,
    EnvironmentFaultError,
    LtxError,
    MediaError,
    ModelError,
    UsageError,
)
from engine.text import visible

DONE, SOME_FAILED, USAGE, ENVIRONMENT = 0, 1, 2, 3
# As a shell says it: 128 and the signal's number.
HUNG_UP, STOPPED, PIPE_CLOSED, TERMINATED = 129, 130, 141, 143
DEBUG = "LTX_TUI_DEBUG"

_CODES: tuple[tuple[type[LtxError], int], ...] = (
    (UsageError, USAGE),
    (DatasetError, USAGE),
    (ModelError, ENVIRONMENT),
    (EnvironmentFaultError, ENVIRONMENT),
    (MediaError, SOME_FAILED),
)


def exit_code(error: LtxError) -> int:
    """Return the exit code of an error that ended a command."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ENVIRONMENT)


def guarded(command: Callable[[], object]) -> int:
    """Call a command; return its exit code, or print what stopped it and return the error's.

    A traceback is shown only when LTX_TUI_DEBUG is set.
    """
    try:
        result = command()
        sys.stdout.flush()
    except Exception as error:
        return _report(error)
    except KeyboardInterrupt:
        say_error("stopped")
        return STOPPED
    return result if isinstance(result, int) else DONE


def _report(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        return leave_quietly()
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, LtxError):
        say_error(error.headline, error.remedy)
        return exit_code(error)
    if isinstance(error, click.Abort):
        say_error("stopped")
        return STOPPED
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "ltx-tui"
        say_error(error.format_message(), f"see `{path} --help`")
        return USAGE
    if isinstance(error, click.ClickException):
        say_error(error.format_message())
        return USAGE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        say_error(f"{where}{error.strerror or error}", "check the path, its permissions and space")
        return ENVIRONMENT
    say_error(
        f"unexpected {type(error).__name__}: {error}",
        f"this is a fault of ltx-tui; {DEBUG}=1 shows where it happened",
    )
    return ENVIRONMENT


def leave_quietly() -> int:
    """Swallow what is still buffered for a reader that is gone, such as `head`."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return PIPE_CLOSED


def abandon_terminal() -> None:
    """Let all that is still printed go nowhere: the terminal is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    # Not those that Textual puts in their place, which have no file behind them.
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def say_error(message: str, remedy: str = "") -> None:
    """Print an error on stderr, the remedy on a line of its own."""
    from rich.text import Text  # not for --help

    from ltx_tui.cli.console import make_console, text

    lines = [("error: ", message), *([("  ", remedy)] if remedy else [])]
    try:
        console = make_console(stderr=True)
    except LtxError:  # the theme itself may be what is wrong
        for head, words in lines:
            click.echo(f"{head}{visible(words)}", err=True)
        return
    for head, words in lines:
        console.print(Text.assemble((head, "error"), text(words)), soft_wrap=True)


def say_warning(message: str) -> None:
    """Print a warning on stderr."""
    from rich.text import Text

    from ltx_tui.cli.console import make_console, text

    line = Text.assemble(("warning: ", "warn"), text(message))
    make_console(stderr=True).print(line, soft_wrap=True)

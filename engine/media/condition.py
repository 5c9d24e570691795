"""Conditions: what turns frames into reference frames; the built-in one, or the user's own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from engine.errors import LtxError, MediaError, UsageError
from engine.files.identity import file_identity
from engine.media.arrays import Pixels
from engine.media.canny import HIGH, LOW, canny
from engine.text import guessed, visible

CANNY = "canny"


class Condition(NamedTuple):
    """A named function from frames to frames; `apply` calls it.

    Attributes:
        name: "canny", or "module:function".
        identity: What a result depends on beside the frames; another one makes it stale.
        function: From uint8 [F, H, W, 3] to the same.
        own: Whether it is the user's: its calls must not overlap.
    """

    name: str
    identity: str
    function: Callable[[Pixels], object]
    own: bool

    def apply(self, frames: Pixels) -> Pixels:
        """Return the reference frames of consecutive frames.

        Args:
            frames: uint8 [F, H, W, 3], RGB, upright.

        Raises:
            MediaError: It raises, or returns anything but uint8 of the same shape.
        """
        try:
            found = np.asarray(self.function(frames))
        except LtxError:
            raise
        except Exception as error:
            raise MediaError(
                f"the condition {self.name!r} failed: {type(error).__name__}: {visible(error)}",
                remedy=f"mend it{_line(error)}",
            ) from error
        if found.dtype != np.uint8 or found.shape != frames.shape:
            raise MediaError(
                f"the condition {self.name!r} returned {found.dtype} {list(found.shape)} for uint8 "
                f"{list(frames.shape)}",
                remedy="let it return uint8 of the very shape that it gets",
            )
        return found


def load_condition(
    name: str, *, low: float = LOW, high: float = HIGH, folders: Iterable[Path] = ()
) -> Condition:
    """Return a condition by its name.

    Args:
        name: "canny", or "module:function".
        low: Lower threshold of Canny.
        high: Upper threshold of Canny.
        folders: Where modules are looked for first.

    Raises:
        UsageError: There is no such condition, or it cannot be imported.
    """
    if name == CANNY:
        return Condition(name, f"canny {low:g} {high:g}", canny(low, high), own=False)
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise UsageError(
            f"there is no condition {name!r}", remedy=f"use {CANNY}, or module:function"
        )
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    module = _imported(module_name, name)
    function = module
    for part in attribute.split("."):
        function = getattr(function, part, None)  # type: ignore[assignment]
    if not callable(function):
        near = [one for one, value in vars(module).items() if callable(value) and one[0] != "_"]
        raise UsageError(
            f"the condition {name!r}: {module_name} has no function {attribute!r}",
            remedy=guessed(attribute, near, otherwise="it has") if near else "check its name",
        )
    return Condition(name, f"{name} {_digest(module)}".strip(), function, own=True)


def _imported(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the condition {name!r} cannot be imported: there is no module {error.name!r}",
            remedy="run the command where its .py file lies, or install it beside ltx-tui",
        ) from error
    except Exception as error:
        raise UsageError(
            f"the condition {name!r} cannot be imported: {type(error).__name__}: {visible(error)}",
            remedy=f"mend it{_line(error)}",
        ) from error


def _digest(module: ModuleType) -> str:
    """Return what changes when a module's own file does; empty where it has none."""
    file = getattr(module, "__file__", None)
    try:
        return file_identity(Path(file)).digest if file else ""
    except OSError:
        return ""


def _line(error: Exception) -> str:
    """Return ", file.py line 7" for the innermost frame of an error, or nothing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"

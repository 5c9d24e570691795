"""Has the rows of the dataset changed by child processes, which go on to their end without us."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from engine.worker import change_window, take_out
from engine.worker.spec import Fault, encode
from ltx_tui.children.child import ask


class _Told(Protocol):
    @property
    def fault(self) -> Fault | None:
        """Why nothing was written."""


_Done = TypeVar("_Done", bound=_Told)


async def take(wanted: take_out.Wanted) -> take_out.Done:
    """Take rows out of the dataset file, or give them back.

    Raises:
        LtxError: Nothing was written; it says why.
    """
    return await _write(
        take_out.__name__, wanted, take_out.Done, name="the program that takes rows out"
    )


async def change(wanted: change_window.Wanted) -> change_window.Done:
    """Change the window of a row in the dataset file.

    Raises:
        LtxError: Nothing was written; it says why.
    """
    return await _write(
        change_window.__name__, wanted, change_window.Done, name="the program that writes windows"
    )


async def _write(module: str, wanted: object, kind: type[_Done], *, name: str) -> _Done:
    decode = msgspec.json.Decoder(kind).decode
    done = await ask(module, request=encode(wanted), decode=decode, name=name)
    if done.fault is not None:
        raise done.fault.to_error()
    return done

"""Every command of the workbench, once.

Bindings, footer, palette, help and the key table of the README all come from here.

A widget or screen that offers commands names its scope and has a method for each of them:

    class ClipList(Commanded, ScrollView):
        SCOPE = "clips"

        def do_mark(self) -> None: ...        # the command "clips.mark"
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.dom import DOMNode

from engine.errors import LtxError
from ltx_tui.commands.all import COMMANDS
from ltx_tui.commands.command import Command


def commands(scope: str = "") -> tuple[Command, ...]:
    """Return all commands, or those of a scope, in the order of the help."""
    return tuple(one for one in COMMANDS if not scope or one.scope == scope)


def find(command: str) -> Command:
    """Return a command by its id.

    Raises:
        KeyError: There is none.
    """
    for one in commands():
        if one.id == command:
            return one
    raise KeyError(command)


def bindings(scope: str) -> list[Binding]:
    """Return the bindings of a scope, for a class's BINDINGS."""
    return [
        Binding(
            ",".join(one.keys),
            f"command('{one.id}')",
            one.footer or one.title,
            id=one.id,
            show=bool(one.footer),
            # Over a dialog, too, which hides all other commands.
            priority=one.id == "app.quit",
        )
        for one in commands(scope)
        if one.keys
    ]


if TYPE_CHECKING:
    _Mixed = DOMNode
else:
    # A DOMNode that stands first among the bases would hide the CSS of the widget beside it.
    _Mixed = object


class Commanded(_Mixed):
    """A mix-in for whatever offers commands; see the module's docstring."""

    SCOPE: ClassVar[str] = ""

    def __init_subclass__(cls, *args: object, **kwargs: object) -> None:
        """Give a class that names its scope the bindings of it."""
        if cls.__dict__.get("SCOPE"):
            own = list(cls.__dict__.get("BINDINGS", ()))
            cls.BINDINGS = [*own, *bindings(cls.SCOPE)]
        super().__init_subclass__(*args, **kwargs)  # type: ignore[arg-type]

    async def action_command(self, command: str) -> None:
        """Do a command of this scope; what the user can mend is told in a toast."""
        try:
            result = getattr(self, find(command).method)()
            if inspect.isawaitable(result):
                await result
        except LtxError as error:
            self.app.notify(
                f"{error.headline}\n{error.remedy}".strip(), severity="error", timeout=8
            )


def reachable(node: DOMNode | None) -> Iterator[Commanded]:
    """Yield whatever offers commands from a focused widget up to the app."""
    while node is not None:
        if isinstance(node, Commanded) and node.SCOPE:
            yield node
        node = node.parent if isinstance(node.parent, DOMNode) else None

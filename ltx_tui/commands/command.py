"""What a command is; `ltx_tui.commands.registry` tells what is done with them."""

from __future__ import annotations

import msgspec


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the user can do.

    Attributes:
        id: "scope.name"; also the name under which its keys can be changed.
        title: In the palette and the help, such as "Mark the clip".
        keys: Textual key names, the first is shown; empty for the palette alone. None is one
            that tmux or a terminal takes or cannot tell: `ltx_tui.keymap` lists those.
        help: A sentence more; empty where the title says it all.
        footer: A short word for the footer; empty to leave it out.
        cli: The command line that does the same; empty where there is none.
    """

    id: str
    title: str
    keys: tuple[str, ...] = ()
    help: str = ""
    footer: str = ""
    cli: str = ""

    @property
    def scope(self) -> str:
        """What it belongs to: the part before the dot."""
        return self.id.partition(".")[0]

    @property
    def method(self) -> str:
        """The name of the method that does it."""
        return "do_" + self.id.partition(".")[2].replace("-", "_")

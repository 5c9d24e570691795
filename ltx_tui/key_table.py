"""The key table of the README, as Markdown: `python -m ltx_tui.key_table`.

`python -m ltx_tui.key_table README.md` puts it between the markers of a file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ltx_tui.commands.registry import commands
from ltx_tui.commands.scopes import SCOPE_NAMES
from ltx_tui.keymap import shown

BEGIN, END = "<!-- key-table -->", "<!-- end -->"


def key_table() -> str:
    """Return a table for each scope: keys, what they do, their name, the command line for it.

    The name is that under which `[keys]` of the user's configuration knows the command.
    """
    parts = []
    for scope, name in SCOPE_NAMES.items():
        own = commands(scope)
        if not own:
            continue
        rows = [f"**{name}**", "", "| keys | what | name | command line |", "|---|---|---|---|"]
        for one in own:
            keys = " ".join(f"`{shown(key)}`" for key in one.keys) or "palette"
            cli = f"`{one.cli}`" if one.cli else ""
            rows.append(f"| {keys} | {one.title} | `{one.id}` | {cli} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def with_table(text: str) -> str:
    """Return a Markdown text with the table, as it is now, between its markers.

    Raises:
        ValueError: It has no markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{key_table()}{END}{after}"


def main() -> None:
    """Print the table, or put it into the files that are named."""
    if not sys.argv[1:]:
        sys.stdout.write(key_table())
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(with_table(file.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()

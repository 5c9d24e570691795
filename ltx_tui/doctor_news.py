"""What the workbench does about what the doctor tells, whichever screen is shown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from engine.errors import LtxError
from ltx_tui.host import workbench_of

if TYPE_CHECKING:
    from ltx_tui.checkup import Told
    from ltx_tui.screens.wires import Wires


def listen(screen: Wires) -> None:
    """Show what the doctor says, and find rows again that it gave other files."""
    checkup = screen.desk.checkup

    def told(what: Told) -> None:
        if not screen.is_whole:
            return
        if what == "said":
            for words in checkup.take_said():
                screen.app.notify(words, timeout=6)
        elif what == "mended":
            # Not begun yet: at the end of the program it would leave a coroutine behind.
            new_names = partial(_take_new_names, screen)
            screen.run_worker(new_names, group="desk")  # type: ignore[arg-type]

    checkup.subscribe(told)


async def _take_new_names(screen: Wires) -> None:
    """Read the dataset again; the clip in hand and marks follow the new names."""
    renamed = dict(screen.desk.checkup.renamed)
    await screen.desk.captions.names_changed()
    if not screen.is_whole:
        return
    _follow(screen, renamed)
    try:
        screen.read_again()
    except LtxError as error:
        workbench_of(screen).complain(error)


def _follow(screen: Wires, renamed: dict[str, str]) -> None:
    """Once the rows are there under their new names, mark them, and go to the one in hand."""
    store, held = screen.desk.store, screen.clips.clip
    marked = [new for old, new in renamed.items() if old in store.marked]

    def changed(_changes: object) -> None:
        if any(store.find(new) is None for new in renamed.values()):
            return
        end()
        store.mark(marked)
        if held in renamed and screen.is_whole:
            screen.clips.go_to(renamed[held])

    end = store.subscribe(changed)

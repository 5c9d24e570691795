"""What the workbench does about what the doctor tells, whichever screen is shown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.screen import Screen

from engine.errors import LtxError
from ltx_tui.commands.registry import Commanded
from ltx_tui.host import workbench_of

if TYPE_CHECKING:
    from ltx_tui.clips.checkup import Told
    from ltx_tui.desk import Desk
    from ltx_tui.widgets.clip_list import ClipList


class DoctorNews(Commanded, Screen[None]):
    """The part of the workbench that listens to the doctor.

    Attributes:
        desk: What the panes share.
        clips: The clip list.
    """

    desk: Desk
    clips: ClipList

    @property
    def is_whole(self) -> bool:
        """Whether there is anything to draw on."""
        raise NotImplementedError

    def read_again(self) -> None:
        """Read project.toml, dataset and outputs again."""
        raise NotImplementedError

    def hear_doctor(self) -> None:
        """Show what the doctor says, and find rows again that it gave other files."""
        self.desk.checkup.subscribe(self._doctor_told)

    def _doctor_told(self, what: Told) -> None:
        if not self.is_whole:
            return
        if what == "said":
            for words in self.desk.checkup.take_said():
                self.app.notify(words, timeout=6)
        elif what == "mended":
            # Not begun yet: at the end of the program it would leave a coroutine behind.
            new_names = partial(self._take_new_names, dict(self.desk.checkup.renamed))
            self.run_worker(new_names, group="desk")  # type: ignore[arg-type]

    async def _take_new_names(self, renamed: dict[str, str]) -> None:
        """Read the dataset again; the clip in hand and marks follow the new names."""
        await self.desk.captions.names_changed()
        if not self.is_whole:
            return
        self._follow(renamed)
        try:
            self.read_again()
        except LtxError as error:
            workbench_of(self).complain(error)

    def _follow(self, renamed: dict[str, str]) -> None:
        """Once the rows are there under their new names, mark them, and go to the one in hand."""
        store, held = self.desk.store, self.clips.clip
        marked = [new for old, new in renamed.items() if old in store.marked]

        def changed(_changes: object) -> None:
            if any(store.find(new) is None for new in renamed.values()):
                return
            end()
            store.mark(marked)
            if held in renamed and self.is_whole:
                self.clips.go_to(renamed[held])

        end = store.subscribe(changed)

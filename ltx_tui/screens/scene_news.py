"""What the workbench does about videos that are cut, whichever screen is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from engine.errors import LtxError
from ltx_tui.commands.registry import Commanded
from ltx_tui.host import workbench_of

if TYPE_CHECKING:
    from ltx_tui.desk import Desk
    from ltx_tui.scenes.shelf import Told


class SceneNews(Commanded, Screen[None]):
    """The part of the workbench that has videos cut into scenes.

    Attributes:
        desk: What the panes share.
    """

    desk: Desk
    _hears_scenes = False

    @property
    def is_whole(self) -> bool:
        """Whether there is anything to draw on."""
        raise NotImplementedError

    def read_again(self) -> None:
        """Read project.toml, dataset and outputs again."""
        raise NotImplementedError

    def do_scenes(self) -> None:
        """Show the videos that can be cut."""
        from ltx_tui.screens.videos import VideosScreen

        book = self.desk.scenes
        if not self._hears_scenes:
            self._hears_scenes = True
            book.subscribe(self._scenes_told)
        self.app.push_screen(VideosScreen(book))

    def _scenes_told(self, what: Told) -> None:
        if not self.is_whole:
            return
        if what == "said":
            for words in self.desk.scenes.take_said():
                self.app.notify(words, timeout=8)
        elif what == "rows":
            try:
                self.read_again()
            except LtxError as error:
                workbench_of(self).complain(error)

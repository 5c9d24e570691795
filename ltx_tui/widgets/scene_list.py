"""The scenes of a video, a line each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rich.style import Style
from rich.text import Text

from engine.scenes.choices import Scene
from engine.text import visible
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs
from ltx_tui.scenes.state import VideoScenes
from ltx_tui.widgets.board import fault_lines, hanging
from ltx_tui.widgets.lines import Lines
from ltx_tui.widgets.scene_lines import piece_numbers, scene_line


class SceneList(Lines):
    """The list; where there is no scene it says why."""

    def __init__(self, video: Callable[[], VideoScenes], *, how: Signs) -> None:
        """Show nothing yet.

        Args:
            video: Returns the video.
            how: The signs.
        """
        super().__init__(id="scenes")
        self._video, self.how = video, how
        # The scenes that the numbers are of.
        self._of: list[Scene] = []
        self._numbers: list[int] = []

    def count(self) -> int:
        """Return how many there are; lines that say why there is none otherwise."""
        return len(self._video().scenes) or len(self._empty())

    def can_choose(self, index: int) -> bool:
        """Whether there is a scene."""
        return index < len(self._video().scenes)

    def text(self, index: int, width: int) -> Text:
        """Return the line of a scene."""
        video = self._video()
        if not video.scenes:
            return self._empty()[index]
        if self._of is not video.scenes:
            self._of, self._numbers = video.scenes, piece_numbers(video.scenes)
        scene, paint = video.scenes[index], partial(style, self.app)
        return scene_line(scene, self._numbers[index], video.choices, width, paint, self.how)

    def _empty(self) -> list[Text]:
        """Return why there is no scene yet."""
        width, video = max(16, self.size.width - 2), self._video()
        if video.fault is not None:
            headline, remedy = visible(video.fault.message), visible(video.fault.remedy)
            lines = fault_lines(headline, remedy, width, style(self.app, "error"), self.how, " ")
            return [*lines, Text("   f5 looks again", Style(dim=True))]
        words = "not looked at: f5 finds the scenes"
        if video.progress is not None or video.is_waiting:
            words = "Scenes are looked for; their scores come above meanwhile. x stops that."
        return [Text(line, Style(dim=True)) for line in hanging(" ", words, width)]

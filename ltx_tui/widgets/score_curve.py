"""The scores of a video over time, with the threshold, and its scenes on a line below."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.style import Style
from rich.text import Text

from ltx_tui.drawing.braille import Cell
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs
from ltx_tui.frames.words import joined
from ltx_tui.scenes.score_plot import Curve, View, plot, timeline
from ltx_tui.scenes.state import VideoScenes
from ltx_tui.widgets.board import Board, Item
from ltx_tui.widgets.scene_lines import clock

# Lines below the plot: the scenes, and the time.
_BELOW = 2
_ROLES = {
    "score": "secondary",
    "above": "primary",
    "line": "warning",
    "cut": "foreground",
    "kept": "success",
    "dropped": "quiet",
    "short": "quiet",
    "chosen": "primary",
    "cursor": "accent",
}
_BOLD = ("above", "chosen", "cursor")


class ScoreCurve(Board):
    """The plot; only cells that differ are sent."""

    DEFAULT_CSS = """
    ScoreCurve { scrollbar-size: 0 0; scrollbar-gutter: auto; overflow: hidden; padding: 0 1; }
    """

    def __init__(self, *, how: Signs) -> None:
        """Show nothing yet.

        Args:
            how: The signs.
        """
        super().__init__(has_cursor=False, id="curve")
        self.can_focus = False
        self.how = how
        # What the plot was drawn of, and its lines: scores of hours are gone through only once.
        self._of: tuple[object, ...] = ()
        self._plot: list[Text] = []
        self._top = 0.0

    def draw(self, video: VideoScenes, view: View, chosen: int, cursor: int | None) -> None:
        """Draw what is known of a video.

        Args:
            video: The video.
            view: The frames that are seen.
            chosen: The place of the scene in hand.
            cursor: The frame to point at; None for none.
        """
        width, height = self.content_size
        rows = height - _BELOW
        if width < 1 or rows < 1:
            return
        finding = video.choices.finding
        drawn = (
            *(id(video.scores), len(video.scores), view, width, rows, finding),
            self.app.current_theme.name,
        )
        if drawn != self._of:
            curve = Curve(
                video.scores,
                finding.skip_start,
                finding.frame_skip + 1,
                finding.level,
                finding.detector,
            )
            cells, self._top = plot(curve, view, width, rows, self.how)
            self._of, self._plot = drawn, [self._text(row) for row in cells]
        line = timeline(video.scenes, chosen, view, width, cursor, self.how)
        below = [self._text(line), self._time(video, view, width)]
        self.show([Item(text) for text in (*self._plot, *below)])

    def _time(self, video: VideoScenes, view: View, width: int) -> Text:
        """Return when what is seen begins and ends, and what the plot shows."""
        finding, begin, end = video.choices.finding, "", ""
        if video.found is not None:
            begin, end = (clock(video.seconds(at), digits=0) for at in (view.first, view.end))
        words = [
            f"{finding.detector}: top {self._top:.3g}",
            f"threshold {finding.level:g} {'- -' if self.how.dots else '--'}",
        ]
        middle = joined(words, max(0, width - len(begin) - len(end) - 4), self.how)
        room = width - len(begin) - len(end)
        return Text(f"{begin}{middle.center(room)}{end}", Style(dim=True))

    def _text(self, cells: Iterable[Cell]) -> Text:
        text = Text()
        for kind, run in groupby(cells, key=lambda cell: cell[1]):
            letters = "".join(letter for letter, _ in run)
            role = _ROLES.get(kind)
            how = style(self.app, role, bold=kind in _BOLD) if role else Style()
            text.append(letters, how)
        return text

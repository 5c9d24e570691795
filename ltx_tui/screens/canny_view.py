"""The Canny preview of a clip: the edges that a reference would have, beside its frames."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from textual.app import App
from textual.screen import Screen

from ltx_tui.commands.registry import Commanded

# As `engine.media.canny` has them, which loads OpenCV.
LOW, HIGH = 100.0, 200.0
_STEP = 10.0
# No gradient of 8-bit pixels is steeper.
_MOST = 2040.0

_CHOSEN: WeakKeyDictionary[App[object], tuple[float, float]] = WeakKeyDictionary()


def command_line(low: float, high: float) -> str:
    """Return the command that makes references with these thresholds."""
    return f"ltx-tui compute-reference --low {low:g} --high {high:g}"


class CannyView(Commanded, Screen[str]):
    """The part of the frames' screen that shows edges.

    Attributes:
        canny: Whether they are shown.
        compare: Whether source and decoded are shown beside each other instead.
    """

    canny = False
    compare = False

    @property
    def thresholds(self) -> tuple[float, float]:
        """Low and high, as they were last in this session."""
        return _CHOSEN.get(self.app, (LOW, HIGH))

    def canny_words(self) -> list[str]:
        """Return what to say of the edges, the most important first."""
        low, high = self.thresholds
        return [f"Canny {low:g}–{high:g}", command_line(low, high), "< > low", "{ } high"]

    def read_anew(self) -> None:
        """Show the clip from the beginning."""
        raise NotImplementedError

    def read_again(self) -> None:
        """Read what is shown once more; it stays until that is there."""
        raise NotImplementedError

    def do_canny(self) -> None:
        """Show the edges of each frame beside it, or the frames alone."""
        self.canny, self.compare = not self.canny, False
        self.read_anew()

    def do_low_down(self) -> None:
        """Let weaker gradients go on with an edge."""
        self._adjust(-_STEP, 0)

    def do_low_up(self) -> None:
        """Let only stronger gradients go on with an edge."""
        self._adjust(_STEP, 0)

    def do_high_down(self) -> None:
        """Let weaker gradients begin an edge."""
        self._adjust(0, -_STEP)

    def do_high_up(self) -> None:
        """Let only stronger gradients begin an edge."""
        self._adjust(0, _STEP)

    def _adjust(self, by_low: float, by_high: float) -> None:
        low, high = self.thresholds
        high = max(low, min(_MOST, high + by_high))
        low = max(0.0, min(high, low + by_low))
        changed = (low, high) != self.thresholds
        _CHOSEN[self.app] = (low, high)
        if not self.canny:
            self.do_canny()
        elif changed:
            self.read_again()

"""Lines that change in place: little is sent, and a window that changes its size stays sane."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.text import Text

from ltx_tui.cli.picture import Picture
from tests.terminal.screen import Screen
from tests.unit import cli_fakes as fakes


def group(*lines: str) -> Group:
    return Group(*map(Text, lines))


class Window:
    """A picture, and the screen that it is drawn on."""

    def __init__(self, width: int = 40) -> None:
        self.console = fakes.console(width)
        self.picture = Picture(self.console)
        self.screen = Screen(width)

    def sent(self) -> str:
        """Show what was written since the last call, and return it."""
        assert isinstance(self.console.file, io.StringIO)
        text = self.console.file.getvalue()
        self.console.file.seek(0)
        self.console.file.truncate()
        self.screen.feed(text)
        return text

    def resize(self, width: int) -> None:
        self.console.width = width
        self.screen.resize(width)


def test_nothing_is_sent_for_what_is_shown_already() -> None:
    window = Window()
    window.picture.draw(group("one", "two", "three"))
    assert window.sent()
    window.picture.draw(group("one", "two", "three"))
    assert window.sent() == ""
    window.picture.draw(group("one", "2", "three"))
    changed = window.sent()
    assert "one" not in changed
    assert len(changed) < 30
    assert window.screen.lines == ["one", "2", "three", ""]


def test_fewer_and_more_lines_leave_nothing_behind() -> None:
    window = Window()
    for lines in (["a", "b", "c"], ["a"], ["a", "x", "y", "z"], []):
        window.picture.draw(group(*lines))
        window.sent()
        assert window.screen.lines == [*lines, ""]


def test_what_is_printed_goes_above() -> None:
    window = Window()
    window.picture.draw(group("bar"))
    window.picture.clear()
    window.console.print("news")
    window.picture.draw(group("bar 2"))
    window.picture.leave()
    window.picture.draw(group("bar 3"))
    window.sent()
    assert window.screen.lines == ["news", "bar 2", "bar 3", ""]


@given(st.lists(st.tuples(st.integers(10, 60), st.integers(0, 60)), min_size=1, max_size=6))
def test_only_one_picture_is_ever_seen(steps: list[tuple[int, int]]) -> None:
    window = Window()
    window.console.print("before")
    for width, length in steps:
        window.resize(width)
        bar = Text("=" * min(length, width), no_wrap=True)
        window.picture.draw(Group(Text("head"), bar, Text("foot")))
        window.sent()
        shown = ["before", "head", "=" * min(length, width), "foot", ""]
        assert window.screen.lines == shown
        assert window.screen.unknown == []


@pytest.mark.parametrize("height", [2, 5])
def test_a_low_window_gets_as_many_lines_as_fit(height: int) -> None:
    window = Window()
    window.console.height = height
    window.picture.draw(group(*"abcdefgh"))
    window.sent()
    assert window.screen.lines == [*"abcdefgh"[: height - 1], ""]

"""Two versions of a caption compared: beside each other, one above the other, or in one text."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.project import Project
from ltx_tui.app import Workbench
from ltx_tui.screens.diff_text import beside, diff_halves
from tests.tui.captioning import (
    SECTIONED,
    Editing,
    caption_project,
    edit_captions,
    keep_quiet,
)
from tests.tui.conftest import SMALL, WIDE, assert_snapshot
from tests.tui.test_versions import BLUE, history, look

HEAD = "as it is now"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return caption_project(tmp_path / "bunny-lora")


def columns(editing: Editing) -> tuple[str, str]:
    """Return the words of the left and of the right half of the lower part."""
    at = next(n for n, line in enumerate(editing.lines) if line.strip().startswith(HEAD))
    right = editing.lines[at].index("edited")
    lines = editing.lines[at:-1]
    return (
        " ".join(" ".join(line[:right] for line in lines).split()),
        " ".join(" ".join(line[right:] for line in lines).split()),
    )


def test_beside_each_other_section_by_section(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await history(editing)
        await editing.press("j")
        await editing.still()
        left, right = columns(editing)
        assert "A [-red vixen trots across-] snow" in left
        assert "{+" not in left
        assert "A {+blue fox runs over+} snow" in right
        assert "[-" not in right
        line = next(line for line in editing.lines if "[SOUNDS]" in line)
        assert line.count("[SOUNDS]: Light wind.") == 2
        assert "3 versions · as it is now → edited, just now" in editing.screen_text
        assert_snapshot(editing.app, "versions-beside-120x40")

    edit_captions(project, steps, size=WIDE)


def test_one_above_the_other_in_a_small_terminal(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await history(editing)
        await editing.press("j", "d")
        await editing.still()
        words = " ".join(editing.screen_text.split())
        first, _, second = words.partition("edited, just now [VISUAL]")
        assert "as it is now [VISUAL]: A [-red vixen trots across-] snow" in first
        assert "A {+blue fox runs over+} snow" in second
        assert_snapshot(editing.app, "versions-above-80x24")
        await editing.press("d")
        await editing.still()
        assert "what restoring it would change" in editing.screen_text

    edit_captions(project, steps, size=SMALL)


def test_the_width_decides_until_the_user_does(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await history(editing)
        await editing.press("j")
        await editing.still()
        assert "what restoring it would change" in editing.screen_text
        await editing.pilot.resize_terminal(*WIDE)
        await editing.still()
        assert "as it is now → edited" in editing.screen_text
        await editing.press("d")
        await editing.pilot.resize_terminal(*SMALL)
        await editing.pilot.resize_terminal(*WIDE)
        await editing.still()
        assert "what restoring it would change" in editing.screen_text

    edit_captions(project, steps, size=SMALL)


def test_any_two_are_compared(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        screen = await history(editing)
        await editing.press("j", "space")
        await editing.still()
        assert editing.lines[2].startswith("●")
        assert "both read the same" in editing.screen_text
        await editing.press("j")
        await editing.still()
        seen = " ".join(editing.screen_text.split())
        assert "edited, just now → auto, just now" in seen
        assert "A [-blue-]{+red+} fox [-runs over-]{+trots across+} snow" in seen
        # Restoring is still of the one under the cursor.
        await editing.press("k", "space")
        await editing.still()
        assert not editing.lines[2].startswith("●")
        assert screen._list.pinned == 0
        await editing.press("j", "enter")
        assert editing.doc.text == SECTIONED

    edit_captions(project, steps)


def test_without_versions_there_is_nothing_to_compare(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.go_to("clip-5.mp4")
        await look(editing)
        await editing.press("space", "d")
        await editing.still()
        assert "Fog." in editing.screen_text
        assert "no versions yet" in editing.screen_text

    edit_captions(project, steps)


def test_halves_are_whole_texts_but_for_the_marks(bench: Workbench) -> None:
    before, after = diff_halves(bench, SECTIONED, BLUE)
    assert before.plain.replace("[-", "").replace("-]", "") == SECTIONED
    assert after.plain.replace("{+", "").replace("+}", "") == BLUE


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        (SECTIONED, BLUE, 4),
        (SECTIONED, "plain words", 1),
        ("one", "two", 1),
        (SECTIONED, "[VISUAL]: a [VISUAL]: b", 1),
        ("[VISUAL]: a\n[TEXT]: b", "[SPEECH]: c\n[VISUAL]: a", 3),
    ],
)
def test_sections_stand_beside_those_of_their_name(
    bench: Workbench, old: str, new: str, rows: int
) -> None:
    assert beside(bench, old, new, ("left", "right")).row_count == rows + 1

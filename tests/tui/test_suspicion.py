"""Suspicion in the workbench: the column, the filter, the details, the review from the worst on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from engine.errors import EnvironmentFaultError
from engine.overview.file import table_of
from engine.overview.types import CaptionState
from engine.project import Project
from engine.suspicion.types import KINDS, REMEDIES, Reason
from ltx_tui.clips.columns import cells, layout, suspicion_sign
from ltx_tui.clips.detail_lines import details
from ltx_tui.clips.filter_keys import completions
from ltx_tui.clips.filter_types import FilterError
from ltx_tui.clips.sorting import COLUMNS
from ltx_tui.clips.store import Store
from ltx_tui.drawing.signs import ASCII, UNICODE
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, ready, run_app, shown
from tests.tui.lists import start
from tests.tui.rows import make_overview, make_row, store_of
from tests.tui.suspects import COPY, FOUND, SPEECH, WORST_FIRST, scores_of


def give(store: Store, found: dict[int, Any] | None = None) -> None:
    new = scores_of(store.table.names, FOUND if found is None else found)
    new = new.of_rows(store.table.names)
    store.take_scores(new, new.differing(store.table.scores))


@pytest.fixture
def store() -> Store:
    made = store_of(12)
    give(made)
    return made


# The store


def test_sorting_by_suspicion_puts_the_worst_first_and_what_is_not_scored_last() -> None:
    store = store_of(12)
    store.set_sort("suspicion")
    assert list(store.shown) == list(range(12))
    names = store.table.names
    store.take_scores(scores_of(names[:10], FOUND), [])
    store.set_sort("suspicion")
    assert list(store.shown) == [*WORST_FIRST[:-2], 10, 11]
    store.set_sort("suspicion", reverse=True)
    assert list(store.shown)[-1] == 5


def test_a_row_knows_its_score_and_a_new_overview_keeps_it(store: Store) -> None:
    assert store.get(5).suspicion == pytest.approx(0.9)
    assert store.get(5).doubts == (SPEECH, COPY)
    assert (store.get(0).suspicion, store.get(0).doubts) == (0.0, ())
    rows = [make_row(number) for number in (9, 3, 5, 20)]
    store.take(table_of(make_overview(rows)))
    assert [store.get(row).suspicion for row in range(4)] == pytest.approx([0.85, 0.0, 0.9, None])
    assert store.get(2).doubts == (SPEECH, COPY)
    assert [store_of(2).get(row).suspicion for row in range(2)] == [None, None]


def test_scores_of_an_overview_that_was_replaced_meanwhile_find_their_rows() -> None:
    store = store_of(12)
    late = scores_of(store.table.names, FOUND).of_rows(store.table.names)
    store.take(table_of(make_overview([make_row(9), make_row(0)])))
    store.take_scores(late, late.differing(None))
    assert [store.get(row).suspicion for row in range(2)] == pytest.approx([0.85, 0.0])


def test_few_changes_are_told_by_name_and_move_when_the_list_settles(store: Store) -> None:
    store.set_sort("suspicion")
    told: list[Any] = []
    store.subscribe(told.append)
    give(store, FOUND | {5: (0.0, ()), 0: (0.7, (COPY,))})
    assert told == [frozenset({"scene-0005.mp4", "scene-0000.mp4"})]
    assert list(store.shown) == WORST_FIRST
    store.settle(keep=5)
    assert list(store.shown)[:4] == [5, 9, 0, 6]
    store.settle()
    assert list(store.shown)[:3] == [9, 0, 6]


def test_the_first_scores_are_told_for_all_rows() -> None:
    store = store_of(12)
    told: list[Any] = []
    store.subscribe(told.append)
    give(store)
    assert told == [None]


def test_changes_of_captions_are_counted(store: Store) -> None:
    before = store.caption_changes
    store.update_row("scene-0003.mp4", caption_state=CaptionState.REVIEWED)
    store.update_row("scene-0003.mp4", caption=store.get(3).caption)
    assert store.caption_changes == before
    store.update_row("scene-0003.mp4", caption="other", caption_state=CaptionState.DRAFT)
    assert store.caption_changes == before + 1
    store.take(table_of(make_overview(3)))
    assert store.caption_changes == before + 2


# Filters


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("suspicion:>0.5", [5, 9]),
        ("suspicion:>=0.5", [5, 6, 9]),
        ("sus:>0", [2, 5, 6, 9]),
        ("SUS:0.85", [9]),
        ("suspicion:<0.3 suspicion:>0", [2]),
        ("reason:speech", [5, 9]),
        ("reason:copy", [5, 6]),
        ("reason:Opening,speech", [2, 5, 9]),
        ("-reason:speech sus:>0", [2, 6]),
        ("reason:loud", None),
        ("sus:much", None),
        ("sus:1s", None),
    ],
)
def test_filters(store: Store, text: str, rows: list[int] | None) -> None:
    if rows is None:
        with pytest.raises(FilterError) as caught:
            store.set_filter(text)
        assert caught.value.hint
        return
    store.set_filter(text)
    assert list(store.shown) == rows


def test_nothing_is_found_where_nothing_is_scored() -> None:
    store = store_of(12)
    for text in ("sus:<1", "sus:>0", "reason:speech"):
        store.set_filter(text)
        assert list(store.shown) == []
    give(store, {})
    store.set_filter("sus:0")
    assert list(store.shown) == list(range(12))
    store.take(table_of(make_overview([make_row(20)])))
    assert list(store.shown) == []


def test_kinds_are_completed() -> None:
    assert completions("reason:sp", 9) == ["reason:speech"]
    assert "suspicion:" in completions("sus", 3)


# The column


@pytest.mark.parametrize("how", [UNICODE, ASCII])
@pytest.mark.parametrize("width", [30, 38, 44, 52, 60, 61, 79, 80, 99, 120, 160, 200])
@pytest.mark.parametrize("sort", ["", "suspicion"])
def test_cells_fill_their_column(sort: str, width: int, how: Any) -> None:
    found = layout(width, how, sort=sort, is_scored=True)
    total = 2 + sum(column.width for column in found.columns) + 2 * (len(found.columns) - 1)
    assert total <= width
    names = [column.name for column in found.columns]
    assert {"name", "caption", "outputs"} <= set(names)
    assert len(set(names)) == len(names)
    if sort and width >= 38:
        assert "suspicion" in names
    wide = Reason("copy", "nearly the same as the caption of " + "雪" * 40)
    for doubts in ((), (SPEECH,), (COPY, SPEECH), (wide,), (Reason("control", "a · b"),)):
        row = make_row(1, suspicion=0.97 if doubts else 0.0, doubts=doubts)
        for column in found.columns:
            words = "".join(text for text, _ in cells(row, column, how))
            assert cell_len(words) == column.width, (column, words)


def test_it_is_there_where_there_is_room_or_where_it_is_sorted_by() -> None:
    def names(width: int, **options: Any) -> list[str]:
        return [column.name for column in layout(width, **options).columns]

    assert "suspicion" not in names(200)
    assert "suspicion" not in names(78, is_scored=True)
    assert "suspicion" in names(94, is_scored=True)
    assert "suspicion" in names(50, sort="suspicion")
    assert set(names(140, is_scored=True)) == set(COLUMNS)


def test_a_score_has_a_sign_and_a_number_and_where_there_is_room_why() -> None:
    def text(width: int, row: Any) -> str:
        columns = layout(width, sort="suspicion").columns
        [column] = [one for one in columns if one.name == "suspicion"]
        return "".join(words for words, _ in cells(row, column)).rstrip()

    doubtful = make_row(0, suspicion=0.9, doubts=(SPEECH, COPY))
    assert text(40, doubtful) == "▲ 0.90"
    assert text(52, doubtful) == "▲ 0.90 speech"
    for kind in KINDS:
        row = make_row(0, suspicion=0.9, doubts=(Reason(kind, "a " * 40),))
        assert text(52, row) == f"▲ 0.90 {kind}"
    assert text(66, doubtful) == "▲ 0.90 speech, but nothing …"
    assert text(80, doubtful) == "▲ 0.90 speech, but nothing is heard"
    assert text(160, doubtful) == "▲ 0.90 speech, but nothing is heard"
    assert text(160, make_row(0)) == ""
    assert text(160, make_row(0, suspicion=0.0)) == "· 0.00"
    for how in (UNICODE, ASCII):
        signs = {suspicion_sign(score, how)[0] for score in (0.0, 0.1, 0.5, 0.79, 0.8, 1.0)}
        assert len(signs) == 3
        assert how is UNICODE or "".join(signs).isascii()


def test_details_have_every_reason_with_its_remedy(tmp_path: Path) -> None:
    project = Project.defaults(tmp_path)
    row = make_row(0, suspicion=0.9, doubts=(SPEECH, COPY))
    lines = [(one.head, one.text) for one in details(row, project)]
    at = lines.index(("suspicion", "0.90 of 1"))
    assert lines[at + 1 : at + 5] == [
        ("", SPEECH.text),
        ("", f"→ {REMEDIES['speech']}"),
        ("", COPY.text),
        ("", f"→ {REMEDIES['copy']}"),
    ]
    assert all(one.text.isascii() for one in details(row, project, how=ASCII)[3:8])
    for score in (None, 0.0):
        heads = [one.head for one in details(make_row(0, suspicion=score), project)]
        assert "suspicion" not in heads


# The review


def test_w_goes_to_the_worst_that_is_not_reviewed_and_n_to_the_next() -> None:
    store = store_of([make_row(number, caption_state=CaptionState.AUTO) for number in range(12)])
    give(store)
    store.update_row("scene-0005.mp4", caption_state=CaptionState.REVIEWED)

    async def steps(pilot: Any, panel: Any, heard: Any) -> None:
        await pilot.press("G", "w")
        assert (store.sort, store.is_reversed) == ("suspicion", False)
        assert panel.clip == "scene-0009.mp4"
        assert "susp" in shown(pilot.app)[0]
        assert "▲ 0.90" in shown(pilot.app)[1]
        await pilot.press("n")
        assert panel.clip == "scene-0006.mp4"
        await pilot.press("N")
        assert panel.clip == "scene-0009.mp4"
        await pilot.press("G", "w")
        assert panel.clip == "scene-0009.mp4"
        store.set_filter("reason:speech caption:reviewed")
        await pilot.press("w")
        assert "all captions that are shown are reviewed" in _toasts(pilot)

    start(store, steps)


def test_w_says_why_nothing_is_scored() -> None:
    store = store_of(3)

    async def steps(pilot: Any, panel: Any, heard: Any) -> None:
        await pilot.press("w")
        assert "no caption is scored yet" in _toasts(pilot)
        store.scoring_fault = EnvironmentFaultError("the disk is full", remedy="make space")
        await pilot.press("w")
        assert "captions cannot be scored: the disk is full" in _toasts(pilot)
        assert store.sort == ""

    start(store, steps)


def _toasts(pilot: Any) -> str:
    return "\n".join(one.message for one in pilot.app._notifications)


def test_reviewing_in_the_editor_goes_on_to_the_next_worst(bench: Any) -> None:
    async def steps(pilot: Any) -> None:
        screen = await ready(pilot)
        store = screen.desk.store
        for name in list(store.table.names):
            store.update_row(name, caption_state=CaptionState.AUTO)
        give(store)
        await pilot.press("w", "e")
        await pilot.pause()
        assert screen.editor.doc.key.name == "scene-0005.mp4"
        for worst in WORST_FIRST[1:4]:
            await pilot.press("ctrl+n")
            assert screen.editor.doc.key.name == f"scene-{worst:04}.mp4"
        assert screen.clips.clip == "scene-0002.mp4"

    run_app(bench, steps)


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_how_a_review_looks(bench: Any, size: tuple[int, int]) -> None:
    async def steps(pilot: Any) -> None:
        screen = await ready(pilot)
        give(screen.desk.store)
        await pilot.press("w")
        await pilot.pause(0.1)
        assert_snapshot(pilot.app, f"review-{size[0]}x{size[1]}")

    run_app(bench, steps, size=size)

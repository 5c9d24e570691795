"""What the benchmarks make of their figures: verdicts, the table, the chart, the documentation."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.all import table
from tests.benchmarks.chart import write_chart
from tests.benchmarks.in_docs import write_figures
from tests.benchmarks.rows import Report, Row, in_turns, lines, ratio_of, timed

FAST = Row(what="text <a>", against="padded", goal=5, ratio=6.25, detail="12 s against 2 s")
SLOW = Row(what="a start", against="torch", goal=1.5, ratio=1.75, most=True, detail="three rounds")
NOT_HERE = Row(what="on a GPU", against="eager", goal=1.3, detail="no GPU here")
PLAIN = Row(what="a million rows", ratio=81.0, unit="s", detail="81 µs a row")


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        (FAST, True),
        (SLOW, False),
        (NOT_HERE, None),
        (PLAIN, None),
        (Row(what="x", goal=2.0, ratio=2.0, most=True), True),
        (Row(what="x", goal=2.0, ratio=9.0, equal=False), False),
    ],
)
def test_whether_a_goal_is_reached(row: Row, reached: bool | None) -> None:
    assert row.reached is reached


def test_the_table_says_what_was_not_reached_and_what_failed() -> None:
    shown = table(
        [
            Report(name="text", rows=(FAST, SLOW, NOT_HERE)),
            Report(name="scan", fault="not done after 900 s"),
        ]
    )
    assert "6.25 ×" in shown
    assert "≥ 5 ×" in shown
    assert "≤ 1.5 ×" in shown
    assert "no GPU here" in shown
    assert "scan: FAILED: not done after 900 s" in shown
    assert "NOT REACHED" in "\n".join(lines([SLOW]))


def test_the_chart_is_a_picture_of_what_has_a_goal_and_a_figure(tmp_path: Path) -> None:
    file = tmp_path / "pictures" / "speed.svg"
    write_chart(file, [FAST, SLOW, NOT_HERE, PLAIN], "a machine & a date")
    root = ElementTree.parse(file).getroot()
    words = " ".join(root.itertext())
    assert "text <a>" in words
    assert "✓ 6.25 ×, goal ≥ 5 ×" in words
    assert "✗ 1.75 ×, goal ≤ 1.5 ×" in words
    assert "on a GPU" not in words
    assert "a machine & a date" in words
    assert words.count("a million rows") == 0
    bars = [float(one.get("width", 0)) for one in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(bars) == 2


def test_figures_go_where_a_page_asks_for_them_and_stay_when_they_are_not_there(
    tmp_path: Path,
) -> None:
    page = tmp_path / "speed.md"
    page.write_text(
        "# Speed\n\n<!-- figures: text -->\nold\n<!-- end of figures -->\nbetween\n"
        "<!-- figures: vae -->\nkept\n<!-- end of figures -->\n"
    )
    write_figures(page, [Report(name="text", rows=(FAST, SLOW))], "today")
    once = page.read_text()
    assert "old" not in once
    assert "**6.25 ×** ✓" in once
    assert "**1.75 ×**, not reached" in once
    assert "\nkept\n" in once
    assert "between" in once
    write_figures(page, [Report(name="text", rows=(FAST, SLOW))], "today")
    assert page.read_text() == once
    write_figures(page, [Report(name="text", fault="broken")], "tomorrow")
    assert page.read_text() == once


def test_ways_are_measured_in_turns() -> None:
    order: list[str] = []

    def way(name: str) -> float:
        order.append(name)
        return {"a": 6.0, "b": 2.0}[name]

    found = in_turns({"a": lambda: way("a"), "b": lambda: way("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert ratio_of(found["a"], found["b"]) == 3.0


def test_a_command_is_timed_with_its_processor_and_its_memory(tmp_path: Path) -> None:
    used = timed([sys.executable, "-c", "x = bytearray(64 << 20); print(len(x))"])
    assert used.wall > 0
    assert used.cpu > 0
    assert used.peak > 64

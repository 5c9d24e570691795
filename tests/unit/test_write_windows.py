"""Windows written into dataset files: what is asked for is there then, and all else stays."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.dataset import rewrite
from engine.dataset.caption_db import Key
from engine.dataset.manifest import load_manifest
from engine.dataset.windows import END_COLUMN, START_COLUMN, Span, read_span
from engine.dataset.write_captions import digest_of
from engine.dataset.write_windows import Change, change_window
from engine.errors import DatasetError, UsageError

SECONDS = st.integers(0, 100_000).map(lambda value: value / 1000)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


def json_text(rows: list[dict[str, str]]) -> str:
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def jsonl_text(rows: list[dict[str, str]]) -> str:
    return "".join(f"  {json.dumps(row)} \n" for row in rows)


def csv_text(rows: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


FORMATS = {".json": json_text, ".jsonl": jsonl_text, ".csv": csv_text}


def write(root: Path, suffix: str, rows: list[dict[str, str]]) -> Path:
    path = root / f"dataset{suffix}"
    path.write_bytes(FORMATS[suffix](rows).encode())
    return path


def cells(path: Path) -> list[dict[str, object]]:
    columns = {START_COLUMN, END_COLUMN}
    return [
        {name: cell for name, cell in row.items() if name not in columns}
        for row in load_manifest(path).rows
    ]


def clip(name: str, caption: str = "c") -> dict[str, str]:
    return {"media_path": name, "caption": caption}


def setting(name: str, start: float | None, end: float | None, nth: int = 0) -> Change:
    return Change(what="set", key=Key(name, nth), start=start, end=end)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    suffix=st.sampled_from([*FORMATS]),
    captions=st.lists(TEXT, min_size=1, max_size=4),
    start=SECONDS,
    length=st.none() | SECONDS.filter(bool),
    data=st.data(),
)
def test_a_window_is_read_back_as_it_was_written_and_all_else_stays(
    tmp_path: Path,
    suffix: str,
    captions: list[str],
    start: float,
    length: float | None,
    data: st.DataObject,
) -> None:
    rows = [clip(f"{n}.mp4", caption) for n, caption in enumerate(captions)]
    path = write(tmp_path, suffix, rows)
    before = cells(path)
    row = data.draw(st.integers(0, len(rows) - 1))
    end = None if length is None else round(start + length, 3)
    span, name = Span(start, end), f"{row}.mp4"
    done = change_window(path, setting(name, start or None, end))
    manifest = load_manifest(path)
    assert [read_span(one) for one in manifest.rows] == [
        span if n == row else Span() for n in range(len(rows))
    ]
    assert cells(path) == before
    assert done.key == Key(name if span == Span() else f"{name} @ {span.words} s")
    # A row of its own, and out again: not a byte is left of it.
    now = path.read_bytes()
    other = Change(what="add", key=done.key, start=round(start + 0.5, 3), end=None)
    added = change_window(path, other)
    assert added.row == len(rows)
    assert cells(path) == [*before, before[row]]
    assert read_span(load_manifest(path).rows[-1]) == Span(round(start + 0.5, 3))
    caption = digest_of(captions[row])
    gone = change_window(path, Change(what="remove", key=added.key, with_row=True, caption=caption))
    assert (gone.is_gone, gone.caption) == (True, captions[row])
    assert cells(path) == before
    if suffix != ".csv":  # which keeps a column that the row brought
        assert path.read_bytes() == now
    if span != Span():
        change_window(path, Change(what="remove", key=done.key))
        assert all(read_span(one) == Span() for one in load_manifest(path).rows)
        assert cells(path) == before


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_row_is_taken_out_byte_by_byte(tmp_path: Path, suffix: str, row: int) -> None:
    rows: list[dict[str, str]] = [
        clip("a.mp4") | {START_COLUMN: str(n + 1), END_COLUMN: ""} for n in range(3)
    ]
    path = write(tmp_path, suffix, rows)
    key = Key(f"a.mp4 @ {row + 1}-end s")
    done = change_window(
        path, Change(what="remove", key=key, with_row=True, caption=digest_of("c"))
    )
    assert path.read_bytes() == FORMATS[suffix](rows[:row] + rows[row + 1 :]).encode()
    assert done.after[row] is None
    assert [one for one in done.after if one] == [one for one in done.before if one != key]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_last_line_that_is_open_stays_open(tmp_path: Path, suffix: str, newline: str) -> None:
    path = tmp_path / f"dataset{suffix}"
    lines = {
        ".csv": ["media_path,window_start", "a.mp4,1", "a.mp4,2"],
        ".jsonl": [json.dumps({"media_path": "a.mp4", "window_start": n}) for n in (1, 2)],
    }[suffix]
    path.write_bytes(newline.join(lines).encode())
    key = Key("a.mp4 @ 2-end s")
    change_window(path, Change(what="remove", key=key, with_row=True, caption=digest_of("")))
    assert path.read_bytes() == newline.join(lines[:-1]).encode()


def test_numbers_are_written_as_the_file_has_them(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    rows: list[dict[str, Any]] = [{"media_path": "a.mp4"}, {"media_path": "b.mp4"}]
    path.write_text(json.dumps(rows))
    change_window(path, setting("a.mp4", 2.5, 7.0))
    assert json.loads(path.read_text())[0] == {
        "media_path": "a.mp4",
        "window_start": 2.5,
        "window_end": 7,
    }
    rows[1]["window_start"] = "1.50"
    path.write_text(json.dumps(rows))
    change_window(path, setting("a.mp4", 2.0, None))
    assert json.loads(path.read_text())[0] == {"media_path": "a.mp4", "window_start": "2"}


def test_rows_of_one_name_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path, ".json", [clip("a.mp4", "first"), clip("a.mp4", "second")])
    done = change_window(path, setting("a.mp4", 1.0, None, nth=1))
    assert [read_span(row) for row in load_manifest(path).rows] == [Span(), Span(1.0)]
    assert (done.key, done.row) == (Key("a.mp4 @ 1-end s"), 1)
    assert done.after == (Key("a.mp4"), Key("a.mp4 @ 1-end s"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setting("gone.mp4", 1.0, None), "changed or removed by another program"),
        (setting("a.mp4", 4.0, None), "row 2 has this window already"),
        (Change(what="add", key=Key("a.mp4")), "row 1 has this window already"),
        (Change(what="remove", key=Key("a.mp4 @ 4-end s")), "came or went meanwhile"),
        (Change(what="remove", key=Key("b.mp4 @ 1-2 s"), with_row=True), "came or went meanwhile"),
        (
            Change(what="remove", key=Key("a.mp4 @ 4-end s"), with_row=True, caption=1),
            "caption was changed by another program",
        ),
    ],
)
def test_what_is_otherwise_than_it_was_known_is_left_alone(
    tmp_path: Path, change: Change, words: str
) -> None:
    rows = [
        clip("a.mp4"),
        clip("a.mp4") | {START_COLUMN: "4"},
        clip("b.mp4") | {START_COLUMN: "1", END_COLUMN: "2"},
    ]
    path = write(tmp_path, ".json", rows)
    was = path.read_bytes()
    with pytest.raises(DatasetError, match=words) as raised:
        change_window(path, change)
    assert raised.value.remedy
    assert path.read_bytes() == was


def test_windows_that_make_no_sense(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv", [clip("a.mp4")])
    for start, end in ((2.0, 2.0), (3.0, 1.0), (-1.0, None), (2.0, 2.0004)):
        with pytest.raises(UsageError, match="before it starts"):
            change_window(path, setting("a.mp4", start, end))
    with pytest.raises(UsageError, match="has no window"):
        change_window(path, Change(what="remove", key=Key("a.mp4")))


def test_a_change_of_nothing_writes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv", [clip("a.mp4") | {START_COLUMN: "1", END_COLUMN: ""}])
    path.chmod(0o444)
    before = path.stat().st_mtime_ns
    done = change_window(path, setting("a.mp4 @ 1-end s", 1.0, None))
    assert done.before == done.after
    assert path.stat().st_mtime_ns == before
    with pytest.raises(DatasetError, match="read-only"):
        change_window(path, setting("a.mp4 @ 1-end s", 2.0, None))


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        change_window(tmp_path / "none.json", setting("a.mp4", 1.0, None))
    (tmp_path / "a.json").write_text('[{"file": "a.mp4"}]')
    with pytest.raises(DatasetError, match="no column of media paths"):
        change_window(tmp_path / "a.json", setting("a.mp4", 1.0, None))


def test_what_another_program_writes_at_the_last_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, ".json", [clip("a.mp4"), clip("b.mp4")])
    real = rewrite.atomic_path
    others = [[clip("b.mp4", "new"), clip("a.mp4", "new")]]

    def late(target: Path) -> Any:
        if others:
            write(tmp_path, ".json", others.pop())
        return real(target)

    monkeypatch.setattr(rewrite, "atomic_path", late)
    done = change_window(path, setting("a.mp4", 1.0, 2.0))
    assert done.row == 1
    assert cells(path) == [clip("b.mp4", "new"), clip("a.mp4", "new")]
    assert read_span(load_manifest(path).rows[1]) == Span(1.0, 2.0)


def test_a_file_that_keeps_changing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, ".json", [clip("a.mp4")])
    real, count = rewrite.atomic_path, iter(range(100))

    def late(target: Path) -> Any:
        write(tmp_path, ".json", [clip("a.mp4", str(next(count)))])
        return real(target)

    monkeypatch.setattr(rewrite, "atomic_path", late)
    with pytest.raises(DatasetError, match="keeps changing"):
        change_window(path, setting("a.mp4", 1.0, 2.0))
    assert [*tmp_path.iterdir()] == [path]

"""Rows taken out of dataset files and given back: all else stays, and nothing is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.dataset import rewrite
from engine.dataset.caption_db import Key
from engine.dataset.give_back import give_back
from engine.dataset.keyed_rows import Moved
from engine.dataset.manifest import load_manifest
from engine.dataset.take_out import take_out
from engine.dataset.taken_rows import FILE, TakenRows
from engine.errors import DatasetError, UsageError
from tests.unit.test_write_windows import FORMATS, TEXT, clip, write

NAMES = st.sampled_from(["a.mp4", "b.mp4", "c 3.mov", "ä.mp4", ""])


def store_of(path: Path) -> TakenRows:
    return TakenRows(path.parent / ".ltx-tui", path)


def out(path: Path, *keys: Key, names: tuple[str, ...] = (), **more: Any) -> Moved:
    return take_out(path, store_of(path), keys=keys, names=names, **more)


def back(path: Path, *names: str) -> Moved:
    return give_back(path, store_of(path), names=names)


def captions(path: Path) -> list[object]:
    return [row["caption"] for row in load_manifest(path).rows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    suffix=st.sampled_from([*FORMATS]),
    rows=st.lists(st.tuples(NAMES, TEXT), min_size=1, max_size=7),
    seed=st.integers(0, 1000),
)
def test_rows_go_byte_by_byte_and_come_back(
    tmp_path: Path, suffix: str, rows: list[tuple[str, str]], seed: int
) -> None:
    (tmp_path / ".ltx-tui" / FILE).unlink(missing_ok=True)
    made = [clip(*row) for row in rows]
    path = write(tmp_path, suffix, made)
    was = path.read_bytes()
    chance = random.Random(seed)
    left = [*range(len(made))]
    while left and chance.random() < 0.8:
        gone = sorted(chance.sample(left, chance.randint(1, len(left))))
        places = [left.index(row) for row in gone]
        keys = [out(path).before[place] for place in places]
        moved = out(path, *keys)
        assert moved.rows == tuple(places)
        assert moved.captions == tuple(made[row]["caption"] for row in gone)
        left = [row for row in left if row not in gone]
        assert [dict(row) for row in load_manifest(path).rows] == [made[row] for row in left]
        if left:  # of JSON the space between rows stays with them
            assert path.read_bytes() == FORMATS[suffix]([made[row] for row in left]).encode()
    count = len(left)
    while count < len(made):
        given_back = back(path)
        assert not given_back.there
        count += len(given_back.keys)
    assert [dict(row) for row in load_manifest(path).rows] == made
    assert path.read_bytes() == was
    assert not [rows for _, rows in store_of(path).left() if rows]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("gone", [(0,), (1,), (3,), (0, 1), (1, 2), (2, 3), (0, 2), (1, 2, 3)])
def test_a_file_is_as_it_was_to_the_byte(
    tmp_path: Path, suffix: str, gone: tuple[int, ...]
) -> None:
    rows = [clip(f"{n}.mp4", f'"{n}",\n ü') for n in range(4)]
    path = write(tmp_path, suffix, rows)
    was = path.read_bytes()
    out(path, *(Key(f"{n}.mp4") for n in gone))
    left = [row for n, row in enumerate(rows) if n not in gone]
    assert path.read_bytes() == FORMATS[suffix](left).encode()
    assert back(path).rows == gone
    assert path.read_bytes() == was


def test_a_row_keeps_how_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    odd = '{"media_path":"a.mp4", "caption":"\\u00fc\\ud800", "fps": 24.0, "n": NaN, "x": [1, {}]}'
    path.write_text(f'[\n {odd},\n {{"media_path": "b.mp4", "caption": "c"}}\n]\n')
    was = path.read_bytes()
    out(path, Key("a.mp4"))
    assert path.read_text() == '[\n {"media_path": "b.mp4", "caption": "c"}\n]\n'
    back(path)
    assert path.read_bytes() == was


def test_a_row_comes_near_its_old_place_in_a_file_that_was_changed(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv", [clip(f"{n}.mp4", str(n)) for n in range(6)])
    out(path, Key("2.mp4"), Key("3.mp4"), Key("5.mp4"))
    write(tmp_path, ".csv", [clip(name, name[0]) for name in ("new.mp4", "0.mp4", "1.mp4")])
    assert back(path).rows == (3, 4, 5)
    assert captions(path) == ["n", "0", "1", "2", "3", "5"]
    out(path, Key("2.mp4"), Key("3.mp4"))
    back(path, "3.mp4")
    back(path, "2.mp4")
    assert captions(path) == ["n", "0", "1", "2", "3", "5"]


def test_in_a_file_that_is_written_otherwise_by_now_rows_come_last(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv", [clip("a.mp4", "one"), clip("b.mp4", "two")])
    out(path, Key("a.mp4"))
    path.write_text("fps;media_path;caption\n24;b.mp4;two\n")
    assert back(path).rows == (1,)
    assert path.read_text() == "fps;media_path;caption\n24;b.mp4;two\n;a.mp4;one\n"


def test_a_column_that_came_meanwhile_is_empty_in_the_row(tmp_path: Path) -> None:
    path = tmp_path / "dataset.csv"
    path.write_text("media_path,caption\na.mp4,one\nb.mp4,two\n")
    out(path, Key("a.mp4"))
    path.write_text("media_path,caption,fps\nb.mp4,two,24\n")
    back(path)
    assert path.read_text() == "media_path,caption,fps\na.mp4,one\nb.mp4,two,24\n"


def test_a_clip_that_has_a_row_again_gets_no_other(tmp_path: Path) -> None:
    rows = [clip("a.mp4", "one"), clip("b.mp4", "two")]
    path = write(tmp_path, ".json", rows)
    out(path, Key("a.mp4"), Key("b.mp4"))
    write(tmp_path, ".json", [clip("a.mp4", "mine")])
    done = back(path)
    assert (done.keys, done.there) == ((Key("b.mp4"),), ("a.mp4",))
    assert captions(path) == ["mine", "two"]
    with pytest.raises(UsageError, match="are there again"):
        back(path)
    assert back(path, "a.mp4").there == ("a.mp4",)
    # What waits can be had as soon as there is room for it.
    write(tmp_path, ".json", [clip("b.mp4", "two")])
    assert back(path).keys == (Key("a.mp4"),)
    assert captions(path) == ["one", "two"]


def test_windows_and_rows_that_are_called_the_same_are_told_apart(tmp_path: Path) -> None:
    window = clip("a.mp4", "part") | {"window_start": "1", "window_end": "2"}
    whole = [
        clip("a.mp4", text) | {"window_start": "", "window_end": ""} for text in ("one", "two")
    ]
    path = write(tmp_path, ".jsonl", [whole[0], window, whole[1]])
    assert out(path, names=("a.mp4 #1",)).captions == ("one",)
    assert captions(path) == ["part", "two"]
    assert out(path, names=("a.mp4 @ 1-2 s",)).captions == ("part",)
    back(path)
    back(path)
    assert captions(path) == ["one", "part", "two"]
    assert out(path, names=("a.mp4",)).captions == ("one", "two")
    assert captions(path) == ["part"]


def test_what_cannot_be_done_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, ".json", [clip("clips/a.mp4"), clip("b.mp4", "was")])
    was = path.read_bytes()
    with pytest.raises(UsageError, match=r"no row is called clip/a.mp4") as raised:
        out(path, names=("b.mp4", "clip/a.mp4"))
    assert raised.value.remedy == "did you mean clips/a.mp4?"
    with pytest.raises(DatasetError, match=r"the row of gone.mp4 was changed or removed"):
        out(path, Key("b.mp4"), Key("gone.mp4"))
    with pytest.raises(DatasetError, match=r"caption of b.mp4 is not saved") as late:
        out(path, Key("b.mp4"), drafts={Key("b.mp4"): "typed"})
    assert late.value.row == 2
    with pytest.raises(UsageError, match="no row was taken out"):
        back(path)
    path.chmod(0o444)
    with pytest.raises(DatasetError, match="read-only"):
        out(path, Key("b.mp4"))
    assert path.read_bytes() == was
    assert store_of(path).left() == []
    path.chmod(0o644)
    out(path, Key("b.mp4"), drafts={Key("b.mp4"): "was"})
    with pytest.raises(UsageError, match=r"no row was taken out that was called a.mp4"):
        back(path, "a.mp4")
    with pytest.raises(DatasetError, match="cannot be read"):
        out(tmp_path / "none.json", Key("b.mp4"))


def test_rows_are_on_the_disk_before_they_are_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, ".json", [clip("a.mp4", "one"), clip("b.mp4")])

    def fails(_target: Path) -> Any:
        [(taken, rows)] = store_of(path).left()
        assert taken.rows[rows[0]].values == clip("a.mp4", "one")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(rewrite, "atomic_path", fails)
        with pytest.raises(OSError, match="No space"):
            out(path, Key("a.mp4"))
    # They are there still, and are not said to be out.
    assert store_of(path).left() == []
    # A power cut in that very moment: half a line, or a whole one of a row that is still there.
    out(path, Key("a.mp4"))
    file = store_of(path).path
    write(tmp_path, ".json", [clip("a.mp4", "one"), clip("b.mp4")])
    file.write_bytes(file.read_bytes() + b'{"what": "out", "id')
    out(path, Key("b.mp4"))
    assert back(path).keys == (Key("b.mp4"),)
    with pytest.raises(UsageError, match="are there again"):
        back(path)
    assert captions(path) == ["one", "c"]


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
    assert out(path, Key("a.mp4")).captions == ("new",)
    assert captions(path) == ["new"]
    [(taken, _)] = store_of(path).left()
    assert taken.rows[0].values == clip("a.mp4", "new")


def test_another_dataset_of_the_project_has_rows_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, ".json", [clip("a.mp4")])
    other = write(tmp_path, ".csv", [clip("a.mp4")])
    out(path, Key("a.mp4"))
    with pytest.raises(UsageError, match="no row was taken out"):
        back(other)
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    assert back(moved / path.name).keys == (Key("a.mp4"),)
    assert json.loads((moved / path.name).read_text()) == [clip("a.mp4")]

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset import manifest as module
from engine.dataset.manifest import ConflictError, load_manifest
from engine.dataset.merge import merge
from engine.errors import DatasetError

ROWS = [
    {"media_path": "a.mp4", "caption": "one", "score": 1.0},
    {"media_path": "b.mp4", "caption": "two", "score": 2.0},
    {"media_path": "b.mp4", "caption": "two again", "score": 3.0},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(ROWS))
    return path


def elsewhere(path, rows):
    path.write_text(json.dumps(rows, indent=4))


def test_saving_writes_the_edit_and_leaves_no_other_file(file):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "uno")
    assert loaded.is_changed
    loaded.save()
    assert not loaded.is_changed
    assert file.read_text() == json.dumps(ROWS).replace('"one"', '"uno"')
    assert [path.name for path in file.parent.iterdir()] == ["dataset.json"]
    loaded.set(0, "caption", "eins")
    loaded.save()
    assert load_manifest(file).rows[0]["caption"] == "eins"


def test_saving_without_an_edit_touches_nothing(file):
    loaded = load_manifest(file)
    elsewhere(file, [])
    before = file.stat().st_mtime_ns
    loaded.save()
    assert file.stat().st_mtime_ns == before


def test_a_link_stays_a_link(file, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(file)
    loaded = load_manifest(link)
    loaded.set(0, "caption", "uno")
    loaded.save()
    assert link.is_symlink()
    assert "uno" in file.read_text()


def test_an_edit_is_merged_into_what_was_changed_elsewhere(file):
    loaded = load_manifest(file)
    loaded.set(1, "caption", "dos")
    loaded.set(2, "new", "n")
    loaded.append({"media_path": "c.mp4"})
    theirs = [
        {"media_path": "new.mp4", "caption": "theirs"},
        ROWS[1] | {"score": 5.0},
        ROWS[0] | {"caption": "changed"},
        ROWS[2],
    ]
    elsewhere(file, theirs)
    loaded.save()
    theirs[1]["caption"] = "dos"
    theirs[3]["new"] = "n"
    expected = [*theirs, {"media_path": "c.mp4"}]
    assert json.loads(file.read_text()) == expected
    assert list(loaded.rows) == expected
    assert file.read_text().startswith('[\n    {\n        "media_path": "new.mp4"')


def test_the_same_edit_on_both_sides_is_no_conflict(file):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "uno")
    loaded.append({"media_path": "c.mp4"})
    theirs = [ROWS[0] | {"caption": "uno"}, *ROWS[1:], {"media_path": "c.mp4"}]
    elsewhere(file, theirs)
    loaded.save()
    assert json.loads(file.read_text()) == theirs


def test_a_conflict_writes_nothing_and_can_be_decided_either_way(file):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "ours")
    loaded.set(1, "caption", "ours too")
    theirs = [ROWS[0] | {"caption": "theirs"}, ROWS[1] | {"caption": "theirs too"}, ROWS[2]]
    elsewhere(file, theirs)
    before = file.read_bytes()
    with pytest.raises(ConflictError) as caught:
        loaded.save()
    assert file.read_bytes() == before
    for words in [str(file), "row 1", "column 'caption'", "conflict", "1 more"]:
        assert words in str(caught.value)
    first, second = caught.value.conflicts
    assert (first.base, first.ours, first.theirs) == ("one", "ours", "theirs")
    loaded.resolve(first, keep_ours=True)
    loaded.resolve(second, keep_ours=False)
    loaded.save()
    assert [row["caption"] for row in json.loads(file.read_text())] == [
        "ours",
        "theirs too",
        "two again",
    ]


def test_an_agreement_is_about_the_value_that_was_seen(file):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "ours")
    elsewhere(file, [ROWS[0] | {"caption": "theirs"}])
    with pytest.raises(ConflictError) as caught:
        loaded.save()
    loaded.resolve(caught.value.conflicts[0], keep_ours=True)
    elsewhere(file, [ROWS[0] | {"caption": "newer"}])
    with pytest.raises(ConflictError):
        loaded.save()
    assert "newer" in file.read_text()


def test_an_edited_row_that_is_gone_is_asked_about(file):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "ours")
    loaded.set(0, "score", 9)
    elsewhere(file, ROWS[1:])
    with pytest.raises(ConflictError) as caught:
        loaded.save()
    assert all(conflict.row_is_gone for conflict in caught.value.conflicts)
    for conflict in caught.value.conflicts:
        loaded.resolve(conflict, keep_ours=True)
    loaded.save()
    expected = [*ROWS[1:], {"media_path": "a.mp4", "caption": "ours", "score": 9}]
    assert json.loads(file.read_text()) == expected


def test_of_doubles_none_is_guessed(file):
    loaded = load_manifest(file)
    loaded.set(2, "caption", "ours")
    elsewhere(file, ROWS[:2])
    with pytest.raises(ConflictError, match="removed, renamed or doubled"):
        loaded.save()


def test_a_file_that_became_unreadable_is_left_alone(file):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "ours")
    file.write_text("[{")
    with pytest.raises(DatasetError):
        loaded.save()
    assert file.read_text() == "[{"
    assert loaded.is_changed


def test_a_file_that_was_removed_is_written_again(file):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "ours")
    file.unlink()
    loaded.save()
    assert json.loads(file.read_text())[0]["caption"] == "ours"


def test_a_change_at_the_last_moment_is_merged_too(file, monkeypatch):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "ours")
    real, calls = module.atomic_path, []

    def slow(target):
        if not calls:
            elsewhere(file, [*ROWS, {"media_path": "late.mp4"}])
        calls.append(1)
        return real(target)

    monkeypatch.setattr(module, "atomic_path", slow)
    loaded.save()
    saved = json.loads(file.read_text())
    assert saved[0]["caption"] == "ours"
    assert saved[-1] == {"media_path": "late.mp4"}
    assert len(calls) == 2


def test_a_file_that_never_rests_is_given_up(file, monkeypatch):
    loaded = load_manifest(file)
    loaded.set(0, "caption", "ours")
    real, calls = module.atomic_path, []

    def busy(target):
        calls.append(1)
        elsewhere(file, [*ROWS, {"media_path": f"{len(calls)}.mp4"}])
        return real(target)

    monkeypatch.setattr(module, "atomic_path", busy)
    with pytest.raises(DatasetError, match="keeps changing"):
        loaded.save()
    assert "ours" not in file.read_text()


def test_csv_rows_are_merged_by_the_named_key_column(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("clip,caption\r\na.mp4,one\r\nb.mp4,two\r\n")
    loaded = load_manifest(path, key_column="clip")
    loaded.set(1, "caption", "dos")
    path.write_text("clip;caption;extra\nb.mp4;two;1\na.mp4;uno;2\n")
    loaded.save()
    assert path.read_text() == "clip;caption;extra\nb.mp4;dos;1\na.mp4;uno;2\n"


def test_without_a_key_only_an_unchanged_row_is_edited():
    base = [{"x": 1, "c": "a"}, {"x": 2, "c": "b"}]
    theirs = [{"x": 0}, {"x": 2, "c": "b"}, {"x": 1, "c": "z"}]
    edits, conflicts = merge(base, {(0, "c"): "n", (1, "c"): "m"}, theirs, "", {})
    assert edits == {(1, "c"): "m"}
    assert [conflict.row for conflict in conflicts] == [0]


captions = st.sampled_from(["", "one", "two", "three"])
tables = st.dictionaries(st.sampled_from("abcd"), captions, max_size=4)


@given(tables, tables, tables)
@settings(deadline=None, max_examples=150)
def test_no_edit_of_either_side_is_ever_lost(base, ours, theirs):
    rows = [{"media_path": key, "caption": value} for key, value in base.items()]
    there = [{"media_path": key, "caption": value} for key, value in theirs.items()]
    edits = {
        (index, "caption"): ours[row["media_path"]]
        for index, row in enumerate(rows)
        if ours.get(row["media_path"], row["caption"]) != row["caption"]
    }
    merged, conflicts = merge(rows, edits, there, "media_path", {})
    result = [dict(row) for row in there]
    for (row, column), value in merged.items():
        result[row][column] = value
    outcome = {row["media_path"]: row["caption"] for row in result}
    in_conflict = {conflict.row for conflict in conflicts}
    for index, row in enumerate(rows):
        key = row["media_path"]
        edited = (index, "caption") in edits
        theirs_changed = theirs.get(key) != base[key]
        if edited and index not in in_conflict:
            assert outcome[key] == ours[key]
            assert not theirs_changed or theirs[key] == ours[key]
        else:
            assert outcome.get(key) == theirs.get(key)
    assert set(outcome) == set(theirs)

import codecs
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset.manifest import Manifest
from engine.errors import DatasetError

quick = settings(deadline=None, max_examples=100)

cells = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    st.text(st.sampled_from('ab,;\t|"\r\n é'), max_size=8),
)
encodings = st.sampled_from(
    [(b"", "utf-8"), (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le")]
)
newlines = st.sampled_from(["\n", "\r\n", "\r"])


def quoted(value):
    return '"' + value.replace('"', '""') + '"'


@st.composite
def csv_files(draw):
    """Return (text, delimiter, rows): every cell quoted or not, as a file may have it."""
    delimiter = draw(st.sampled_from(",;\t|"))
    width = draw(st.integers(2, 4))
    header = [f"column {place}" for place in range(width)]
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=4))

    def written(value):
        must = any(sign in value for sign in f'{delimiter}"\r\n')
        return quoted(value) if must or draw(st.booleans()) else value

    text = ""
    for row in [header, *rows]:
        text += delimiter.join(map(written, row)) + draw(newlines) * draw(st.integers(1, 2))
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return text, delimiter, rows


def reparsed(text, delimiter):
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return list(reader)


def manifest(text, name="a.csv"):
    return Manifest(Path(name), text.encode() if isinstance(text, str) else text)


@given(csv_files(), encodings)
@quick
def test_an_untouched_file_comes_back_byte_for_byte(file, encoding):
    text, delimiter, _ = file
    data = encoding[0] + text.encode(encoding[1])
    loaded = manifest(data)
    assert loaded.to_bytes() == data
    assert loaded.rows == reparsed(text, delimiter)


@given(csv_files(), st.data())
@quick
def test_an_edit_changes_its_cell_and_no_other_byte(file, data):
    text, delimiter, rows = file
    if not rows:
        return
    loaded = manifest(text)
    row = data.draw(st.integers(0, len(rows) - 1))
    place = data.draw(st.integers(0, len(rows[0]) - 1))
    value = data.draw(cells)
    loaded.set(row, f"column {place}", value)
    changed = loaded.to_bytes().decode()
    expected = reparsed(text, delimiter)
    expected[row][f"column {place}"] = value
    assert reparsed(changed, delimiter) == expected == list(loaded.rows)
    cell = loaded._document._rows[row][place]
    assert changed[: cell.start] == text[: cell.start]
    assert changed.endswith(text[cell.end :])
    was_quoted = text[cell.start : cell.end].startswith('"')
    now_quoted = changed[cell.start : len(changed) - len(text) + cell.end].startswith('"')
    assert now_quoted or not was_quoted


@given(csv_files(), st.data())
@quick
def test_new_columns_and_rows_keep_the_table_whole(file, data):
    text, delimiter, rows = file
    loaded = manifest(text)
    expected = reparsed(text, delimiter)
    changed_rows = data.draw(st.sets(st.integers(0, len(rows) - 1))) if rows else set()
    for row in changed_rows:
        loaded.set(row, "new, column", "x")
    added = data.draw(st.lists(st.fixed_dictionaries({"column 0": cells, "z": cells}), max_size=2))
    for row in added:
        loaded.append(row)
    changed = loaded.to_bytes().decode()
    new = (["new, column"] if changed_rows else []) + (["z"] if added else [])
    for index, row in enumerate(expected):
        row.update(dict.fromkeys(new, ""))
        if index in changed_rows:
            row["new, column"] = "x"
    names = [*manifest(text).columns, *new]
    expected += [{name: row.get(name, "") for name in names} for row in added]
    assert reparsed(changed, delimiter) == expected
    assert list(manifest(changed).columns) == names
    remains = iter(changed)
    assert all(character in remains for character in text.strip("\r\n"))


def test_only_the_edited_bytes_differ():
    text = 'media_path;caption;note\r\n"a.mp4";"old ""one""";x\n\r\nb.mp4;plain;"y"'
    loaded = manifest(codecs.BOM_UTF8 + text.encode())
    loaded.set(0, "caption", 'new "two"')
    loaded.set(1, "caption", "with ; in it")
    expected = text.replace('old ""one""', 'new ""two""').replace("plain", '"with ; in it"')
    assert loaded.to_bytes() == codecs.BOM_UTF8 + expected.encode()


def test_a_file_that_the_old_reader_got_wrong_reads_as_csv_does():
    text = 'media_path,caption\na.mp4,he said "hi"\nb.mp4,"quoted" then not\nc.mp4\nd.mp4,x,\n,\n'
    loaded = manifest(text)
    assert [row["caption"] for row in loaded.rows] == [
        'he said "hi"',
        "quoted then not",
        "",
        "x",
        "",
    ]
    loaded.set(2, "caption", "three")
    loaded.set(3, "caption", "four")
    loaded.set(0, "new", "n")
    assert loaded.to_bytes().decode() == (
        'media_path,caption,new\na.mp4,he said "hi",n\nb.mp4,"quoted" then not,""\n'
        "c.mp4,three,\nd.mp4,four,\n,,\n"
    )


def test_a_single_column_needs_no_delimiter():
    loaded = manifest("caption\none\n\ntwo\n")
    assert [row["caption"] for row in loaded.rows] == ["one", "two"]
    loaded.set(0, "caption", "")
    loaded.set(1, "caption", "a,b")
    assert loaded.to_bytes() == b'caption\n""\n\n"a,b"\n'


def test_a_lone_cell_of_a_short_row_may_become_empty():
    loaded = manifest("a,b\nx\ny,z\n")
    loaded.set(0, "a", "")
    assert loaded.to_bytes() == b"a,b\n,\ny,z\n"
    assert len(manifest(loaded.to_bytes()).rows) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n", "a,b\n1,\n"),
        ("a,b", "a,b\n1,"),
        ('a,b\r\n"x","y"\r\n', 'a,b\r\n"x","y"\r\n"1",""\r\n'),
        ("a\n", "a\n1\n"),
    ],
)
def test_a_new_row_is_written_like_the_last_one(text, expected):
    loaded = manifest(text)
    loaded.append({"a": 1})
    assert loaded.to_bytes().decode() == expected


def test_columns_without_a_name_are_kept():
    loaded = manifest(",media_path\n0,a.mp4\n")
    assert loaded.columns == ("Unnamed: 0", "media_path")
    loaded.set(0, "media_path", "b.mp4")
    assert loaded.to_bytes() == b",media_path\n0,b.mp4\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("a,b,a\n", ["column 'a'", "twice"]),
        ('a,b\n1,2\n\n3,"4\n5,6\n', ["line 4", "never closed"]),
        ("a,b\n1,2\n3,one, two\n", ["row 2", "line 3", "3 cells", "double quotes"]),
        (b"a,b\n1,\xe9\n", ["line 2", "not UTF-8"]),
    ],
)
def test_a_bad_file_names_the_file_the_row_and_the_line(text, named):
    with pytest.raises(DatasetError) as caught:
        manifest(text)
    for words in ["a.csv", *named]:
        assert words in str(caught.value)
    assert caught.value.remedy


def test_what_cannot_be_encoded_is_refused_when_it_is_set():
    loaded = manifest("a\n1\n")
    with pytest.raises(DatasetError, match="row 1, column 'a'"):
        loaded.set(0, "a", "\ud800")
    loaded.set(0, "a", None)
    assert loaded.rows[0]["a"] == ""

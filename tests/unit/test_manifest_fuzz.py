"""Whatever the bytes: a dataset loads and can be written back, or the error is one for users."""

import csv
import io
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.dataset.manifest import Manifest
from engine.errors import DatasetError

names = st.sampled_from(["a.json", "a.jsonl", "a.csv", "a.tsv"])
signs = ['"', "{", "}", "[", "]", ":", ",", ";", "\t", "\n", "\r\n", "\r", " ", "\\"]
letters = ["a", "b", "1", "null", "é", "\ufeff", "\x00", "\u2028"]
structure = st.lists(st.sampled_from([*signs, *letters]), max_size=20).map(
    lambda parts: "".join(parts).encode()
)


def load(name, data):
    """Return the manifest, or the error."""
    try:
        return Manifest(Path(name), data)
    except DatasetError as error:
        return error


@given(names, st.one_of(st.binary(max_size=30), structure))
@settings(deadline=None, max_examples=400)
def test_a_file_loads_and_is_written_back_or_is_refused(name, data):
    loaded = load(name, data)
    if isinstance(loaded, DatasetError):
        assert loaded.remedy
        assert loaded.file == Path(name)
        return
    assert loaded.to_bytes() == data
    for row in range(len(loaded.rows)):
        loaded.set(row, "caption", "new")
    again = Manifest(Path(name), loaded.to_bytes())
    assert [dict(row) for row in again.rows] == [dict(row) for row in loaded.rows]


plain = st.text(st.sampled_from('ab,"\n é'), max_size=25)


@given(plain)
@example('"a"b"c,d')
@example(' "a",b')
@example('""",')
@settings(deadline=None, max_examples=300)
def test_csv_cells_are_what_the_csv_module_reads(text):
    text = "h,i\n" + text
    loaded = load("a.csv", text.encode())
    if isinstance(loaded, DatasetError):
        return
    expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row][1:]
    expected = [row for row in expected if len(row) > 1 or row[0].strip()]
    assert [list(row.values()) for row in loaded.rows] == [
        [*row, ""][:2] if len(row) < 2 else row[:2] for row in expected
    ]

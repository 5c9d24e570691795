import codecs
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset.manifest import Manifest, cell_text, load_manifest
from engine.errors import DatasetError

quick = settings(deadline=None, max_examples=70)

MARKS = {
    "utf-8": [b"", codecs.BOM_UTF8],
    "utf-16-le": [codecs.BOM_UTF16_LE],
    "utf-16-be": [codecs.BOM_UTF16_BE],
    "utf-32-le": [codecs.BOM_UTF32_LE],
}
encodings = st.sampled_from([(mark, codec) for codec, marks in MARKS.items() for mark in marks])
spaces = st.sampled_from(["", "", " ", "  ", "\n", "\r\n", "\t", "\n    "])
inline = st.sampled_from(["", "", " ", "  ", "\t"])
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.sampled_from(["1", "1.0", "1e5", "-0", "1E+2", "123456789012345678901234567890"])


@st.composite
def tokens(draw):
    """Return the text of a JSON value, spelt in one of the ways that JSON allows."""
    text = draw(words)
    return draw(
        st.one_of(
            numbers,
            st.sampled_from(["null", "true", "false", "NaN", "Infinity", "[1, {}]", '{"a" :1}']),
            st.sampled_from(
                [
                    json.dumps(text),
                    json.dumps(text, ensure_ascii=False),
                    json.dumps(text).replace("/", "\\/"),
                    '"\\u0041\\ud800"',
                ]
            ),
        )
    )


@st.composite
def objects(draw, space):
    keys = draw(st.lists(words, max_size=4, unique=True))
    pairs = []
    for key in keys:
        name = json.dumps(key, ensure_ascii=draw(st.booleans()))
        gaps = [draw(space) for _ in range(4)]
        pairs.append(f"{gaps[0]}{name}{gaps[1]}:{gaps[2]}{draw(tokens())}{gaps[3]}")
    return "{" + (",".join(pairs) or draw(space)) + "}"


@st.composite
def json_texts(draw):
    rows = draw(st.lists(objects(spaces), max_size=4))
    gaps = [draw(spaces) + row + draw(spaces) for row in rows]
    text = draw(spaces) + "[" + (",".join(gaps) or draw(spaces)) + "]" + draw(spaces)
    if rows and draw(st.booleans()):
        text = f'{{"v": 2, "clips":{text}, "note" : "x"}}{draw(spaces)}'
    return text


@st.composite
def jsonl_texts(draw):
    lines = draw(st.lists(st.one_of(objects(inline), inline), max_size=5))
    newline = st.sampled_from(["\n", "\r\n"])
    return "".join(draw(inline) + line + draw(inline) + draw(newline) for line in lines) + draw(
        st.one_of(st.just(""), objects(inline))
    )


files = st.one_of(
    st.tuples(st.just("a.json"), json_texts()), st.tuples(st.just("a.jsonl"), jsonl_texts())
)


def parsed(name, text):
    if name.endswith("l"):
        return [json.loads(line) for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    data = json.loads(text)
    return data if isinstance(data, list) else data["clips"]


def manifest(text, name="a.json"):
    return Manifest(Path(name), text.encode() if isinstance(text, str) else text)


@given(files, encodings)
@quick
def test_an_untouched_file_comes_back_byte_for_byte(file, encoding):
    name, text = file
    mark, codec = encoding
    data = mark + text.encode(codec)
    loaded = manifest(data, name)
    assert loaded.to_bytes() == data
    assert repr([dict(row) for row in loaded.rows]) == repr(parsed(name, text))


@given(files, encodings, st.data())
@quick
def test_an_edit_changes_its_value_and_no_other_byte(file, encoding, data):
    name, text = file
    mark, codec = encoding
    loaded = manifest(mark + text.encode(codec), name)
    before = parsed(name, text)
    places = [(row, column) for row, values in enumerate(before) for column in values]
    if not places:
        return
    row, column = data.draw(st.sampled_from(places))
    value = data.draw(st.one_of(st.text(), st.none(), st.integers(), st.just([1, "é"])))
    loaded.set(row, column, value)
    changed = loaded.to_bytes()[len(mark) :].decode(codec)
    before[row][column] = value
    assert repr(parsed(name, changed)) == repr(before)
    common = 0
    while common < min(len(text), len(changed)) and text[common] == changed[common]:
        common += 1
    # Whatever follows the edited value stands unchanged at the end of the new text.
    pair = loaded._document._items[row].pairs[column]
    assert common >= pair.start or changed == text
    assert changed[: pair.start] == text[: pair.start]
    assert changed.endswith(text[pair.end :])
    assert len(changed) >= pair.start + len(text) - pair.end


@given(files, st.data())
@quick
def test_new_columns_and_rows_are_added_and_nothing_is_taken(file, data):
    name, text = file
    loaded = manifest(text, name)
    before = parsed(name, text)
    added = {"new column": "v", "second": 2}
    for row in range(len(before)):
        if data.draw(st.booleans()):
            for column, value in added.items():
                loaded.set(row, column, value)
                before[row][column] = value
    rows = data.draw(st.lists(st.dictionaries(words, words, max_size=3), max_size=2))
    for row in rows:
        loaded.append(row)
    assert repr(loaded.rows) == repr([*before, *rows])
    changed = loaded.to_bytes().decode()
    assert repr(parsed(name, changed)) == repr([*before, *rows])
    if not before:
        return  # the space inside empty brackets makes way for the first row
    remains = iter(changed)
    assert all(character in remains for character in text.strip(" \t\r\n"))


def test_setting_the_old_value_again_is_no_change():
    loaded = manifest('[{"caption": "a\\u0062", "n": 1.0}]')
    loaded.set(0, "caption", "x")
    loaded.set(0, "caption", "ab")
    assert not loaded.is_changed
    loaded.set(0, "n", 1)
    assert loaded.to_bytes() == b'[{"caption": "a\\u0062", "n": 1}]'


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ('[{"a": "\\u00e9"}]', "ü", '[{"a": "\\u00fc"}]'),
        ('[{"a": "é"}]', "ü", '[{"a": "ü"}]'),
        ('[{"a": "x"}, {"a": "\\u00e9"}]', "ü", '[{"a": "\\u00fc"}, {"a": "\\u00e9"}]'),
        ('[{"a": "x"}]', "ü", '[{"a": "ü"}]'),
        ('[{"a": "x"}]', "\ud800", '[{"a": "\\ud800"}]'),
    ],
)
def test_escapes_follow_the_file(text, value, expected):
    loaded = manifest(text)
    loaded.set(0, "a", value)
    assert loaded.to_bytes().decode() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[\n  {\n    "a": 1\n  }\n]\n', '[\n  {\n    "a": 1,\n    "b": 2\n  }\n]\n'),
        ('[{"a":1}]', '[{"a":1,"b":2}]'),
        ('[{"a": 1}]', '[{"a": 1, "b": 2}]'),
        ("[{}]", '[{"b": 2}]'),
    ],
)
def test_a_new_key_is_laid_out_like_the_others(text, expected):
    loaded = manifest(text)
    loaded.set(0, "b", 2)
    assert loaded.to_bytes().decode() == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", "[]", '[\n  {\n    "a": 1,\n    "b": "x"\n  }\n]'),
        ("a.json", '[{"q":0}]', '[{"q":0}, {"a":1,"b":"x"}]'),
        (
            "a.json",
            '[\n {\n  "q": 0\n }\n]\n',
            '[\n {\n  "q": 0\n },\n {\n  "a": 1,\n  "b": "x"\n }\n]\n',
        ),
        ("a.jsonl", "", '{"a": 1, "b": "x"}\n'),
        ("a.jsonl", '{"q":0}\r\n', '{"q":0}\r\n{"a":1,"b":"x"}\r\n'),
        ("a.jsonl", '{"q":0}', '{"q":0}\n{"a":1,"b":"x"}'),
    ],
)  # fmt: skip
def test_a_new_row_is_laid_out_like_the_others(name, text, expected):
    loaded = manifest(text, name)
    loaded.append({"a": 1, "b": "x"})
    assert loaded.to_bytes().decode() == expected
    loaded.set(len(loaded.rows) - 1, "a", 2)
    assert loaded.to_bytes().decode() == expected.replace("1", "2")


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("a.json", "", ["is empty"]),
        ("a.json", "[", ["line 1, character 2"]),
        ("a.json", "{}", ["holds none"]),
        ("a.json", '{"a.mp4": "caption"}', ["holds none"]),
        ("a.json", '{"a": [{"x": 1}], "b": [{"x": 1}]}', ["several: 'a', 'b'"]),
        ("a.json", '{"a": 1}\n{"a": 2}\n', ["line 2", ".jsonl"]),
        ("a.json", '[{"a": 1}] x', ["line 1, character 12", "more text"]),
        ("a.json", '[{"a": 1},\n "x"]', ["row 2", "line 2, character 2", "an object"]),
        ("a.json", '[{"a": 1},\r\n {"b": 1, "b": 2}]', ["row 2", "line 2", "'b' is there twice"]),
        ("a.json", '[{"a": 1},\n]', ["row 2", "line 2"]),
        ("a.json", '[{"a": "tab\there"}]', ["row 1", "character 12: Invalid control character"]),
        ("a.json", '[{"a": ' + "[" * 100_000 + "}]", ["row 1", "nested too deeply"]),
        ("a.json", '[{"a": ' + "9" * 5000 + "}]", ["row 1", "digits"]),
        ("a.json", '[{1: 2}]', ["double quotes"]),
        ("a.json", b'[{"a": "\xff"}]', ["line 1", "byte 8 is not UTF-8", "as UTF-8"]),
        ("a.json", '[{"a": 1}]'.encode("utf-16-le"), ["NUL", "UTF-16"]),
        ("a.json", codecs.BOM_UTF16_LE + b"[\x00]", ["not UTF-16-LE"]),
        ("a.jsonl", '{"a": 1}\n\n{"a": \n1}', ["row 2", "line 3", "on one line"]),
        ("a.jsonl", '{"a": 1} {"a": 2}', ["row 1", "more text after the object"]),
        ("a.jsonl", '{"a": 1}\n[1]\n', ["row 2", "line 2", "an object"]),
        ("a.txt", "x", ["'.txt' is no dataset format", ".jsonl"]),
    ],
)  # fmt: skip
def test_a_bad_file_names_the_file_the_row_and_the_line(name, text, named):
    with pytest.raises(DatasetError) as caught:
        manifest(text, name)
    for words_ in [name, *named]:
        assert words_ in str(caught.value)
    assert caught.value.remedy


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        load_manifest(tmp_path / "none.json")


def test_lines_and_columns():
    loaded = manifest('[\r\n{"a": 1},\r{"b": 2, "a": 3}\n]')
    assert [loaded.line(row) for row in range(2)] == [2, 3]
    assert loaded.columns == ("a", "b")
    loaded.set(0, "c", 1)
    loaded.append({"d": 1})
    assert loaded.columns == ("a", "b", "c", "d")
    assert loaded.line(2) is None
    with pytest.raises(IndexError):
        loaded.set(3, "a", 1)
    with pytest.raises(DatasetError, match="cannot be written"):
        loaded.set(0, "a", {1, 2})


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (float("nan"), ""), ("nan", ""), ("NaN", ""), ("", ""), (3, "3"), (" a ", " a ")],
)
def test_a_cell_as_text(value, text):
    assert cell_text(value) == text

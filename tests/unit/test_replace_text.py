"""Find and replace over many captions: what is shown before is what is done."""

import json
import re
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset import replace_text
from engine.dataset.replace_text import Change, Found, Query, Search, replaced, search
from engine.dataset.write_captions import to_json
from engine.errors import UsageError

TEXT = st.text(st.sampled_from("aAbß. \n\ud83d"), max_size=30)
FIND = st.text(st.sampled_from("aAbß. "), min_size=1, max_size=3)


def test_text_is_found_whatever_the_case_unless_it_matters() -> None:
    query = Query(find="a.b", replace="X")
    assert search(query, ["A.b axb", "", "a.b"]).changes == (
        Change(text=0, start=0, old="A.b", new="X"),
        Change(text=2, start=0, old="a.b", new="X"),
    )
    strict = msgspec.structs.replace(query, case=True)
    assert [one.text for one in search(strict, ["A.b", "a.b"]).changes] == [1]
    assert search(Query(find="", replace="x"), ["a"]) == Found()
    assert search(Query(find="a", replace="a"), ["a"]) == Found()


def test_groups_of_an_expression_can_be_used() -> None:
    query = Query(find=r"(\w+) (\w+)", replace=r"\2 \1", regex=True)
    (change,) = search(query, ["red car"]).changes
    assert change.new == "car red"
    assert search(Query(find="x*", replace="y", regex=True), ["ab"]) == Found()


@pytest.mark.parametrize(("find", "replace"), [("(", ""), ("a", r"\9"), ("a", r"\g<x>")])
def test_an_expression_without_sense_is_refused(find: str, replace: str) -> None:
    with pytest.raises(UsageError, match="makes no sense"):
        search(Query(find=find, replace=replace, regex=True), ["a"])


def test_chosen_changes_are_made_and_a_text_that_moved_on_is_refused() -> None:
    changes = search(Query(find="a", replace="bb"), ["a-a-a"]).changes
    assert replaced("a-a-a", [changes[2], changes[0]]) == "bb-a-bb"
    with pytest.raises(ValueError, match="changed meanwhile"):
        replaced("-a-a-", changes)


def test_the_searching_child_answers_as_the_function_does() -> None:
    texts = ("aa", "b\ud83d")
    wanted = Search(query=Query(find="a|b", replace="c", regex=True), texts=texts)
    child = [sys.executable, "-P", "-m", "engine.dataset.replace_text"]
    done = subprocess.run(child, input=to_json(wanted), capture_output=True, check=True)
    found = msgspec.convert(json.loads(done.stdout), Found)
    assert found == search(wanted.query, texts)
    assert len(found.changes) == 3


@given(TEXT, FIND, TEXT, st.booleans())
def test_all_changes_together_are_what_an_editor_would_do(
    text: str, find: str, new: str, case: bool
) -> None:
    changes = search(Query(find=find, replace=new, case=case), [text]).changes
    flags = 0 if case else re.IGNORECASE
    assert replaced(text, changes) == re.sub(re.escape(find), lambda _: new, text, flags=flags)


@given(TEXT, FIND, TEXT, st.data())
def test_what_is_shown_is_what_becomes_of_it(
    text: str, find: str, new: str, data: st.DataObject
) -> None:
    changes = search(Query(find=find, replace=new), [text]).changes
    for change in changes:
        assert text[change.start : change.start + len(change.old)] == change.old
    chosen = [one for one in changes if data.draw(st.booleans())]
    result = replaced(text, chosen)
    # The same, one after the other from the end, so that no place moves.
    for change in reversed(chosen):
        end = change.start + len(change.old)
        text = text[: change.start] + change.new + text[end:]
    assert result == text


def test_groups_of_a_query_give_what_python_gives() -> None:
    query = Query(find=r"(?P<what>red|blue) (\w+)", replace=r"\2, \g<what>", regex=True, case=True)
    text = "A red car and a blue sky, Red"
    changes = search(query, [text]).changes
    assert replaced(text, changes) == re.sub(query.find, query.replace, text)


def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace_text, "MOST_CHANGES", 3)
    query = Query(find="a", replace="b")
    assert not search(query, ["aa", "a"]).is_cut
    found = search(query, ["aa", "aa"])
    assert (len(found.changes), found.is_cut) == (3, True)


def test_the_child_tells_of_an_expression_without_sense() -> None:
    wanted = Search(query=Query(find="(", replace="", regex=True), texts=("a",))
    child = [sys.executable, "-P", "-m", "engine.dataset.replace_text"]
    done = subprocess.run(child, input=to_json(wanted), capture_output=True, check=True)
    assert "makes no sense" in msgspec.convert(json.loads(done.stdout), Found).problem

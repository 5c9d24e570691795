"""Token counts: any text, and the faults of a folder."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from engine.errors import ModelError
from engine.models.tokens import TokenCounter
from engine.models.toy_tokenizer import write_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 1024)
    return folder


@pytest.fixture(scope="module")
def counter(folder: Path) -> TokenCounter:
    return TokenCounter(folder)


def test_ids_begin_with_bos(counter):
    assert counter.ids("") == [2]
    assert counter.ids("a man walks")[0] == 2
    assert counter.count("a man walks") == len(counter.ids("a man walks"))
    assert counter.pad_id == 0


def test_known_words_are_short(counter):
    assert counter.count("a man walks slowly across an empty street at night") <= 14


@settings(deadline=None, max_examples=60)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_can_be_tokenised_and_read_again(folder, counter, text):
    ids = counter.ids(text)
    assert counter.count(f" \n{text}\t") == len(ids)
    assert all(0 <= i < 1024 for i in ids)
    back = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(ids[1:], False)
    assert back == text.strip()


@settings(deadline=None, max_examples=30)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_the_template_in_the_file_gives_the_same(folder, counter, text):
    whole = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text.strip())
    assert counter.ids(text) == whole.ids


def rewritten(folder: Path, target: Path, **changes) -> Path:
    target.mkdir()
    (target / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (target / "tokenizer_config.json").write_text(json.dumps({**config, **changes}))
    return target


def test_the_config_decides_what_is_added(folder, tmp_path):
    bare = TokenCounter(rewritten(folder, tmp_path / "a", add_bos_token=False))
    assert bare.ids("") == []
    both = TokenCounter(rewritten(folder, tmp_path / "b", add_eos_token=True))
    assert both.ids("") == [2, 1]
    tables = rewritten(folder, tmp_path / "c", bos_token={"content": "<bos>"})
    assert TokenCounter(tables).ids("") == [2]


def test_padding_in_the_file_does_not_count(folder, tmp_path):
    target = rewritten(folder, tmp_path / "padded")
    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    tokenizer.enable_padding(length=1024)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(target / "tokenizer.json"))
    text = "a man walks slowly"
    assert TokenCounter(target).count(text) == TokenCounter(folder).count(text)


def test_no_config_means_gemmas_defaults(folder, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    assert TokenCounter(tmp_path).ids("") == [2]


def test_faults_name_the_file(folder, tmp_path):
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        TokenCounter(tmp_path)
    with pytest.raises(ModelError, match="no token '<nothing>'"):
        TokenCounter(rewritten(folder, tmp_path / "named", bos_token="<nothing>"))
    broken = rewritten(folder, tmp_path / "broken")
    (broken / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be read"):
        TokenCounter(broken)

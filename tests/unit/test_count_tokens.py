"""Counting tokens in a child process: what it answers, and what becomes of its faults."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.tokens import TokenCounter
from engine.models.toy_tokenizer import write_tokenizer
from ltx_tui.children.token_counts import MAX_TOKENS, TokenCount, TokenCounts, estimate

TEXTS = ["", "a man walks", "half \ud83d pair", "line\nafter\u2028line"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 1024)
    return folder


def ask(folder: Path, texts: list[str]) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.models.count_tokens", str(folder)],
        input="".join(f"{json.dumps(text)}\n" for text in texts).encode(),
        capture_output=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_line_is_answered_with_what_the_tokenizer_counts(folder: Path) -> None:
    counter = TokenCounter(folder)
    counts = [counter.count(text.encode("utf-8", "replace").decode()) for text in TEXTS]
    assert ask(folder, TEXTS) == counts


def test_a_folder_without_a_tokenizer_is_told_with_each_answer(tmp_path: Path) -> None:
    answers = ask(tmp_path, ["a", "b"])
    assert len(answers) == 2
    for answer in answers:
        assert isinstance(answer, dict)
        assert "no tokenizer.json" in answer["problem"]
        assert answer["remedy"]


# The one who asks


def test_counts_are_exact_with_a_tokenizer_and_the_child_is_kept(folder: Path) -> None:
    async def run() -> None:
        counts = TokenCounts(folder)
        first = await counts.count("a man walks")
        child = counts._child
        assert child is not None
        assert first == TokenCount(TokenCounter(folder).count("a man walks"), exact=True)
        await counts.count("another")
        assert counts._child is child
        await counts.close()
        assert child.returncode is not None

    asyncio.run(run())


def test_of_those_that_wait_only_the_last_is_counted(folder: Path) -> None:
    async def run() -> None:
        counts = TokenCounts(folder)
        found = await asyncio.gather(*(counts.count(text) for text in ("one", "two", "three")))
        assert found[0] is None or isinstance(found[0], TokenCount)
        assert found[1] is None
        assert isinstance(found[2], TokenCount)
        assert found[2].exact
        await counts.close()

    asyncio.run(run())


def test_without_a_tokenizer_it_is_estimated(tmp_path: Path) -> None:
    async def run() -> None:
        assert await TokenCounts(None).count("a b") == TokenCount(3, exact=False)
        counts = TokenCounts(tmp_path)
        for _ in range(2):
            found = await counts.count("a b")
            assert found is not None
            assert (found.tokens, found.exact) == (3, False)
            assert "no tokenizer.json" in found.problem
        assert counts._child is None

    asyncio.run(run())


def test_a_child_that_dies_is_told(folder: Path) -> None:
    async def run() -> None:
        counts = TokenCounts(folder)
        await counts.count("one")
        assert counts._child is not None
        counts._child.kill()
        await counts._child.wait()
        found = await counts.count("two")
        assert found is not None
        assert "the tokenizer ended" in found.problem
        await counts.close()

    asyncio.run(run())


@given(st.text(st.characters(exclude_categories=()), max_size=80))
def test_an_estimate_is_one_a_word_at_least(text: str) -> None:
    assert 1 + len(text.split()) <= estimate(text) <= 1 + max(len(text.split()), len(text))


def test_a_count_in_words() -> None:
    assert str(TokenCount(12, exact=True)) == "12/1,024 tokens"
    assert str(TokenCount(MAX_TOKENS, exact=False)) == "≈1,024/1,024 tokens"
    assert str(TokenCount(MAX_TOKENS + 1, exact=True)) == "1,025/1,024 tokens ⚠ cut off"

"""The file of the scores, and the child that writes it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.caption_db import CaptionDatabase
from engine.models.tokens import TokenCounter
from engine.project import Project, apply_overrides
from engine.suspicion import file as suspicion_file
from engine.suspicion.file import basis_of, read_stored
from engine.suspicion.types import KINDS, REMEDIES
from engine.worker.score_types import Wanted
from engine.worker.spec import encode
from tests.unit.score_captions.conftest import (
    _raise,
    caption,
    child,
    kinds,
    rows_of,
    run,
    scores_of,
    stored,
    write,
)


def test_long_captions_are_counted_once_by_the_real_tokenizer(
    project: Project, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(project)
    rows[0]["caption"] = caption(0, VISUAL=" ".join(f"word{n}" for n in range(1500)))
    write(project.root, rows)
    run(project)
    [about] = [one.text for one in scores_of(project).reasons(0) if one.kind == "tokens"]
    assert about.startswith("has about ")
    project = apply_overrides(project, {"models.text_encoder": tokenizer})
    run(project)
    tokens = TokenCounter(tokenizer).count(rows[0]["caption"])
    exact = f"has {tokens:,} tokens; what is over 1,024 is cut off"
    assert exact in [one.text for one in scores_of(project).reasons(0)]
    monkeypatch.setattr(TokenCounter, "__init__", _raise(AssertionError))
    run(project)
    assert exact in [one.text for one in scores_of(project).reasons(0)]


def test_scores_follow_their_clips_through_changes_of_the_dataset() -> None:
    before = stored(["a", "b", "b", "c"], [0.5, 0.0, 0.75, 0.25])
    now = before.of_rows(["c", "b", "new", "b", "b", "a"])
    assert [now.value(row) for row in range(6)] == [0.25, 0.0, None, 0.75, None, 0.5]
    assert [[one.text for one in now.reasons(row)] for row in (0, 2, 3, 4, 5)] == [
        ["3"], [], ["2"], [], ["0"],
    ]  # fmt: skip
    again = now.of_rows(["a", "c"])
    assert [again.value(row) for row in range(2)] == [0.5, 0.25]
    assert [one.text for one in again.reasons(1)] == ["3"]
    assert (again.has(0, "copy"), again.has(0, "speech")) == (True, False)


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcde")))
def test_the_nth_of_a_name_stays_the_nth(before: list[str], now: list[str]) -> None:
    scores = stored(before, [(n + 1) / 100 for n in range(len(before))])
    moved = scores.of_rows(now)
    for row, name in enumerate(now):
        nth = now[:row].count(name)
        places = [n for n, one in enumerate(before) if one == name]
        wanted = scores.value(places[nth]) if nth < len(places) else None
        assert moved.value(row) == wanted
    assert moved.differing(None) == list(range(len(now)))
    assert scores.of_rows(list(before)).differing(scores) == []


def test_only_what_differs_is_told() -> None:
    one, other = stored(["a", "b"], [0.5, 0.0]), stored(["a", "b"], [0.5, 0.25])
    assert other.differing(one) == [1]


@pytest.mark.parametrize("damage", [b"", b"\x93", b"{}", None])
def test_what_cannot_be_used_is_found_anew(project: Project, damage: bytes | None) -> None:
    run(project)
    file = project.state_dir / suspicion_file.FILE
    file.write_bytes(damage if damage is not None else file.read_bytes()[:-9])
    assert read_stored(project) is None
    run(project)
    assert kinds(project)[1] == ["speech"]


def test_the_basis_changes_with_dataset_captions_and_settings(project: Project) -> None:
    found = [basis_of(project)]
    os.utime(project.dataset_path, (1, 1))
    found.append(basis_of(project))
    with contextlib.closing(CaptionDatabase(project.state_dir)):
        pass
    found.append(basis_of(project))
    found.append(basis_of(apply_overrides(project, {"text.strip_prefixes": True})))
    assert len(set(found)) == 4
    assert basis_of(apply_overrides(project, {"video.buckets": "64x64x9"})) == found[2]


def test_every_kind_has_a_remedy() -> None:
    assert set(REMEDIES) == set(KINDS)
    assert all(REMEDIES.values())


def test_the_child_does_all_of_it_and_gives_way_to_others(project: Project) -> None:
    with child() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(Wanted(project=project)) + b"\n")
        process.stdin.flush()
        told = [json.loads(line) for line in process.stdout]
    assert [one["event"] for one in told if one["event"].startswith("scored")] == ["scored"] * 2
    assert told[-1]["event"] == "job-done"
    assert kinds(project)[1] == ["speech"]


def test_a_dataset_that_cannot_be_read_is_told(project: Project) -> None:
    project.dataset_path.write_text("[")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.worker.score_captions"],
        input=encode(Wanted(project=project)) + b"\n",
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "stopped"


def test_the_child_needs_neither_torch_nor_ffmpeg_to_begin() -> None:
    code = (
        "import sys, engine.worker.score_captions\n"
        "sys.exit(' '.join({'torch', 'av', 'transformers', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.stderr.strip() == b""

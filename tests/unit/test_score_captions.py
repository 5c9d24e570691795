"""Scoring the captions of a project: what is found, what is kept, and what is not done again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import scoring, suspicion_file
from engine.captions import format_sections
from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.errors import EnvironmentFaultError
from engine.events import ClipStarted, JobDone
from engine.media import loudness
from engine.models.tokens import TokenCounter
from engine.models.toy_tokenizer import write_tokenizer
from engine.project import Project, apply_overrides
from engine.suspicion_file import (
    Basis,
    Counted,
    Result,
    Scores,
    basis_of,
    read_scores,
    read_stored,
    stored_of,
)
from engine.suspicion_types import KINDS, REMEDIES, Reason
from engine.worker.score_captions import StopAsked, Work
from engine.worker.score_types import Scored, Wanted
from engine.worker.spec import encode
from tests.media_clips import Sound, make_sound

SILENT = np.zeros((1, 16_000), np.float32)
# Quiet beginning, loud end, so that windows of one file sound different.
HALF = np.concatenate([np.zeros(16_000), 0.5 * np.sin(np.arange(16_000) * 0.3)])[None]
VISUALS = (
    "A grey dog runs over a wide green lawn towards the camera.",
    "Two women carry a red canoe down to the lake at dawn.",
    "Steam rises from a kettle while rain runs down the window.",
    "An old tram turns the corner past a closed bakery.",
    "Children in yellow boots jump from puddle to puddle.",
)


def caption(number: int = 0, **changes: str) -> str:
    parts = {"VISUAL": VISUALS[number], "SPEECH": "None", "SOUNDS": "None", "TEXT": "None"}
    return format_sections(parts | changes)


def sound(path: Path, samples: Any = SILENT) -> Path:
    track = Sound(samples=samples.astype(np.float32), rate=16_000, layout="mono", codec="pcm_s16le")
    return make_sound(path, track)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of five silent clips; the second claims speech, the third a sound."""
    texts = [caption(n) for n in range(5)]
    texts[1] = caption(1, SPEECH="Careful with the bow!")
    texts[2] = caption(2, SOUNDS="Rain.")
    for number in range(5):
        sound(tmp_path / f"{number}.wav")
    write(tmp_path, [{"media_path": f"{n}.wav", "caption": text} for n, text in enumerate(texts)])
    return Project.defaults(tmp_path)


def write(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    (folder / "dataset.json").write_text(json.dumps(list(rows)), "utf-8")


def rows_of(project: Project) -> list[dict[str, Any]]:
    return json.loads(project.dataset_path.read_text("utf-8"))


def run(project: Project, **changes: Any) -> list[Any]:
    """Score in this process; return what was told."""
    told: list[Any] = []
    Work(Wanted(project=project, workers=1, **changes), lambda: False, told.append).run()
    return told


def scores_of(project: Project) -> Scores:
    found = read_scores(project)
    assert found is not None
    return found


def kinds(project: Project) -> list[list[str]]:
    found = scores_of(project)
    return [[one.kind for one in found.reasons(row)] for row in range(len(found))]


def listened(told: Iterable[Any]) -> list[int]:
    return [one.row for one in told if isinstance(one, ClipStarted)]


# What is found


def test_what_is_claimed_is_held_against_what_is_heard(project: Project) -> None:
    told = run(project)
    assert kinds(project) == [[], ["speech"], ["sounds"], [], []]
    found = scores_of(project)
    assert found.reasons(1) == (Reason("speech", "speech, but nothing is heard"),)
    assert found.values[1] == pytest.approx(0.8)
    assert (found.value(0), found.is_suspicious(1), found.is_whole) == (0.0, True, True)
    assert [one for one in told if isinstance(one, Scored)] == [
        Scored(rows=5, is_whole=False),
        Scored(rows=5, is_whole=True),
    ]
    end = told[-1]
    assert isinstance(end, JobDone)
    assert (end.done, end.cancelled) == (5, False)


def test_texts_alone_are_judged_first(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loudness, "measure", _raise(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(project)
    assert kinds(project) == [[]] * 5
    assert not scores_of(project).is_whole


def _raise(error: type[BaseException]) -> Any:
    def instead(*_: object, **__: object) -> None:
        raise error

    return instead


def test_the_draft_counts_where_there_is_one(project: Project) -> None:
    with contextlib.closing(CaptionDatabase(project.state_dir)) as database:
        session = Session(project.state_dir)
        draft = Draft(key=Key("0.wav"), base=caption(0), text="I'm sorry, I can't.", typed=1.0)
        DraftJournal(database, session).put([draft])
        session.close()
    run(project)
    assert "refusal" in kinds(project)[0]


def test_a_damaged_file_of_drafts_keeps_nothing_from_being_scored(project: Project) -> None:
    project.state_dir.mkdir()
    (project.state_dir / "captions.db").write_bytes(b"no database" * 99)
    run(project)
    assert kinds(project)[1] == ["speech"]


def test_windows_of_one_clip_are_heard_apart(project: Project) -> None:
    sound(project.root / "half.wav", HALF)
    text = caption(0, SOUNDS="A hum.")
    write(
        project.root,
        [
            {"media_path": "half.wav", "caption": text, "window_start": 0, "window_end": 0.9},
            {"media_path": "half.wav", "caption": text, "window_start": 1.1, "window_end": ""},
        ],
    )
    run(project)
    assert "sounds" in kinds(project)[0]
    assert "sounds" not in kinds(project)[1]
    assert scores_of(project).names[0] == "half.wav @ 0-0.9 s"


def test_a_sound_file_of_its_own_is_what_is_heard(project: Project) -> None:
    sound(project.root / "loud.wav", HALF)
    rows = rows_of(project)
    for row in rows:
        row["audio"] = ""
    rows[2]["audio"] = "loud.wav"
    write(project.root, rows)
    run(project)
    assert kinds(project) == [[], ["speech"], [], [], []]


@pytest.mark.parametrize("how", ["sections", "settings", "plain"])
def test_nothing_is_listened_to_where_captions_say_nothing_of_it(
    project: Project, how: str
) -> None:
    texts = {
        "sections": [f"[VISUAL]: {one}\n[TEXT]: None" for one in VISUALS],
        "settings": [caption(number) for number in range(5)],
        "plain": list(VISUALS),
    }[how]
    write(project.root, [{"media_path": f"{n}.wav", "caption": t} for n, t in enumerate(texts)])
    if how == "settings":
        project = apply_overrides(project, {"captions.audio": False})
    assert listened(run(project)) == []
    assert kinds(project) == [[]] * 5


def test_half_a_letter_and_a_row_without_media_do_no_harm(project: Project) -> None:
    write(
        project.root,
        [
            {"media_path": "", "caption": caption(0, SPEECH="Hi")},
            {"media_path": "0.wav", "caption": "\ud800 a b " * 9},
            {"media_path": "a\0b.wav", "caption": caption(1, SPEECH="Hi")},
            {"media_path": "gone.wav", "caption": None},
        ],
    )
    run(project)
    assert kinds(project)[3] == ["empty"]
    assert "repeats" in kinds(project)[1]
    assert kinds(project)[0] == kinds(project)[2] == []


def test_an_empty_dataset_is_scored(project: Project) -> None:
    write(project.root, [])
    run(project)
    assert len(scores_of(project)) == 0


# What is not done again


def test_nothing_is_heard_or_judged_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)
    before = [list(scores_of(project).values), kinds(project)]
    judged: list[str] = []
    suspect = scoring.suspect

    def counting(facts: Any, others: Any) -> Any:
        judged.append(facts.name)
        return suspect(facts, others)

    monkeypatch.setattr(scoring, "suspect", counting)
    monkeypatch.setattr(loudness, "measure", _raise(AssertionError))
    assert listened(run(project)) == []
    assert [list(scores_of(project).values), kinds(project)] == before
    assert judged == []
    rows = rows_of(project)
    rows[3]["caption"] = caption(3, SOUNDS="A bell.")
    write(project.root, rows)
    run(project)
    assert judged == ["3.wav"]
    assert kinds(project)[3] == ["sounds"]


def test_a_clip_that_changed_is_heard_again(project: Project) -> None:
    run(project)
    sound(project.root / "2.wav", HALF)
    assert listened(run(project)) == [2]
    assert kinds(project)[2] == []


def test_other_settings_are_another_score(project: Project) -> None:
    run(project)
    run(apply_overrides(project, {"text.trigger": "canoe"}))
    assert read_scores(project) is None
    found = read_scores(apply_overrides(project, {"text.trigger": "canoe"}))
    assert found is not None
    assert found.has(1, "trigger")


def test_a_damaged_clip_is_tried_once_and_judged_by_its_text(project: Project) -> None:
    (project.root / "1.wav").write_bytes(b"no sound at all")
    assert 1 in listened(run(project))
    assert kinds(project)[1] == []
    assert listened(run(project)) == []


def test_a_clip_that_kills_the_program_is_left_alone_from_then_on(project: Project) -> None:
    assert listened(run(project, given_up=(1, 2))) == [0, 3, 4]
    assert kinds(project) == [[]] * 5
    assert listened(run(project)) == []


def test_what_is_seen_comes_first_and_what_is_reviewed_last(project: Project) -> None:
    with contextlib.closing(CaptionDatabase(project.state_dir)) as database:
        marks = Marks(database)
        for number in (0, 4):
            marks.set(Key(f"{number}.wav"), "reviewed", caption(number))
    assert listened(run(project, first=(4, 3))) == [4, 3, 1, 2, 0]


def test_whoever_stops_it_keeps_what_was_heard(project: Project) -> None:
    told: list[Any] = []
    work = Work(Wanted(project=project, workers=1), lambda: len(listened(told)) > 2, told.append)
    with pytest.raises(StopAsked):
        work.run()
    heard = listened(told)
    assert len(heard) == 3
    # The one in hand is heard again.
    assert listened(run(project)) == [row for row in range(5) if row not in heard[:2]]


def test_a_folder_that_cannot_be_written_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspicion_file, "atomic_write", _raise(PermissionError))
    with pytest.raises(EnvironmentFaultError) as caught:
        run(project)
    assert caught.value.remedy


# Tokens


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 1024)
    return folder


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


# The file


BASIS = Basis("", (0, 0), (0, 0))


def stored(names: list[str], scores: list[float]) -> Scores:
    results = [
        Result(n, score, (Reason("copy", f"{n}"),) if score else ())
        for n, score in enumerate(scores)
    ]
    return Scores(stored_of(names, results, basis=BASIS, is_whole=True, counted=Counted()))


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


# The child


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.worker.score_captions"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


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

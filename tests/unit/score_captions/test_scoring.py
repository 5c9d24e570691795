"""What is found in captions, and what is not done again."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.errors import EnvironmentFaultError
from engine.events import JobDone
from engine.media import loudness
from engine.project import Project, apply_overrides
from engine.suspicion import file as suspicion_file
from engine.suspicion import scoring
from engine.suspicion.file import read_scores
from engine.suspicion.types import Reason
from engine.worker.clip_work import StopAsked
from engine.worker.score_captions import Work
from engine.worker.score_types import Scored, Wanted
from tests.unit.score_captions.conftest import (
    HALF,
    VISUALS,
    _raise,
    caption,
    kinds,
    listened,
    rows_of,
    run,
    scores_of,
    sound,
    write,
)


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

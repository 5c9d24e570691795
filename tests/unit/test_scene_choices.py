"""What a person chooses about scenes: joined, split, left out, kept; and that it is kept."""

from __future__ import annotations

import os
import shutil
from array import array
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.errors import EnvironmentFaultError, UsageError
from engine.files.identity import stat_identity
from engine.media.scene_options import Choosing, Finding
from engine.media.scene_types import Found, Range, pack_times, pieces_of
from engine.scenes.choices import Choices, Scene, ranges
from engine.scenes.store import FILE, Measured, SceneStore, keep_measures, kept_measures

CUTS = (40, 73, 125)
FOUND = Found(frames=152, rate=(24, 1), vfr=False, time_base=(1, 24), span=Range(0, 152), cuts=CUTS)


def scenes(choices: Choices, found: Found = FOUND) -> list[Scene]:
    return choices.scenes(found, CUTS)


def wholes(choices: Choices) -> list[tuple[int, int]]:
    return [tuple(one.whole) for one in scenes(choices)]


def test_the_guard_is_at_cuts_of_the_detector_alone() -> None:
    parts = [one.part for one in scenes(Choices())]
    assert parts == [Range(0, 39), Range(41, 72), Range(74, 124), Range(126, 152)]
    split = Choices().split_at(100, scenes(Choices()), CUTS)
    assert [one.part for one in scenes(split)][2:4] == [Range(74, 100), Range(100, 124)]
    assert scenes(split)[3].start == pytest.approx(100 / 24)
    assert scenes(split)[3].seconds == 1.0


def test_joining_and_splitting_undo_one_another() -> None:
    joined = Choices().join_at(73, CUTS)
    assert wholes(joined) == [(0, 40), (40, 125), (125, 152)]
    again = joined.split_at(73, scenes(joined), CUTS)
    assert again == Choices()
    split = Choices().split_at(60, scenes(Choices()), CUTS)
    assert wholes(split)[1:3] == [(40, 60), (60, 73)]
    assert split.join_at(60, CUTS) == Choices()


def test_a_cut_that_was_joined_and_is_no_cut_any_more_can_be_split() -> None:
    joined = Choices().join_at(73, CUTS)
    fewer = (40, 125)
    split = joined.split_at(73, joined.scenes(FOUND, fewer), fewer)
    assert split.cuts(fewer, FOUND.span) == (40, 73, 125)


@pytest.mark.parametrize(("frame", "words"), [(40, "already"), (0, "already"), (152, "looked at")])
def test_where_no_scene_can_be_split(frame: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Choices().split_at(frame, scenes(Choices()), CUTS)


def test_scenes_are_left_out_and_kept() -> None:
    choices = Choices(choosing=Choosing(filter_shorter_than="32"))
    assert [one.state for one in scenes(choices)] == ["kept", "short", "kept", "short"]
    wanted = choices.turned(scenes(choices)[1])
    assert [one.state for one in scenes(wanted)] == ["kept", "kept", "kept", "short"]
    assert wanted.turned(scenes(wanted)[1]) == choices
    dropped = wanted.turned(scenes(wanted)[0])
    assert [one.state for one in scenes(dropped)] == ["dropped", "kept", "kept", "short"]
    assert ranges(scenes(dropped)) == (Range(41, 72), Range(74, 124))
    assert dropped.turned(scenes(dropped)[0]) == wanted
    assert len(pieces_of(FOUND, list(ranges(scenes(dropped))))) == 2
    assert dropped.without_edits() == choices


def test_times_of_a_variable_rate_need_no_numpy() -> None:
    times = np.cumsum(np.arange(1, 153))
    found = msgspec.structs.replace(FOUND, vfr=True, clock=pack_times(times), time_base=(1, 1000))
    assert found.ticks() == array("q", times.tolist())
    second = scenes(Choices(), found)[1]
    assert second.start == pytest.approx((times[41] - times[0]) / 1000)
    assert second.seconds == pytest.approx((times[72] - times[41]) / 1000)


# Kept


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"frames")
    return path


EDITED = Choices(
    finding=Finding(detector="hash", threshold=0.4, min_scene_length=3),
    choosing=Choosing(trim=2, filter_shorter_than="5s"),
    joined=(40,),
    split=(60, 70),
    dropped=(Range(0, 60),),
    wanted=(Range(60, 70),),
)


def kept(store: SceneStore, path: Path, choices: Choices = EDITED) -> None:
    store.keep(path, stat_identity(path), choices)


def test_choices_survive_and_follow_the_video(tmp_path: Path, film: Path) -> None:
    with SceneStore(tmp_path / ".ltx-tui") as store:
        assert store.choices(film) is None
        kept(store, film)
    with SceneStore(tmp_path / ".ltx-tui") as store:
        assert store.choices(film) == EDITED
        assert store.paths() == [film]
        moved = film.rename(tmp_path / "other.mp4")
        assert store.choices(moved) == EDITED


def test_other_bytes_and_copies_have_no_choices(tmp_path: Path, film: Path) -> None:
    with SceneStore(tmp_path / ".ltx-tui") as store:
        kept(store, film)
        copy = Path(shutil.copy2(film, tmp_path / "copy.mp4"))
        assert store.choices(copy) is None
        film.write_bytes(b"other frames")
        assert store.choices(film) is None


def test_choices_of_videos_elsewhere(tmp_path: Path, film: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    with SceneStore(root / ".ltx-tui") as store:
        kept(store, film)
        assert store.paths() == [film]
        assert store.choices(film) == EDITED


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(EnvironmentFaultError, match="what is chosen about scenes"):
        SceneStore(tmp_path)


def test_scores_are_kept_by_what_they_depend_on(tmp_path: Path, film: Path) -> None:
    state, finding = tmp_path / ".ltx-tui", Finding(threshold=30, min_scene_length=3)
    measured = Measured(finding=finding, found=FOUND, scores=b"1234", changes=b"5678")
    assert kept_measures(state, film, finding) is None
    keep_measures(state, film, finding, stat_identity(film), measured)
    assert kept_measures(state, film, Finding()) == measured
    assert kept_measures(state, film, Finding(luma_only=True)) is None
    os.utime(film, ns=(1, 1))
    assert kept_measures(state, film, finding) is None

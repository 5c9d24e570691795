"""Which videos can be cut: none of those that were made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.media.scene_options import DETECTORS, PRESETS, Choosing, Cutting, Finding
from engine.scenes.settings import choosing_of, cutting_of, finding_of, with_detector
from engine.scenes.sources import find_sources, source_of
from engine.settings import KEYS, ScenesSection


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_what_was_made_here_is_left_out(tmp_path: Path) -> None:
    touch(
        *(tmp_path / name for name in ("b.mov", "a10.MP4", "a9.mp4", "notes.txt", ".hidden.mp4")),
        *(tmp_path / name for name in ("a9_reference.mp4", "a9_proxy.mp4", "a9_proxy~2.mp4")),
        tmp_path / ".precomputed" / "x.mp4",
        tmp_path / "encoded" / "decoded" / "x.mp4",
        tmp_path / "cut" / ".ltx-tui-scenes" / "a9.jsonl",
        tmp_path / "cut" / "a9-Scene-001.mp4",
        tmp_path / "cut" / "raw.mp4",
        tmp_path / "raw" / "my-Scene-001.mp4",  # somebody else's: nothing was cut there
    )
    found = find_sources(
        tmp_path, without=[tmp_path / "encoded"], clips=[tmp_path / "raw" / ".." / "b.mov"]
    )
    names = [one.path.relative_to(tmp_path).as_posix() for one in found]
    assert names == ["a9.mp4", "a10.MP4", "cut/raw.mp4", "raw/my-Scene-001.mp4", "b.mov"]
    assert [one.is_clip for one in found] == [False] * 4 + [True]
    assert found[0].size == 1


def test_a_video_that_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "a.txt")
    assert source_of(tmp_path / "a.mp4").path == tmp_path / "a.mp4"
    with pytest.raises(UsageError, match="no such file"):
        source_of(tmp_path / "b.mp4")
    with pytest.raises(UsageError, match="no video"):
        source_of(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        find_sources(tmp_path / "none")


def test_the_settings_are_what_the_command_takes() -> None:
    section = ScenesSection()
    assert finding_of(section) == Finding()
    assert choosing_of(section) == Choosing()
    assert cutting_of(section) == Cutting()
    assert KEYS["scenes.detector"].choices == DETECTORS
    assert KEYS["scenes.preset"].choices == PRESETS


def test_settings_become_options() -> None:
    section = ScenesSection(
        threshold=30, min_scene_length=0, trim=2, filter_shorter_than="5s", copy=True, audio=False
    )
    assert finding_of(section) == Finding(threshold=30, min_scene_length=0)
    assert choosing_of(section) == Choosing(trim=2, filter_shorter_than="5s")
    assert cutting_of(section) == Cutting(copy=True, audio=False)
    assert finding_of(with_detector(section, "hash")).level == 0.35
    assert with_detector(section, "content") is section
    with pytest.raises(UsageError, match="does not suit"):
        finding_of(ScenesSection(detector="hash", threshold=30))
    with pytest.raises(UsageError, match="no length"):
        choosing_of(ScenesSection(filter_shorter_than="soon"))

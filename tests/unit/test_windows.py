"""Windows: rows that keep a part of their clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.client import Engine
from engine.dataset.clips import ClipSet, load_clips
from engine.dataset.columns import resolve_columns
from engine.dataset.manifest import load_manifest
from engine.dataset.windows import WHOLE, Span, read_span, row_name
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Status
from tests.jobs import project_of, run
from tests.media_clips import Sound, grey, make_video, tone

FPS = 24


def row(media: str = "a.mp4", start: object = "", end: object = "", **more: Any) -> dict[str, Any]:
    return {"media_path": media, "caption": "c", "window_start": start, "window_end": end, **more}


def write(root: Path, *rows: dict[str, Any]) -> Path:
    path = root / "dataset.json"
    path.write_text(json.dumps(rows))
    return path


def clips(root: Path, *rows: dict[str, Any]) -> ClipSet:
    for one in rows:
        (root / one["media_path"]).touch()
    manifest = load_manifest(write(root, *rows))
    return load_clips(manifest, resolve_columns(manifest))


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        ("", "", WHOLE),
        (None, None, WHOLE),
        (0, "", WHOLE),
        ("2.5", "7", Span(2.5, 7.0)),
        (2.5, None, Span(2.5, None)),
        ("", "7.25", Span(0.0, 7.25)),
    ],
)
def test_cells_are_seconds(start: object, end: object, span: Span) -> None:
    assert read_span(row(start=start, end=end)) == span


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("x\x1b", "", "window_start is x\\x1b, which is no number of seconds"),
        ("-1", "", "window_start is -1"),
        ("", "1e999", "window_end is 1e999"),
        ("7", "7", "ends at 7 s, before it starts"),
    ],
)
def test_what_is_no_window_is_said_and_blocks_the_row(
    tmp_path: Path, start: str, end: str, words: str
) -> None:
    found = clips(tmp_path, row(start=start, end=end), row("b.mp4"))
    assert found.blocked == {0}
    told = found.problems[0].message
    assert words in told
    assert "\x1b" not in told
    assert row_name(row(start=start, end=end), "media_path", 0) == "a.mp4"


def test_windows_of_one_clip_are_clips_of_their_own(tmp_path: Path) -> None:
    found = clips(
        tmp_path, row(), row(start="1.5", end="3"), row(start="4.25"), row(start="1.5", end="3.0")
    )
    assert [clip.name for clip in found.clips] == ["a.mp4", "a.mp4 @ 4.25-end s"]
    assert [str(clip.output) for clip in found.clips] == ["a.pt", "a@4.25-end.pt"]
    assert {one.code for one in found.problems} == {"collision"}  # one window twice
    assert found.blocked == {1, 3}


@given(
    start=st.floats(0, 1e5, allow_nan=False).map(lambda value: round(value, 3)),
    length=st.floats(0.001, 1e4).map(lambda value: max(0.001, round(value, 3))),
)
def test_a_name_tells_the_window(start: float, length: float) -> None:
    end = round(start + length, 3)
    name = row_name(row(start=start, end=end), "media_path", 0)
    media, _, words = name.partition(" @ ")
    first, _, last = words.removesuffix(" s").partition("-")
    assert (media, float(first), float(last)) == ("a.mp4", start, end)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("windows")
    sound = Sound(samples=tone(40 / FPS))
    make_video(root / "a.mp4", [grey(i, 64, 64) for i in range(40)], sound=sound)
    make_video(root / "part.mp4", [grey(i, 64, 64) for i in range(12, 21)])
    return root


def test_a_window_is_planned_by_its_own_length(media: Path, models: tuple[Path, Path]) -> None:
    write(
        media,
        row(),
        row(start=0.5, end=0.875),
        row(start=0.5, end=0.8),
        row(start=1.0),
        row(start=9),
    )
    project = project_of(media, models, video__buckets="64x64x9;64x64x17")
    plan = Engine(project).plan([Stage.LATENTS])
    assert [(one.clip, one.bucket, one.kept[0]) for one in plan.clips] == [
        ("a.mp4", "64x64x17", 0.0),
        ("a.mp4 @ 0.5-0.875 s", "64x64x9", 0.5),
        ("a.mp4 @ 0.5-0.8 s", "", 0.0),
        ("a.mp4 @ 1-end s", "64x64x9", 1.0),
        ("a.mp4 @ 9-end s", "", 0.0),
    ]
    blocked = [item for item in plan.items if item.status is Status.BLOCKED]
    assert "window 0.5-0.8 s is too short: 7 frames" in blocked[0].reasons[0]
    assert "widen it in window_start and window_end" in blocked[0].remedy


@pytest.mark.usefixtures("warm_encoder")
def test_a_window_is_encoded_as_the_same_part_alone_would_be(
    media: Path, models: tuple[Path, Path]
) -> None:
    write(media, row(start=0.5, end=0.875), row("part.mp4"))
    project = project_of(media, models, video__buckets="64x64x9")
    run(project, [Stage.LATENTS])
    folder = project.output_dir / "latents"
    files = [folder / "a@0.5-0.875.pt", folder / "part.pt"]
    window, part = (torch.load(one, weights_only=True)["latents"] for one in files)
    assert torch.equal(window, part)
    write(media, row(start=0.5, end=0.875), row(start=0.625, end=1.0), row("part.mp4"))
    plan = Engine(project).plan([Stage.LATENTS])
    assert [item.status.value for item in plan.items] == ["fresh", "missing", "fresh"]

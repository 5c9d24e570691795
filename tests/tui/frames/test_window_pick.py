"""Points in frames, windows in seconds, and what a plan would make of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.buckets import parse_buckets
from engine.dataset.clips import Clip
from engine.dataset.windows import WHOLE, Span, row_name
from engine.media.probe import Probe, probe
from engine.precompute.survey import survey
from engine.project import Project, apply_overrides
from engine.worker.thumbnail_types import Facts
from ltx_tui.frames.window_pick import (
    Points,
    Timing,
    cursor_labels,
    outcome,
    window_words,
    written_span,
)
from tests.media_clips import Video, grey, make_video
from tests.tui.frames.reading import clip_row

RATES = st.sampled_from([Fraction(24), Fraction(24000, 1001), Fraction(25), Fraction(120)])


def timing(frames: int = 149, fps: Fraction = Fraction(24)) -> Timing:
    seconds = float(frames / fps) if fps else 0.0
    return Timing(kind="video", vfr=False, fps=fps, frames=frames, duration=seconds)


@given(
    frames=st.integers(1, 100_000), fps=RATES, first=st.integers(0), last=st.none() | st.integers(0)
)
def test_points_come_back_from_the_seconds_that_are_written(
    frames: int, fps: Fraction, first: int, last: int | None
) -> None:
    clip = timing(frames, fps)
    points = Points().with_first(first % frames)
    if last is not None:
        points = points.with_last(last % frames, clip)
    again = Points.of(points.span(clip), clip)
    assert again == points
    assert Points.of(again.span(clip), clip) == points


def test_a_point_beyond_the_other_takes_it_away() -> None:
    clip = timing()
    both = Points(24, 96)
    assert both.with_first(97) == Points(97, None)
    assert both.with_first(96) == Points(96, 96)
    assert both.with_last(23, clip) == Points(None, 23)
    assert both.with_last(148, clip) == Points(24, None)
    assert both.with_first(0) == Points(None, 96)
    assert Points(None, 3).span(clip) == Span(0.0, 0.167)
    assert Points().span(clip) == WHOLE


def test_a_window_beyond_the_clip_ends_with_it() -> None:
    clip = timing()
    assert Points.of(Span(9.0, 12.0), clip) == Points(148, None)
    assert Points.of(Span(0.0, 0.001), clip) == Points(None, 0)
    assert Points.of(Span(1.0), timing(fps=Fraction(0))) == Points()


def plan(media: Path, found: Probe, project: Project, span: Span) -> tuple[str, float, float]:
    """Return bucket and kept seconds as a run would have them."""
    clip = Clip(
        row=0, name="a.mp4", media=media, caption="", output=PurePosixPath("a.pt"), span=span
    )
    buckets = parse_buckets(project.video.buckets)
    [made] = survey([clip], project, buckets, {media: found})
    if made.kept is None:
        return "", 0.0, 0.0
    window = made.kept.window
    return str(made.kept.bucket), window.start, window.start + float(window.duration)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    frames = [grey(i, 64, 64) for i in range(40)]
    vfr = Video(pts=[i + (i % 3 == 0) for i in range(40)], time_base=Fraction(1, 48))
    return [
        make_video(folder / "a.mp4", frames),
        make_video(folder / "film.mp4", frames, Video(fps=Fraction(24000, 1001))),
        make_video(folder / "vfr.mkv", frames, vfr),
    ]


@pytest.mark.parametrize("fps", [0.0, 12.0, 29.97])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_outcome_is_that_of_a_plan(
    clips: list[Path], project: Project, fps: float, number: int
) -> None:
    project = apply_overrides(
        project, {"video.buckets": "64x64x9;64x64x17;32x64x1", "video.fps": fps}
    )
    media = clips[number]
    found = probe(media)
    facts = Facts(
        id=1,
        kind=found.kind,
        frames=found.frames,
        seconds=found.duration,
        rate=found.fps.as_integer_ratio(),
        vfr=found.vfr,
    )
    clip = Timing.of(facts)
    for first in range(0, 40, 3):
        for last in [None, *range(first, 40, 4)]:
            span = Points(first or None, last).span(clip)
            what = outcome(span, clip, (64, 64), project)
            wanted = plan(media, found, project, span)
            assert (str(what.bucket or ""), *what.kept) == pytest.approx(wanted)


def test_a_row_has_a_bucket_of_its_own(project: Project) -> None:
    project = apply_overrides(project, {"video.buckets": "64x64x9;64x64x17"})
    project = msgspec.structs.replace(project, clips={"a.mp4": "64x64x25", "bad.mp4": "wide"})
    clip = timing(40)
    own = outcome(Span(0.5), clip, (64, 64), project, "a.mp4")
    assert (str(own.bucket), own.frames, own.short) == ("64x64x25", 28, 0)
    short = outcome(Span(1.0), clip, (64, 64), project, "a.mp4")
    assert (short.bucket, short.frames, short.short) == (None, 16, 9)
    assert str(outcome(Span(1.0), clip, (64, 64), project, "b.mp4").bucket) == "64x64x9"
    assert outcome(Span(1.0), clip, (64, 64), project, "bad.mp4").bucket is None
    assert outcome(Span(1.5), clip, (64, 64), project).short == 5


def test_words_of_a_window(project: Project) -> None:
    project = apply_overrides(project, {"video.buckets": "64x64x9", "video.fps": 12.0})
    clip, span = timing(40), Span(0.5, 1.5)
    fits = outcome(span, clip, (64, 64), project)
    assert window_words(span, clip, fits, is_written=True) == [
        "window 0.50–1.50 s",
        "12 frames at 12 fps",
        "bucket 64×64×9",
        "written",
    ]
    short = outcome(Span(1.0), clip, (64, 64), project)
    assert window_words(Span(1.0), clip, short, is_written=False) == [
        "window 1.00–1.67 s",
        "8 frames at 12 fps",
        "too short by 1 frame",
        "not written: w",
    ]
    unknown = outcome(span, clip, (0, 0), project)
    assert "no bucket" in window_words(span, clip, unknown, is_written=True)


def test_words_of_the_cursor() -> None:
    clip, points = timing(), Points(24, 96)
    assert cursor_labels(24, clip, points)[0] == "frame 24 of 149 · 1.00 s · in point"
    assert cursor_labels(96, clip, points)[0].endswith(" · out point")
    assert cursor_labels(23, clip, points)[0].endswith(" · outside")
    assert cursor_labels(97, clip, points)[0].endswith(" · outside")
    assert cursor_labels(50, clip, points)[1] == "frame 50 · 2.08 s"
    assert cursor_labels(0, clip, Points())[-1] == "0"


@pytest.mark.parametrize("span", [WHOLE, Span(0.0, 7.25), Span(2.5), Span(1.0, 1.001)])
@pytest.mark.parametrize("media", ["a.mp4", "x/a @ 1-2 s.mp4", "a @ 1-2 s"])
def test_the_window_of_a_row_is_told_by_its_name(span: Span, media: str) -> None:
    cells = {"media_path": media, "window_start": span.start or "", "window_end": span.end or ""}
    row = clip_row(0, name=row_name(cells, "media_path", 0), media=f"/data/{media}")
    assert written_span(row) == span

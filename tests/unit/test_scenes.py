"""Scenes: the cuts of PySceneDetect's own command line, at exact frames of any video."""

from __future__ import annotations

import csv
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MediaError, UsageError
from engine.media.scene_options import Choosing, Finding, Length, parse_length
from engine.media.scene_reduce import Reducer
from engine.media.scene_report import write_stats
from engine.media.scene_types import Found, Range, pack_times, pieces, pieces_of, trimmed
from engine.media.scenes import find
from tests.media_clips import Video, cut_bytes, flat, make_video
from tests.scene_videos import SHOTS, cuts_of, make_shots

NTSC = Fraction(30000, 1001)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_shots(path, (40, 7, 33, 52, 10, 27, 30), size=(640, 360), video=Video(fps=NTSC))


@pytest.fixture(scope="module")
def fades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes with fades to black and back between them."""
    down, up = list(range(160, 0, -16)), list(range(16, 170, 16))
    levels = [160] * 30 + down + [16] * 4 + up + [160] * 25 + down + [16] * 9 + up + [160] * 30
    path = tmp_path_factory.mktemp("fades") / "fades.mp4"
    return make_video(path, (flat((max(16, v), 128, 128), 320, 180) for v in levels))


def own_cuts(path: Path, folder: Path, *command: str, options: tuple[str, ...] = ()) -> list[int]:
    """Return the cuts that PySceneDetect's own command line finds."""
    config = folder / "scenedetect.cfg"
    config.write_text("[detect-threshold]\nadd-last-scene = no\nmin-out-length = 0\n")
    arguments = ["-q", "-c", str(config), "-o", str(folder), "-i", str(path), *options]
    subprocess.run(
        [sys.executable, "-m", "scenedetect", *arguments, *command, "list-scenes", "-s"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    with (folder / f"{path.stem}-Scenes.csv").open() as file:
        return [int(row["Start Frame"]) - 1 for row in csv.DictReader(file)][1:]


def milliseconds(clock: str) -> int:
    """Return "HH:MM:SS.nnn" in milliseconds."""
    hours, minutes, seconds = clock.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


@pytest.mark.parametrize(
    ("finding", "options", "command"),
    [
        (Finding(), ("-m", "15"), ("detect-content",)),
        (
            Finding(threshold=15, min_scene_length=30, luma_only=True),
            ("-m", "30"),
            ("detect-content", "-t", "15", "-l"),
        ),
        (
            Finding(frame_skip=2, downscale=3, min_scene_length=5),
            ("-m", "5", "-fs", "2", "-d", "3"),
            ("detect-content",),
        ),
        (
            Finding(detector="adaptive", threshold=2.5, adaptive_window=3, min_scene_length=8),
            ("-m", "8"),
            ("detect-adaptive", "-t", "2.5", "-f", "3"),
        ),
        (Finding(detector="histogram", threshold=0.1), ("-m", "15"), ("detect-hist", "-t", "0.1")),
        (Finding(detector="hash", threshold=0.3), ("-m", "15"), ("detect-hash", "-t", "0.3")),
    ],
    ids=["content", "luma", "skip", "adaptive", "histogram", "hash"],
)
def test_cuts_are_those_of_pyscenedetect(
    film: Path, tmp_path: Path, finding: Finding, options: tuple[str, ...], command: tuple[str, ...]
) -> None:
    expected = own_cuts(film, tmp_path, *command, options=options)
    assert len(expected) >= 3
    assert list(find(film, finding).found.cuts) == expected


def test_fades_are_cut_where_pyscenedetect_cuts_them(fades: Path, tmp_path: Path) -> None:
    finding = Finding(detector="threshold", fade_bias=-1, threshold=20)
    command = ("detect-threshold", "-t", "20", "-f", "-1")
    expected = own_cuts(fades, tmp_path, *command, options=("-m", "15"))
    found = find(fades, finding).found
    assert list(found.cuts) == expected
    assert len(expected) == 2
    late = find(fades, Finding(detector="threshold", fade_bias=1, threshold=20)).found
    assert all(a > b for a, b in zip(late.cuts, expected, strict=True))


@pytest.mark.parametrize(
    ("finding", "command", "score"),
    [
        (Finding(), "detect-content", "content_val"),
        (Finding(detector="adaptive"), "detect-adaptive", "adaptive_ratio (w=2)"),
    ],
)
def test_stats_and_scores_are_those_of_pyscenedetect(
    film: Path, tmp_path: Path, finding: Finding, command: str, score: str
) -> None:
    own_cuts(film, tmp_path, command, options=("-m", "15", "-s", "own.csv"))
    whole = find(film, finding, whole=True)
    write_stats(tmp_path / "ours.csv", whole.watch, whole.found)
    with (tmp_path / "own.csv").open() as one, (tmp_path / "ours.csv").open() as other:
        own, ours = list(csv.DictReader(one)), list(csv.DictReader(other))
    assert list(own[0]) == list(ours[0])
    for one_row, other_row in zip(own, ours, strict=True):
        times = [row.pop("Timecode") for row in (one_row, other_row)]
        assert abs(milliseconds(times[0]) - milliseconds(times[1])) <= 1  # they round otherwise
        assert one_row == other_row
    quick = find(film, finding).watch.scores()
    assert quick.dtype == np.float32
    known = {int(row["Frame Number"]) - 1: row[score] for row in own if row[score] != "None"}
    for number, value in known.items():
        assert quick[number] == np.float32(float(value))


@pytest.mark.parametrize("detector", ["histogram", "hash", "threshold"])
def test_every_frame_has_a_score(film: Path, detector: str) -> None:
    looked = find(film, Finding(detector=detector))  # type: ignore[arg-type]
    scores = looked.watch.scores()
    assert len(scores) == looked.found.frames
    first = 0 if detector == "threshold" else 1
    assert np.isfinite(scores[first:]).all()
    if detector != "threshold":
        cuts = np.flatnonzero(scores >= looked.watch._finding.level)
        assert set(looked.found.cuts) <= set(cuts.tolist())


def test_a_video_without_a_cut_is_one_scene(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "one.mp4", (30,))
    found = find(path, Finding()).found
    assert found.cuts == ()
    assert found.scenes == [Range(0, 30)]


@pytest.mark.parametrize(
    ("size", "pix_fmt", "matrix"),
    [
        ((3840, 2160), "yuv420p", 1),
        ((2560, 1440), "yuv420p", 2),
        ((2160, 3840), "yuvj420p", 1),
        ((4096, 1716), "yuv420p", 6),
        ((1920, 1080), "yuv420p", 1),
        ((1998, 1080), "yuv422p", 1),
        ((641, 361), "yuv420p", 2),
    ],
)
def test_frames_are_reduced_to_the_bytes_of_pyscenedetect(
    size: tuple[int, int], pix_fmt: str, matrix: int
) -> None:
    """The long way is its own: the whole frame in BGR, as OpenCV reads it, then shrunk."""
    noise = np.random.default_rng(4).integers(0, 255, (*size[::-1], 3)).astype(np.uint8)
    frame = VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=pix_fmt)
    frame.colorspace = matrix
    bgr = frame.to_ndarray(format="bgr24", interpolation="BICUBIC")
    factor = max(size) / 256
    small = (round(size[0] / factor), round(size[1] / factor))
    expected = cv2.resize(bgr, small, interpolation=cv2.INTER_LINEAR)
    reduce = Reducer(frame)
    assert np.array_equal(reduce(frame), expected)
    assert np.array_equal(reduce(frame), expected)
    if size[1] >= 1440 and pix_fmt != "yuv422p":
        assert reduce._pairs is not None


def test_a_part_of_a_video(film: Path) -> None:
    lengths = (40, 7, 33, 52, 10, 27, 30)
    whole = find(film, Finding(min_scene_length=0)).found
    assert whole.cuts == cuts_of(lengths)
    part = find(film, Finding(min_scene_length=0, skip_start=45, skip_end=20)).found
    assert part.span == Range(45, 179)
    assert part.cuts == (47, 80, 132, 142, 169)
    assert part.frames == 179
    frames = find(film, Finding(min_scene_length=0, skip_start=45, duration="40")).found
    assert (frames.span, frames.cuts) == (Range(45, 85), (47, 80))
    seconds = find(film, Finding(min_scene_length=0, skip_start=45, duration="00:00:02")).found
    assert (seconds.span, seconds.cuts) == (Range(45, 105), (47, 80))
    with pytest.raises(MediaError, match="no frame left"):
        find(film, Finding(skip_start=500))


def test_a_variable_rate_is_cut_at_the_frames_that_were_meant(tmp_path: Path) -> None:
    steps = [40 if n % 7 else 160 for n in range(sum(SHOTS))]
    times = np.concatenate([[0], np.cumsum(steps)])[: sum(SHOTS)].tolist()
    video = Video(pts=times, time_base=Fraction(1, 1000))
    found = find(make_shots(tmp_path / "vfr.mkv", video=video), Finding()).found
    assert found.vfr
    assert found.cuts == cuts_of(SHOTS)
    clock = found.times()
    assert clock is not None
    assert (clock - clock[0]).tolist() == times
    chosen = pieces(found, Choosing(trim=0))
    assert [piece.start for piece in chosen] == [times[n] / 1000 for n in (0, *found.cuts)]
    assert sum(piece.seconds for piece in chosen) == pytest.approx((times[-1] + 40) / 1000, abs=0.2)


def test_a_turned_video_has_the_same_cuts(tmp_path: Path) -> None:
    turn = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
    found = find(make_shots(tmp_path / "up.mp4", video=Video(matrix=turn)), Finding()).found
    assert found.cuts == cuts_of(SHOTS)


def test_a_video_that_was_cut_short_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = make_shots(tmp_path / "whole.mkv")
    part = cut_bytes(whole, tmp_path / "part.mkv", 0.6)
    found = find(part, Finding()).found
    assert 40 < found.frames < sum(SHOTS)
    assert found.cuts[0] == 40
    with pytest.raises(MediaError):
        find(cut_bytes(whole, tmp_path / "none.mkv", 0.001), Finding())


def test_progress_and_an_early_end(film: Path) -> None:
    told: list[tuple[int, int]] = []
    find(film, Finding(), progress=lambda done, total, _: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, 200))
    assert {total for _, total in told} == {199}

    class EnoughError(Exception):
        pass

    left = [20]

    def check() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise EnoughError

    with pytest.raises(EnoughError):
        find(film, Finding(), check=check)
    assert left == [0]


_PEAK = """
import gc, sys
from pathlib import Path
from engine.media.cut import cut
from engine.media.scene_options import Choosing, Cutting, Finding
from engine.media.scene_types import CutPiece, pieces
from engine.media.scenes import find
gc.disable()  # what only the collector frees would be held
found = find(Path(sys.argv[1]), Finding()).found
pieces = pieces(found, Choosing())
wanted = [CutPiece(piece=one, target=Path(sys.argv[1]).with_suffix(".x.mp4")) for one in pieces]
list(cut(Path(sys.argv[1]), found, wanted, Cutting(preset="ultrafast")))
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's counts")
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    peaks = []
    for length in (60, 360):
        path = tmp_path / f"{length}.mp4"
        make_video(path, (flat((40 + n % 150, 128, 128), 1280, 720) for n in range(length)))
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(path)], check=True, capture_output=True, timeout=120
        )
        peaks.append(int(done.stdout) / 1024)
    # 300 frames more are 400 MiB.
    assert peaks[1] - peaks[0] < 60


@st.composite
def found_videos(draw: st.DrawFn) -> Found:
    frames = draw(st.integers(1, 400))
    first = draw(st.integers(0, frames - 1))
    cuts = draw(st.sets(st.integers(0, frames - 1)))
    times = None
    vfr = draw(st.booleans())
    if vfr:
        steps = draw(st.lists(st.integers(1, 90), min_size=frames, max_size=frames))
        times = np.cumsum(np.array(steps, np.int64))
    return Found(
        frames=frames,
        rate=draw(st.sampled_from([(24, 1), (30000, 1001)])),
        vfr=vfr,
        time_base=(1, 1000),
        span=Range(first, frames),
        cuts=tuple(sorted(cut for cut in cuts if cut > first)),
        clock=b"" if times is None else pack_times(times),
    )


@given(found_videos(), st.integers(0, 5), st.integers(0, 40), st.integers(0, 4))
def test_scenes_partition_what_was_looked_at(
    found: Found, trim: int, shortest: int, most: int
) -> None:
    scenes = found.scenes
    assert [number for scene in scenes for number in range(*scene)] == list(range(*found.span))
    choosing = Choosing(trim=trim, filter_shorter_than=str(shortest), max_scenes=most)
    chosen = pieces(found, choosing)
    assert [piece.number for piece in chosen] == list(range(1, len(chosen) + 1))
    if most:
        assert len(chosen) <= most
    for piece in chosen:
        assert piece.scene in scenes
        assert piece.scene.first <= piece.kept.first < piece.kept.end <= piece.scene.end
        assert piece.kept.frames >= max(1, shortest)
        assert piece.kept == trimmed(piece.scene, found.span, trim)
        assert piece.seconds > 0
    kept = [trimmed(scene, found.span, trim) for scene in scenes]
    assert len(chosen) == min(
        sum(one.frames >= shortest for one in kept), most or len(kept)
    )  # fmt: skip
    assert kept[0].first == found.span.first
    assert kept[-1].end == found.span.end


def test_the_guard_leaves_the_edges_of_the_video_alone() -> None:
    span = Range(0, 100)
    assert trimmed(Range(0, 40), span, 2) == Range(0, 38)
    assert trimmed(Range(40, 70), span, 2) == Range(42, 68)
    assert trimmed(Range(70, 100), span, 2) == Range(72, 100)
    assert trimmed(span, span, 9) == span
    assert trimmed(Range(40, 42), span, 5).frames == 1
    assert trimmed(Range(98, 100), span, 5) == Range(99, 100)


def test_chosen_ranges_are_taken_as_they_are() -> None:
    found = Found(frames=90, rate=(30, 1), vfr=False, time_base=(1, 600), span=Range(0, 90))
    chosen = pieces_of(found, [Range(3, 33), Range(60, 90)])
    assert [(one.start, one.seconds) for one in chosen] == [(0.1, 1.0), (2.0, 1.0)]
    for wrong in ([Range(5, 5)], [Range(0, 91)], [Range(0, 10), Range(9, 20)]):
        with pytest.raises(UsageError, match="overlaps"):
            pieces_of(found, wrong)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("123", Length(123, None)),
        ("5s", Length(None, Fraction(5))),
        ("1.25s", Length(None, Fraction(5, 4))),
        ("00:01:02.500", Length(None, Fraction(125, 2))),
        ("01:02", Length(None, Fraction(62))),
        ("", None),
    ],
)
def test_lengths(text: str, length: Length | None) -> None:
    assert parse_length(text, "--duration") == length


@pytest.mark.parametrize("text", ["5x", "-3", "1:99:00", "s", "1e3s", "٣s"])
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(UsageError, match=r"--duration .* is no length"):
        parse_length(text, "--duration")


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (Finding(threshold=256), "does not suit"),
        (Finding(detector="hash", threshold=1.5), "0 to 1"),
        (Finding(fade_bias=-2), "--fade-bias"),
        (Finding(adaptive_window=0), "--adaptive-window"),
        (Finding(skip_start=-1), "--skip-start"),
        (Finding(duration="long"), "--duration"),
    ],
)
def test_options_that_make_no_sense(finding: Finding, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        finding.check()


def test_stats_want_every_frame() -> None:
    with pytest.raises(UsageError, match="--frame-skip leaves some out"):
        Finding(frame_skip=1).check(with_stats=True)
    assert Finding(luma_only=True, fade_bias=0, detector="hash").idle_options == [
        "--luma-only",
        "--fade-bias",
    ]

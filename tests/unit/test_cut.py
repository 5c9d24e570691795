"""Pieces of a video: the frames that were meant, with the sound of the same moments."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engine.errors import EnvironmentFaultError, MediaError
from engine.media.cut import cut
from engine.media.cut_picture import Shaper, look_at
from engine.media.orientation import Turn
from engine.media.probe import Probe, probe
from engine.media.scene_options import Choosing, Cutting, Finding
from engine.media.scene_types import CutPiece, Found, Piece, Range, pieces, pieces_of
from engine.media.scenes import find
from tests.media_clips import Sound, Video, flat, make_video, tone
from tests.scene_videos import SHOTS, make_shots, pixels, psnr, samples, with_tone

NTSC = Fraction(30000, 1001)
QUICK = Cutting(preset="ultrafast", crf=12)
TURN = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]  # a quarter, clockwise


def cut_all(
    path: Path,
    folder: Path,
    *,
    cutting: Cutting = QUICK,
    choosing: Choosing = Choosing(),  # noqa: B008 - immutable
    chosen: Sequence[Piece] | None = None,
    found: Found | None = None,
) -> tuple[Found, list[CutPiece]]:
    """Cut a video, and return what was found and made."""
    found = found or find(path, Finding()).found
    chosen = pieces(found, choosing) if chosen is None else chosen
    wanted = [CutPiece(piece=one, target=folder / f"{one.number}.mp4") for one in chosen]
    return found, list(cut(path, found, wanted, cutting))


def target(one: CutPiece) -> Path:
    assert one.target is not None
    return one.target


def assert_frames(source: np.ndarray, one: CutPiece, *, least: float = 32) -> None:
    """Check that a piece has exactly the frames that were meant, each nearest to its own."""
    kept = one.piece.kept
    got = pixels(target(one))
    assert len(got) == kept.frames
    for index in {0, 1, kept.frames // 2, kept.frames - 1} & set(range(kept.frames)):
        number = kept.first + index
        near = {
            other: psnr(got[index], source[other])
            for other in range(max(0, number - 2), min(len(source), number + 3))
        }
        assert max(near, key=lambda other: near[other]) == number
        assert near[number] > least


@pytest.mark.parametrize("fps", [Fraction(24), NTSC, Fraction(24000, 1001), Fraction(50)])
def test_pieces_have_the_frames_that_were_meant(tmp_path: Path, fps: Fraction) -> None:
    path = make_shots(tmp_path / "film.mp4", video=Video(fps=fps), sound=with_tone(fps=fps))
    found, made = cut_all(path, tmp_path)
    source = pixels(path)
    assert [one.piece.scene.frames for one in made] == list(SHOTS)
    assert [one.piece.kept.frames for one in made] == [39, 31, 50, 26]
    for one in made:
        assert_frames(source, one)
        got = probe(target(one))
        assert (got.fps, got.vfr, got.codec) == (fps, False, "h264")
        assert got.first_pts == 0
        with av.open(str(target(one))) as container:
            stream = container.streams.video[0]
            times = [frame.pts * stream.time_base for frame in container.decode(stream)]
        assert {b - a for a, b in pairwise(times)} == {1 / fps}
    assert found.fps == fps


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [(".mp4", "aac", 48000), (".mkv", "flac", 44100), (".mov", "pcm_s16le", 32000)],
)
def test_sound_is_that_of_the_same_moments(
    tmp_path: Path, suffix: str, codec: str, rate: int
) -> None:
    wave = tone(sum(SHOTS) / 24, rate)
    sound = Sound(samples=wave, codec=codec, rate=rate)
    path = make_shots(tmp_path / f"film{suffix}", sound=sound)
    _, made = cut_all(path, tmp_path)
    for one in made:
        got, start = samples(target(one))
        kept = one.piece.kept
        first, count = round(Fraction(kept.first, 24) * rate), kept.frames * rate // 24
        assert start == 0
        # AAC comes in blocks of 1024; the last one is padded.
        assert count <= got.shape[1] <= count + 1024
        expected = wave[:, first : first + count]
        middle = slice(2000, count - 2000)
        errors = {
            lag: float(np.abs(np.roll(got[:, :count], lag, 1) - expected)[:, middle].mean())
            for lag in range(-3, 4)
        }
        assert min(errors, key=lambda lag: errors[lag]) == 0
        assert errors[0] < 0.02


def test_sound_that_begins_late_or_ends_early_stays_in_place(tmp_path: Path) -> None:
    wave = np.full((2, 48000), 0.25, np.float32)
    path = make_shots(tmp_path / "film.mkv", sound=Sound(samples=wave, codec="flac", start=2.5))
    _, made = cut_all(path, tmp_path, choosing=Choosing(trim=0))
    has_sound = [bool(probe(target(one)).audio) for one in made]
    assert has_sound == [False, True, True, False]  # 0 to 1.67 s, … 3.04, … 5.21, … 6.33
    got, _ = samples(target(made[1]))
    begins = round((2.5 - 40 / 24) * 48000)
    assert np.abs(got[:, : begins - 2500]).max() < 0.01
    assert np.abs(got[:, begins + 2500 : 60000] - 0.25).max() < 0.02
    ends, _ = samples(target(made[2]))
    over = round((3.5 - 73 / 24) * 48000)
    assert np.abs(ends[:, over + 2500 :]).max() < 0.01
    assert np.abs(ends[:, 2500 : over - 2500] - 0.25).max() < 0.02


@pytest.mark.parametrize(
    ("layout", "channels", "expected"), [("mono", 1, "mono"), ("5.1", 6, "5.1")]
)
def test_channels_are_kept(tmp_path: Path, layout: str, channels: int, expected: str) -> None:
    sound = Sound(samples=tone(2, channels=channels), layout=layout, codec="flac")
    path = make_shots(tmp_path / "film.mkv", (48,), sound=sound)
    _, made = cut_all(path, tmp_path)
    assert probe(target(made[0])).audio[0].layout == expected


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mp4", (30,), sound=with_tone((30,)))
    _, made = cut_all(path, tmp_path, cutting=Cutting(preset="ultrafast", audio=False))
    assert probe(target(made[0])).audio == ()


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    steps = [40 if n % 7 else 160 for n in range(sum(SHOTS))]
    times = np.concatenate([[0], np.cumsum(steps)])[: sum(SHOTS)].tolist()
    video = Video(pts=times, time_base=Fraction(1, 1000))
    wave = tone(times[-1] / 1000)
    path = make_shots(tmp_path / "film.mkv", video=video, sound=Sound(samples=wave, codec="flac"))
    _, made = cut_all(path, tmp_path)
    source = pixels(path)
    for one in made:
        assert_frames(source, one)
        kept = one.piece.kept
        with av.open(str(target(one))) as container:
            stream = container.streams.video[0]
            got = [frame.pts * stream.time_base for frame in container.decode(stream)]
        expected = [Fraction(t - times[kept.first], 1000) for t in times[kept.first : kept.end]]
        assert got == expected
        heard, _ = samples(target(one))
        first = times[kept.first] * 48
        part = wave[:, first + 2000 : first + 20000]
        assert np.abs(heard[:, 2000:20000] - part).mean() < 0.02


@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_videos_come_out_upright(tmp_path: Path, mirrored: bool) -> None:
    matrix = [-n if mirrored and i % 3 == 0 else n for i, n in enumerate(TURN[:6])] + TURN[6:]
    path = make_shots(tmp_path / "film.mp4", (20, 20), video=Video(matrix=matrix))
    found = probe(path)
    assert (found.rotation, found.mirrored) != (0, False)
    _, made = cut_all(path, tmp_path, choosing=Choosing(trim=0))
    source = np.rot90(pixels(path), -found.rotation // 90, (1, 2))
    source = source[:, :, ::-1] if found.mirrored else source
    got = probe(target(made[0]))
    assert (got.width, got.height, got.rotation, got.mirrored) == (180, 320, 0, False)
    for one in made:
        assert_frames(source, one)


@pytest.mark.parametrize(
    ("pix_fmt", "tags"),
    [
        ("yuv420p", {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}),
        ("yuv420p", {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}),
        ("yuvj420p", {"colorspace": 1, "color_range": 2}),
        ("yuv420p10le", {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}),
        ("yuv444p", {}),
        ("yuv422p", {"colorspace": 1}),
    ],
)
def test_colours_and_their_tags_are_kept(
    tmp_path: Path, pix_fmt: str, tags: dict[str, int]
) -> None:
    path = make_shots(tmp_path / "film.mp4", (12,), video=Video(pix_fmt=pix_fmt, tags=tags))
    _, made = cut_all(path, tmp_path)
    before, after = probe(path), probe(target(made[0]))

    def facts(one: Probe) -> tuple[object, ...]:
        return one.pixel_format, one.matrix, one.primaries, one.transfer, one.range, one.hdr

    assert facts(after) == facts(before)
    assert_frames(pixels(path), made[0])


def test_odd_sides_lose_their_last_row_and_column(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mkv", (10,), size=(161, 91), video=Video(codec="ffv1"))
    _, made = cut_all(path, tmp_path)
    got = probe(target(made[0]))
    assert (got.width, got.height) == (160, 90)
    assert_frames(pixels(path)[:, :90, :160], made[0])


def test_what_is_no_yuv_becomes_bt709(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mkv", (10,), video=Video(codec="ffv1", pix_fmt="bgr0"))
    _, made = cut_all(path, tmp_path)
    got = probe(target(made[0]))
    assert (got.pixel_format, got.matrix, got.range) == ("yuv420p", "bt709", "limited")
    assert psnr(pixels(target(made[0]))[5], pixels(path)[5]) > 28


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    video = Video(pixel_aspect=Fraction(4, 3))
    path = make_shots(tmp_path / "film.mp4", (10,), video=video)
    _, made = cut_all(path, tmp_path)
    assert probe(target(made[0])).pixel_aspect == (4, 3)


def test_lossless_quality_gives_the_very_frames(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mp4", (12, 12))
    _, made = cut_all(path, tmp_path, cutting=Cutting(crf=0, preset="ultrafast"))
    source = pixels(path)
    for one in made:
        kept = one.piece.kept
        assert np.array_equal(pixels(target(one)), source[kept.first : kept.end])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_far_pieces_are_found_without_the_frames_between(tmp_path: Path, suffix: str) -> None:
    """Whether a container can seek to them or not."""
    video = Video(fps=Fraction(10), b_frames=0 if suffix == ".avi" else 2)
    path = make_shots(tmp_path / f"film{suffix}", (90, 90, 90), video=video, size=(96, 64))
    found = find(path, Finding()).found
    chosen = pieces_of(found, [Range(5, 9), Range(170, 180), Range(262, 270)])
    seen: list[int] = []
    wanted = [CutPiece(piece=one, target=tmp_path / f"{one.number}.mp4") for one in chosen]
    steps = [0]

    def check() -> None:
        steps[0] += 1

    made = list(cut(path, found, wanted, QUICK, check=check, progress=seen.append))
    source = pixels(path)
    for one in made:
        assert_frames(source, one)
    assert seen == list(range(1, 23))
    if suffix in (".mp4", ".mkv"):
        assert steps[0] < 80


def test_previews_are_frames_of_the_piece(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mp4", (20, 20), video=Video(matrix=TURN))
    found = find(path, Finding()).found
    one, two = pieces(found, Choosing(trim=0))
    notes: list[tuple[int, str]] = []
    wanted = [
        CutPiece(piece=one, target=tmp_path / "1.mp4", images=((3, tmp_path / "a.jpg"),)),
        CutPiece(piece=two, target=None, images=((22, tmp_path / "b.jpg"),)),
    ]
    list(
        cut(
            path, found, wanted, QUICK,
            note_image=lambda number, image, part: notes.append((number, image.name)),
        )
    )  # fmt: skip
    assert notes == [(3, "a.jpg"), (22, "b.jpg")]
    source = np.rot90(pixels(path), -1, (1, 2))
    for number, name in notes:
        image = np.asarray(Image.open(tmp_path / name))
        assert image.shape == (320, 180, 3)
        assert psnr(image, source[number]) > 30


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mp4", (30, 30))
    found = find(path, Finding()).found
    wanted = [
        CutPiece(piece=p, target=tmp_path / f"{p.number}.mp4") for p in pieces(found, Choosing())
    ]
    seen: list[tuple[bool, int]] = []

    def note(one: CutPiece, part: Path) -> None:
        seen.append((target(one).exists(), probe(part).frames))

    run = cut(path, found, wanted, QUICK, note=note)
    next(run)
    assert seen == [(False, 29)]
    assert (tmp_path / "1.mp4").exists()
    run.close()

    class EnoughError(Exception):
        pass

    left = [45]

    def check() -> None:
        left[0] -= 1
        if not left[0]:
            raise EnoughError

    (tmp_path / "1.mp4").unlink()
    with contextlib.suppress(EnoughError):
        list(cut(path, found, wanted, QUICK, check=check))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["1.mp4", "film.mp4"]


def test_a_video_that_changed_meanwhile_is_an_error(tmp_path: Path) -> None:
    found = find(make_shots(tmp_path / "a.mp4", (30, 30)), Finding()).found
    shorter = make_shots(tmp_path / "b.mp4", (30,))
    with pytest.raises(MediaError, match="find them again"):
        cut_all(shorter, tmp_path, found=found)
    assert not (tmp_path / "2.mp4").exists()


def test_a_size_that_changes_on_the_way_is_an_error(tmp_path: Path) -> None:
    frames = [*(flat((90, 128, 128), 64, 48) for _ in range(5))]
    path = make_video(tmp_path / "a.mp4", frames)
    found = find(path, Finding()).found
    other = make_video(tmp_path / "b.mp4", [flat((90, 128, 128), 80, 48) for _ in range(5)])
    with av.open(str(path)) as one, av.open(str(other)) as two:
        shape = Shaper(look_at(next(one.decode(video=0)), Turn(0, mirrored=False)))
        with pytest.raises(ValueError, match="changes from 64x48"):
            shape(next(two.decode(video=0)))
    assert found.frames == 5


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
def test_a_full_disk_is_said_clearly(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mp4", (40,), size=(640, 360))
    found = find(path, Finding()).found
    with file_limit(20_000), pytest.raises(EnvironmentFaultError, match="the disk is full"):
        cut_all(path, tmp_path, found=found, cutting=Cutting(crf=0, preset="ultrafast"))
    assert [one.name for one in tmp_path.iterdir()] == ["film.mp4"]


@contextlib.contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a disk that is full."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_cutting_loads_no_torch() -> None:
    code = (
        "import sys, engine.worker.scene_lane, engine.worker.find_scenes\n"
        "sys.exit(bool({'torch', 'transformers', 'rich', 'click'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

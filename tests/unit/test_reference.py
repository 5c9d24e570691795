"""References: the same size, rate, length and frames as the clip; conditions and their faults."""

from __future__ import annotations

import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import LtxError, MediaError, UsageError
from engine.media import reference
from engine.media.canny import canny, edges
from engine.media.condition import Condition, load_condition
from engine.media.images import read_image
from engine.media.probe import probe
from engine.media.reference import make_reference, reference_names
from engine.media.video_frames import video_frames
from tests.media_clips import Sound, Video, grey, make_video, tone

# A display matrix that turns by 90° clockwise.
TURNED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
SAME = Condition("same", "same", lambda frames: frames, own=True)


def square(at: int, width: int = 96, height: int = 64) -> np.ndarray:
    luma = np.full((height, width), 40, dtype=np.uint8)
    luma[16:48, at : at + 32] = 220
    return luma


def coded(number: int) -> np.ndarray:
    """Return luma that tells a number in six bars, whatever a codec does to it."""
    luma = np.full((64, 96), 30, dtype=np.uint8)
    for bit in range(6):
        if number >> bit & 1:
            luma[:, 16 * bit : 16 * bit + 16] = 220
    return luma


def number_of(frame: np.ndarray) -> int:
    return sum(1 << bit for bit in range(6) if frame[32, 16 * bit + 8, 0] > 128)


def frames_of(path: Path) -> list[np.ndarray]:
    return [frame.to_ndarray(format="rgb24") for frame in video_frames(path, probe(path))]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(25)])
def test_a_reference_has_the_clips_size_rate_and_length(
    tmp_path: Path, name: str, fps: Fraction
) -> None:
    how = Video(fps=fps)
    if name.endswith("webm"):
        how = Video(fps=fps, codec="libvpx-vp9", options={"lossless": "1", "cpu-used": "8"})
    sound = None if name.endswith("webm") else Sound(samples=tone(1.0))
    source = make_video(tmp_path / name, [coded(k) for k in range(30)], how, sound)
    target = reference_names([source])[source]
    assert target.name == name.replace("a.", "a_reference.")
    made = make_reference(source, target, SAME, probe(source))
    was, found = probe(source), probe(target)
    assert (found.width, found.height, found.frames) == (96, 64, 30)
    assert (made.frames, made.fps) == (30, was.fps)
    assert (found.fps, found.vfr, found.audio) == (was.fps, False, ())
    assert [number_of(frame) for frame in frames_of(target)] == list(range(30))


def test_a_variable_rate_keeps_the_time_of_every_frame(tmp_path: Path) -> None:
    times = [0, 4, 6, 12, 13, 14, 22, 30, 31, 40, 44, 60]
    how = Video(fps=Fraction(24), pts=times, time_base=Fraction(1, 96), b_frames=0)
    source = make_video(tmp_path / "a.mp4", [coded(k) for k in range(len(times))], how)
    target = tmp_path / "a_reference.mp4"
    make_reference(source, target, SAME, probe(source))
    was, found = probe(source), probe(target)
    assert was.vfr
    assert (found.vfr, found.fps, found.duration) == (True, was.fps, was.duration)
    shown = [frame.pts * found.tick for frame in video_frames(target, found)]
    assert shown == [Fraction(time, 96) for time in times]
    assert [number_of(frame) for frame in frames_of(target)] == list(range(len(times)))


def test_turned_and_odd_sided_clips_are_drawn_as_displayed(tmp_path: Path) -> None:
    turned = make_video(tmp_path / "t.mp4", [grey(k) for k in range(4)], Video(matrix=TURNED))
    make_reference(turned, tmp_path / "t_reference.mp4", SAME, probe(turned))
    found = probe(tmp_path / "t_reference.mp4")
    assert (found.width, found.height, found.rotation) == (48, 64, 0)
    odd = make_video(
        tmp_path / "o.mp4", [grey(k, 65, 47) for k in range(4)], Video(pix_fmt="yuv444p")
    )
    make_reference(odd, tmp_path / "o_reference.mp4", SAME, probe(odd))
    assert (probe(tmp_path / "o_reference.mp4").width) == 65
    assert (probe(tmp_path / "o_reference.mp4").height) == 47


def test_edges_lie_where_the_picture_has_them(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", [square(8 + 4 * k) for k in range(9)])
    target = tmp_path / "a_reference.mp4"
    make_reference(source, target, load_condition("canny"), probe(source))
    for index, (shown, frame) in enumerate(zip(frames_of(target), frames_of(source), strict=True)):
        wanted = edges(frame)
        assert wanted.max() == 255
        assert np.abs(shown.astype(int) - wanted).mean() < 3
        columns = np.flatnonzero(shown[32, :, 0] > 128)
        assert abs(columns.min() - (8 + 4 * index)) <= 1
        assert abs(columns.max() - (4 * index + 39)) <= 1
        assert np.ptp(shown.astype(int), axis=2).max() <= 3  # no colour


def test_thresholds_decide_what_is_an_edge() -> None:
    ramp = np.full((32, 64, 3), 100, dtype=np.uint8)
    ramp[:, 32:] = 120
    assert edges(ramp, 10, 20).max() == 255
    assert edges(ramp, 100, 200).max() == 0
    assert canny(10, 20)(ramp[None]).shape == (1, 32, 64, 3)
    with pytest.raises(UsageError, match="make no sense"):
        canny(200, 100)


def test_frames_come_in_groups_that_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "a.mp4", [grey(k) for k in range(40)])
    seen: list[tuple[int, ...]] = []

    def keep(frames: np.ndarray) -> np.ndarray:
        seen.append(frames.shape)
        assert frames.dtype == np.uint8
        return frames

    condition = Condition("keep", "keep", keep, own=True)
    make_reference(source, tmp_path / "r.mp4", condition, probe(source))
    assert seen == [(16, 48, 64, 3), (16, 48, 64, 3), (8, 48, 64, 3)]
    seen.clear()
    monkeypatch.setattr(reference, "_MOST_BYTES", 5 * 48 * 64 * 3)
    make_reference(source, tmp_path / "r.mp4", condition, probe(source))
    assert [shape[0] for shape in seen] == [5] * 8


def test_images_become_png(tmp_path: Path) -> None:
    pixels = np.repeat(square(10)[:, :, None], 3, axis=2)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    source = tmp_path / "a.png"
    target = reference_names([source])[source]
    make_reference(source, target, load_condition("canny"), probe(source))
    assert target.name == "a_reference.png"
    assert np.array_equal(read_image(target), edges(pixels))


def test_names_are_distinct_and_do_not_depend_on_the_order(tmp_path: Path) -> None:
    names = ["a.avi", "a.mp4", "a.mov", "a.jpg", "a.png", "b.mp4", "b_reference.mp4", "C.MP4"]
    sources = [tmp_path / name for name in names]
    found = {one.name: target.name for one, target in reference_names(sources).items()}
    assert found == {
        "a.avi": "a.avi_reference.mp4",
        "a.mp4": "a_reference.mp4",
        "a.mov": "a_reference.mov",
        "a.jpg": "a.jpg_reference.png",
        "a.png": "a_reference.png",
        "b.mp4": "b.mp4_reference.mp4",  # its plain name is a clip
        "b_reference.mp4": "b_reference_reference.mp4",
        "C.MP4": "C_reference.MP4",
    }
    backwards = reference_names(sources[::-1])
    assert {one.name: target.name for one, target in backwards.items()} == found


@pytest.fixture
def plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "plug"
    folder.mkdir()
    (folder / "ltx_own_condition.py").write_text(
        "import numpy as np\n"
        "value = 3\n"
        "def invert(frames):\n    return 255 - frames\n"
        "def floats(frames):\n    return frames.astype(np.float32)\n"
        "def small(frames):\n    return frames[:, ::2]\n"
        "def nothing(frames):\n    return None\n"
        "def fails(frames):\n    raise ValueError('no depth here')\n"
    )
    (folder / "ltx_broken_condition.py").write_text("import ltx_no_such_thing\n")
    (folder / "ltx_worse_condition.py").write_text("1 / 0\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("own", "broken", "worse"):
        monkeypatch.delitem(sys.modules, f"ltx_{name}_condition", raising=False)
    return folder


def test_a_function_of_ones_own(tmp_path: Path, plug_ins: Path) -> None:
    condition = load_condition("ltx_own_condition:invert", folders=[plug_ins])
    frames = np.full((2, 4, 4, 3), 10, dtype=np.uint8)
    assert (condition.apply(frames) == 245).all()
    assert condition.own
    source = make_video(tmp_path / "a.mp4", [square(0)] * 3)
    make_reference(source, tmp_path / "r.mp4", condition, probe(source))
    shown, was = frames_of(tmp_path / "r.mp4")[1], frames_of(source)[1]
    assert np.abs(shown.astype(int) + was - 255).mean() < 3


def test_another_text_of_a_module_is_another_condition(
    plug_ins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_condition("ltx_own_condition:invert", folders=[plug_ins]).identity
    with (plug_ins / "ltx_own_condition.py").open("a") as file:
        file.write("# another model\n")
    assert load_condition("ltx_own_condition:invert", folders=[plug_ins]).identity != before
    assert load_condition("canny").identity != load_condition("canny", low=50).identity


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("depth", "use canny, or module:function"),
        ("ltx_nowhere:f", "there is no module 'ltx_nowhere'"),
        ("ltx_broken_condition:f", "there is no module 'ltx_no_such_thing'"),
        ("ltx_worse_condition:f", "ZeroDivisionError"),
        ("ltx_own_condition:inverted", "did you mean invert?"),
        ("ltx_own_condition:value", "has no function 'value'"),
    ],
)
def test_conditions_that_cannot_be_loaded(plug_ins: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_condition(name, folders=[plug_ins])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("floats", "returned float32 [1, 4, 4, 3] for uint8 [1, 4, 4, 3]"),
        ("small", "returned uint8 [1, 2, 4, 3]"),
        ("nothing", "returned object []"),
        ("fails", "failed: ValueError: no depth here — mend it (ltx_own_condition.py, line 12)"),
    ],
)
def test_conditions_that_return_something_else(plug_ins: Path, name: str, said: str) -> None:
    condition = load_condition(f"ltx_own_condition:{name}", folders=[plug_ins])
    with pytest.raises(MediaError) as caught:
        condition.apply(np.zeros((1, 4, 4, 3), dtype=np.uint8))
    assert said in str(caught.value)


def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", [grey(k) for k in range(40)])
    target = tmp_path / "a_reference.mp4"
    target.write_bytes(b"what was there")
    calls: list[int] = []

    def late(frames: np.ndarray) -> np.ndarray:
        calls.append(len(frames))
        if len(calls) > 1:
            raise RuntimeError("out of ideas")
        return frames

    with pytest.raises(MediaError, match="out of ideas"):
        make_reference(source, target, Condition("late", "late", late, own=True), probe(source))
    assert target.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a_reference.mp4"]

    def stop() -> None:
        raise LtxError("stopped")

    with pytest.raises(LtxError, match="stopped"):
        make_reference(source, target, SAME, probe(source), check=stop)
    assert target.read_bytes() == b"what was there"


def test_frames_of_one_rate_are_evenly_apart(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "a.mp4", [grey(k) for k in range(20)], Video(fps=Fraction(30000, 1001))
    )
    make_reference(source, tmp_path / "r.mp4", SAME, probe(source))
    found = probe(tmp_path / "r.mp4")
    times = [frame.pts * found.tick for frame in video_frames(tmp_path / "r.mp4", found)]
    assert {b - a for a, b in pairwise(times)} == {Fraction(1001, 30000)}

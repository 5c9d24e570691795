from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from engine.errors import MediaError
from engine.media.probe import Probe, probe
from engine.media.timing import Timing, rate_and_regularity
from tests.media_clips import (
    Sound,
    Video,
    cut_bytes,
    flat,
    grey,
    make_sound,
    make_video,
    tone,
)


def noise(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(16, 235, (48, 64), dtype=np.uint8) for _ in range(count)]


def codes(found: Probe) -> set[str]:
    return {warning.code for warning in found.warnings}


def test_a_plain_clip(tmp_path):
    path = make_video(tmp_path / "a.mp4", map(grey, range(30)), sound=Sound(samples=tone(1.25)))
    found = probe(path)
    assert (found.kind, found.codec, found.width, found.height) == ("video", "h264", 64, 48)
    assert (found.frames, found.fps, found.vfr, found.duration) == (30, 24, False, 1.25)
    assert found.frames_source == "header"
    assert not found.warnings
    (track,) = found.audio
    assert (track.codec, track.rate, track.channels, track.layout) == ("aac", 48000, 2, "stereo")
    # The encoder's run-in is cut away by the container.
    assert abs(track.start) < 0.03


def test_a_probe_survives_json(tmp_path):
    path = make_video(tmp_path / "a.mp4", map(grey, range(4)), sound=Sound(samples=tone(0.2)))
    found = probe(path)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Probe) == found


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".ts"])
def test_rates_are_exact_in_every_container(tmp_path, suffix):
    path = make_video(
        tmp_path / f"a{suffix}", map(grey, range(40)), Video(fps=Fraction(30000, 1001), b_frames=0)
    )
    found = probe(path)
    assert (found.frames, found.fps, found.vfr) == (40, Fraction(30000, 1001), False)


def test_frames_behind_an_edit_list_are_not_counted(tmp_path):
    """A cut that was made without re-encoding hides frames, and the header counts them."""
    path = make_video(
        tmp_path / "a.mp4",
        map(grey, range(30)),
        Video(pts=range(-10, 20), b_frames=0),
        container_options={"avoid_negative_ts": "disabled"},
    )
    found = probe(path)
    assert (found.frames, found.declared_frames, found.frames_source) == (20, 30, "decoded")
    assert not found.damaged


def test_a_cut_off_file_counts_what_decodes_and_says_so(tmp_path):
    whole = make_video(
        tmp_path / "a.mp4", noise(60), Video(), container_options={"movflags": "faststart"}
    )
    found = probe(cut_bytes(whole, tmp_path / "cut.mp4", 0.5))
    assert found.damaged
    assert 24 <= found.frames < 36
    assert found.declared_frames == 60
    (warning,) = found.warnings
    assert warning.code == "truncated"
    assert f"{found.frames} of 60 frames decode" in warning.text
    assert warning.remedy


def test_damage_in_the_last_group_of_pictures_is_found(tmp_path):
    """The packets are all there, and the header's count agrees with them."""
    whole = make_video(
        tmp_path / "a.mp4", noise(60), Video(), container_options={"movflags": "faststart"}
    )
    data = bytearray(whole.read_bytes())
    data[int(len(data) * 0.97) :] = bytes(len(data) - int(len(data) * 0.97))
    path = tmp_path / "zeroed.mp4"
    path.write_bytes(data)
    found = probe(path)
    assert found.damaged
    assert 40 < found.frames < 60


def test_a_file_without_its_index_gives_a_clear_error(tmp_path):
    whole = make_video(tmp_path / "a.mp4", noise(30))
    with pytest.raises(MediaError, match="no index") as caught:
        probe(cut_bytes(whole, tmp_path / "cut.mp4", 0.5))
    assert caught.value.file == tmp_path / "cut.mp4"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"This is no video at all.\n" * 20, "not a video"),
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n", "not a video"),
        ("empty.png", b"", "empty"),
        ("text.png", b"This is no image.\n" * 20, "not an image"),
    ],
)
def test_what_is_no_media_file(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MediaError, match=words) as caught:
        probe(path)
    assert caught.value.file == path
    assert caught.value.remedy


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(MediaError, match="does not exist"):
        probe(tmp_path / "missing.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(MediaError, match="is a folder"):
        probe(tmp_path / "folder.mp4")


def test_names_that_ffmpeg_could_take_for_a_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "pipe:0.mp4", "ünï % %03d.mp4", "-y.mp4"):
        make_video(tmp_path / "a.mp4", map(grey, range(3))).rename(tmp_path / name)
        assert probe(Path(name)).frames == 3


def test_a_name_that_is_no_utf8(tmp_path):
    path = tmp_path / b"\xff\xfe.mp4".decode(errors="surrogateescape")
    make_video(tmp_path / "a.mp4", map(grey, range(3))).rename(path)
    assert probe(path).frames == 3


def test_a_sound_file_has_no_frames(tmp_path):
    path = make_sound(tmp_path / "a.wav", Sound(samples=tone(0.5), codec="pcm_s16le"))
    found = probe(path)
    assert (found.kind, found.frames, found.duration) == ("audio", 0, 0.5)
    assert found.audio[0].rate == 48000


def test_variable_rate_is_told_and_averaged(tmp_path):
    pts = [0, 3000, 6000, 12000, 13500, 15000, 21000, 22500, 24000, 30000, 33000, 36000]
    path = make_video(
        tmp_path / "a.mp4",
        map(grey, range(len(pts))),
        Video(pts=pts, time_base=Fraction(1, 90000), b_frames=0),
    )
    found = probe(path)
    assert found.vfr
    assert 25 < found.fps < 30
    assert codes(found) == {"vfr"}


def test_traits_that_deserve_a_warning(tmp_path):
    path = make_video(tmp_path / "a.mp4", map(grey, range(3)), Video(pixel_aspect=Fraction(4, 3)))
    assert probe(path).pixel_aspect == (4, 3)
    assert codes(probe(path)) == {"pixel_aspect"}

    pq = Video(pix_fmt="yuv420p10le", tags={"color_trc": 16, "color_primaries": 9, "colorspace": 9})
    path = make_video(tmp_path / "pq.mp4", [flat((500, 512, 512), pix_fmt="yuv420p10le")] * 3, pq)
    assert (probe(path).hdr, codes(probe(path))) == ("pq", {"hdr"})

    path = make_video(
        tmp_path / "alpha.mov",
        _argb(2),
        Video(codec="qtrle", pix_fmt="argb"),
    )
    assert probe(path).alpha
    assert codes(probe(path)) == {"alpha"}

    path = make_video(
        tmp_path / "fields.mp4", map(grey, range(4)), Video(options={"x264-params": "tff=1"})
    )
    assert codes(probe(path)) == {"interlaced"}

    path = make_video(tmp_path / "hd.mp4", [grey(0, 1280, 720)] * 2)
    assert codes(probe(path)) == {"untagged_matrix"}
    path = make_video(
        tmp_path / "tagged.mp4", [grey(0, 1280, 720)] * 2, Video(tags={"colorspace": 1})
    )
    assert (probe(path).matrix, codes(probe(path))) == ("bt709", set())


def _argb(count):
    pixels = np.zeros((48, 64, 4), dtype=np.uint8)
    return [av.VideoFrame.from_ndarray(pixels, format="argb") for _ in range(count)]


def timing(pts):
    return Timing(len(pts), len(pts), "decoded", False, list(pts), 0, None)


def test_rounding_to_milliseconds_is_no_variable_rate():
    pts = [round(k * 1001 / 30) for k in range(400)]
    rate, vfr = rate_and_regularity(timing(pts), Fraction(1, 1000), Fraction(30000, 1001))
    assert (rate, vfr) == (Fraction(30000, 1001), False)


def test_a_wrong_declared_rate_gives_way_to_the_timestamps():
    pts = range(0, 512 * 100, 512)
    rate, vfr = rate_and_regularity(timing(pts), Fraction(1, 12800), Fraction(60))
    assert (rate, vfr) == (25, False)
    rate, vfr = rate_and_regularity(timing(pts), Fraction(1, 12800), None)
    assert (rate, vfr) == (25, False)


def test_a_gap_makes_the_rate_variable():
    pts = [*range(10), *range(15, 40)]
    rate, vfr = rate_and_regularity(timing(pts), Fraction(1, 25), Fraction(25))
    assert (rate, vfr) == (25, True)

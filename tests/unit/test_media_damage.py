"""Whatever a file holds, reading it works or ends in a sentence that names it."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import MediaError
from engine.media import containers
from engine.media.audio import read_audio
from engine.media.frames import FrameRequest, read_frames
from engine.media.probe import probe
from engine.media.selection import selection_count
from tests.media_clips import Sound, Video, make_sound, make_video, tone

KINDS = ("a.mp4", "a.mkv", "a.ts", "a.avi", "a.wav")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    frames = [rng.integers(16, 235, (48, 64), dtype=np.uint8) for _ in range(12)]
    for name in KINDS:
        sound = Sound(samples=tone(0.5), codec="libmp3lame" if name == "a.avi" else "aac")
        if name == "a.wav":
            make_sound(folder / name, Sound(samples=tone(0.5), codec="pcm_s16le"))
        else:
            make_video(folder / name, frames, Video(gop=4), sound)
    return {name: (folder / name).read_bytes() for name in KINDS}


def use(path):
    """Do with a file all that a job does; return whether its picture could be read."""
    found = probe(path)
    if found.audio:
        with contextlib.suppress(MediaError):
            assert read_audio(path, found, duration=0.5).samples.isfinite().all()
    if found.kind == "audio" or found.width * found.height > 1 << 20:
        return False
    count = selection_count(found)
    wanted = FrameRequest(width=64, height=32, frames=min(12, max(1, count)), hdr="tonemap")
    return bool(read_frames(path, found, wanted).isfinite().all())


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(KINDS))
def test_damaged_files(tmp_path_factory, whole, data, name):
    content = bytearray(whole[name])
    places = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(content[: data.draw(places) + 1])
    error = None
    try:
        use(path)
    except MediaError as caught:
        error = caught
    if error is not None:
        assert error.file == path
        assert error.message
        assert error.remedy


@pytest.mark.parametrize("name", KINDS[:-1])
def test_the_whole_files_are_read(tmp_path, whole, name):
    path = tmp_path / name
    path.write_bytes(whole[name])
    assert use(path)


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(containers, "MOST_PIXELS", 64 * 48 - 1)
    path = tmp_path / "a.mp4"
    path.write_bytes(whole["a.mp4"])
    with pytest.raises(MediaError, match="64x48 pixels, which is too many"):
        probe(path)

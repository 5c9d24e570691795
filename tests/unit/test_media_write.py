from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import MediaError
from engine.media.audio import Waveform, read_audio
from engine.media.frames import FrameRequest, read_frames
from engine.media.images import read_image
from engine.media.probe import probe
from engine.media.write import write_png, write_video, write_wav
from tests.media_clips import tone

COLOURS = [(200, 30, 40), (30, 180, 60), (20, 40, 220), (128, 128, 128), (255, 255, 255), (0, 0, 0)]


def bars(width=192, height=64):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    for index, colour in enumerate(COLOURS):
        pixels[:, 32 * index : 32 * index + 32] = colour
    return pixels


def levels(count, width=64, height=64):
    return [np.full((height, width, 3), 20 + 4 * k, dtype=np.uint8) for k in range(count)]


@pytest.mark.parametrize(
    "fps", [Fraction(24), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25, 2)]
)
def test_the_rate_is_exact_and_every_frame_is_there(tmp_path, fps):
    path = tmp_path / "a.mp4"
    assert write_video(path, levels(49), fps) == 49
    found = probe(path)
    assert (found.frames, found.fps, found.vfr) == (49, fps, False)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
    assert {b - a for a, b in pairwise(times)} == {1 / fps}
    clip = read_frames(path, found, FrameRequest(width=64, height=64, frames=49))
    means = (clip.mean((0, 2, 3)) + 1) * 127.5
    assert (means - torch.tensor([20.0 + 4 * k for k in range(49)])).abs().max() < 3


def test_colours_and_their_tags(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, [torch.from_numpy(bars())] * 3, Fraction(24), crf=8)
    found = probe(path)
    assert (found.codec, found.pixel_format) == ("h264", "yuv420p")
    assert (found.matrix, found.range, found.primaries, found.transfer) == (
        "bt709", "limited", "bt709", "bt709",
    )  # fmt: skip
    clip = read_frames(path, found, FrameRequest(width=192, height=64, frames=1))
    got = (clip[:, 0, 32, 16::32] + 1) * 127.5
    assert (got.T - torch.tensor(COLOURS)).abs().max() < 4


def test_sound_goes_along_in_place(tmp_path):
    samples = tone(1.0)
    path = tmp_path / "a.mp4"
    write_video(path, levels(24), Fraction(24), Waveform(torch.from_numpy(samples), 48000))
    got = read_audio(path, probe(path), duration=1).samples.numpy()
    error = {
        lag: np.abs(got[:, 4000:40000] - samples[:, 4000 - lag : 40000 - lag]).mean()
        for lag in range(-20, 21)
    }
    assert min(error, key=error.get) == 0
    assert error[0] < 0.01


def test_a_rate_that_aac_lacks_is_resampled(tmp_path):
    path = tmp_path / "a.mp4"
    samples = tone(1.0, rate=40000)
    write_video(path, levels(24), Fraction(24), Waveform(torch.from_numpy(samples), 40000))
    found = probe(path)
    assert found.audio[0].rate == 48000
    assert abs(found.audio[0].duration - 1) < 0.05


def test_odd_sides_lose_a_line(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, levels(2, 65, 63), Fraction(24))
    assert (probe(path).width, probe(path).height) == (64, 62)


def test_frames_are_taken_one_at_a_time(tmp_path):
    alive = []

    def frames():
        for k in range(5):
            alive.append(k)
            yield levels(5)[k]

    write_video(tmp_path / "a.mp4", frames(), Fraction(24))
    assert alive == [0, 1, 2, 3, 4]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"what was there")

    def broken():
        yield from levels(3)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_video(path, broken(), Fraction(24))
    with pytest.raises(MediaError, match="no frame"):
        write_video(path, [], Fraction(24))
    with pytest.raises(MediaError, match="cannot mix"):
        write_video(path, [*levels(1), *levels(1, 32, 32)], Fraction(24))
    with pytest.raises(MediaError, match="uint8"):
        write_video(path, [np.zeros((64, 64, 3), dtype=np.float32)], Fraction(24))
    assert path.read_bytes() == b"what was there"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_a_png_is_the_same_pixels(tmp_path):
    write_png(tmp_path / "a.png", bars())
    assert np.array_equal(read_image(tmp_path / "a.png"), bars())
    with pytest.raises(MediaError, match="uint8"):
        write_png(tmp_path / "b.png", torch.zeros(3, 4, 4))
    assert not (tmp_path / "b.png").exists()


@settings(deadline=None, max_examples=20)
@given(
    rate=st.sampled_from([16000, 24000, 44100, 48000]),
    values=st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=50),
)
def test_a_wav_holds_sixteen_bits(tmp_path_factory, rate, values):
    path = tmp_path_factory.getbasetemp() / "a.wav"
    samples = torch.tensor([values, values[::-1]], dtype=torch.float32)
    write_wav(path, Waveform(samples, rate))
    window = read_audio(path, probe(path), duration=Fraction(len(values), rate))
    assert window.rate == rate
    expected = samples.clamp(-1, 32767 / 32768)
    assert (window.samples - expected).abs().max() <= 0.5 / 32768 + 1e-7

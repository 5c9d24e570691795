from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import MediaError
from engine.media.audio import down_mix_matrix, read_audio, sample_count, silence
from engine.media.probe import probe
from engine.media.selection import kept_start
from tests.media_clips import Sound, Video, cut_bytes, grey, make_sound, make_video, tone

RATE = 48000
STEP = 1 / 32768


def clip(path, sound, frames=48, **video):
    return make_video(path, map(grey, range(frames)), Video(**video), sound)


def pcm(samples, **more):
    return Sound(samples=samples, codec="pcm_s16le", **more)


def near(got, expected):
    return np.abs(got.numpy() - expected).max() <= STEP


def test_the_window_has_the_official_number_of_samples():
    assert sample_count(17 / Fraction(24), 48000) == 34000
    assert sample_count(17 / Fraction(30), 44100) == 24990
    assert sample_count(17 / Fraction(24000, 1001), 44100) == 31268
    assert silence(Fraction(1, 2), 16000).samples.shape == (2, 8000)


def test_no_track_gives_none(tmp_path):
    path = clip(tmp_path / "a.mp4", None)
    assert read_audio(path, probe(path), duration=1) is None


@pytest.mark.parametrize("start", [0, 0.5, Fraction(7, 24)])
def test_a_window_is_cut_to_the_sample(tmp_path, start):
    samples = tone(2)
    path = clip(tmp_path / "a.mkv", pcm(samples))
    window = read_audio(path, probe(path), start=start, duration=1)
    first = round(start * RATE)
    assert window.rate == RATE
    assert window.heard == RATE
    assert window.samples.dtype == torch.float32
    assert near(window.samples, samples[:, first : first + RATE])


def test_sound_that_starts_late_begins_with_silence(tmp_path):
    samples = tone(1)
    path = clip(tmp_path / "a.mkv", pcm(samples, start=0.25))
    found = probe(path)
    assert found.audio[0].start == 0.25
    window = read_audio(path, found, duration=1)
    assert not window.samples[:, :12000].any()
    assert near(window.samples[:, 12000:], samples[:, :36000])
    assert window.heard == 36000


def test_a_late_aac_track_in_mp4_is_aligned_too(tmp_path):
    samples = tone(1.5)
    path = clip(tmp_path / "a.mp4", Sound(samples=samples, start=0.25))
    got = read_audio(path, probe(path), duration=1).samples[0].numpy()
    lags = {
        lag: np.abs(got[16000:40000] - samples[0, 4000 - lag : 28000 - lag]).mean()
        for lag in range(-50, 51)
    }
    # An MP4 edit list is written in milliseconds: 48 samples.
    assert abs(min(lags, key=lags.get)) < 48
    assert min(lags.values()) < 0.02


def test_sound_that_starts_before_the_picture_is_cut(tmp_path):
    samples = tone(2)
    pts = [1000 + 40 * k for k in range(48)]
    path = clip(
        tmp_path / "a.mkv", pcm(samples), pts=pts, time_base=Fraction(1, 1000), fps=Fraction(25),
        b_frames=0,
    )  # fmt: skip
    found = probe(path)
    assert (found.start_time, found.audio[0].start) == (1.0, -1.0)
    window = read_audio(path, found, duration=0.5)
    assert near(window.samples, samples[:, RATE : RATE + RATE // 2])


def test_sound_that_ends_early_is_padded(tmp_path):
    samples = tone(0.5)
    path = clip(tmp_path / "a.mkv", pcm(samples))
    window = read_audio(path, probe(path), duration=2)
    assert window.samples.shape == (2, 2 * RATE)
    assert window.heard == RATE // 2
    assert near(window.samples[:, : RATE // 2], samples)
    assert not window.samples[:, RATE // 2 :].any()
    beyond = read_audio(path, probe(path), start=1, duration=0.5)
    assert beyond.heard == 0
    assert not beyond.samples.any()


def test_a_hole_in_the_track_is_silence_and_what_follows_stays_in_place(tmp_path):
    samples = tone(2)
    path = make_video(tmp_path / "a.mkv", map(grey, range(48)), Video(), pcm(samples))
    holed = _drop_sound(path, tmp_path / "b.mkv", 0.5, 1.0)
    got = read_audio(holed, probe(holed), duration=2).samples.numpy()
    late = slice(round(1.1 * RATE), round(1.9 * RATE))
    # Matroska's milliseconds place what follows.
    best = min(
        np.abs(got[0, late] - samples[0, late.start - lag : late.stop - lag]).max()
        for lag in range(-48, 49)
    )
    assert best <= STEP
    assert not got[:, round(0.6 * RATE) : round(0.9 * RATE)].any()


def _drop_sound(source, target, first, last):
    import av

    with av.open(str(source)) as src, av.open(str(target), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in src.streams}
        for packet in src.demux():
            if packet.dts is None:
                continue
            is_sound = packet.stream.type == "audio"
            if is_sound and first <= packet.pts * packet.time_base < last:
                continue
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    return target


def test_millisecond_timestamps_leave_no_seams(tmp_path):
    """Blocks of 1024 samples at 44.1 kHz never start on a whole millisecond."""
    samples = tone(1, rate=44100)
    path = clip(tmp_path / "a.mkv", pcm(samples, rate=44100), fps=Fraction(25))
    window = read_audio(path, probe(path), duration=1)
    assert near(window.samples, samples)


def test_mono_goes_to_both_channels(tmp_path):
    samples = tone(1, channels=1)
    path = clip(tmp_path / "a.mkv", pcm(samples, layout="mono"))
    window = read_audio(path, probe(path), duration=1)
    assert near(window.samples, np.repeat(samples, 2, axis=0))


def test_surround_is_mixed_down(tmp_path):
    samples = tone(1, channels=6) * 0.5
    path = clip(tmp_path / "a.mkv", Sound(samples=samples, layout="5.1", codec="flac"))
    window = read_audio(path, probe(path), duration=1)
    left, right, centre, _, back_left, back_right = samples
    expected = np.stack([left, right]) + 0.5**0.5 * (centre + np.stack([back_left, back_right]))
    assert np.abs(window.samples.numpy() - expected).max() <= 3 * STEP


def test_unknown_channels_give_their_mean():
    assert down_mix_matrix(("?", "?", "?")).tolist() == [[pytest.approx(1 / 3)] * 3] * 2


@pytest.mark.parametrize(
    ("codec", "suffix", "error"),
    [
        ("pcm_u8", ".wav", 1 / 128),
        ("pcm_s16le", ".wav", STEP),
        ("pcm_s24le", ".wav", 2**-23),
        ("pcm_s32le", ".wav", 2**-23),
        ("pcm_f32le", ".wav", 0),
        ("flac", ".flac", STEP),
    ],
)
def test_sound_files_and_the_scale_of_their_samples(tmp_path, codec, suffix, error):
    samples = tone(1, rate=44100)
    sound = Sound(samples=samples, rate=44100, codec=codec)
    path = make_sound(tmp_path / f"a{suffix}", sound)
    window = read_audio(path, probe(path), start=0.25, duration=0.5)
    assert window.rate == 44100
    assert np.abs(window.samples.numpy() - samples[:, 11025 : 11025 + 22050]).max() <= error


def test_an_mp3_is_read(tmp_path):
    samples = tone(1)
    path = make_sound(tmp_path / "a.mp3", Sound(samples=samples, codec="libmp3lame"))
    got = read_audio(path, probe(path), duration=1).samples.numpy()
    assert np.corrcoef(got[0, 4000:40000], samples[0, 4000:40000])[0, 1] > 0.99


def test_a_late_window_is_found_by_seeking(tmp_path):
    samples = tone(30)
    for suffix, sound in ((".mkv", pcm(samples)), (".wav", pcm(samples))):
        path = tmp_path / f"a{suffix}"
        if suffix == ".wav":
            make_sound(path, sound)
        else:
            clip(path, sound, frames=10)
        window = read_audio(path, probe(path), start=20.5, duration=1)
        first = round(20.5 * RATE)
        best = min(
            np.abs(window.samples.numpy() - samples[:, first - lag : first - lag + RATE]).max()
            for lag in range(-48, 49)
        )
        assert best <= STEP


def test_a_track_that_cannot_be_decoded_is_an_error(tmp_path):
    path = clip(tmp_path / "a.mkv", Sound(samples=tone(1), codec="flac"), gop=1)
    data = bytearray(path.read_bytes())
    position = data.find(b"\xff\xf8")
    while position >= 0:  # the sync word of every FLAC frame
        data[position : position + 2] = b"\0\0"
        position = data.find(b"\xff\xf8")
    path.write_bytes(data)
    with pytest.raises(MediaError, match="sound track that cannot be decoded") as caught:
        read_audio(path, probe(path), duration=1)
    assert caught.value.file == path
    assert caught.value.remedy


def test_sound_of_a_cut_off_file_reaches_as_far_as_its_frames(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(16, 235, (48, 64), dtype=np.uint8) for _ in range(60)]
    whole = make_video(
        tmp_path / "a.mp4", noise, sound=Sound(samples=tone(2.5)),
        container_options={"movflags": "faststart"},
    )  # fmt: skip
    path = cut_bytes(whole, tmp_path / "cut.mp4", 0.6)
    found = probe(path)
    assert found.damaged
    window = read_audio(path, found, duration=Fraction(9, 24))
    good = read_audio(whole, probe(whole), duration=Fraction(9, 24))
    assert torch.equal(window.samples[:, : window.heard], good.samples[:, : window.heard])


@settings(deadline=None, max_examples=12)
@given(
    first=st.integers(0, 40),
    count=st.integers(1, 30),
    fps=st.sampled_from([Fraction(24), Fraction(30000, 1001)]),
)
def test_any_window_is_a_slice(tmp_path_factory, first, count, fps):
    samples = tone(3)
    path = tmp_path_factory.getbasetemp() / f"sound{fps.numerator}.mkv"
    if not path.exists():
        clip(path, pcm(samples), frames=72, fps=fps)
    found = probe(path)
    start = kept_start(found, float(first / fps))
    window = read_audio(path, found, start=start, duration=count / fps)
    n = int(count / fps * RATE)
    at = round(start * RATE)
    assert window.samples.shape == (2, n)
    assert near(window.samples, samples[:, at : at + n])

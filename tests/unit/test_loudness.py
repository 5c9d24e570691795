import wave
from fractions import Fraction

import numpy as np
import pytest

from engine.captioners import media
from engine.errors import MediaError
from engine.media.loudness import RATE, measure, mono, sounds_like_speech
from engine.media.loudness_types import FLOOR, NO_SOUND
from tests.media_clips import Sound, grey, make_sound, make_video

NEVER = lambda: None  # noqa: E731


def voice(pitch, seed, seconds=1.0):
    """Return something like speech: pulses through three formants, in syllables."""
    count = round(seconds * RATE)
    t = np.arange(count) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 1.3 * t + seed))) / RATE
    pulses = sum(np.sin(k * phase) / k for k in range(1, 30))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    formants = ((600, 120), (1400, 200), (2600, 250))
    tract = sum(1 / (1 + ((hertz - centre) / width) ** 2) for centre, width in formants)
    said = np.fft.irfft(np.fft.rfft(pulses) * tract, count)
    said *= np.clip(np.sin(2 * np.pi * 4 * t + seed), 0, 1) ** 0.7
    return (0.3 * said / np.abs(said).max()).astype(np.float32)


def noise(seconds=1.0, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)


def sine(hertz, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def written(path, samples, rate=RATE):
    return make_sound(path, Sound(samples=samples, rate=rate, layout="mono", codec="pcm_s16le"))


@pytest.mark.parametrize("pitch", [95, 130, 210, 260])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_voices_sound_like_speech(pitch, seed):
    assert sounds_like_speech(voice(pitch, seed))
    assert sounds_like_speech(voice(pitch, seed) + 0.01 * noise())


def test_tones_noise_and_beats_do_not():
    t = np.arange(RATE) / RATE
    brown = np.cumsum(noise())
    drums = sum(np.roll(np.exp(-t * 20), 4000 * k) * noise(seed=k) for k in range(4))
    chord = sine(261) + sine(329) + sine(392)
    others = {
        "silence": 0 * noise(),
        "faint voice": voice(120, 0) * 1e-3,
        "noise": 0.1 * noise(),
        "brown": 0.1 * (brown - brown.mean()) / np.abs(brown).max(),
        "bursts": 0.1 * noise() * (np.sin(2 * np.pi * 4 * t) > 0.3),
        "drums": 0.1 * drums,
        "tone": 0.3 * sine(440),
        "hum": 0.3 * sine(50),
        "chord": 0.1 * chord,
    }
    for name, samples in others.items():
        assert not sounds_like_speech(np.asarray(samples, np.float32)), name


def test_levels_and_shares(tmp_path):
    half = np.concatenate([0.5 * sine(440, 2), np.zeros(2 * RATE, np.float32)])
    found = measure(written(tmp_path / "a.wav", half[None]))
    assert found.seconds == pytest.approx(4)
    assert found.peak == pytest.approx(-6.02, abs=0.1)
    assert found.rms == pytest.approx(-6.02 - 3.01 - 3.01, abs=0.1)
    assert found.heard == pytest.approx(0.5, abs=0.02)
    assert found.speech == 0
    assert not found.silent


def test_speech_has_its_share_and_a_part_can_be_measured(tmp_path):
    path = written(tmp_path / "a.wav", np.concatenate([0.05 * noise(2), voice(130, 1, 2)])[None])
    assert measure(path).speech == pytest.approx(0.5)
    assert measure(path, start=2).speech == pytest.approx(1)
    assert measure(path, seconds=2).speech == 0
    assert measure(path, start=1, seconds=2).seconds == pytest.approx(2)
    assert measure(path, start=9) == NO_SOUND


def test_silence_is_silent(tmp_path):
    found = measure(written(tmp_path / "a.wav", np.zeros((1, RATE), np.float32)))
    assert found.silent
    assert (found.peak, found.rms) == (FLOOR, FLOOR)
    faint = measure(written(tmp_path / "b.wav", 1e-3 * noise()[None]))
    assert faint.silent


def test_a_clip_without_a_track_has_no_sound(tmp_path):
    path = make_video(tmp_path / "a.mp4", [grey(i) for i in range(5)])
    assert measure(path) == NO_SOUND
    assert NO_SOUND.silent


def test_stereo_at_another_rate_is_mixed_and_resampled(tmp_path):
    t = np.arange(48000) / 48000
    both = np.stack([np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 440 * t)]).astype(np.float32)
    path = make_sound(tmp_path / "a.wav", Sound(samples=0.5 * both, codec="pcm_s16le"))
    samples = np.concatenate(list(mono(path)))
    assert samples.dtype == np.float32
    assert len(samples) == RATE
    spectrum = np.abs(np.fft.rfft(samples))
    assert int(spectrum.argmax()) == 440


def test_reading_ends_when_nobody_waits(tmp_path):
    path = written(tmp_path / "a.wav", noise(3)[None])

    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(path, check=check)


def test_a_track_that_cannot_be_decoded_is_an_error(tmp_path):
    sound = Sound(samples=0.3 * noise(1)[None], rate=RATE, layout="mono", codec="flac")
    path = make_video(tmp_path / "a.mkv", [grey(i) for i in range(24)], sound=sound)
    # The sync word of every FLAC frame.
    path.write_bytes(path.read_bytes().replace(b"\xff\xf8", b"\0\0"))
    with pytest.raises(MediaError, match="cannot be decoded") as caught:
        measure(path)
    assert caught.value.file == path


def test_sound_is_put_in_step_with_the_picture(tmp_path):
    frames = [grey(i) for i in range(48)]
    late = Sound(
        samples=0.3 * sine(440)[None], rate=RATE, layout="mono", codec="pcm_s16le", start=0.5
    )
    path = make_video(tmp_path / "late.mkv", frames, sound=late)
    samples = np.concatenate(list(mono(path, origin=Fraction(0))))
    assert len(samples) == pytest.approx(1.5 * RATE, abs=64)
    assert not samples[: RATE // 2 - 64].any()
    assert samples[RATE // 2 + 64 :].any()
    cut = np.concatenate(list(mono(path, origin=Fraction(1))))
    assert len(cut) == pytest.approx(0.5 * RATE, abs=64)


def test_what_a_service_hears_is_a_wav_of_16_khz(tmp_path):
    path = make_video(
        tmp_path / "a.mp4", [grey(i) for i in range(24)],
        sound=Sound(samples=np.stack([sine(440)] * 2)[:, :RATE], rate=RATE, codec="aac"),
    )  # fmt: skip
    data = media.sound(path, NEVER)
    assert data is not None
    (tmp_path / "out.wav").write_bytes(data)
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        assert file.getnframes() == pytest.approx(RATE, abs=3000)
    silent = make_video(tmp_path / "b.mp4", [grey(0), grey(1)])
    assert media.sound(silent, NEVER) is None

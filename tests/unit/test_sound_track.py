"""Sound as it is decoded: one account of it for all who read it, placed by presentation time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MediaError
from engine.media.arrays import Samples
from engine.media.audio import read_audio
from engine.media.envelope import envelope
from engine.media.listen import listen
from engine.media.loudness import measure
from engine.media.probe import probe
from engine.media.sound_parts import sound_parts
from engine.media.sound_track import SoundTrack
from tests.media_clips import Sound, grey, make_sound, make_video, tone

RATE = 48000


def spoilt(tmp_path: Path) -> Path:
    """Return a sound with zeros in its middle."""
    path = make_sound(tmp_path / "a.mka", Sound(samples=tone(4), codec="flac"))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    return path


def ramp(seconds: float) -> Samples:
    """Return two channels that rise sample by sample, in steps that 16 bits can hold."""
    steps = np.arange(int(seconds * RATE)) % 32768
    return np.stack([steps, -steps]).astype(np.float32) / 32768


def test_all_readers_say_the_same_of_sound_that_does_not_decode(tmp_path: Path) -> None:
    path = spoilt(tmp_path)
    found = probe(path)
    said = set()
    for read in (
        lambda: read_audio(path, found, duration=4),
        lambda: envelope(path, found, 10, seconds=4),
        lambda: measure(path),
        lambda: SoundTrack(path).read(0, 4 * RATE),
    ):
        with pytest.raises(MediaError, match="has a sound track that cannot be decoded") as caught:
            read()
        said.add((caught.value.message, caught.value.remedy, caught.value.file))
    assert len(said) == 1
    heard = listen(path, found)
    assert heard is not None
    assert said.pop()[0] == f"has a sound track that cannot be decoded ({heard.fault})"


def test_a_damaged_track_ends_where_it_may(tmp_path: Path) -> None:
    path = spoilt(tmp_path)
    whole = SoundTrack(path, damaged=True).read(0, 4 * RATE)
    heard = np.flatnonzero(np.abs(whole).max(axis=0) > 0.01)
    assert 0.5 * RATE < heard[-1] < 3 * RATE
    assert whole.shape == (2, 4 * RATE)


@pytest.mark.parametrize("codec", ["pcm_s16le", "flac"])
def test_samples_are_counted_from_the_origin(tmp_path: Path, codec: str) -> None:
    samples = ramp(2)
    path = make_video(
        tmp_path / "a.mkv",
        [grey(i) for i in range(48)],
        sound=Sound(samples=samples, codec=codec, start=0.5),
    )
    for origin in (Fraction(0), Fraction(1, 2), Fraction(1)):
        late = round((Fraction(1, 2) - origin) * RATE)
        track = SoundTrack(path, origin=origin)
        assert (track.rate, track.layout, track.channels) == (RATE, "stereo", 2)
        first = max(0, late)
        got = track.read(first, RATE)
        assert np.array_equal(got, samples[:, first - late : first - late + RATE])
        track.close()


def test_parts_have_the_layout_that_is_asked_for(tmp_path: Path) -> None:
    path = make_sound(
        tmp_path / "a.flac", Sound(samples=tone(1, channels=1), layout="mono", codec="flac")
    )
    own = [*sound_parts(path)]
    both = [*sound_parts(path, layout="stereo")]
    assert {part.layout.name for part in own} == {"mono"}
    assert {part.layout.name for part in both} == {"stereo"}
    assert [part.time for part in own] == [part.time for part in both]
    assert sum(part.samples.shape[1] for part in both) == RATE
    assert {part.samples.shape[0] for part in both} == {2}

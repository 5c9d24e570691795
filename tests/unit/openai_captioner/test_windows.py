"""Of a clip with a window, a server is given that part alone."""

import base64
import io
import wave

import av
import msgspec
import numpy as np
import pytest
from PIL import Image

from engine.captioners.asking import look
from engine.captioners.media import pictures, small_video, sound
from engine.dataset.windows import Span
from engine.errors import MediaError
from tests.media_clips import Sound, grey, index_of, make_video
from tests.unit.openai_captioner.conftest import Server, captioned, decoded, media, models, request


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Two seconds, each frame as bright as its number; a tone from half a second to one and a half.

    Louder in its second half.
    """
    samples = np.zeros((2, 96000), np.float32)
    time = np.arange(48000) / 48000
    samples[:, 24000:72000] = np.sin(2 * np.pi * 440 * time) * np.where(time < 0.5, 0.2, 0.8)
    return make_video(
        tmp_path_factory.mktemp("window") / "a.mov",
        [grey(index) for index in range(48)],
        sound=Sound(samples=samples, codec="pcm_s16le"),
    )


def check():
    pass


def heard(data):
    with wave.open(io.BytesIO(data)) as reader:
        assert (reader.getframerate(), reader.getnchannels()) == (16000, 1)
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2") / 32767


def numbers(frames):
    return [index_of(np.asarray(frame, float).mean() / 127.5 - 1) for frame in frames]


def test_pictures_are_those_of_the_window(path):
    shown = pictures(path, 4, 64, check, Span(1.0, 1.75))
    assert numbers(Image.open(io.BytesIO(data)) for data in shown) == [24, 30, 36]
    rest = pictures(path, 2, 64, check, Span(1.0))
    assert numbers(Image.open(io.BytesIO(data)) for data in rest) == [24, 36]
    beyond = pictures(path, 2, 64, check, Span(1.5, 99.0))
    assert numbers(Image.open(io.BytesIO(data)) for data in beyond) == [36]


def test_the_sound_is_that_of_the_window(path):
    whole, part = heard(sound(path, check)), heard(sound(path, check, Span(0.75, 1.25)))
    assert len(whole) == 32000
    assert len(part) == 8000
    np.testing.assert_array_equal(part, whole[12000:20000])
    assert np.abs(part[:3900]).max() < 0.3 < 0.7 < np.abs(part[4100:]).max()
    assert len(heard(sound(path, check, Span(1.0)))) == 16000
    # Nothing is there to be heard: not a file that says nothing.
    assert sound(path, check, Span(5.0, 6.0)) is None


def test_a_small_copy_has_the_window_in_step_with_its_sound(path):
    data = small_video(path, 8, 64, check, Span(0.75, 1.75), with_sound=True)
    with av.open(io.BytesIO(data)) as container:
        assert numbers(f.to_ndarray(format="rgb24") for f in container.decode(video=0)) == [
            18, 21, 24, 27, 30, 33, 36, 39,
        ]  # fmt: skip
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(audio=0))
    assert {frame.sample_rate for frame in frames} == {16000}
    samples = np.concatenate([frame.to_ndarray().mean(0) for frame in frames])
    assert len(samples) / 16000 == pytest.approx(1.0, abs=0.1)
    level = [np.abs(samples[int(at * 16000) :][:1600]).max() for at in (0.1, 0.4, 0.85)]
    assert level[0] < 0.3 < 0.6 < level[1]
    assert level[2] < 0.1
    mute = small_video(path, 8, 64, check, Span(0.75, 1.75))
    with av.open(io.BytesIO(mute)) as container:
        assert not container.streams.audio


def test_a_server_is_sent_the_window(clips):
    server = Server()
    part = msgspec.structs.replace(media(clips), span=Span(0.5, 1.5), seconds=1.0)
    captioned(server, (part, request(fps=4.0)))
    *shown, voice, words = server.parts()
    assert words["text"].startswith("These are 4 frames of one clip, in order.")
    found = numbers(Image.open(io.BytesIO(decoded(one)[1])) for one in shown)
    assert found == [12, 18, 24, 30]
    assert len(heard(base64.b64decode(voice["input_audio"]["data"]))) == 16000
    film = Server(listed=models("qwen", owner="vllm"))
    captioned(film, (part, request(fps=4.0)))
    with av.open(io.BytesIO(decoded(film.parts()[0])[1])) as container:
        found = numbers(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
    assert found == [12, 18, 24, 30]


def test_how_long_a_window_is_and_that_it_is_there(path, tmp_path):
    assert look(path).media.seconds == pytest.approx(2.0)
    part = look(path, Span(0.5, 99.0)).media
    assert part.seconds == pytest.approx(1.5)
    assert part.span == Span(0.5, 99.0)
    with pytest.raises(MediaError, match=r"its window 2.5-3 s lies behind its end") as caught:
        look(path, Span(2.5, 3.0))
    assert "window_start" in caught.value.remedy
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match="an image has no window"):
        look(tmp_path / "a.png", Span(0.0, 1.0))

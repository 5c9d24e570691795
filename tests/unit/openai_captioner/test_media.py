"""Frames and sounds as they are sent, and who takes which."""

import asyncio
import io
import threading
import time

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.captioners.content_types import ContentTypes, refused_type
from engine.captioners.media import frame_times, in_thread, pictures, small_video
from tests.media_clips import Video, grey, make_video


@given(st.fractions(min_value=0, max_value=7200), st.floats(0.01, 60), st.integers(1, 100))
def test_frames_are_spread_over_the_clip(seconds, fps, most):
    times = frame_times(seconds, fps, most)
    assert 1 <= len(times) <= most
    assert times[0] == 0
    assert times == sorted(set(times))
    assert times[-1] < seconds or len(times) == 1
    assert len(times) == most or len(times) >= int(seconds * fps * 0.99)


def test_pictures_are_small_upright_and_not_too_many(tmp_path):
    turned = Video(matrix=[0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30])
    path = make_video(tmp_path / "a.mp4", [grey(i % 8, 1600, 900) for i in range(16)], turned)
    frames = [Image.open(io.BytesIO(data)) for data in pictures(path, 24, 5, lambda: None)]
    assert [frame.size for frame in frames] == [(432, 768)] * 5
    with av.open(io.BytesIO(small_video(path, 24, 5, lambda: None))) as container:
        shown = list(container.decode(video=0))
    assert [(frame.width, frame.height) for frame in shown] == [(432, 768)] * 5


def test_work_in_a_thread_ends_when_nobody_waits_for_it():
    begun, ended = threading.Event(), threading.Event()

    def work(check):
        begun.set()
        try:
            while True:
                check()
                time.sleep(0.001)
        finally:
            ended.set()

    async def cancel():
        task = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.to_thread(ended.wait, 5)

    assert asyncio.run(cancel())


def test_which_type_is_refused():
    sent = frozenset({"image_url", "input_audio", "text"})
    valid = "Supported values are: 'text', 'image_url', 'input_audio'"
    assert refused_type(400, f"Invalid value: 'input_audio'. {valid}", sent) == "input_audio"
    assert refused_type(400, "unsupported content[].type", sent) == "input_audio"
    assert refused_type(400, "image_url is only supported by certain models", sent) == "image_url"
    assert refused_type(400, "the prompt is too long", sent) == ""
    assert refused_type(429, "image_url is not supported", sent) == ""
    assert refused_type(400, "video_url is not supported", sent) == ""


def test_a_form_that_was_asked_for_is_kept():
    types = ContentTypes("openai")
    types.start_with("vllm")
    assert (types.picture, types.sound) == ("image_url", "input_audio")
    assert not types.give_up("image_url")

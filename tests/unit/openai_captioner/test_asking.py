"""What is sent to a server of OpenAI's kind, and what comes back."""

import asyncio
import base64
import io

import av
import numpy as np
import pytest
from PIL import Image

from engine.captioners.base import FatalCaptionError
from engine.captioners.openai_compatible import OpenAICaptioner
from engine.captioners.prompts import NO_SOUND_NOTE, instruction
from tests.scripted_server import answer, serving
from tests.unit.openai_captioner.conftest import (
    GOOD,
    KEY,
    Server,
    captioned,
    decoded,
    events,
    gate,
    media,
    models,
    request,
)


def test_frames_and_sound_are_sent_and_the_answer_comes_back(clips):
    server = Server()
    text = captioned(server, (media(clips), request(fps=3.0, max_tokens=77)), api_key=KEY)
    assert text == GOOD
    chat = server.chats[0]
    assert (chat["model"], chat["max_tokens"], chat["temperature"]) == ("m", 77, 0)
    assert chat["stream"] is True
    *pictures, heard, words = server.parts()
    assert len(pictures) == 6
    for picture in pictures:
        head, data = decoded(picture)
        assert head == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(data)).size == (160, 120)
    assert heard["type"] == "input_audio"
    assert heard["input_audio"]["format"] == "wav"
    assert base64.b64decode(heard["input_audio"]["data"])[:4] == b"RIFF"
    assert words["text"].startswith("These are 6 frames of one clip, in order.")
    assert instruction(with_audio=True) in words["text"]
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_without_sound_none_is_sent(clips):
    server = Server()
    captioned(server, (media(clips), request(with_audio=False)))
    assert server.types() == ["image_url", "text"]
    assert NO_SOUND_NOTE not in server.parts()[-1]["text"]


def test_a_clip_without_a_track_is_said_to_have_none(clips):
    server = Server()
    captioned(server, (media(clips, "mute"), request()))
    assert server.types() == ["image_url", "text"]
    assert server.parts()[-1]["text"].endswith(NO_SOUND_NOTE)


def test_an_image_is_one_picture(clips):
    server = Server()
    captioned(server, (media(clips, "image"), request(with_audio=False)))
    picture, words = server.parts()
    assert Image.open(io.BytesIO(decoded(picture)[1])).size == (60, 40)
    assert words["text"] == instruction(with_audio=False)


def test_vllm_gets_a_video_and_its_sound(clips):
    server = Server(listed=models("qwen", "adapter", owner="vllm"))
    captioned(server, (media(clips), request(fps=4.0)))
    film, heard, _ = server.parts()
    assert server.chats[0]["model"] == "qwen"
    head, data = decoded(film)
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="gray8") for frame in container.decode(stream)]
        assert (stream.width, stream.height, stream.average_rate) == (160, 120, 4)
        assert not container.streams.audio
    assert len(frames) == 8
    levels = [float(np.mean(frame)) for frame in frames]
    assert levels == sorted(levels)
    assert decoded(heard)[0] == "data:audio/wav;base64"


def test_llama_cpp_gets_pictures(clips):
    server = Server(listed=models("gguf", owner="llamacpp"))
    captioned(server, (media(clips), request()))
    assert server.types() == ["image_url", "input_audio", "text"]


@pytest.mark.parametrize(
    ("form", "types"),
    [
        ("openai", ["image_url", "input_audio", "text"]),
        ("llamacpp", ["image_url", "input_audio", "text"]),
        ("vllm", ["audio_url", "text", "video_url"]),
    ],
)
def test_a_form_can_be_asked_for(clips, form, types):
    server = Server(listed=answer({}, 500))
    captioned(server, (media(clips), request()), form=form, model="m")
    assert server.types() == types
    assert [got.path for got in server.requests] == ["/v1/chat/completions"]


def test_what_is_refused_is_sent_in_another_way_and_remembered(clips):
    def picky(chat):
        types = {part["type"] for part in chat["messages"][0]["content"]}
        if "video_url" in types:
            return answer({"error": {"message": "Unknown part type: video_url"}}, 400)
        if "audio_url" in types:
            return answer({"error": {"message": "audio_url is not supported"}}, 400)
        return events(GOOD)

    server = Server(picky, listed=models("m", owner="vllm"))
    slept = []
    asked = [(media(clips), request())] * 2
    assert captioned(server, *asked, slept=slept) == GOOD
    assert [server.types(number) for number in range(4)] == [
        ["audio_url", "text", "video_url"],
        ["audio_url", "image_url", "text"],
        ["image_url", "input_audio", "text"],
        ["image_url", "input_audio", "text"],
    ]
    assert slept == []


def test_the_first_clip_finds_out_for_all(clips):
    refused = answer({"error": {"message": "video_url is not supported"}}, 400)

    async def work(server):
        async with serving(server.handle) as address:
            captioner = OpenAICaptioner(base_url=f"{address}/v1", gate=gate())
            clip = media(clips), request(with_audio=False)
            texts = await asyncio.gather(*(captioner.caption(*clip) for _ in range(5)))
            await captioner.close()
            return texts

    server = Server(refused, events(GOOD), listed=models("m", owner="vllm"))
    assert asyncio.run(work(server)) == [GOOD] * 5
    assert [got.path for got in server.requests].count("/v1/models") == 1
    assert len(server.chats) == 6


@pytest.mark.parametrize(
    ("message", "status", "remedy"),
    [
        ("audio input is not supported - hint: provide the mmproj", 500, "--no-audio"),
        ("At most 0 audio(s) may be provided in one prompt.", 400, "--no-audio"),
        ("image input is not supported - hint: provide the mmproj", 500, "sees"),
        ("Qwen3-8B is not a multimodal model", 400, "sees"),
    ],
)  # fmt: skip
def test_a_model_that_lacks_a_sense_stops_the_job(clips, message, status, remedy):
    server = Server(answer({"error": {"message": message, "code": status}}, status))
    with pytest.raises(FatalCaptionError) as caught:
        captioned(server, (media(clips), request()))
    assert message in caught.value.message
    assert remedy in caught.value.remedy
    assert 1 < len(server.chats) < 6


def test_an_image_that_is_refused_does_not_go_round_in_circles(clips):
    server = Server(answer({"error": {"message": "image_url is not supported"}}, 400))
    with pytest.raises(FatalCaptionError, match="takes no pictures"):
        captioned(server, (media(clips, "image"), request(with_audio=False)))
    assert len(server.chats) == 2


def test_options_that_a_model_does_not_take_are_left_out(clips):
    def picky(chat):
        for option, instead in (("max_tokens", "max_completion_tokens"), ("temperature", "none")):
            if option in chat:
                message = f"Unsupported parameter: '{option}' is not supported, use '{instead}'."
                return answer({"error": {"message": message}}, 400)
        return events(GOOD)

    server = Server(picky)
    assert captioned(server, *[(media(clips, "mute"), request())] * 2) == GOOD
    assert len(server.chats) == 4
    assert server.chats[-1]["max_completion_tokens"] == 1024

import asyncio
import base64
import io
import json
import logging
import threading
import time

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.captioners.base import CaptionError, CaptionMedia, CaptionRequest, FatalCaptionError
from engine.captioners.content_types import ContentTypes, refused_type
from engine.captioners.make import make_captioner
from engine.captioners.media import frame_times, in_thread, pictures, small_video
from engine.captioners.openai_compatible import OpenAICaptioner
from engine.captioners.prompts import NO_SOUND_NOTE, instruction
from engine.captioners.retry import Gate, Policy
from engine.errors import EnvironmentFaultError, UsageError
from tests.media_clips import Sound, Video, grey, make_video, tone
from tests.scripted_server import Reply, answer, serving

KEY = "sk-test-0123456789abcdef"
GOOD = "[VISUAL]: A dog.\n[SPEECH]: None\n[SOUNDS]: None\n[TEXT]: None"
NO_AUDIO_URL = {"error": {"message": "unsupported content[].type", "code": 400}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    sound = Sound(samples=tone(2.0), codec="aac")
    Image.new("RGB", (60, 40), "red").save(folder / "c.png")
    return {
        "loud": make_video(folder / "a.mp4", [grey(i, 160, 120) for i in range(48)], sound=sound),
        "mute": make_video(folder / "b.mp4", [grey(i) for i in range(24)]),
        "image": folder / "c.png",
    }


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def media(clips, kind="loud"):
    return CaptionMedia(
        path=clips[kind],
        kind="image" if kind == "image" else "video",
        has_audio=kind == "loud",
        seconds=2.0,
    )


def request(with_audio=True, **options):
    return CaptionRequest(instruction=instruction(with_audio), with_audio=with_audio, **options)


def events(*deltas, reason="stop", done=True, **extra):
    """Return a streamed answer as servers send it."""
    chunks = [{"delta": {"content": piece}, "finish_reason": None} for piece in deltas]
    chunks.append({"delta": {}, "finish_reason": reason})
    lines = []
    for choice in chunks:
        value = {
            "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, **choice}], **extra,
        }  # fmt: skip
        lines.append(f"data: {json.dumps(value)}\n\n")
    return Reply(
        body="".join([*lines, "data: [DONE]\n\n" if done else ""]).encode(),
        headers={"content-type": "text/event-stream"},
    )


def models(*names, owner="library"):
    return answer({
        "object": "list",
        "data": [{"id": n, "object": "model", "created": 1, "owned_by": owner} for n in names],
    })  # fmt: skip


class Server:
    """Answers with a script, one reply a chat; the last one again and again."""

    def __init__(self, *replies, listed=None):
        self.replies = list(replies) or [events(GOOD[:9], GOOD[9:30], GOOD[30:])]
        self.listed = listed or models("m")
        self.chats = []
        self.requests = []
        self.asked = asyncio.Event()

    async def handle(self, got):
        self.requests.append(got)
        if got.path == "/v1/models":
            return self.listed
        assert (got.method, got.path) == ("POST", "/v1/chat/completions")
        self.chats.append(got.json)
        self.asked.set()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply(got.json) if callable(reply) else reply

    def parts(self, number=-1):
        return self.chats[number]["messages"][0]["content"]

    def types(self, number=-1):
        return sorted({part["type"] for part in self.parts(number)})


def gate(workers=4, slept=None, **policy):
    """Return a gate whose time passes only while somebody sleeps."""
    time = [0.0]

    async def sleep(seconds):
        if slept is not None:
            slept.append(seconds)
        time[0] += seconds
        await asyncio.sleep(0)

    return Gate(workers, Policy(**policy), now=lambda: time[0], sleep=sleep, jitter=lambda: 1)


def captioned(server, *asked, slept=None, policy=None, **options):
    """Caption clips one after the other, and return the last answer."""

    async def work():
        async with serving(server.handle) as address:
            captioner = OpenAICaptioner(
                base_url=f"{address}/v1", gate=gate(slept=slept, **(policy or {})), **options
            )
            try:
                for one, how in asked:
                    text = await captioner.caption(one, how)
            finally:
                await captioner.close()
            return text

    return asyncio.run(work())


def decoded(part):
    kind = part["type"]
    head, _, data = part[kind]["url"].partition(",")
    return head, base64.b64decode(data)


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


@pytest.mark.parametrize(
    ("first", "waits"),
    [
        (answer({"error": {"message": "slow down"}}, 429, retry_after="7"), [8.0]),
        (answer({"error": {"message": "slow down"}}, 429), [1.0]),
        (answer({"error": {"message": "oops"}}, 500), [1.0]),
        (Reply(status=502, body=b"<html>bad gateway</html>"), [1.0]),
        (Reply(body=b"data: {broken\n\n", headers={"content-type": "text/event-stream"}), [1.0]),
        (Reply(body=b"{broken", headers={"content-type": "application/json"}), [1.0]),
        (events("[VISUAL]: A", reason=None, done=False), [1.0]),
        (Reply(body=events(GOOD).body, headers=events("").headers, cut=300), [1.0]),
        (Reply(cut=1, body=b"x"), [1.0]),
        (events(""), [1.0]),
        (Reply(body=b'data: {"error": {"message": "engine died", "code": 500}}\n\n',
               headers={"content-type": "text/event-stream"}), [1.0]),
    ],
)  # fmt: skip
def test_what_passes_is_tried_again(clips, first, waits):
    slept = []
    server = Server(first, events(GOOD))
    assert captioned(server, (media(clips, "mute"), request()), slept=slept) == GOOD
    assert len(server.chats) == 2
    assert slept == waits


def test_a_server_that_never_answers_is_given_up(clips):
    server = Server(Reply(delay=30))
    with pytest.raises(CaptionError, match=r"no answer .*\(2 tries\)") as caught:
        captioned(server, (media(clips, "mute"), request()), policy={"tries": 2, "timeout": 0.15})
    assert not caught.value.fatal


def test_a_server_that_is_not_there_stops_the_job(clips):
    async def work():
        captioner = OpenAICaptioner(base_url="http://127.0.0.1:9/v1", gate=gate(tries=2))
        try:
            await captioner.caption(media(clips), request())
        finally:
            await captioner.close()

    with pytest.raises(FatalCaptionError, match=r"127\.0\.0\.1:9 cannot be reached"):
        asyncio.run(work())


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        (401, f"Incorrect API key provided: {KEY}", "OPENAI_API_KEY"),
        (403, "not for you", "OPENAI_API_KEY"),
        (404, "The model `m` does not exist.", "--model"),
    ],
)
def test_a_wrong_key_or_model_stops_the_job_at_once(clips, status, message, remedy):
    server = Server(answer({"error": {"message": message}}, status))
    with pytest.raises(FatalCaptionError) as caught:
        captioned(server, (media(clips, "mute"), request()), api_key=KEY, model="m")
    assert remedy in caught.value.remedy
    assert len(server.chats) == 1
    assert KEY not in str(caught.value)


def test_spent_credit_is_not_waited_for(clips):
    spent = {"message": "You exceeded your quota", "code": "insufficient_quota"}
    server = Server(answer({"error": spent}, 429))
    with pytest.raises(FatalCaptionError, match="quota"):
        captioned(server, (media(clips, "mute"), request()))
    assert len(server.chats) == 1


@pytest.mark.parametrize(
    "reply",
    [
        events("", reason="content_filter"),
        answer({"error": {"message": "policy", "code": "content_filter"}}, 400),
    ],
)
def test_a_blocked_clip_fails_alone(clips, reply):
    server = Server(reply)
    with pytest.raises(CaptionError, match="blocked") as caught:
        captioned(server, (media(clips, "mute"), request()))
    assert not caught.value.fatal
    assert len(server.chats) == 1


def test_a_clip_that_is_too_long_fails_alone(clips):
    message = "This model's maximum context length is 4096 tokens, you asked for 9000."
    server = Server(answer({"error": {"message": message}}, 400))
    with pytest.raises(CaptionError, match="maximum context") as caught:
        captioned(server, (media(clips, "mute"), request()))
    assert "--fps" in caught.value.remedy
    assert not caught.value.fatal


def test_an_answer_that_is_cut_off_by_its_length_is_kept(clips):
    server = Server(events("[VISUAL]: A dog", reason="length"))
    assert captioned(server, (media(clips, "mute"), request())) == "[VISUAL]: A dog"
    server = Server(events("", reason="length"))
    with pytest.raises(CaptionError, match="before it began"):
        captioned(server, (media(clips, "mute"), request()))


def test_an_answer_without_end_is_read_only_so_far(clips):
    server = Server(events(*["word " * 1000] * 40, reason=None, done=False))
    text = captioned(server, (media(clips, "mute"), request()))
    assert 50_000 <= len(text) < 60_000


def test_an_invented_turn_is_cut(clips):
    server = Server(events(GOOD, "\nHuman: And then?"))
    assert captioned(server, (media(clips, "mute"), request())) == GOOD


def test_a_clip_that_cannot_be_read_fails_alone(clips, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no video")
    broken = CaptionMedia(path=tmp_path / "x.mp4", kind="video", has_audio=False, seconds=1)
    with pytest.raises(CaptionError, match="is not a video") as caught:
        captioned(Server(), (broken, request()))
    assert caught.value.file == tmp_path / "x.mp4"
    assert not caught.value.fatal


def test_models_are_chosen_only_where_there_is_no_doubt(clips):
    clip = media(clips, "mute"), request()
    with pytest.raises(FatalCaptionError, match="2 models") as caught:
        captioned(Server(listed=models("a", "b")), clip)
    assert "a, b" in caught.value.remedy
    with pytest.raises(FatalCaptionError, match="0 models"):
        captioned(Server(listed=models()), clip)
    server = Server(listed=models("a", "b"))
    assert captioned(server, clip, model="b") == GOOD
    assert server.chats[0]["model"] == "b"
    assert captioned(Server(listed=answer({}, 404)), clip, model="b") == GOOD


def test_cancelling_lets_go(clips):
    async def work():
        server = Server(Reply(delay=30))
        async with serving(server.handle) as address:
            captioner = OpenAICaptioner(base_url=f"{address}/v1", gate=gate(1))
            task = asyncio.create_task(captioner.caption(media(clips, "mute"), request()))
            await server.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            server.replies = [events(GOOD)]
            text = await captioner.caption(media(clips, "mute"), request())
            await captioner.close()
            return text

    assert asyncio.run(work()) == GOOD


def test_the_key_is_nowhere_to_be_read(clips, caplog, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    leak = answer({"error": {"message": f"no: {KEY}"}}, 500)
    server = Server(leak, answer({"error": {"message": f"never: {KEY}"}}, 401))
    with pytest.raises(FatalCaptionError) as caught:
        captioned(server, (media(clips, "mute"), request()))
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert "never: …" in str(caught.value)
    assert caught.value.__suppress_context__
    assert KEY not in caplog.text
    assert KEY not in repr(OpenAICaptioner(base_url="http://localhost/v1"))


def test_addresses_and_missing_keys_are_refused_before_anything_is_sent(monkeypatch):
    with pytest.raises(FatalCaptionError, match="needs a key"):
        OpenAICaptioner()
    for address in ("localhost:8000", "ftp://host/v1", "http://", "http://host:port/"):
        with pytest.raises(UsageError, match="no address"):
            OpenAICaptioner(base_url=address)
    with pytest.raises(UsageError, match="password") as caught:
        OpenAICaptioner(base_url=f"http://me:{KEY}@host/v1")
    assert KEY not in str(caught.value)


def test_make_captioner_checks_what_it_is_asked_for(monkeypatch):
    made = make_captioner("openai", base_url="http://localhost:8000/v1", num_workers=2)
    assert isinstance(made, OpenAICaptioner)
    for wrong in ({"num_workers": 0}, {"num_workers": 999}, {"form": "vlm"}):
        with pytest.raises(UsageError):
            make_captioner("openai", base_url="http://localhost/v1", **wrong)
    with pytest.raises(UsageError, match="qwen_omni"):
        make_captioner("qwen_omni")
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    monkeypatch.delitem(__import__("sys").modules, "engine.captioners.openai_compatible")
    with pytest.raises(EnvironmentFaultError, match="openai") as caught:
        make_captioner("openai", base_url="http://localhost/v1")
    assert "pip install 'ltx-tui[openai]'" in caught.value.remedy


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

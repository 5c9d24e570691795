"""What the tests of this folder share."""

import asyncio
import base64
import json

import pytest
from PIL import Image

from engine.captioners.base import CaptionMedia, CaptionRequest
from engine.captioners.openai_compatible import OpenAICaptioner
from engine.captioners.prompts import instruction
from engine.captioners.retry import Gate, Policy
from tests.media_clips import Sound, grey, make_video, tone
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

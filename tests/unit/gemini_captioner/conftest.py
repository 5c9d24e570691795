"""What the tests of this folder share."""

import asyncio
import re

import pytest
from PIL import Image

from engine.captioners.base import CaptionMedia, CaptionRequest
from engine.captioners.gemini_flash import GeminiCaptioner
from engine.captioners.prompts import instruction
from engine.captioners.retry import Gate, Policy
from tests.media_clips import Sound, grey, make_video, tone
from tests.scripted_server import answer, serving

KEY = "AIzaTest-0123456789abcdef0123456789abcdef"
GOOD = "[VISUAL]: A dog.\n[SPEECH]: None\n[SOUNDS]: None\n[TEXT]: None"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    frames = [grey(i) for i in range(24)]
    sound = Sound(samples=tone(1.0), codec="aac")
    Image.new("RGB", (60, 40), "red").save(folder / "c.png")
    return {
        # Not every HTTP client can put such a name into a header.
        "loud": make_video(folder / "видео.mp4", frames, sound=sound),
        "mute": make_video(folder / "b.mov", frames),
        "image": folder / "c.png",
    }


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def media(clips, kind="loud"):
    return CaptionMedia(
        path=clips[kind],
        kind="image" if kind == "image" else "video",
        has_audio=kind == "loud",
        seconds=1.0,
    )


def request(with_audio=True, **options):
    return CaptionRequest(instruction=instruction(with_audio), with_audio=with_audio, **options)


def said(*texts, reason="STOP", **extra):
    parts = [text if isinstance(text, dict) else {"text": text} for text in texts]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}
    return answer({"candidates": [candidate], "modelVersion": "m", **extra})


def fault(status, message, name="", *details, **headers):
    error = {"code": status, "message": message, "status": name, "details": list(details)}
    return answer({"error": error}, status, **headers)


class Google:
    """The part of Gemini's service that is used: files and answers.

    Attributes:
        scripts: For "start", "upload", "get", "ask" and "delete": what to answer, one reply a
            call, before it goes on as usual.
        states: Of a file, one for each look at it; the last one again and again.
    """

    def __init__(self, states=("PROCESSING", "ACTIVE"), **scripts):
        self.states = list(states)
        self.scripts = {name: list(replies) for name, replies in scripts.items()}
        self.calls = []
        self.requests = []
        self.files = {}
        self.sizes = {}
        self.begun = {name: asyncio.Event() for name in ("start", "upload", "get", "ask")}
        self.address = ""

    async def handle(self, got):
        got.path = re.sub(r"^(/upload)?/v1[a-z]*/", r"\1/", got.path)  # the client's choice
        self.requests.append(got)
        call = self.call_of(got)
        self.calls.append(call)
        if call in self.begun:
            self.begun[call].set()
        reply = getattr(self, f"do_{call}")(got)
        scripted = self.scripts.get(call)
        return scripted.pop(0) if scripted else reply

    def call_of(self, got):
        if got.path == "/upload/files":
            return "start"
        if got.path.startswith("/put/"):
            return "upload"
        if got.path.endswith(":generateContent"):
            return "ask"
        assert got.path.startswith("/files/"), got.path
        return {"GET": "get", "DELETE": "delete"}[got.method]

    def do_start(self, got):
        name = got.json["file"]["name"]
        self.kind = got.headers["x-goog-upload-header-content-type"]
        return answer(
            {}, x_goog_upload_url=f"{self.address}/put/{name}", x_goog_upload_status="active"
        )

    def do_upload(self, got):
        name = got.path.removeprefix("/put/")
        self.files[name] = got.body
        return answer({"file": self.file(name, "PROCESSING")}, x_goog_upload_status="final")

    def do_get(self, got):
        name = got.path.removeprefix("/")
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return answer(self.file(name, state))

    def do_ask(self, got):
        return said(GOOD)

    def do_delete(self, got):
        name = got.path.removeprefix("/")
        if self.files.pop(name, None) is None:
            return fault(404, "no such file", "NOT_FOUND")
        return answer({})

    def file(self, name, state):
        found = {
            "name": name,
            "mimeType": self.kind,
            "state": state,
            "uri": f"https://there/{name}",
        }
        return {**found, "error": {"message": "bad codec"}} if state == "FAILED" else found

    def asked(self):
        return next(got for got in self.requests if self.call_of(got) == "ask")


def file_data(part, *spellings):
    """Return a value in either spelling; the service takes both."""
    return next(part["fileData"][name] for name in spellings if name in part["fileData"])


def gate(slept=None, **policy):
    """Return a gate whose time passes only while somebody sleeps."""
    passed = [0.0]

    async def sleep(seconds):
        if slept is not None:
            slept.append(seconds)
        passed[0] += seconds
        await asyncio.sleep(0)

    return Gate(4, Policy(**policy), now=lambda: passed[0], sleep=sleep, jitter=lambda: 1)


def captioned(google, *asked, slept=None, policy=None, **options):
    async def work():
        async with serving(google.handle) as google.address:
            captioner = GeminiCaptioner(
                api_key=KEY, base_url=google.address, gate=gate(slept, **(policy or {})), **options
            )
            try:
                texts = await asyncio.gather(*(captioner.caption(*one) for one in asked))
            finally:
                await captioner.close()
            return texts

    return asyncio.run(work())


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}

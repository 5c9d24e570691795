import asyncio
import io
import logging
import re
import time

import av
import pytest
from PIL import Image

from engine.captioners.base import CaptionError, CaptionMedia, CaptionRequest, FatalCaptionError
from engine.captioners.gemini_flash import DEFAULT_MODEL, GeminiCaptioner
from engine.captioners.make import make_captioner
from engine.captioners.prompts import NO_SOUND_NOTE, instruction
from engine.captioners.retry import Gate, Policy
from engine.errors import EnvironmentFaultError
from tests.media_clips import Sound, grey, make_video, tone
from tests.scripted_server import Reply, answer, serving

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


def test_a_clip_is_uploaded_waited_for_described_and_deleted(clips):
    google = Google(states=["PROCESSING", "PROCESSING", "ACTIVE"])
    slept = []
    assert captioned(google, (media(clips), request(fps=2.0)), slept=slept) == [GOOD]
    assert google.calls == ["start", "upload", "get", "get", "get", "ask", "delete"]
    assert slept == [0.5, 0.75]
    assert google.files == {}
    asked = google.asked()
    assert asked.path == f"/models/{DEFAULT_MODEL}:generateContent"
    part, words = asked.json["contents"][0]["parts"]
    assert file_data(part, "mime_type", "mimeType") == "video/mp4"
    assert file_data(part, "file_uri", "fileUri").startswith("https://there/files/ltx-")
    assert part["videoMetadata"]["fps"] == 2
    assert words == {"text": instruction(with_audio=True)}
    assert asked.json["generationConfig"]["maxOutputTokens"] > 1024


def test_the_file_goes_up_as_it_is_and_without_its_name(clips):
    google = Google()
    captioned(google, (media(clips), request()))
    uploaded = next(got for got in google.requests if google.call_of(got) == "upload")
    assert uploaded.body == clips["loud"].read_bytes()
    for got in google.requests:
        assert "видео" not in got.path + str(got.headers)
        assert got.headers.get("x-goog-upload-file-name") is None


def test_without_sound_a_small_copy_without_a_track_goes_up(clips):
    google = Google()
    captioned(google, (media(clips), request(with_audio=False)))
    uploaded = next(got for got in google.requests if google.call_of(got) == "upload")
    with av.open(io.BytesIO(uploaded.body)) as container:
        assert not container.streams.audio
        assert len(list(container.decode(video=0))) == 3
    assert google.asked().json["contents"][0]["parts"][1] == {"text": instruction(with_audio=False)}


def test_an_image_and_a_clip_without_a_track(clips):
    google = Google(states=["ACTIVE"])
    captioned(google, (media(clips, "image"), request(with_audio=False)))
    part, _ = google.asked().json["contents"][0]["parts"]
    assert file_data(part, "mime_type", "mimeType") == "image/png"
    assert "videoMetadata" not in part
    google = Google(states=["ACTIVE"])
    captioned(google, (media(clips, "mute"), request()))
    part, words = google.asked().json["contents"][0]["parts"]
    assert file_data(part, "mime_type", "mimeType") == "video/mov"
    assert words["text"].endswith(NO_SOUND_NOTE)


def test_several_at_once_each_with_its_own_file(clips):
    google = Google(states=["ACTIVE"])
    assert captioned(google, *[(media(clips), request())] * 4, model="gemini-x") == [GOOD] * 4
    names = [got.path for got in google.requests if google.call_of(got) == "upload"]
    assert len(set(names)) == 4
    assert google.calls.count("delete") == 4
    assert google.asked().path == "/models/gemini-x:generateContent"


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}


@pytest.mark.parametrize("call", ["start", "get", "ask"])
@pytest.mark.parametrize(
    ("first", "waits"),
    [
        (fault(429, "slow down", "RESOURCE_EXHAUSTED", retry_after="7"), [8.0]),
        (fault(429, "slow down", "RESOURCE_EXHAUSTED", RETRY_INFO), [8.0]),
        (fault(429, "slow down", "RESOURCE_EXHAUSTED"), [1.0]),
        (fault(500, "oops", "INTERNAL"), [1.0]),
        (Reply(status=503, body=b"<html>busy</html>"), [1.0]),
        (Reply(body=b"{broken", headers={"content-type": "application/json"}), [1.0]),
        (Reply(body=b'{"candidates": []' + b" " * 99, cut=50), [1.0]),
    ],
)
def test_what_passes_is_tried_again(clips, call, first, waits):
    google = Google(states=["ACTIVE"], **{call: [first]})
    slept = []
    assert captioned(google, (media(clips), request()), slept=slept) == [GOOD]
    # Once told to slow down, the next calls follow one another with a gap.
    assert [wait for wait in slept if wait > 0.25] == waits
    assert google.calls.count(call) == 2
    assert google.files == {}


def test_an_upload_that_breaks_off_is_made_again_under_another_name_and_both_are_deleted(clips):
    cut = Reply(body=b"{}" + b" " * 99, headers={"x-goog-upload-status": "final"}, cut=50)
    google = Google(states=["ACTIVE"], upload=[cut])
    assert captioned(google, (media(clips), request())) == [GOOD]
    assert google.calls == ["start", "upload", "start", "upload", "get", "ask", "delete", "delete"]
    assert google.files == {}
    bodies = [got.body for got in google.requests if google.call_of(got) == "upload"]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    "reply",
    [said(), said("", reason="STOP"), said("[VISUAL", reason="OTHER"), answer({}),
     said({"text": "I think", "thought": True})],
)  # fmt: skip
def test_an_answer_that_is_none_is_asked_for_again(clips, reply):
    google = Google(states=["ACTIVE"], ask=[reply])
    assert captioned(google, (media(clips), request())) == [GOOD]
    assert google.calls.count("ask") == 2


def test_thoughts_are_left_out_and_pieces_put_together(clips):
    thought = {"text": "Let me see.", "thought": True}
    google = Google(states=["ACTIVE"], ask=[said(thought, GOOD[:20], GOOD[20:], "\nHuman: so?")])
    assert captioned(google, (media(clips), request())) == [GOOD]


@pytest.mark.parametrize(
    "reply",
    [
        answer({"promptFeedback": {"blockReason": "SAFETY"}}),
        said("A", reason="SAFETY"),
        said(reason="PROHIBITED_CONTENT"),
        said("A", reason="RECITATION"),
    ],
)
def test_a_blocked_clip_fails_alone(clips, reply):
    google = Google(states=["ACTIVE"], ask=[reply])
    with pytest.raises(CaptionError, match="blocked the clip") as caught:
        captioned(google, (media(clips), request()))
    assert not caught.value.fatal
    assert google.calls.count("ask") == 1
    assert google.files == {}


def test_an_answer_that_is_cut_off_by_its_length(clips):
    google = Google(states=["ACTIVE"], ask=[said("[VISUAL]: A", reason="MAX_TOKENS")])
    assert captioned(google, (media(clips), request())) == ["[VISUAL]: A"]
    google = Google(states=["ACTIVE"], ask=[said(reason="MAX_TOKENS")])
    with pytest.raises(CaptionError, match="before it began"):
        captioned(google, (media(clips), request()))


def test_a_file_that_cannot_be_taken_in_fails_alone_and_is_deleted(clips):
    google = Google(states=["PROCESSING", "FAILED"])
    with pytest.raises(CaptionError, match="cannot read the file: bad codec") as caught:
        captioned(google, (media(clips), request()))
    assert not caught.value.fatal
    assert caught.value.file == clips["loud"]
    assert google.files == {}


def test_a_file_that_is_never_taken_in_is_given_up_and_deleted(clips):
    google = Google(states=["PROCESSING"])
    slept = []
    with pytest.raises(CaptionError, match="did not get done with the file in 300 s"):
        captioned(google, (media(clips), request()), slept=slept)
    assert 300 <= sum(slept) <= 310
    assert max(slept) == 5
    assert google.files == {}


def test_a_call_that_is_never_answered_is_given_up_and_the_file_deleted(clips):
    google = Google(states=["ACTIVE"], ask=[Reply(delay=30)] * 2)
    with pytest.raises(CaptionError, match=r"no answer within 0.3 s \(2 tries\)"):
        captioned(google, (media(clips), request()), policy={"tries": 2, "timeout": 0.3})
    assert google.files == {}


@pytest.mark.parametrize(
    ("reply", "words", "remedy"),
    [
        (
            fault(400, "API key not valid.", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}),
            "API key not valid",
            "GOOGLE_API_KEY",
        ),
        (fault(403, f"{KEY} was leaked", "PERMISSION_DENIED"), "… was leaked", "GOOGLE_API_KEY"),
        (
            fault(429, "quota", "RESOURCE_EXHAUSTED",
                  {"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}, RETRY_INFO),
            "the day's quota is used up",
            "tomorrow",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("call", ["start", "ask"])
def test_a_wrong_key_or_a_spent_day_stops_the_job_at_once(clips, call, reply, words, remedy):
    google = Google(states=["ACTIVE"], **{call: [reply]})
    slept = []
    with pytest.raises(FatalCaptionError) as caught:
        captioned(google, (media(clips), request()), slept=slept)
    assert words in caught.value.message
    assert remedy in caught.value.remedy
    assert KEY not in str(caught.value)
    assert slept == []
    assert google.files == {}


def test_an_unknown_model_stops_the_job(clips):
    google = Google(states=["ACTIVE"], ask=[fault(404, "models/x is not found", "NOT_FOUND")])
    with pytest.raises(FatalCaptionError, match="models/x is not found") as caught:
        captioned(google, (media(clips), request()), model="x")
    assert "--model" in caught.value.remedy
    assert google.files == {}


def test_a_service_that_is_not_there_stops_the_job(clips):
    async def work():
        captioner = GeminiCaptioner(api_key=KEY, base_url="http://127.0.0.1:9", gate=gate(tries=2))
        try:
            await captioner.caption(media(clips), request())
        finally:
            await captioner.close()

    begin = time.monotonic()
    with pytest.raises(FatalCaptionError, match="cannot be reached"):
        asyncio.run(work())
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("call", ["upload", "get", "ask"])
def test_cancelling_deletes_the_file(clips, call):
    """Also where the upload was done, and only its answer had not come yet."""

    async def work():
        google = Google(states=["ACTIVE"], **{call: [Reply(delay=30)]})
        async with serving(google.handle) as google.address:
            captioner = GeminiCaptioner(api_key=KEY, base_url=google.address, gate=gate())
            task = asyncio.create_task(captioner.caption(media(clips), request()))
            await google.begun[call].wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await captioner.close()
        return google

    google = asyncio.run(work())
    assert google.calls[-1] == "delete"
    assert google.files == {}


def test_cancelling_twice_deletes_the_file_all_the_same(clips):
    async def work():
        google = Google(
            states=["ACTIVE"], ask=[Reply(delay=30)], delete=[Reply(status=503, delay=0.05)]
        )
        async with serving(google.handle) as google.address:
            captioner = GeminiCaptioner(api_key=KEY, base_url=google.address, gate=gate())
            task = asyncio.create_task(captioner.caption(media(clips), request()))
            await google.begun["ask"].wait()
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await captioner.close()
        return google

    google = asyncio.run(work())
    assert google.files == {}


def test_a_file_that_cannot_be_deleted_is_logged_and_the_caption_counts(clips, caplog):
    google = Google(states=["ACTIVE"], delete=[fault(500, "oops", "INTERNAL")] * 3)
    assert captioned(google, (media(clips), request())) == [GOOD]
    assert google.calls.count("delete") == 3
    assert "could not be deleted; Google does so after 48 hours" in caplog.text


def test_the_key_is_sent_in_a_header_and_is_nowhere_to_be_read(clips, caplog, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", f" {KEY}\n")
    caplog.set_level(logging.DEBUG)
    google = Google(states=["ACTIVE"], ask=[fault(500, KEY), fault(400, f"no {KEY}")])

    async def work():
        async with serving(google.handle) as google.address:
            captioner = make_captioner("gemini_flash", base_url=google.address, num_workers=1)
            assert isinstance(captioner, GeminiCaptioner)
            captioner._gate.sleep = lambda seconds: asyncio.sleep(0)
            assert KEY not in repr(captioner)
            try:
                await captioner.caption(media(clips), request())
            finally:
                await captioner.close()

    with pytest.raises(CaptionError) as caught:
        asyncio.run(work())
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__
    assert KEY not in caplog.text
    assert all(got.headers["x-goog-api-key"] == KEY for got in google.requests
               if google.call_of(got) != "upload")  # fmt: skip
    assert all(KEY not in got.path for got in google.requests)


def test_without_a_key_nothing_begins(monkeypatch):
    with pytest.raises(FatalCaptionError, match="needs a key") as caught:
        GeminiCaptioner()
    assert "GOOGLE_API_KEY" in caught.value.remedy


def test_without_the_package_it_says_which_extra(monkeypatch):
    modules = __import__("sys").modules
    monkeypatch.setitem(modules, "google.genai", None)
    monkeypatch.setitem(modules, "google", None)
    monkeypatch.delitem(modules, "engine.captioners.gemini_flash")
    with pytest.raises(EnvironmentFaultError, match="google") as caught:
        make_captioner("gemini_flash", api_key=KEY)
    assert "pip install 'ltx-tui[gemini]'" in caught.value.remedy


def test_files_that_are_missing_or_too_large_fail_alone(clips, tmp_path, monkeypatch):
    missing = CaptionMedia(path=tmp_path / "no.mp4", kind="video", has_audio=True, seconds=1)
    with pytest.raises(CaptionError, match="cannot be read"):
        captioned(Google(), (missing, request()))
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(3_000_000_000)
    huge = CaptionMedia(path=large, kind="video", has_audio=True, seconds=1)
    google = Google()
    with pytest.raises(CaptionError, match=r"3\.0 GB") as caught:
        captioned(google, (huge, request()))
    assert not caught.value.fatal
    assert google.calls == []

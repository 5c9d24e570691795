"""What Gemini does wrong, what becomes of the clip, and that its file is deleted."""

import asyncio
import logging
import time

import pytest

from engine.captioners.base import CaptionError, CaptionMedia, FatalCaptionError
from engine.captioners.gemini_flash import GeminiCaptioner
from engine.captioners.make import make_captioner
from engine.errors import EnvironmentFaultError
from tests.scripted_server import Reply, serving
from tests.unit.gemini_captioner.conftest import (
    GOOD,
    KEY,
    RETRY_INFO,
    Google,
    captioned,
    fault,
    gate,
    media,
    request,
)


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

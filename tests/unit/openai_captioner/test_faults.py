"""What a server of OpenAI's kind does wrong, and what becomes of the clip."""

import asyncio
import logging

import pytest

from engine.captioners.base import CaptionError, CaptionMedia, FatalCaptionError
from engine.captioners.make import make_captioner
from engine.captioners.openai_compatible import OpenAICaptioner
from engine.errors import EnvironmentFaultError, UsageError
from tests.scripted_server import Reply, answer, serving
from tests.unit.openai_captioner.conftest import (
    GOOD,
    KEY,
    Server,
    captioned,
    events,
    gate,
    media,
    models,
    request,
)


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

"""What is sent to Gemini, and what comes back."""

import io

import av
import msgspec
import pytest

from engine.captioners.base import CaptionError
from engine.captioners.gemini_flash import DEFAULT_MODEL
from engine.captioners.prompts import NO_SOUND_NOTE, instruction
from engine.dataset.windows import Span
from tests.media_clips import index_of
from tests.scripted_server import Reply, answer
from tests.unit.gemini_captioner.conftest import (
    GOOD,
    RETRY_INFO,
    Google,
    captioned,
    fault,
    file_data,
    media,
    request,
    said,
)


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


def test_of_a_window_a_small_copy_goes_up_that_has_nothing_else(clips):
    google = Google()
    part = msgspec.structs.replace(media(clips), span=Span(0.25, 0.75), seconds=0.5)
    captioned(google, (part, request(fps=8.0)))
    uploaded = next(got for got in google.requests if google.call_of(got) == "upload")
    with av.open(io.BytesIO(uploaded.body)) as container:
        shown = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    # A shade away at most, as it is encoded again.
    assert [index_of(mean / 127.5 - 1) for mean in shown] == pytest.approx([6, 9, 12, 15], abs=1)
    with av.open(io.BytesIO(uploaded.body)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples / 16000 == pytest.approx(0.5, abs=0.1)
    mute = msgspec.structs.replace(media(clips, "mute"), span=Span(0.5), seconds=0.5)
    google = Google()
    captioned(google, (mute, request(fps=8.0)))
    uploaded = next(got for got in google.requests if google.call_of(got) == "upload")
    with av.open(io.BytesIO(uploaded.body)) as container:
        assert not container.streams.audio
        assert len(list(container.decode(video=0))) == 4


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

"""The child process that reads frames and sound: what it answers, and when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.errors import MediaError
from engine.media.probe import probe
from engine.worker import make_thumbnails
from engine.worker.make_thumbnails import Superseded, kept_numbers, show
from engine.worker.spec import encode
from engine.worker.thumbnail_types import (
    Ask,
    Decoded,
    Done,
    Errors,
    Facts,
    Failed,
    Shot,
    Sound,
    Tell,
)
from tests.media_clips import Sound as Track
from tests.media_clips import grey, make_sound, make_video, tone

FRAMES = 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 60 frames with sound."""
    folder = tmp_path_factory.mktemp("clips")
    frames = [grey(i) for i in range(FRAMES)]
    return make_video(folder / "clip.mp4", frames, sound=Track(samples=tone(2.5)))


# What the child answers


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return where answers go to."""
    answers: list[Any] = []
    monkeypatch.setattr(make_thumbnails, "answer", answers.append)
    return answers


def asking(media: Path, **changes: Any) -> Ask:
    values: dict[str, Any] = {
        "id": 3,
        "media": media,
        "state_dir": media.parent / ".ltx-tui",
        "bucket": (32, 32, 49),
        "count": 4,
        "size": (16, 16),
        "columns": 8,
    }
    return Ask(**values | changes)


def never() -> None:
    """Let everything go on."""


def test_a_clip_is_told_in_parts(clip: Path, told: list[Any]) -> None:
    show(asking(clip), never)
    facts, *shots, sound = told
    assert isinstance(facts, Facts)
    assert (facts.size, facts.frames, facts.kept, facts.fps) == ((64, 48), 60, (0, 48), 24)
    assert facts.numbers == (0, 24, 48, 59)
    assert facts.box == pytest.approx((1 / 8, 0, 7 / 8, 1), abs=0.02)
    assert [shot.number for shot in shots] == [0, 24, 48, 59]
    assert all(shot.size == (16, 12) and len(shot.pixels) == 16 * 12 * 3 for shot in shots)
    assert isinstance(sound, Sound)
    assert len(sound.high) == 8


def test_pictures_with_a_palette(clip: Path, told: list[Any]) -> None:
    show(asking(clip, palette=True, columns=0, line=(255, 0, 0)), never)
    shot = told[1]
    assert isinstance(shot, Shot)
    assert len(shot.pixels) == 16 * 12
    assert 0 < len(shot.palette) <= 3 * 255
    assert max(shot.pixels) < len(shot.palette) // 3


def test_source_beside_decoded(clip: Path, tmp_path: Path, told: list[Any]) -> None:
    latents, decoded = tmp_path / "a.pt", tmp_path / "a.mp4"
    ask = asking(
        clip, bucket=(64, 48, 9), decoded=Decoded(file=decoded, latents=latents), columns=0
    )
    for words in ("is not encoded yet", "is not decoded yet"):
        show(ask, never)
        assert isinstance(told[-1], Failed)
        assert (told[-1].part, told[-1].fault.message) == ("decoded", words)
        latents.touch()
    make_video(decoded, [grey(i) for i in range(9)])
    told.clear()
    show(ask, never)
    shots = [tell for tell in told if isinstance(tell, Shot)]
    assert [(one.place, one.is_right, one.number) for one in shots] == [
        (place, back, number) for place, number in enumerate((0, 3, 5, 8)) for back in (False, True)
    ]
    last = [tell for tell in told if isinstance(tell, Errors)][-1]
    assert len(last.values) == 9
    assert max(last.values) < 1
    later = decoded.stat().st_mtime + 10
    os.utime(latents, (later, later))
    show(ask, never)
    assert told[-1].fault.message == "was decoded before it was encoded anew"


def test_a_clip_without_a_bucket_has_nothing_to_compare(clip: Path, told: list[Any]) -> None:
    other = Decoded(file=clip, latents=clip)
    show(asking(clip, bucket=None, decoded=other, columns=0), never)
    assert told[0].kept == (0, -1)
    assert "no bucket" in told[1].fault.message


def test_bad_clips_are_answers(tmp_path: Path, told: list[Any], clip: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    for file in (tmp_path / "bad.mp4", tmp_path / "none.mp4", tmp_path, Path()):
        show(asking(file, state_dir=tmp_path / "s"), never)
    assert [tell.part for tell in told] == ["clip"] * 4
    assert all(tell.fault.message and tell.fault.remedy for tell in told)


def test_faults_of_our_own_are_answers_too(
    clip: Path, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(make_thumbnails, "envelope", fail)
    show(asking(clip), never)
    assert "boom" in told[-1].fault.message
    monkeypatch.setattr(
        make_thumbnails, "envelope", lambda *_, **__: (_ for _ in ()).throw(MemoryError)
    )
    show(asking(clip), never)
    assert "memory" in told[-1].fault.message


def test_a_sound_alone_has_no_pictures(tmp_path: Path, told: list[Any]) -> None:
    path = make_sound(tmp_path / "a.wav", Track(samples=tone(0.5), codec="pcm_s16le"))
    show(asking(path, bucket=None), never)
    assert [type(tell) for tell in told] == [Facts, Sound]
    assert told[0].kind == "audio"


def test_patience_ends(clip: Path) -> None:
    requests = make_thumbnails.Requests()
    check = make_thumbnails.checking(requests, patience=-1)
    with pytest.raises(MediaError, match="takes longer"):
        check()
    requests._latest = b"{}"
    with pytest.raises(Superseded):
        check()


@pytest.mark.parametrize(
    ("fps", "start", "kept"), [(0.0, 0.0, (0, 8)), (12.0, 0.0, (0, 16)), (0.0, 0.5, (12, 20))]
)
def test_kept_frames_by_number(clip: Path, fps: float, start: float, kept: tuple[int, int]) -> None:
    ask = asking(clip, bucket=(32, 32, 9), fps=fps, start=start)
    assert kept_numbers(ask, probe(clip)) == kept


def test_the_child_answers_the_latest_and_ends_with_stdin(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.worker.make_thumbnails"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        tells: Iterator[Tell] = map(msgspec.json.Decoder(Tell).decode, child.stdout)
        child.stdin.write(encode(asking(tmp_path / "bad.mp4", id=1)) + b"\n")
        child.stdin.flush()
        first = next(tells)
        assert isinstance(first, Failed)
        assert next(tells).id == 1
        child.stdin.write(encode(asking(clip, id=2)) + b"\n" + encode(asking(clip, id=3)) + b"\n")
        child.stdin.flush()
        rest = [next(tells)]
        while not isinstance(rest[-1], Done) or rest[-1].id != 3:
            rest.append(next(tells))
        # The one before is not answered to its end, if at all.
        assert [tell for tell in rest if isinstance(tell, Done)] == [Done(id=3)]
        assert sum(isinstance(tell, Shot) and tell.id == 3 for tell in rest) == 4
        child.stdin.close()
        assert child.wait(10) == 0


def test_reading_frames_loads_no_torch() -> None:
    code = "import engine.worker.make_thumbnails, sys, json; print(json.dumps([*sys.modules]))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert not {"torch", "textual"} & set(json.loads(out))

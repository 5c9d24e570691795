"""Caption jobs that fail, pause, are killed and go on: nothing is asked twice, nothing lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from engine.captioners.answer_file import AnswerFile, write_answer
from engine.client import Engine
from engine.dataset.caption_db import Key, digest
from engine.dataset.to_caption import ToCaption
from engine.dataset.versions import Versions
from engine.events import AnyEvent, ClipFailed, ClipStarted, JobDone
from engine.precompute.ledger import Ledger
from engine.project import Project, apply_overrides
from engine.worker.caption_answers import Answers
from engine.worker.caption_job import make_setup
from engine.worker.caption_steps import CaptionSteps
from engine.worker.journal import Journal
from engine.worker.protocol import Secret, Start
from engine.worker.spec import JobSpec, JobState
from tests.caption_server import CaptionServer
from tests.jobs import ending
from tests.small_set import write_clip
from tests.unit.captioning.conftest import KEY, CaptionDatabaseOf, captions, put, run
from tests.workers import kill_worker, until, with_engine


def test_one_clip_that_fails_does_not_stop_the_others_and_can_be_tried_again(
    project: Project, clip: Path, server: CaptionServer
) -> None:
    put(project.root, clip, "a.mp4", "c.mp4")
    (project.root / "b.mp4").write_bytes(b"no video")
    given = [{"media_path": name, "caption": "old"} for name in ("a.mp4", "b.mp4", "c.mp4")]
    project.dataset_path.write_text(json.dumps(given))

    async def do(engine: Engine) -> tuple[list[AnyEvent], list[AnyEvent]]:
        job = await engine.start(engine.captioning(project.root, override=True))
        first = [event async for event in engine.follow(job.id)]
        info = await until(engine, job.id, lambda info: info.state is JobState.DONE)
        assert (info.kind, info.done, info.failed) == ("caption", 2, 1)
        put(project.root, clip, "b.mp4")
        again = await engine.retry()
        return first, [event async for event in engine.follow(again.id)]

    first, second = with_engine(project, do)  # type: ignore[misc]
    [failure] = [event for event in first if isinstance(event, ClipFailed)]
    assert (failure.stage, failure.clip, failure.row) == ("captions", "b.mp4", 1)
    assert (ending(second).done, ending(second).failures) == (1, ())
    assert "old" not in captions(project).values()
    assert len(server.calls) == 3


def test_a_worker_that_is_killed_asks_nothing_twice(
    project: Project, server: CaptionServer
) -> None:
    names = [f"{n:02}.mp4" for n in range(12)]
    for seed, name in enumerate(names):
        write_clip(project.root / name, size=(64, 64), count=8, seed=seed)
    server.seconds = 0.25
    project = apply_overrides(project, {"captions.num_workers": 2})
    told: list[tuple[set[str], int]] = []

    async def do(engine: Engine) -> list[AnyEvent]:
        job = await engine.start(engine.captioning(project.root))
        events = []
        async for event in engine.follow(job.id):
            events.append(event)
            done = set(captions(project)) if project.dataset_path.exists() else set()
            if len(told) < 2 and len(done) >= 2 + 3 * len(told):
                await asyncio.to_thread(kill_worker, project)
                told.append((done, len(server.calls)))
        return events

    events = with_engine(project, do)
    assert isinstance(events, list)
    assert ending(events).done == 12
    assert ending(events).failures == ()
    assert sorted(captions(project)) == names
    # A caption tells which call it came from, and a call which clip it was about.
    numbers = {
        name: int(one.partition("number ")[2].partition(".")[0])
        for name, one in captions(project).items()
    }
    assert len(set(numbers.values())) == 12
    bodies = [json.dumps(call["messages"]) for call in server.calls]
    assert len(told) == 2
    for done, calls in told:
        assert not {bodies[numbers[name] - 1] for name in done} & set(bodies[calls:])
    # Only calls in hand when it was killed came again.
    assert 12 <= len(bodies) <= 12 + 2 * 2
    assert not list((project.state_dir / "captioning").glob("*"))


def test_a_worker_that_runs_already_is_told_the_key_and_writes_it_nowhere(
    project: Project, clip: Path, server: CaptionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project.root, clip, "a.mp4")

    async def do(engine: Engine) -> None:
        job = await engine.start(engine.captioning(project.root))
        assert [e async for e in engine.follow(job.id)]
        put(project.root, clip, "b.mp4")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        job = await engine.start(engine.captioning(project.root))
        assert [e async for e in engine.follow(job.id)]

    with_engine(project, do)
    assert server.keys == ["Bearer none", f"Bearer {KEY}"]
    assert KEY not in repr(Start(spec=Engine(project).captioning(), keys={"K": Secret(KEY)}))
    for path in project.root.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_job_pauses_and_goes_on(project: Project, clip: Path, server: CaptionServer) -> None:
    put(project.root, clip, "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    server.seconds = 0.3

    async def do(engine: Engine) -> JobDone:
        job = await engine.start(engine.captioning(project.root))
        async for event in engine.follow(job.id):
            if isinstance(event, ClipStarted):
                assert event.device == "call 1"
                await engine.pause(job.id)
        info = await until(engine, job.id, lambda info: info.state is JobState.PAUSED)
        assert 0 < info.done < 4
        assert info.done == len(captions(project))
        await engine.resume(job.id)
        return ending([event async for event in engine.follow(job.id)])

    end = with_engine(project, do)
    assert isinstance(end, JobDone)
    assert end.done == 4
    assert len(server.calls) == 4


def left_behind(project: Project, spec: JobSpec, clip: ToCaption, text: str, base: str) -> Path:
    path = Answers(spec, make_setup(project)).path(clip)
    answer = AnswerFile(text=text, is_malformed=False, captioner="openai (toy)", base=digest(base))
    write_answer(path, answer)
    return path


def test_answers_that_were_left_behind_are_taken_up(
    project: Project, clip: Path, server: CaptionServer
) -> None:
    put(project.root, clip, "a.mp4", "b.mp4")
    spec = Engine(project).captioning(project.root)
    a = ToCaption(key=Key("a.mp4"), media=project.root / "a.mp4", row=-1, base="")
    left_behind(project, spec, a, "[VISUAL]: left behind", "")
    assert ending(run(project, spec)).done == 2
    assert captions(project)["a.mp4"] == "[VISUAL]: left behind"
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("now", "calls", "wanted"),
    [
        ("old", 0, "new"),  # answered, and not written yet
        ("new", 0, "new"),  # written, and not noted yet
        ("typed", 0, "typed"),  # edited by hand since it was asked about
    ],
)
def test_an_override_that_was_interrupted_asks_nothing_again(
    project: Project, clip: Path, server: CaptionServer, now: str, calls: int, wanted: str
) -> None:
    put(project.root, clip, "a.mp4")
    project.dataset_path.write_text(json.dumps([{"media_path": "a.mp4", "caption": now}]))
    spec = Engine(project).captioning(project.root, override=True)
    asked = ToCaption(key=Key("a.mp4"), media=project.root / "a.mp4", row=0, base="old")
    left_behind(project, spec, asked, "new", "old")
    with Ledger(project.state_dir) as ledger:
        job = Journal(ledger.database).add(spec)
        CaptionSteps(ledger.database, job).send(asked)
        Journal(ledger.database).begin(job)

    async def do(engine: Engine) -> list[AnyEvent]:
        return [event async for event in engine.follow(job)]

    events = with_engine(project, do)
    assert isinstance(events, list)
    assert ending(events).done == 1
    assert captions(project)["a.mp4"] == wanted
    assert len(server.calls) == calls
    with CaptionDatabaseOf(project) as database:
        assert "new" in [one.text for one in Versions(database).of(Key("a.mp4"))]

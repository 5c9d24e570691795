"""Caption jobs against a local server: what is asked, and what becomes of the dataset."""

from __future__ import annotations

import base64
import io
import json
import wave
from pathlib import Path
from typing import Any

import av
import pytest

from engine.captions import sections
from engine.client import Engine
from engine.dataset.caption_db import Key
from engine.dataset.caption_marks import Marks
from engine.dataset.caption_origins import Origins
from engine.dataset.versions import Kind, Versions
from engine.errors import DatasetError, LtxError, UsageError
from engine.events import Notice
from engine.precompute.ledger import Ledger
from engine.project import Project, apply_overrides
from engine.worker.journal import Journal
from engine.worker.spec import JobState
from tests.caption_server import FOUR, CaptionServer
from tests.jobs import ending
from tests.small_set import write_clip
from tests.unit.captioning.conftest import KEY, CaptionDatabaseOf, captions, put, rows, run


def test_a_folder_becomes_a_dataset_and_a_rerun_asks_nothing(
    project: Project, clip: Path, server: CaptionServer
) -> None:
    put(project.root, clip, "b10.mp4", "b9.mp4", "b9_reference.mp4", ".hidden.mp4", "deep/c.mp4")
    put(project.root, clip, ".precomputed/decoded_videos/b9.mp4")
    events = run(project)
    assert list(captions(project)) == ["b9.mp4", "b10.mp4"]
    assert [sections(one).get("SOUNDS") for one in captions(project).values()] == ["A tone."] * 2
    end = ending(events)
    assert (end.done, end.fresh, end.failures, end.skipped) == (2, 0, (), 1)
    with CaptionDatabaseOf(project) as database:
        origin = Origins(database).of(Key("b9.mp4"), captions(project)["b9.mp4"])
        assert origin is not None
        assert origin.captioner == "openai (toy)"
        assert not origin.is_malformed
        assert Marks(database).state(Key("b9.mp4"), captions(project)["b9.mp4"]) == "auto"
        assert [one.kind for one in Versions(database).of(Key("b9.mp4"))] == [Kind.AUTO]
    before = project.dataset_path.read_bytes()
    again = ending(run(project))
    assert (again.done, again.fresh, len(server.calls)) == (0, 2, 2)
    assert project.dataset_path.read_bytes() == before
    deep = ending(run(project, Engine(project).captioning(project.root, recursive=True)))
    assert (deep.done, deep.fresh) == (1, 2)
    assert "deep/c.mp4" in captions(project)


def test_what_others_wrote_is_left_alone(
    project: Project, clip: Path, server: CaptionServer
) -> None:
    put(project.root, clip, "a.mp4", "b.mp4", "c.mp4")
    put(project.root, clip, "ref.mp4")
    text = (
        '[\n\t{"score": 1.50, "media_path": "a.mp4", "caption": "mine", '
        '"reference_path": "ref.mp4"},\n\t{"media_path": "b.mp4"}, {"media_path": "gone.mp4"}\n]'
    )
    project.dataset_path.write_text(text)
    end = ending(run(project))
    assert (end.done, end.fresh, len(server.calls)) == (2, 1, 2)
    after = project.dataset_path.read_text()
    assert after.startswith(text[: text.index(',\n\t{"media_path": "b.mp4"')])
    assert set(captions(project)) == {"a.mp4", "b.mp4", "gone.mp4", "c.mp4"}
    assert captions(project)["a.mp4"] == "mine"
    assert captions(project)["gone.mp4"] == ""
    # The rows of a dataset alone: one has no file, and the others go on.
    project.dataset_path.write_text(text)
    of_rows = ending(run(project, Engine(project).captioning()))
    assert (of_rows.done, of_rows.fresh) == (1, 1)
    assert [(one.clip, one.stage) for one in of_rows.failures] == [("gone.mp4", "plan")]


def test_a_row_with_a_window_is_captioned_by_that_part_alone(
    project: Project, clip: Path, server: CaptionServer
) -> None:
    write_clip(project.root / "a.mp4", size=(64, 64), count=48)
    project.dataset_path.write_text(
        json.dumps(
            [
                {"media_path": "a.mp4", "window_start": 0.5, "window_end": 1.5},
                {"media_path": "a.mp4", "window_start": "1.5"},
                {"media_path": "a.mp4", "window_start": "soon"},
                {"media_path": "a.mp4", "window_start": 3},
                {"media_path": "a.mp4"},
            ]
        )
    )
    end = ending(run(project, Engine(project).captioning()))
    assert (end.done, end.fresh) == (3, 0)
    assert [(one.row, one.reason) for one in end.failures] == [
        (2, "window_start is soon, which is no number of seconds"),
        (3, f"{project.root / 'a.mp4'}: its window 3-end s lies behind its end"),
    ]
    assert all(one.remedy for one in end.failures)
    # Three pictures a second of each part, and its sound.
    assert [_sent(body) for body in server.calls] == [(3, 1.0), (2, 0.5), (6, 2.0)]
    texts = [row.get("caption", "") for row in rows(project)]
    assert [bool(text) for text in texts] == [True, True, False, False, True]
    assert len(set(texts)) == 4
    # Of a folder as well, and with nothing asked twice.
    again = ending(run(project))
    assert (again.done, again.fresh, len(server.calls)) == (0, 3, 3)
    assert [one.row for one in again.failures] == [2, 3]


def _sent(body: dict[str, Any]) -> tuple[int, float]:
    """Return how many frames were sent of a clip, and how many seconds of sound."""
    [film, heard, _] = body["messages"][0]["content"]
    data = {one["type"]: one[one["type"]]["url"].partition(",")[2] for one in (film, heard)}
    with av.open(io.BytesIO(base64.b64decode(data["video_url"]))) as container:
        frames = len(list(container.decode(video=0)))
    with wave.open(io.BytesIO(base64.b64decode(data["audio_url"]))) as reader:
        return frames, round(reader.getnframes() / reader.getframerate(), 1)


def test_files_that_were_made_from_others_are_no_clips(
    project: Project, clip: Path, server: CaptionServer
) -> None:
    made = project.root / "made"
    put(
        project.root,
        clip,
        *("a.mp4", "a_reference.mp4", "a-Scene-001.mp4", "a-Scene-001-01.jpg", "b.mp4"),
        *("b_proxy.mp4", "c_proxy.mp4", "depth.mp4", "out/latents_preview.mp4", "x_reference.mp4"),
        *("scene_images/a-Scene-001-01.jpg", "decoded_videos/a.mp4", "made/d.mp4"),
    )
    # One clip has a proxy in its place, another a depth map, and a folder was decoded before.
    given = [{"media_path": "b_proxy.mp4"}, {"media_path": "a.mp4", "reference_path": "depth.mp4"}]
    project.dataset_path.write_text(json.dumps(given))
    with Ledger(project.state_dir) as ledger:
        journal = Journal(ledger.database)
        journal.end(journal.add(Engine(project).decoding(made, made)), JobState.DONE)
    project = apply_overrides(project, {"dataset.output_dir": project.root / "out"})
    run(project, Engine(project).captioning(project.root, recursive=True))
    clips = ["a-Scene-001.mp4", "a.mp4", "b_proxy.mp4", "c_proxy.mp4", "x_reference.mp4"]
    assert sorted(captions(project)) == clips
    assert len(server.calls) == 5


def test_an_override_keeps_the_old_text_among_the_versions(project: Project, clip: Path) -> None:
    put(project.root, clip, "a.mp4", "b.mp4")
    given = [{"media_path": "a.mp4", "caption": "by hand"}, {"media_path": "b.mp4", "caption": "t"}]
    project.dataset_path.write_text(json.dumps(given))
    with CaptionDatabaseOf(project) as database:
        Marks(database).set(Key("a.mp4"), "edited", "by hand")
    spec = Engine(project).captioning(project.root, override=True)
    assert ending(run(project, spec)).done == 2
    with CaptionDatabaseOf(project) as database:
        kinds = {
            name: [(one.kind, one.text) for one in Versions(database).of(Key(name))]
            for name in ("a.mp4", "b.mp4")
        }
        state = Marks(database).state(Key("a.mp4"), captions(project)["a.mp4"])
    new = captions(project)
    assert kinds["a.mp4"] == [(Kind.AUTO, new["a.mp4"]), (Kind.EDITED, "by hand")]
    assert kinds["b.mp4"] == [(Kind.AUTO, new["b.mp4"]), (Kind.AUTO, "t")]
    assert state == "auto"


def test_an_edit_made_meanwhile_stays(project: Project, clip: Path, server: CaptionServer) -> None:
    put(project.root, clip, "a.mp4", "b.mp4")
    project.dataset_path.write_text('[{"media_path": "a.mp4"}, {"media_path": "b.mp4"}]')

    def answer(number: int, _: object) -> tuple[int, str]:
        if number == 1:
            edited = [{"media_path": "a.mp4", "caption": "typed"}, {"media_path": "b.mp4", "x": 1}]
            project.dataset_path.write_text(json.dumps(edited))
        return 200, FOUR.format(n=number)

    server.answer = answer
    events = run(project)
    assert captions(project)["a.mp4"] == "typed"
    assert "number 2" in captions(project)["b.mp4"]
    assert rows(project)[1]["x"] == 1
    assert any(isinstance(e, Notice) and "edited meanwhile" in e.text for e in events)
    with CaptionDatabaseOf(project) as database:
        assert "number 1" in Versions(database).of(Key("a.mp4"))[0].text


def test_a_malformed_answer_is_asked_for_once_more_and_then_marked(
    project: Project, clip: Path, server: CaptionServer
) -> None:
    put(project.root, clip, "a.mp4", "b.mp4")
    server.answer = lambda n, _: (200, FOUR.format(n=n) if n == 2 else "I cannot help with that.")
    events = run(project)
    assert len(server.calls) == 4
    first, second = (json.dumps(server.calls[at]["messages"]) for at in (0, 1))
    assert len(second) > len(first)  # the stricter request
    assert "number 2" in captions(project)["a.mp4"]
    assert captions(project)["b.mp4"] == "I cannot help with that."
    with CaptionDatabaseOf(project) as database:
        found = {
            name: Origins(database).of(Key(name), captions(project)[name])
            for name in ("a.mp4", "b.mp4")
        }
    assert found["a.mp4"] is not None
    assert not found["a.mp4"].is_malformed
    assert found["b.mp4"] is not None
    assert found["b.mp4"].is_malformed
    assert found["b.mp4"].problems
    assert any(isinstance(e, Notice) and e.text.startswith("marked:") for e in events)


def test_a_mute_clip_gets_all_sections_and_is_not_asked_about_sound(
    project: Project, server: CaptionServer
) -> None:
    write_clip(project.root / "mute.mp4", size=(64, 64), count=8, sound=False)
    server.answer = lambda n, _: (200, "[VISUAL]: A grating.\n[TEXT]: None")
    run(project)
    assert captions(project)["mute.mp4"] == (
        "[VISUAL]: A grating.\n[SPEECH]: None\n[SOUNDS]: None\n[TEXT]: None"
    )
    assert "SPEECH" not in json.dumps(server.calls[0]["messages"])
    assert len(server.calls) == 1


def test_a_wrong_key_stops_the_job_with_its_remedy_and_is_written_nowhere(
    project: Project, clip: Path, server: CaptionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project.root, clip, "a.mp4", "b.mp4", "c.mp4")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.answer = lambda n, _: (200, FOUR.format(n=n)) if n == 1 else (401, f"bad key {KEY}")
    with pytest.raises(LtxError, match="key") as caught:
        run(project)
    assert "OPENAI_API_KEY" in caught.value.remedy
    assert KEY not in str(caught.value)
    # What was answered before is there, and the rest is asked when the key is right.
    assert list(captions(project)) == ["a.mp4"]
    server.answer = lambda n, _: (200, FOUR.format(n=n))
    assert ending(run(project)).done == 2
    assert set(server.keys) == {f"Bearer {KEY}"}
    for path in project.root.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_without_a_key_or_media_nothing_is_begun(
    tmp_path: Path, project: Project, clip: Path, server: CaptionServer
) -> None:
    with pytest.raises(UsageError, match="holds no media"):
        run(project)
    put(project.root, clip, "a.mp4")
    with pytest.raises(UsageError, match="needs a key"):
        run(apply_overrides(project, {"captions.base_url": ""}))
    project.dataset_path.write_text('[{"media_path": "a.mp4"')
    with pytest.raises(DatasetError):
        run(project)
    assert project.dataset_path.read_text() == '[{"media_path": "a.mp4"'
    assert server.calls == []


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt"])
def test_other_formats(project: Project, clip: Path, server: CaptionServer, suffix: str) -> None:
    put(project.root, clip, "clips/a.mp4")
    other = apply_overrides(project, {"dataset.path": project.root / f"out{suffix}"})
    spec = Engine(other).captioning(project.root / "clips")
    run(other, spec)
    put(project.root, clip, "clips/b.mp4")
    assert ending(run(other, spec)).done == 1
    assert len(server.calls) == 2
    if suffix != ".txt":
        text = other.dataset_path.read_text()
        assert "clips/a.mp4" in text
        assert "clips/b.mp4" in text
        assert text.count("[VISUAL]") == 2
        return
    lines = (project.root / "out_captions.txt").read_text().splitlines()
    assert [line.startswith("[VISUAL]:") for line in lines] == [True, True]
    paths = project.root / "out_paths.txt"
    assert paths.read_text() == "clips/a.mp4\nclips/b.mp4\n"
    paths.write_text("clips/a.mp4\n")
    with pytest.raises(DatasetError, match="2 lines"):
        run(other, spec)
    assert (project.root / "out_captions.txt").read_text().count("\n") == 2

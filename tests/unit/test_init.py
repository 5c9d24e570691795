"""The beginning of a project: media found, buckets suggested, nothing overwritten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import init
from engine.buckets import Bucket, choose, parse_bucket
from engine.dataset.add_rows import add_rows
from engine.errors import DatasetError, ProjectError, UsageError
from engine.media.probe import AudioTrack, Probe
from engine.project import load_project
from ltx_tui.cli.main import cli


def video(width: int, height: int, frames: int) -> Probe:
    track = AudioTrack(codec="aac", rate=48000, channels=2, layout="stereo", start=0, duration=1)
    return Probe(
        kind="video", codec="h264", width=width, height=height, frames=frames, audio=(track,)
    )


def picture(path: Path, size: tuple[int, int] = (128, 96)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    return path


@pytest.mark.parametrize(
    ("probes", "buckets"),
    [
        ([], ()),
        ([video(1920, 1080, 149)], ("960x544x121",)),
        ([video(1080, 1920, 50)] * 9 + [video(1080, 1920, 9)], ("544x960x49",)),
        ([video(3840, 2160, 121), video(2160, 3840, 130)], ("960x544x121", "544x960x121")),
        ([video(16, 16, 3)], ("32x32x1",)),
        ([Probe(kind="image", codec="png", width=1000, height=1000, frames=1)], ("704x704x1",)),
    ],
)
def test_suggested_buckets(probes: list[Probe], buckets: tuple[str, ...]) -> None:
    assert tuple(map(str, init.suggest_buckets(probes))) == buckets


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(16, 4096), st.integers(16, 4096), st.integers(1, 500)),
        min_size=1,
        max_size=9,
    )
)
def test_suggestions_are_valid_small_enough_and_fit_most(
    sizes: list[tuple[int, int, int]],
) -> None:
    buckets = init.suggest_buckets([video(*size) for size in sizes])
    assert 1 <= len(buckets) <= 3
    for bucket in buckets:
        assert parse_bucket(str(bucket)) == bucket
        assert bucket.width * bucket.height <= 960 * 544
    fitting = sum(choose(frames, w, h, buckets) is not None for w, h, frames in sizes)
    assert fitting >= 0.9 * len(sizes)


def test_media_are_listed_in_natural_order_without_what_is_not_a_clip(tmp_path: Path) -> None:
    for name in ("b/clip 10.png", "b/clip 9.png", "a.jpg", "a_reference.png"):
        picture(tmp_path / name)
    picture(tmp_path / ".precomputed/decoded/x.png")
    picture(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("no media")
    found = init.look(tmp_path)
    project = init.write(found, {"text.trigger": "TOK"})
    rows = json.loads((tmp_path / "dataset.json").read_text())
    assert rows == [
        {"caption": "", "media_path": name} for name in ("a.jpg", "b/clip 9.png", "b/clip 10.png")
    ]
    assert project.text.trigger == "TOK"
    assert project.video.buckets == "128x96x1"
    assert not project.audio.enabled
    assert "1 file named *_reference left out" in found.notes[0]
    assert load_project(tmp_path / "project.toml") == project
    assert "# The dataset file: .json" in (tmp_path / "project.toml").read_text()


def test_proxies_are_left_out_where_their_clip_lies_beside_them(tmp_path: Path) -> None:
    names = (
        *("a.png", "a_proxy.png", "b.png", "b.png_proxy.png", "b.png~2_proxy.png"),
        *("own_proxy.png", "sub/a_proxy.png", "_proxy.png", "note_proxy.png", "proxy.png"),
    )
    for name in names:
        picture(tmp_path / name)
    (tmp_path / "note.txt").write_text("no media")
    media, notes = init.find_media(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in media] == [
        *("_proxy.png", "a.png", "b.png", "note_proxy.png", "own_proxy.png", "proxy.png"),
        "sub/a_proxy.png",
    ]
    assert notes == ["3 files named *_proxy left out: the doctor made them of clips beside them"]


def test_names_that_are_not_utf8_are_told_of(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    bad = os.fsencode(tmp_path) + b"/b\xffd.png"
    with open(bad, "wb") as file:  # noqa: PTH123 - a name that pathlib can only carry
        file.write(b"")
    found = init.look(tmp_path)
    assert [path.name for path in found.media] == ["good.png"]
    assert found.notes == ("1 file left out: the name is not UTF-8",)


def test_a_dataset_that_is_there_is_used_as_it_is(tmp_path: Path) -> None:
    picture(tmp_path / "media" / "a.png")
    text = '{"caption": "x", "media_path": "media/a.png", "reference_path": "r.mp4"}\n'
    (tmp_path / "set.jsonl").write_text(text)
    (tmp_path / "other.json").write_text('{"no": "dataset"}')
    found = init.look(tmp_path)
    assert (found.dataset.name, found.is_new, found.clips) == ("set.jsonl", False, 1)
    assert found.reference_column == "reference_path"
    assert found.buckets == (Bucket(128, 96, 1),)
    init.write(found, {})
    assert (tmp_path / "set.jsonl").read_text() == text
    assert load_project(tmp_path / "project.toml").dataset.path == "set.jsonl"


def test_a_dataset_without_rows_is_taken_and_told_of(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "notes.json").write_text("[]")
    assert init.look(tmp_path).is_new  # any list may be empty; a dataset is so by its name
    (tmp_path / "dataset.json").write_text("[]\n")
    found = init.look(tmp_path)
    assert (found.dataset.name, found.is_new, found.clips) == ("dataset.json", False, 0)
    assert (found.buckets, found.audio) == ((), False)
    assert found.notes[0].startswith("the dataset is empty: add rows to it, or cut clips")
    init.write(found, {})
    assert (tmp_path / "dataset.json").read_text() == "[]\n"
    project = load_project(tmp_path / "project.toml")
    (tmp_path / "project.toml").unlink()
    add_rows(project.dataset_path, [tmp_path / "a.png"])
    again = init.look(tmp_path)
    assert (again.clips, again.notes) == (1, ())
    assert again.buckets == (Bucket(128, 96, 1),)


@pytest.mark.parametrize("text", ["[]", '{"clips": []}'])
def test_an_empty_dataset_can_be_named_and_one_with_rows_comes_first(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "dataset.json").write_text(text)
    (tmp_path / "mine.json").write_text(text)
    assert init.look(tmp_path / "mine.json", video_column="clip").clips == 0
    (tmp_path / "set.csv").write_text("media_path,caption\n")
    found = init.look(tmp_path)
    assert found.dataset.name == "set.csv"
    assert "the dataset is empty" in found.notes[0]
    for refused in ('[{"clip": "a.mp4"}]', "[{}]"):
        (tmp_path / "mine.json").write_text(refused)
        with pytest.raises(DatasetError, match="no column of media"):
            init.look(tmp_path / "mine.json")


def test_unreadable_media_are_counted_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    found = init.look(tmp_path)
    assert found.buckets == ()
    assert "1 of 1 file looked at cannot be read" in found.notes[0]


def test_nothing_is_overwritten_and_wrong_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        init.look(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="neither a dataset nor"):
        init.look(tmp_path)
    (tmp_path / "dataset.json").write_text('[{"clip": "a.mp4"}]')
    picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="the file is no dataset"):
        init.look(tmp_path)
    with pytest.raises(DatasetError, match="no column of media"):
        init.look(tmp_path / "dataset.json")
    with pytest.raises(DatasetError, match="no column 'clips'"):
        init.look(tmp_path / "dataset.json", video_column="clips")
    assert init.look(tmp_path / "dataset.json", video_column="clip").clips == 1
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("media_path,caption\na.png,x\n")
    with pytest.raises(UsageError, match=r"several datasets are here: one.csv, two.csv"):
        init.look(tmp_path)
    (tmp_path / "project.toml").write_text("# mine\n")
    with pytest.raises(ProjectError, match="a project here already"):
        init.look(tmp_path / "one.csv")
    assert (tmp_path / "project.toml").read_text() == "# mine\n"


def test_command_writes_and_asks_nothing_in_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTX_TUI_CHECKPOINT", "/models/ltx.safetensors")
    result = CliRunner().invoke(
        cli, ("init", ".", "--text-encoder-path", "gemma", "--resolution-buckets", "64x64x1")
    )
    assert result.exit_code == 0, result.output
    project = load_project(tmp_path / "project.toml")
    assert project.models.checkpoint == "/models/ltx.safetensors"
    assert project.text_encoder_path == tmp_path / "gemma"
    assert project.video.buckets == "64x64x1"
    assert "a new dataset: 1 clip" in result.stdout
    again = CliRunner().invoke(cli, ("init",))
    assert again.exit_code == 2
    assert "a project here already" in again.stderr

"""`ltx-tui split-scenes` as it is used: first run, rerun, changed settings, faults, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.media.probe import probe
from engine.media.scene_options import Cutting
from engine.worker.scene_messages import (
    AllDone,
    Progress,
    Tell,
    Video,
    VideoDone,
    Wanted,
)
from ltx_tui.cli.main import cli
from ltx_tui.cli.scenes_view import LineView, LiveView
from tests.media_clips import Video as Encoding
from tests.scene_videos import make_shots, pixels, psnr, with_tone
from tests.unit import cli_fakes as fakes

QUICK = ("--preset", "ultrafast", "--jobs", "1")


def run(*arguments: object, code: int = 0) -> Result:
    """Run the command, and check how it ended."""
    result = CliRunner().invoke(cli, ["split-scenes", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}


def test_a_video_becomes_its_scenes_and_a_rerun_does_nothing(tmp_path: Path) -> None:
    film = make_shots(tmp_path / "film.mp4", sound=with_tone())
    out = tmp_path / "out"
    said = run(film, out, *QUICK).stdout
    files = [f"film-Scene-{n:03}.mp4" for n in range(1, 5)]
    assert names(out) == files
    assert "film.mp4: 4 scenes, 4 written" in said
    assert "done: 4 scenes of 1 video · 4 written" in said
    source, begins = pixels(film), (0, 41, 74, 126)
    for name, begin in zip(files, begins, strict=True):
        assert psnr(pixels(out / name)[0], source[begin]) > 30
        assert probe(out / name).audio
    before = stamps(out)
    said = run(film, out, *QUICK).stdout
    assert "4 there already" in said
    assert stamps(out) == before


def test_a_changed_setting_makes_only_what_differs(tmp_path: Path) -> None:
    film, out = make_shots(tmp_path / "film.mp4"), tmp_path / "out"
    run(film, out, *QUICK)
    before = stamps(out)
    (out / "film-Scene-002.mp4").unlink()
    run(film, out, *QUICK)
    after = stamps(out)
    assert {name for name in before if before[name] != after[name]} == {"film-Scene-002.mp4"}
    # Scene 2 goes, so 3 and 4 move up; the first one stays as it is.
    (out / "film-Scene-notes.mp4").write_bytes(b"not ours")
    result = run(film, out, *QUICK, "--filter-shorter-than", "34", "--max-scenes", "2")
    assert names(out) == ["film-Scene-001.mp4", "film-Scene-002.mp4", "film-Scene-notes.mp4"]
    assert stamps(out)["film-Scene-001.mp4"] == after["film-Scene-001.mp4"]
    assert "removed film-Scene-003.mp4, film-Scene-004.mp4" in result.stdout
    assert "1 piece has other frames than before" in result.stderr
    assert psnr(pixels(out / "film-Scene-002.mp4")[0], pixels(film)[74]) > 30


def test_files_of_others_are_never_replaced_unless_asked_for(tmp_path: Path) -> None:
    film, out = make_shots(tmp_path / "film.mp4", (20, 20)), tmp_path / "out"
    out.mkdir()
    precious = tmp_path / "precious.mp4"
    precious.write_bytes(b"precious")
    (out / "film-Scene-001.mp4").symlink_to(precious)
    (out / "film-Scene-002.mp4").write_bytes(b"by hand")
    said = run(film, out, *QUICK, code=1).stdout
    assert "film-Scene-001.mp4, film-Scene-002.mp4 were not made by this command" in said
    assert (out / "film-Scene-002.mp4").read_bytes() == b"by hand"
    run(film, out, *QUICK, "--overwrite")
    assert precious.read_bytes() == b"precious"
    assert not (out / "film-Scene-001.mp4").is_symlink()
    assert probe(out / "film-Scene-002.mp4").frames == 19


def test_a_folder_and_one_bad_video(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    make_shots(folder / "a.mp4", (20, 20))
    make_shots(folder / "a.mov", (30,), seed=5)
    (folder / "bad.mp4").write_bytes(b"no video at all")
    (folder / "notes.txt").write_text("x")
    # The pieces go among the videos: they are not taken for videos the next time.
    result = run(folder, folder, *QUICK, code=1)
    made = ["a-mov-Scene-001.mp4", "a-mp4-Scene-001.mp4", "a-mp4-Scene-002.mp4"]
    assert [name for name in names(folder) if "Scene" in name] == made
    assert "failed: bad.mp4: is not a video" in result.stdout
    assert "done, but not all: 3 scenes of 2 videos · 3 written · 1 video failed" in result.stdout
    again = run(folder, folder, *QUICK, code=1).stdout
    assert "3 there already · 1 video failed" in again


def test_names_of_other_bytes_and_control_characters(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    make_shots(tmp_path / "a.mp4", (10,)).rename(folder / os.fsdecode(b"\xff\x1b[2Ja.mp4"))
    (folder / os.fsdecode(b"\xfe.mp4")).write_bytes(b"no video")
    result = run(folder, tmp_path / "out", *QUICK, "--save-images", 1, code=1)
    assert names(tmp_path / "out")[0] == "__[2Ja-Scene-001.mp4"
    assert "\x1b" not in result.output
    assert "1 written · 1 video failed" in result.stdout


def test_previews_and_the_report(tmp_path: Path) -> None:
    film, out = make_shots(tmp_path / "fi lm.mp4"), tmp_path / "out"
    run(film, out, *QUICK, "--save-images", 2)
    images = names(out / "scene_images")
    assert len(images) == 8
    assert images[0] == "fi lm-Scene-001-01.jpg"
    page = (out / "scene_report.html").read_text()
    for image in images:
        assert f'src="scene_images/{image.replace(" ", "%20")}"' in page
    assert page.count("<video") == 0
    assert 'href="fi%20lm-Scene-004.mp4"' in page
    before = stamps(out)
    (out / "scene_images" / images[3]).unlink()
    run(film, out, *QUICK, "--save-images", 2)
    assert names(out / "scene_images") == images
    assert stamps(out) == before
    run(film, out, *QUICK, "--save-images", 1)
    assert len(names(out / "scene_images")) == 4


def test_stats_for_one_and_for_several(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    film = make_shots(folder / "a.mp4", (20, 20))
    make_shots(folder / "b.mp4", (20,))
    run(film, tmp_path / "one", *QUICK, "--stats-file", tmp_path / "s.csv")
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0].startswith("Frame Number,Timecode,content_val")
    assert len(lines) == 40
    run(folder, tmp_path / "two", *QUICK, "--stats-file", tmp_path / "all.csv", "--dry-run")
    assert (tmp_path / "all-a.csv").read_text() == (tmp_path / "s.csv").read_text()
    assert (tmp_path / "all-b.csv").exists()


def test_a_dry_run_lists_and_writes_nothing(tmp_path: Path) -> None:
    film, out = (
        make_shots(tmp_path / "film.mp4", video=Encoding(fps=Fraction(30000, 1001))),
        tmp_path / "out",
    )
    said = run(film, out, "--dry-run", "--trim", 0).stdout
    assert "film.mp4: 4 scenes, 29.97 frames/s" in said
    assert [line.split() for line in said.splitlines() if line.strip().startswith("2 ")] == [
        ["2", "00:00:01.335", "00:00:02.436", "33", "40", "72"]
    ]
    assert not out.exists()


def test_copying_says_which_frames_there_are(tmp_path: Path) -> None:
    video = Encoding(gop=10, options={"sc_threshold": "0"})
    film, out = make_shots(tmp_path / "film.mp4", video=video), tmp_path / "out"
    said = run(film, out, "--copy").stdout
    assert "film-Scene-003.mp4: frames 80 to " in said
    assert "(of 74 to 123)" in said
    assert "4 there already" in run(film, out, "--copy").stdout
    assert "4 written" in run(film, out, *QUICK).stdout


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    film, out = make_shots(tmp_path / "film.mp4", (20, 20)), tmp_path / "out"
    result = run(film, out, *QUICK, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    kinds = [line["tell"] for line in lines if line["tell"] != "progress"]
    assert kinds == ["scenes", "piece", "piece", "video-done", "done"]
    scenes = next(line for line in lines if line["tell"] == "scenes")
    assert (scenes["cuts"], scenes["fps"]) == ([20], [24, 1])
    assert "done: 2 scenes" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no.mp4", "out"), "no such file"),
        ((".", "out"), "holds no video"),
        (("film.mp4", "file"), "is a file, not a folder"),
        (("film.mp4", "out", "--threshold", "999"), "--threshold 999 does not suit"),
        (("film.mp4", "out", "--detector", "hash", "--threshold", "2"), "0 to 1"),
        (("film.mp4", "out", "-d", "soon"), "--duration 'soon' is no length"),
        (("film.mp4", "out", "--filter-shorter-than", "1m"), "--filter-shorter-than"),
        (("film.mp4", "out", "--stats-file", "a.csv", "--frame-skip", "1"), "--frame-skip leaves"),
        (("film.mp4", "out", "--stats-file", "file"), "no CSV of frame scores"),
        (("film.mp4", "out", "--stats-file", "no/a.csv"), "no such folder"),
        (("film.mp4", "out", "--crf", "99"), "--crf"),
        (("film.mp4", "out", "--trim", "-1"), "--trim"),
        (("film.mp4", "out", "--fade-bias", "3"), "--fade-bias"),
    ],
)
def test_what_is_wrong_is_said_before_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"something else")
    if arguments[0] == "film.mp4":
        (tmp_path / "film.mp4").write_bytes(b"looked at later")
    result = run(*arguments, code=2)
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


def test_options_that_a_detector_does_not_know_are_mentioned(tmp_path: Path) -> None:
    film = make_shots(tmp_path / "film.mp4", (10,))
    result = run(film, tmp_path / "out", "--dry-run", "--detector", "hash", "--luma-only")
    assert "--luma-only means nothing to the detector hash" in result.stderr


def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    film, out = make_shots(tmp_path / "film.mp4", (10,)), tmp_path / "out"
    (out / "real").mkdir(parents=True)
    (out / "scene_images").symlink_to(tmp_path)
    assert "is a link" in run(film, out, *QUICK, "--save-images", 1, code=2).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_half_file_and_the_rerun_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    film = make_shots(tmp_path / "film.mp4", (30, 400), size=(640, 360))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ltx_tui", "split-scenes", str(film), str(out), "--json"]
    child = subprocess.Popen(
        [*command, "--preset", "slow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line)["tell"] == "piece":
            break
    end = time.monotonic() + 60
    while not list(out.glob(".*.part")) and time.monotonic() < end:
        time.sleep(0.01)
    child.send_signal(number)
    said = child.communicate(timeout=60)[1].decode()
    assert child.returncode == 130
    assert "stopped" in said
    assert "goes on from there" in said
    assert names(out) == ["film-Scene-001.mp4"]
    assert list(out.rglob("*.part")) == []
    again = run(film, out, "--preset", "slow", "--max-scenes", 1).stdout
    assert "1 there already" in again


def view_of(kind: type[LineView], width: int = 100) -> tuple[LineView, list[Tell]]:
    video = Video(id=1, path=Path("/a/\x1b[2Jfilm.mp4"), name="film")
    wanted = Wanted(videos=(video,), out=Path("/o"), cutting=Cutting())
    steps: list[Tell] = [
        Progress(video=1, doing="find", done=30, total=60, cuts=2),
        Progress(video=1, doing="cut", done=15, total=60),
        VideoDone(video=1, scenes=3, chosen=3, made=2, fresh=1, seconds=2.0),
        AllDone(),
    ]
    return kind(wanted, fakes.console(width, terminal=kind is LiveView)), steps


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_live_picture_fits_and_says_where_each_video_stands(width: int) -> None:
    view, steps = view_of(LiveView, width)
    assert isinstance(view, LiveView)
    console = fakes.console(width)
    for step in steps[:2]:
        view.show(step)
        console.print(view.draw())
    lines = fakes.written(console).splitlines()
    assert all(len(line) <= width for line in lines)
    assert "looking 50%, 2 cuts" in lines[0]
    assert "cutting 25%" in lines[2]
    assert "0/1 video · Ctrl-C stops" in lines[1]
    for step in steps[2:]:
        view.show(step)
    view.close()
    assert view.code == 0


def test_lines_of_a_pipe_are_safe_to_print() -> None:
    view, steps = view_of(LineView)
    for step in steps:
        view.show(step)
    view.close()
    said = fakes.written(view._console)
    assert "\x1b" not in said
    assert r"\x1b[2Jfilm.mp4: 3 scenes, 2 written, 1 there already, 2.0 s" in said

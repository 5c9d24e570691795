"""`ltx-tui caption-videos`: options, what is found out before anything is begun, and whole runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.captioners import check
from engine.project import Project
from engine.worker.spec import EXTENSIONS, JobSpec
from ltx_tui.cli import session
from ltx_tui.cli.main import cli
from tests.caption_server import CaptionServer
from tests.small_set import write_clip
from tests.unit import cli_fakes as fakes
from tests.workers import ROOT, end_worker

KEY = "sk-never-to-be-shown"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> fakes.FakeEngine:
    fake = fakes.FakeEngine(fakes.job(fail=False))
    monkeypatch.setattr(session, "open_engine", fake.open)
    # A model of that name need not be here.
    monkeypatch.setattr(check, "_is_downloaded", lambda _: True)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return fake


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "a.mp4").touch()
    (clips / "a.html").touch()
    monkeypatch.chdir(tmp_path)
    return clips


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["caption-videos", *arguments])


def asked(engine: fakes.FakeEngine, *arguments: str) -> JobSpec:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return engine.spec


def test_the_defaults_are_those_of_the_original(engine: fakes.FakeEngine, folder: Path) -> None:
    spec = asked(engine, "clips")
    assert (spec.kind, spec.source, spec.overwrite, spec.recursive) == (
        "caption",
        folder,
        False,
        False,
    )
    assert spec.extensions == EXTENSIONS
    assert spec.project.dataset_path == folder / "dataset.json"
    assert spec.project.root == folder
    section = spec.project.captions
    assert (section.captioner, section.fps, section.audio, section.clean) == (
        "qwen_omni",
        3.0,
        True,
        True,
    )
    assert check.model_of(section, spec.project.root) == "Qwen/Qwen2.5-Omni-7B"
    assert check.at_once(section) == 1


def test_every_option_has_its_place(
    engine: fakes.FakeEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    spec = asked(
        engine,
        *("clips", "-o", "out.jsonl", "-c", "openai", "-d", "cpu", "-i", "Say it.", "-r"),
        *("-e", "MP4,.png, mp4", "-f", "2", "--no-audio", "--raw-caption", "--override"),
        *("--base-url", "http://localhost:8000/v1", "--model", "m", "--num-workers", "3"),
        *("--api-key", KEY, "--keep-edited"),
    )
    section = spec.project.captions
    assert (section.captioner, section.model, section.base_url, section.num_workers) == (
        "openai",
        "m",
        "http://localhost:8000/v1",
        3,
    )
    assert (section.instruction, section.fps, section.audio, section.clean) == (
        "Say it.",
        2.0,
        False,
        False,
    )
    assert (spec.extensions, spec.recursive, spec.overwrite) == (("mp4", "png"), True, True)
    assert spec.keep_edited
    assert spec.project.dataset_path == folder.parent / "out.jsonl"
    assert spec.project.run.device == "cpu"
    # The key is in the environment alone.
    assert os.environ["OPENAI_API_KEY"] == KEY
    assert KEY not in repr(spec)


def test_one_file_and_a_dataset(engine: fakes.FakeEngine, folder: Path) -> None:
    spec = asked(engine, "clips/a.mp4")
    assert spec.project.dataset_path == folder / "a.dataset.json"
    engine.calls.clear()
    (folder / "mine.csv").write_text("media_path,caption\na.mp4,\n")
    spec = asked(engine, "clips/mine.csv")
    assert spec.source is None
    assert spec.project.dataset_path == folder / "mine.csv"
    engine.calls.clear()
    assert asked(engine, "clips/mine.csv", "--clip", "a.mp4").only == ("a.mp4",)
    wrong = call("clips/mine.csv", "-o", "other.json")
    assert wrong.exit_code == 2
    assert "leave --output out" in wrong.stderr


def test_a_project_around_the_clips_is_read(engine: fakes.FakeEngine, folder: Path) -> None:
    (folder / "project.toml").write_text(
        '[dataset]\npath = "all.csv"\n[captions]\nfps = 1.5\ninstruction = "Look."\n'
    )
    spec = asked(engine, "clips", "-f", "4")
    assert spec.project.dataset_path == folder / "all.csv"
    assert spec.project.captions.instruction == "Look."
    assert spec.project.captions.fps == 4.0


def test_a_models_folder_is_taken_from_the_current_folder(
    engine: fakes.FakeEngine, folder: Path
) -> None:
    model = folder.parent / "qwen"
    model.mkdir()
    missing = call("clips", "--model", "qwen")
    assert missing.exit_code == 3
    assert "no config.json" in missing.stderr
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").touch()
    wrong = call("clips", "--model", "qwen")
    assert (wrong.exit_code, "not Qwen2.5-Omni" in wrong.stderr) == (3, True)
    (model / "config.json").write_text('{"model_type": "qwen2_5_omni"}')
    assert asked(engine, "clips", "--model", "qwen").project.captions.model == str(model)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere",), 2, "no such file or folder"),
        (("clips", "-e", "mkv"), 2, "holds no media"),
        (("clips/a.html",), 2, "no video, image or dataset"),
        (("clips", "-o", "a.xlsx"), 2, "use .csv, .json, .jsonl, .txt"),
        (("clips", "-o", "none/a.json"), 2, "no such folder"),
        (("clips", "-c", "gemini_flash"), 2, "GOOGLE_API_KEY or GEMINI_API_KEY"),
        (("clips", "-c", "openai"), 2, "OPENAI_API_KEY"),
        (("clips", "-c", "openai", "--base-url", "localhost:8000"), 2, "http://localhost"),
        (("clips", "-c", "openai", "--base-url", "http://u:p@h/v1"), 2, "password"),
        (("clips", "--model", "./qwen"), 3, "no such folder"),
        (("clips", "--num-workers", "65"), 2, "65"),
        (("clips", "--use-8bit"), 3, "ltx-tui[quantize]"),
        (("clips", "--foreground", "--detach"), 2, "cannot both be given"),
        (("clips", "--keep-edited"), 2, "only goes with --override"),
        (("clips", "--clip", "z.mp4", "--clip", "y.mp4"), 2, "no clip is called y.mp4, z.mp4"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_begun(
    engine: fakes.FakeEngine,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    installed = check._is_installed
    monkeypatch.setattr(
        check, "_is_installed", lambda name: name != "bitsandbytes" and installed(name)
    )
    result = call(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert engine.calls == []


def test_missing_packages_are_named(
    engine: fakes.FakeEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_is_installed", lambda _: False)
    extras = {"gemini_flash": "gemini", "openai": "openai", "qwen_omni": "captions"}
    for name, extra in extras.items():
        result = call("clips", "-c", name, "--api-key", KEY)
        assert result.exit_code == 3
        assert f'pip install "ltx-tui[{extra}]"' in result.stderr
        assert KEY not in result.output


@pytest.mark.parametrize("package", ["accelerate", "transformers"])
def test_each_package_of_the_extra_is_asked_for(
    package: str, engine: fakes.FakeEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_is_installed", lambda name: name != package)
    result = call("clips", "-c", "qwen_omni")
    assert result.exit_code == 3
    assert f"captioning with qwen_omni needs {package}" in result.stderr
    assert 'pip install "ltx-tui[captions]"' in result.stderr
    assert engine.calls == []


def test_a_dataset_that_cannot_be_read_is_left_alone(
    engine: fakes.FakeEngine, folder: Path
) -> None:
    (folder / "dataset.json").write_text('[{"media_path": "a.mp4"},\n {"caption": }]')
    result = call("clips")
    assert result.exit_code == 2
    assert "line 2" in result.stderr
    assert (folder / "dataset.json").read_text().endswith('{"caption": }]')


def test_a_model_that_is_not_here_is_told(
    engine: fakes.FakeEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_is_downloaded", lambda _: False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    result = call("clips")
    assert result.exit_code == 0
    assert "downloaded first" in result.stderr
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert call("clips").exit_code == 3


# Whole runs


@pytest.fixture
def server() -> Iterator[CaptionServer]:
    one = CaptionServer()
    yield one
    one.close()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        environ.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "ltx_tui", *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_from_the_first_clip_to_the_summary(tmp_path: Path, server: CaptionServer) -> None:
    write_clip(tmp_path / "a.mp4", size=(64, 64), count=8)
    shutil.copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    line = ("caption-videos", ".", "-c", "openai", "--base-url", server.url, "--api-key", KEY)
    try:
        result = run(tmp_path, *line)
        assert result.returncode == 1, result.stderr
        assert "captions: 3 to do" in result.stdout
        assert "2 written" in result.stdout
        assert "c.mp4" in result.stdout
        found = json.loads((tmp_path / "dataset.json").read_text())
        assert sorted(row["media_path"] for row in found) == ["a.mp4", "b.mp4"]
        assert set(server.keys) == {f"Bearer {KEY}"}
        status = run(tmp_path, "status")
        assert "caption" in status.stdout
        (tmp_path / "c.mp4").unlink()
        again = run(tmp_path, *line, "--json")
        events = [json.loads(one) for one in again.stdout.splitlines()]
        assert (again.returncode, events[-1]["event"]) == (0, "job-done")
        assert (events[-1]["done"], events[-1]["fresh"]) == (0, 2)
        assert len(server.calls) == 2
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert KEY.encode() not in path.read_bytes(), path
        assert KEY not in result.stdout + result.stderr
    finally:
        end_worker(Project.defaults(tmp_path))

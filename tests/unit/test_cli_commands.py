"""The commands: options to project keys, errors to exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from engine.errors import (
    DatasetError,
    EnvironmentFaultError,
    LtxError,
    MediaError,
    ModelError,
    ProjectError,
)
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Plan
from ltx_tui.cli import session
from ltx_tui.cli.errors import exit_code
from ltx_tui.cli.main import COMMANDS, LazyGroup, cli
from tests.unit import cli_fakes as fakes

MODELS = ("--model-path", "m.safetensors", "--text-encoder-path", "gemma")
BUCKETS = ("--resolution-buckets", "64x64x9")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> fakes.FakeEngine:
    fake = fakes.FakeEngine(fakes.job(fail=False))
    monkeypatch.setattr(session, "open_engine", fake.open)
    return fake


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_without_a_command_the_help_is_shown() -> None:
    result = call()
    assert result.exit_code == 0
    assert result.stdout == call("--help").stdout
    assert "Exit codes: 0 done" in result.stdout
    assert "130 stopped" in result.stdout


def test_every_command_has_help_and_its_line_in_the_list() -> None:
    assert isinstance(cli, LazyGroup)
    for name in COMMANDS:
        result = call(name, "--help")
        assert result.exit_code == 0, result.output
        assert name in result.stdout


def test_help_lines_fit_80_columns() -> None:
    for name in ("", *COMMANDS):
        lines = call(*filter(None, [name]), "--help").stdout.splitlines()
        assert max(map(len, lines)) <= 80
    assert all(len(words) + 20 <= 80 for words in COMMANDS.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("procss-dataset",), "did you mean 'process-dataset'?"),
        (("plan", "--no-such"), "--no-such"),
        (("process-dataset", "data.json", "--device", "gpu7"), "'gpu7' is no device"),
        (("process-dataset", "data.json", "--with-audio", "--skip-audio"), "cannot both"),
        (("process-dataset", "nowhere.json"), "no such file"),
        (("process-dataset",), "ltx-tui init"),
        (("process-dataset", "data.json", *MODELS), "--resolution-buckets 960x544x49, or set"),
        (("process-dataset", "data.json", *BUCKETS), "--model-path FILE, or set models.checkpoint"),
        (
            ("process-dataset", "data.json", *BUCKETS, "--model-path", "m"),
            "--text-encoder-path FOLDER, or set models.text_encoder",
        ),
        (
            (
                *("process-dataset", "data.json", *MODELS, "--reference-downscale-factor", "2"),
                *("--resolution-buckets", "64x64x9;32x32x9"),
            ),
            "needs exactly one bucket",
        ),
        (("process-dataset", "data.json", "--set", "video.fsp=3"), "did you mean video.fps?"),
        (("process-dataset", "data.json", "--set", "video.fps"), "no '='"),
        (
            (
                *("process-videos", "data.json", *BUCKETS, "--model-path", "m"),
                *("--with-audio", "--output-dir", "out"),
            ),
            "--audio-output-dir",
        ),
        (("decode-latents", "nowhere", "out"), "no such folder"),
        (("plan", "data.json", "--stages", "latent"), "unknown stage 'latent'"),
    ],
)
def test_usage_errors_say_what_to_do(
    arguments: tuple[str, ...], said: str, folder: Path, engine: fakes.FakeEngine
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stdout == ""
    assert engine.calls == []


def test_options_of_the_guide_become_the_project(folder: Path, engine: fakes.FakeEngine) -> None:
    result = call(
        *("process-dataset", "data.json", *MODELS),
        *("--resolution-buckets", "960x544x49;544x960x49", "--caption-column", "text"),
        *("--video-column", "file", "--batch-size", "2", "--device", "cpu", "--vae-tiling"),
        *("--hardware-decoding", "cuda"),
        *("--output-dir", "out", "--lora-trigger", "TOK", "--decode", "--remove-llm-prefixes"),
        *("--reference-column", "ref", "--with-audio", "--load-text-encoder-in-8bit"),
        *("--reference-temporal-scale-factor", "2", "--overwrite", "--set", "audio.silent=fail"),
    )
    assert result.exit_code == 0, result.output
    project = engine.project
    assert project.dataset_path == folder / "data.json"
    assert project.checkpoint_path == folder / "m.safetensors"
    assert project.text_encoder_path == folder / "gemma"
    assert project.output_dir == folder / "out"
    assert project.video.buckets == "960x544x49;544x960x49"
    assert (project.dataset.caption_column, project.dataset.video_column) == ("text", "file")
    assert (project.run.batch_size, project.run.device, project.run.decode) == (2, "cpu", True)
    assert project.run.hardware_decoding == "cuda"
    assert (project.text.trigger, project.text.strip_prefixes) == ("TOK", True)
    assert (project.video.vae_tiling, project.text.eight_bit) == (True, True)
    assert (project.audio.enabled, project.audio.silent) == (True, "fail")
    assert project.reference.temporal_scale == 2
    assert engine.spec.stages == engine.default_stages
    assert len(engine.spec.stages) == 7
    assert engine.spec.overwrite


def test_options_win_over_project_toml_and_only_when_given(
    folder: Path, engine: fakes.FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "project.toml").write_text(
        '[dataset]\npath = "data.json"\n[models]\ncheckpoint = "a"\ntext_encoder = "b"\n'
        '[video]\nbuckets = "32x32x9"\nvae_tiling = true\n[audio]\nenabled = true\n'
        '[run]\ndevice = "cpu"\n[text]\ntrigger = "TOK"\n'
    )
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert call("process-dataset", "--lora-trigger", "NEW").exit_code == 0
    project = engine.project
    assert project.dataset_path == folder / "data.json"
    assert (project.text.trigger, project.run.device) == ("NEW", "cpu")
    assert (project.video.buckets, project.video.vae_tiling) == ("32x32x9", True)
    assert project.audio.enabled
    assert call("process-dataset", "--skip-audio", "--no-vae-tiling").exit_code == 0
    assert not engine.project.audio.enabled
    assert not engine.project.video.vae_tiling


def test_process_videos_moves_the_folders_themselves(
    folder: Path, engine: fakes.FakeEngine
) -> None:
    result = call(
        *("process-videos", "data.json", *BUCKETS, "--model-path", "m", "--with-audio"),
        *("--output-dir", "v", "--audio-output-dir", "a", "--reshape-mode", "random"),
    )
    assert result.exit_code == 0, result.output
    moved = {Stage.LATENTS: folder / "v", Stage.AUDIO_LATENTS: folder / "a"}
    assert (engine.moved, engine.spec.folders) == (moved, moved)
    assert engine.spec.stages == (Stage.LATENTS, Stage.AUDIO_LATENTS)
    assert not engine.spec.overwrite
    assert engine.project.video.reshape == "random"


def test_process_captions_needs_no_buckets(folder: Path, engine: fakes.FakeEngine) -> None:
    result = call(
        *("process-captions", "data.json", *MODELS, "--media-column", "file"),
        *("--output-dir", "c", "--batch-size", "3"),
    )
    assert result.exit_code == 0, result.output
    assert engine.spec.folders == {Stage.CONDITIONS: folder / "c"}
    assert engine.spec.stages == (Stage.CONDITIONS,)
    assert engine.project.text.batch_size == 3
    assert engine.project.dataset.video_column == "file"


def test_decode_latents_finds_the_sound_beside(folder: Path, engine: fakes.FakeEngine) -> None:
    (folder / "latents").mkdir()
    arguments = ("decode-latents", "latents", "out", "--model-path", "m", "--seed", "1")
    assert call(*arguments).exit_code == 0
    missing = call(*arguments, "--with-audio")
    assert missing.exit_code == 2
    assert "--audio-latents-dir" in missing.stderr
    (folder / "audio_latents").mkdir()
    assert call(*arguments, "--with-audio").exit_code == 0
    specs = [spec for name, spec in engine.calls if name == "start"]
    assert [spec.kind for spec in specs] == ["decode", "decode"]
    assert [(spec.latents, spec.out) for spec in specs] == [
        (folder / "latents", folder / "out")
    ] * 2
    assert [spec.audio_latents for spec in specs] == [None, folder / "audio_latents"]


def test_adopt_passes_stages_and_sample_on(folder: Path, engine: fakes.FakeEngine) -> None:
    result = call("adopt", "data.json", *MODELS, *BUCKETS, "--stages", "latents", "--sample", "1")
    assert result.exit_code == 0, result.output
    spec = engine.spec
    assert (spec.kind, spec.stages, spec.sample) == ("adopt", (Stage.LATENTS,), 1)


def test_plan_prints_text_or_json(folder: Path, engine: fakes.FakeEngine) -> None:
    text = call("plan", "data.json")
    assert text.exit_code == 0
    assert "Why stale" in text.stdout
    told = call("plan", "data.json", "--json", "--stages", "latents,decode")
    assert msgspec.json.decode(told.stdout, type=Plan) == fakes.plan()
    stages = (Stage.LATENTS, Stage.DECODED_VIDEOS)  # nothing else is encoded
    assert engine.calls[1] == ("plan", (stages, {"overwrite": False}))


def test_exit_code_tells_of_failures_and_json_stays_clean(
    folder: Path, engine: fakes.FakeEngine
) -> None:
    engine.told = fakes.job()
    arguments = ("process-dataset", "data.json", *MODELS, *BUCKETS)
    assert call(*arguments).exit_code == 1
    result = call(*arguments, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[-1])["event"] == "job-done"
    assert len(result.stdout.splitlines()) == len(engine.told)
    assert "1 clip failed" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatasetError("odd row", remedy="mend it", row=3), 2),
        (ProjectError("odd key", remedy="mend it"), 2),
        (ModelError("odd model", remedy="mend it"), 3),
        (EnvironmentFaultError("no room", remedy="mend it"), 3),
        (LtxError("another run", remedy="mend it"), 3),
        (OSError(28, "No space left on device", "/full"), 3),
        (ValueError("a fault of ours"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_end_in_words_and_a_code(
    error: BaseException, code: int, folder: Path, engine: fakes.FakeEngine
) -> None:
    engine.error = error  # type: ignore[assignment]
    result = call("process-dataset", "data.json", *MODELS, *BUCKETS)
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stderr.lstrip().startswith("error: ")
    if isinstance(error, LtxError):
        assert result.stderr.splitlines()[1] == "  mend it"


def test_traceback_only_for_debugging(
    folder: Path, engine: fakes.FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTX_TUI_DEBUG", "1")
    engine.error = ValueError("a fault of ours")
    result = call("process-dataset", "data.json", *MODELS, *BUCKETS)
    assert "Traceback" in result.stderr


def test_control_characters_of_an_error_are_shown_not_obeyed(
    folder: Path, engine: fakes.FakeEngine
) -> None:
    engine.error = DatasetError("odd \x1b]0;title\x07", file="da\x1b[31mta.json")
    result = call("process-dataset", "data.json", *MODELS, *BUCKETS)
    assert "\x1b" not in result.stderr
    assert r"da\x1b[31mta.json" in result.stderr


def test_media_errors_count_as_failed_clips() -> None:
    assert exit_code(MediaError("cut short")) == 1


def test_unknown_theme_is_a_usage_error(
    folder: Path, engine: fakes.FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTX_TUI_THEME", "ltx-drak")
    result = call("process-dataset", "data.json", *MODELS, *BUCKETS)
    assert result.exit_code == 2
    assert "did you mean ltx-dark?" in result.stderr


@pytest.mark.parametrize("no_color", ["", "1"])
def test_errors_on_a_terminal_are_coloured_unless_asked_not_to_be(no_color: str) -> None:
    ours, theirs = os.openpty()
    child = subprocess.run(
        [sys.executable, "-m", "ltx_tui", "no-such-command"],
        stderr=theirs,
        env=os.environ | {"NO_COLOR": no_color, "TERM": "xterm-256color"},
        check=False,
    )
    os.close(theirs)
    said = os.read(ours, 4096)
    os.close(ours)
    assert child.returncode == 2
    assert b"there is no command" in said
    assert (b"\x1b[1;38;5;" in said) == (not no_color)


@pytest.mark.parametrize("show", ["print", "console.print"])
def test_a_reader_that_leaves_early_is_no_error(show: str) -> None:
    code = (
        "import sys; from ltx_tui.cli.main import cli\n"
        "import click\n"
        "@click.command()\n"
        "def noisy():\n"
        "    from ltx_tui.cli.console import make_console\n"
        "    console = make_console()\n"
        "    for _ in range(100_000): show('a line of text')\n"
        "import ltx_tui.cli.main as m\n"
        "m.LazyGroup.get_command = lambda *_: noisy\n"
        "cli(['plan'])\n"
    ).replace("show(", f"{show}(")
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(20) == 141
    child.stderr.close()

"""`ltx-tui doctor` on clips: the whole command with its child process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.health import doctor
from engine.media.probe import probe
from ltx_tui.cli.main import cli
from tests.media_clips import Video, make_video
from tests.unit.health.conftest import TURNED, barred, moving
from tests.unit.test_doctor import CPU

BUCKETS = ("--set", "video.buckets=64x32x9")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with clips: turned, with bars, too short, and a well one."""
    monkeypatch.setattr(doctor, "examine", lambda: CPU)
    make_video(tmp_path / "turned.mp4", moving(24), Video(matrix=TURNED))
    bars = [barred(one, top=8, bottom=8) for one in moving(24, seed=1)]
    make_video(tmp_path / "bars.mp4", bars)
    make_video(tmp_path / "short.mp4", moving(5, seed=2))
    make_video(tmp_path / "good.mp4", moving(24, seed=3))
    names = ("turned.mp4", "bars.mp4", "short.mp4", "good.mp4")
    rows = [{"media_path": name, "caption": f"clip {name}"} for name in names]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ("doctor", "data.json", *BUCKETS, *arguments))


def answer(result: Result) -> dict[str, list[dict[str, object]]]:
    return json.loads(result.stdout)


def media(folder: Path) -> list[str]:
    return [row["media_path"] for row in json.loads((folder / "data.json").read_text())]


def test_findings_are_listed_clip_by_clip_with_their_remedy(folder: Path) -> None:
    result = call()
    assert result.exit_code == 1, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    at = lines.index("bars.mp4 (row 2)")
    assert lines[at + 1] == "! borders  warning: black bars: 8 px top, 8 px bottom"
    assert lines[at + 3] == "→ --fix borders writes a proxy without its bars"
    assert lines[at + 4] == "short.mp4 (row 3)"
    assert lines[at + 5].startswith("✗ too-short  error: too short: 5 frames")
    assert "good.mp4 (row 4)" not in lines
    assert "together: rotated 1, borders 1, too-short 1" in lines
    assert lines[-1].endswith("1 problem, 4 warnings, 1 note")  # GPU and models are not there


def test_json_has_the_findings_beside_the_checks(folder: Path) -> None:
    result = call("--json")
    found = answer(result)
    assert result.exit_code == 1
    assert found["exit_code"] == 1
    assert {check["group"] for check in found["checks"]} >= {"software", "models", "dataset"}
    assert [(one["clip"], one["code"], one["severity"]) for one in found["findings"]] == [
        ("turned.mp4", "rotated", "note"),
        ("bars.mp4", "borders", "warning"),
        ("short.mp4", "too-short", "error"),
    ]


def test_fixing_and_undoing(folder: Path) -> None:
    fixed = answer(call("--json", "--fix", "borders,vfr"))
    assert [(one["clip"], one["codes"]) for one in fixed["fixed"]] == [
        ("bars_proxy.mp4", ["borders"])
    ]
    assert "borders" not in [one["code"] for one in fixed["findings"]]
    assert media(folder) == ["turned.mp4", "bars_proxy.mp4", "short.mp4", "good.mp4"]
    everything = call("--fix-all")
    assert "turned_proxy.mp4 instead of turned.mp4 (rotated)" in everything.stdout
    assert probe(folder / "turned_proxy.mp4").rotation == 0
    undone = call("--undo-fixes", "--clip", "turned.mp4")
    assert "turned.mp4 instead of turned_proxy.mp4 (undone)" in undone.stdout
    assert media(folder)[:2] == ["turned.mp4", "bars_proxy.mp4"]
    call("--undo-fixes")
    assert media(folder) == ["turned.mp4", "bars.mp4", "short.mp4", "good.mp4"]
    assert list(folder.glob("*_proxy*")) == []


def test_a_clip_that_cannot_be_mended_is_told_and_the_others_are(folder: Path) -> None:
    rows = json.loads((folder / "data.json").read_text())
    rows[1]["reference_path"] = "good.mp4"
    (folder / "data.json").write_text(json.dumps(rows))
    result = call("--fix-all")
    assert result.exit_code == 1
    assert "✗ bars.mp4: a proxy with another rate or without its bars" in result.stdout
    assert media(folder)[:2] == ["turned_proxy.mp4", "bars.mp4"]


def test_without_media_only_the_rest_is_checked(folder: Path) -> None:
    result = call("--no-media")
    assert result.exit_code == 0, result.output
    assert "Clips" not in result.stdout


def test_a_dataset_that_cannot_be_read_is_a_problem_and_nothing_else(folder: Path) -> None:
    (folder / "data.json").write_text("[")
    result = call()
    assert result.exit_code == 1
    assert "problem: " in result.stdout
    assert "Clips" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fix", "borders,hrd"), "did you mean hdr?"),
        (("--fix", ""), "no code is given"),
        (("--fix-all", "--undo-fixes"), "cannot both be given"),
        (("--fix-all", "--no-media"), "leave --no-media out"),
        (("--clip", "a.mp4"), "--clip goes with"),
    ],
)
def test_usage_errors_say_what_to_do(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_there_is_nothing_to_mend_without_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ("doctor", "--fix-all"))
    assert result.exit_code == 2
    assert "there is no project here" in result.stderr

"""Suspicious captions in `ltx-tui doctor`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.errors import EnvironmentFaultError
from engine.health import doctor
from engine.suspicion.file import Basis, Counted, Result, Scores, stored_of
from engine.suspicion.types import Reason
from ltx_tui.cli import suspects
from ltx_tui.cli.console import make_console
from ltx_tui.cli.main import cli
from tests.media_clips import Video, make_video
from tests.unit.health.conftest import moving
from tests.unit.test_doctor import CPU


def scores_of(*values: float) -> Scores:
    results = [
        Result(row, value, (Reason("copy", "the same as the caption of b.mp4"),) if value else ())
        for row, value in enumerate(values)
    ]
    names = [f"clip-{row}\x1b.mp4" for row in range(len(values))]
    basis = Basis("", (0, 0), (0, 0))
    return Scores(stored_of(names, results, basis=basis, is_whole=True, counted=Counted()))


def printed(scores: Scores) -> list[str]:
    stream = io.StringIO()
    suspects.print_suspects(make_console(stream=stream), scores)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_worst_are_named_and_the_others_counted() -> None:
    assert printed(scores_of(0.5, 0.2, 0.9, 0.0)) == [
        "Captions",
        "  ! 2 of 4 captions are suspicious",
        "    0.90  clip-2\\x1b.mp4 (row 3)",
        "      the same as the caption of b.mp4 → say what differs, or take one of the clips out",
        "    0.50  clip-0\\x1b.mp4 (row 1)",
        "      the same as the caption of b.mp4 → say what differs, or take one of the clips out",
        "  → `w` in the workbench goes through them, the worst first",
    ]
    many = printed(scores_of(*[0.9] * 13))
    assert len(many) == 2 + 2 * 10 + 1
    assert many[-1].startswith("  → 3 more; `w`")


def test_where_there_is_nothing_it_says_so() -> None:
    assert printed(scores_of(0.4, 0.0)) == ["Captions", "  ✓ none of 2 is suspicious"]
    assert printed(scores_of()) == []


def test_one_is_one() -> None:
    assert printed(scores_of(0.9, 0.0))[1] == "  ! 1 of 2 captions is suspicious"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of three clips: a good caption, a refusal, and none."""
    monkeypatch.setattr(doctor, "examine", lambda: CPU)
    rows = []
    for number, caption in enumerate(("A dog runs.", "I'm sorry, I can't see it.", "")):
        make_video(tmp_path / f"{number}.mp4", moving(24, seed=number), Video())
        rows.append({"media_path": f"{number}.mp4", "caption": caption})
    (tmp_path / "data.json").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> list[str]:
    result = CliRunner().invoke(
        cli, ("doctor", "data.json", "--set", "video.buckets=64x32x9", *arguments)
    )
    return result.stdout.splitlines()


def test_the_doctor_names_them_and_leaves_out_what_nobody_has_written(folder: Path) -> None:
    lines = [line.strip() for line in call()]
    at = lines.index("Captions")
    assert lines[at + 1] == "! 1 of 3 captions is suspicious"
    assert lines[at + 2] == "0.95  1.mp4 (row 2)"
    assert lines[at + 3].startswith("reads like a model's refusal → ")
    assert "Captions" not in call("--no-media")


def test_json_has_all_of_them(folder: Path) -> None:
    found = json.loads("\n".join(call("--json")))
    assert found["captions"] == 3
    [one] = found["suspicious"]
    assert (one["row"], one["clip"], one["score"]) == (1, "1.mp4", 0.95)
    [reason] = one["reasons"]
    assert (reason["kind"], reason["text"]) == ("refusal", "reads like a model's refusal")
    assert reason["remedy"]


def test_what_cannot_be_scored_is_told_and_spoils_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EnvironmentFaultError("the disk is full", remedy="make space")

    monkeypatch.setattr(suspects, "follow_here", fail)
    lines = [line.strip() for line in call()]
    assert "Clips" in lines
    assert "Captions" not in lines

"""The commands that look after the worker and its jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine import events as ev
from engine.precompute.layout import Stage
from engine.precompute.ledger import run_lock
from engine.progress import Progress
from engine.project import PROJECT_FILE
from engine.worker.spec import Fault
from ltx_tui.cli import session
from ltx_tui.cli.main import cli
from tests.unit import cli_fakes as fakes

PROJECT = '[models]\ncheckpoint = "a"\ntext_encoder = "b"\n'


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fakes.FakeEngine:
    """Return an engine, in the folder of its project."""
    root = tmp_path / "mine"
    root.mkdir()
    (root / PROJECT_FILE).write_text(PROJECT)
    monkeypatch.chdir(root)
    fake = fakes.FakeEngine(fakes.job(fail=False))
    monkeypatch.setattr(session, "open_engine", fake.open)
    return fake


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_run_takes_stages_clips_and_memory(engine: fakes.FakeEngine) -> None:
    result = call(
        *("run", "--stages", "latents,conditions", "--clip", "b.mp4", "--clip", "a.mp4"),
        *("--device", "cuda:0, cuda:2", "--memory-limit", "20", "--memory-reserve", "1.5"),
        *("--set", "memory.cpu=false", "--overwrite"),
    )
    assert result.exit_code == 0, result.output
    spec = engine.spec
    assert spec.stages == (Stage.CONDITIONS, Stage.LATENTS)
    assert spec.only == ("a.mp4", "b.mp4")
    assert spec.overwrite
    assert spec.project.run.device == "cuda:0,cuda:2"
    memory = spec.project.memory
    assert (memory.limit, memory.reserve, memory.cpu) == (20.0, 1.5, False)


@pytest.mark.parametrize("device", ["auto,cpu", "cuda:0,", "gpu", "cuda:0;cuda:1"])
def test_devices_that_make_no_sense_are_refused(engine: fakes.FakeEngine, device: str) -> None:
    result = call("run", "--device", device)
    assert result.exit_code == 2
    assert "is no device" in result.stderr
    assert engine.calls == []


def test_commands_find_the_project_of_a_dataset_without_project_toml(
    engine: fakes.FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other" / ".ltx-tui").mkdir(parents=True)
    (tmp_path / "other" / "below").mkdir()
    (tmp_path / "other" / "data.json").write_text("[]")
    monkeypatch.chdir(tmp_path / "other" / "below")
    assert call("status").exit_code == 0
    assert engine.project.root == tmp_path / "other"
    monkeypatch.chdir(tmp_path)
    nowhere = call("status")
    assert nowhere.exit_code == 2
    assert "no project here or above" in nowhere.stderr
    assert call("status", "other/data.json").exit_code == 0
    assert engine.project.root == tmp_path / "other"
    assert call("pause", "--project", "other").exit_code == 0
    assert call("pause", "--project", "no-such").exit_code == 2


# attach


def test_attach_follows_the_job_that_runs(engine: fakes.FakeEngine) -> None:
    engine.known = [fakes.job_info(3, "done"), fakes.job_info(4), fakes.job_info(5, "queued")]
    engine.active = 4
    assert call("attach").exit_code == 0
    assert engine.calls == [("follow", 4)]
    assert call("attach", "5").exit_code == 0
    assert engine.calls[1] == ("follow", 5)
    unknown = call("attach", "9")
    assert (unknown.exit_code, len(engine.calls)) == (2, 2)
    assert "there is no job 9" in unknown.stderr


def test_attach_goes_on_with_a_job_whose_worker_is_gone(engine: fakes.FakeEngine) -> None:
    engine.worker_there = False
    assert call("attach").exit_code == 0
    assert engine.calls == [("follow", 1)]


def test_attach_says_how_the_last_job_ended(engine: fakes.FakeEngine) -> None:
    done, some = fakes.job(fail=False)[-1], fakes.job()[-1]
    full = Fault(kind="EnvironmentFaultError", message="the disk is full", remedy="make space")
    gave_way = Fault(kind="", message="interrupted, and gave way to job 2")
    for job, code, words in (
        (fakes.job_info(state="done", result=done), 0, "✓ done: 8 written"),
        (fakes.job_info(state="done", result=some), 1, "1 clip failed"),
        (fakes.job_info(state="failed", fault=full), 3, "error: the disk is full"),
        (fakes.job_info(state="cancelled", fault=gave_way), 130, "gave way to job 2"),
        (fakes.job_info(state="cancelled"), 130, "job 1 is cancelled"),
    ):
        engine.known = [job]
        result = call("attach")
        assert result.exit_code == code, result.output
        assert words in result.output
        assert "nothing to follow: job 1 is" in result.stdout
    engine.known = []
    result = call("attach")
    assert (result.exit_code, result.stdout) == (0, "no job yet: `ltx-tui run` starts one\n")
    assert engine.calls == []


def test_jobs_in_the_foreground_of_others_are_out_of_reach(engine: fakes.FakeEngine) -> None:
    engine.active = 0  # the worker is there, and does something else
    for name in ("attach", "pause", "cancel"):
        result = call(name)
        assert result.exit_code == 2
        assert "job 1 runs in the foreground of another process" in result.stderr
    engine.worker_there = False
    call("status")
    with run_lock(engine.project.state_dir):
        assert "foreground" in call("attach").stderr
        assert "in the foreground of another process" in call("status").stdout
    assert engine.calls == []


# pause, resume, cancel, retry


def test_pause_says_whether_the_clip_in_hand_is_waited_for(engine: fakes.FakeEngine) -> None:
    goes_on = "; ltx-tui resume goes on\n"
    assert call("pause").stdout == f"job 1 pauses after the clip in hand{goes_on}"
    engine.known = [fakes.job_info(2, "paused", done=1)]
    assert call("pause", "2").stdout == f"job 2 is paused after 1 output{goes_on}"
    assert engine.calls == [("pause", 1), ("pause", 2)]
    assert json.loads(call("pause", "--json").stdout)["state"] == "paused"


def test_pause_without_a_job_starts_no_worker(engine: fakes.FakeEngine) -> None:
    engine.known = [fakes.job_info(state="done")]
    for name in ("pause", "cancel"):
        result = call(name)
        assert result.exit_code == 2
        assert "no job is running, queued or paused" in result.stderr
    assert engine.calls == []


def test_resume_takes_the_latest_that_stopped_and_can_attach(engine: fakes.FakeEngine) -> None:
    engine.words = "this system ends your processes when you log out"
    engine.known = [fakes.job_info(1, "failed"), fakes.job_info(2, "cancelled")]
    result = call("resume")
    assert engine.calls == [("resume", 1)]
    assert result.stdout == "job 2 goes on; ltx-tui attach shows it\n"
    assert "log out" in result.stderr
    engine.known = [fakes.job_info(7)]
    engine.active = 7
    assert call("resume", "7", "--attach").exit_code == 0
    assert engine.calls[1:] == [("resume", 7), ("follow", 7)]


def test_cancel_now_asks_twice(engine: fakes.FakeEngine) -> None:
    assert call("cancel").stdout == "job 1 stops after the clip in hand\n"
    assert call("cancel", "1", "--now").stdout == "job 1 stops now\n"
    assert engine.calls == [("cancel", 1)] * 3
    engine.known = [fakes.job_info(2, "cancelled")]
    assert call("cancel", "2", "--now").stdout == "job 2 is cancelled\n"
    assert engine.calls[3:] == [("cancel", 2)]


def test_retry_names_clips_and_can_attach(engine: fakes.FakeEngine) -> None:
    result = call("retry", "1", "--clip", "b.mp4", "--attach")
    assert result.exit_code == 0
    assert engine.calls == [("retry", (1, ("b.mp4",))), ("follow", 1)]
    assert call("retry").stdout == "job 1 tries again; ltx-tui attach shows it\n"
    assert engine.calls[2] == ("retry", (0, ()))


# worker and logs


def test_worker_stop_says_what_waits(engine: fakes.FakeEngine) -> None:
    stopped = call("worker", "stop", "--now")
    assert stopped.stdout.splitlines() == [
        "the worker has ended",
        "job 1 is not done: ltx-tui attach goes on with it",
    ]
    engine.known = [fakes.job_info(state="done")]
    assert call("worker", "stop").stdout == "no worker runs\n"
    assert engine.calls == [("stop", True), ("stop", False)]
    gone = call("worker", "status")
    assert (gone.exit_code, gone.stdout) == (1, "no worker runs\n")


def test_worker_status_names_it(engine: fakes.FakeEngine) -> None:
    result = call("worker", "status")
    assert result.exit_code == 0
    assert result.stdout.startswith("worker process 4321 · version 1.2.3 · up 2 min 0")


def test_logs_show_the_last_lines_of_each(engine: fakes.FakeEngine) -> None:
    nothing = call("logs")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "nothing was logged yet" in nothing.stderr
    folder = engine.project.state_dir / "logs"
    folder.mkdir(parents=True)
    (folder / "worker.log").write_text("one\ntwo \x1b[2J\nthree\n")
    assert call("logs", "-n", "2").stdout == "two \\x1b[2J\nthree\n"
    (folder / "encoder-cuda-0.log").write_text("four\n")
    (folder / "worker.stderr.log").write_text("")
    lines = call("logs", "-n", "1").stdout.splitlines()
    assert lines == ["worker  three", "encoder-cuda-0  four"]
    assert call("logs", "--encoder").stdout == "four\n"


# status


def busy(engine: fakes.FakeEngine) -> None:
    """Let the engine be in the middle of a job."""
    progress = Progress()
    for event in fakes.job(8)[:-4]:
        progress.take(event)
    progress.take(
        ev.ClipStarted(stage="latents", clip="x\x1b[2J.mp4", row=5, device="cpu", rung="lean 8")
    )
    progress.take(
        ev.Guard(
            stage="latents",
            clip="y.mp4",
            row=4,
            device="cpu",
            rung="lean 8",
            text="stepped down to lean 8",
        )
    )
    engine.standing = progress.standing()
    engine.known = [
        *(fakes.job_info(n, "done", done=8, busy=90.0) for n in range(1, 9)),
        fakes.job_info(9, "running", done=14, failed=1),
        fakes.job_info(10, "queued", waiting="waits for job 9"),
    ]
    engine.active = 9


def test_status_tells_all_there_is(engine: fakes.FakeEngine) -> None:
    busy(engine)
    result = call("status")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith("mine · worker process 4321 · version 1.2.3 · up 2 min")
    assert [line.split()[0] for line in lines[3:10]] == ["4", "5", "6", "7", "8", "9", "10"]
    assert lines[3].startswith("4 done encode 8 0 ")
    assert lines[3].endswith("1 min 30 s")
    assert lines[8].startswith("9 running encode 14 1 ")
    assert "latents 88%" in lines[8]
    assert lines[9].endswith("waits for job 9")
    assert any(line.startswith("✓ conditions ━") for line in lines)
    assert r"cpu x\x1b[2J.mp4 lean 8" in lines
    assert "memory guard, cpu: y.mp4: stepped down to lean 8" in lines
    assert "Failed: 1 output" in lines
    assert "latents: cut short after 62 of 137 frames" in lines
    assert lines[-3:] == [
        "memory 16.0 GiB of 64.0 GiB used, 2.0 GiB ours",
        "GPU 0 20.0 GiB of 140.0 GiB used, 18.0 GiB ours · 97 % busy · 61 °C · 402 W · NVIDIA H200",
        r"GPU 1 odd\x1b[2J",
    ]
    assert engine.calls == []


def test_status_without_a_worker_reads_the_journal(engine: fakes.FakeEngine) -> None:
    engine.worker_there = False
    result = call("status")
    lines = result.stdout.splitlines()
    assert lines[0] == "mine · no worker runs"
    assert lines[1] == "! A job was interrupted: ltx-tui attach goes on with it"
    assert "interrupted" in lines[4]
    engine.known = []
    assert "no job yet" in call("status").stdout


def test_status_as_json_is_one_object(engine: fakes.FakeEngine) -> None:
    busy(engine)
    state = json.loads(call("status", "--json").stdout)
    assert (state["worker"]["pid"], state["active"], len(state["jobs"])) == (4321, 9, 10)
    assert state["standing"]["in_hand"][0]["rung"] == "lean 8"
    assert state["memory"]["gpus"][0]["utilisation"] == 97
    engine.worker_there = False
    state = json.loads(call("status", "--json").stdout)
    assert (state["worker"], state["active"], state["interrupted"]) == (None, 0, True)

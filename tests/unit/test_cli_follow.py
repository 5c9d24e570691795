"""Following a job: Ctrl-C, lost terminals, pauses, and jobs in this process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine import events as ev
from engine.errors import ModelError
from ltx_tui.cli import follow, output, session
from ltx_tui.cli.main import cli
from tests.unit import cli_fakes as fakes

RUN = (
    *("process-dataset", "data.json", "--model-path", "m", "--text-encoder-path", "g"),
    *("--resolution-buckets", "64x64x9"),
)

Install = Callable[[fakes.FakeEngine], fakes.FakeEngine]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what puts an engine in place, in a folder with a dataset."""
    (tmp_path / "data.json").write_text("[]")
    (tmp_path / ".ltx-tui").mkdir()
    monkeypatch.chdir(tmp_path)

    def put(engine: fakes.FakeEngine) -> fakes.FakeEngine:
        monkeypatch.setattr(session, "open_engine", engine.open)
        return engine

    return put


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


class Signalled(fakes.FakeEngine):
    """Gets a signal after some events, and ends as a cancelled job does once it was cancelled."""

    def __init__(self, number: int, after: type[ev.Event] = ev.StageStarted) -> None:
        super().__init__()
        self.number = number
        self.after = after

    async def play(self) -> AsyncIterator[ev.AnyEvent]:
        for event in fakes.job(fail=False, cancelled=True):
            yield event
            if isinstance(event, self.after):
                os.kill(os.getpid(), self.number)
                # The handler runs on the next turn of the loop.
                await asyncio.sleep(0.05)

    def asked(self) -> list[str]:
        """Return what was asked of it, in order."""
        return [name for name, _ in self.calls]


def test_ctrl_c_cancels_and_says_how_to_go_on(install: Install) -> None:
    engine = install(Signalled(signal.SIGINT))
    result = call(*RUN)
    assert result.exit_code == 130
    assert [name for name, _ in engine.calls] == ["start", "follow", "cancel", "cancel"]
    assert engine.calls[-1] == ("cancel", 1)
    assert follow.STOPPING in result.stdout
    assert follow.STOPPING_NOW in result.stdout
    assert "the same command goes on" in result.stdout


def test_ctrl_c_while_planning_cancels_and_leaves_at_once(install: Install) -> None:
    engine = install(Signalled(signal.SIGINT, ev.Scanning))
    result = call(*RUN)
    assert result.exit_code == 130
    assert [name for name, _ in engine.calls] == ["start", "follow", "cancel"]
    assert result.stdout.splitlines()[-1] == follow.STOPPED_EARLY


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_end_the_client_and_not_the_job(
    install: Install, number: int, code: int
) -> None:
    engine = install(Signalled(number))
    result = call(*RUN)
    assert result.exit_code == code
    assert [name for name, _ in engine.calls] == ["start", "follow"]
    assert result.stdout.splitlines()[-1] == "the work goes on: ltx-tui attach"


def test_ctrl_c_in_attach_only_detaches(install: Install) -> None:
    engine = install(Signalled(signal.SIGINT))
    result = call("attach")
    assert result.exit_code == 0
    assert [name for name, _ in engine.calls] == ["follow"]
    assert result.stdout.splitlines()[-1] == follow.DETACHED


def test_handlers_are_put_back(install: Install) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT)
    before = [signal.getsignal(number) for number in numbers]
    install(Signalled(signal.SIGTERM))
    call(*RUN)
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_every_signal_cancels(install: Install, number: int) -> None:
    engine = install(Signalled(number))
    result = call(*RUN, "--foreground")
    assert result.exit_code == 130
    assert [name for name, _ in engine.calls] == ["foreground", "cancel", "cancel"]


def test_planning_in_the_foreground_is_left_at_the_second_ctrl_c(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(follow, "leave_at_once", codes.append)
    install(Signalled(signal.SIGINT, ev.Scanning))
    assert call(*RUN, "--foreground").exit_code == 130
    assert codes == [130]


def test_foreground_and_detach_exclude_each_other(install: Install) -> None:
    engine = install(fakes.FakeEngine())
    result = call(*RUN, "--foreground", "--detach")
    assert result.exit_code == 2
    assert "cannot both be given" in result.stderr
    assert engine.calls == []


def test_detach_starts_and_says_how_to_attach(install: Install) -> None:
    engine = install(fakes.FakeEngine())
    engine.words = "this system ends your processes when you log out"
    result = call(*RUN, "--detach")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "job 1 is in the hands of worker process 4321",
        "  ltx-tui attach",
    ]
    assert result.stderr == "warning: this system ends your processes when you log out\n"
    assert [name for name, _ in engine.calls] == ["start"]


def test_first_line_names_job_and_worker_and_the_warning_goes_to_stderr(install: Install) -> None:
    engine = install(fakes.FakeEngine(fakes.job(fail=False)))
    engine.words = "this system ends your processes when you log out"
    result = call(*RUN)
    assert result.stdout.splitlines()[0] == "job 1 · worker process 4321 · ltx-tui attach"
    assert result.stderr == "warning: this system ends your processes when you log out\n"


def test_hints_name_the_project_where_the_folder_does_not(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(fakes.FakeEngine(fakes.job(fail=False)))
    arguments = [str(tmp_path / one) if one == "data.json" else one for one in RUN]
    monkeypatch.chdir(tmp_path.parent)
    first = call(*arguments).stdout.splitlines()[0]
    assert first.endswith(f"ltx-tui attach --project {tmp_path.name}")


def test_paused_job_ends_the_following_with_a_word(install: Install) -> None:
    engine = install(fakes.FakeEngine(fakes.job()[:9]))
    engine.known = [fakes.job_info(state="paused", done=3)]
    result = call("attach", "1")
    assert result.stdout == "job 1 is paused after 3 outputs; ltx-tui resume goes on\n"
    engine.known = [fakes.job_info(state="queued")]

    async def paused() -> tuple[object, ...]:
        return (fakes.job_info(state="paused", done=3),)

    engine.jobs = paused  # type: ignore[assignment]
    result = call(*RUN)
    assert result.exit_code == 0
    assert result.stdout.endswith("job 1 is paused after 3 outputs; ltx-tui resume goes on\n")


class Waiting(fakes.FakeEngine):
    """A job that waits for another, and then begins."""

    async def play(self) -> AsyncIterator[ev.AnyEvent]:
        await asyncio.sleep(0.05)
        for event in self.told:
            yield event


def test_queued_job_says_what_it_waits_for(install: Install) -> None:
    engine = install(Waiting(fakes.job(fail=False)))
    engine.known = [fakes.job_info(5, "queued", waiting="waits for job 4")]
    result = call(*RUN)
    assert result.exit_code == 0
    assert "job 5 waits for job 4" in result.stdout.splitlines()
    engine.known = [fakes.job_info(5, "queued", waiting="another run is going on (process 9)")]
    told = call(*RUN, "--json")
    assert told.stderr.splitlines()[0] == "job 5 waits: another run is going on (process 9)"
    assert len(told.stdout.splitlines()) == len(engine.told)


def test_job_that_another_client_cancelled_ends_as_stopped(install: Install) -> None:
    install(fakes.FakeEngine(fakes.job(fail=False, cancelled=True)))
    assert call(*RUN).exit_code == 130


def test_job_that_fails_as_a_whole_gives_its_error(install: Install) -> None:
    install(fakes.FakeEngine(fakes.job()[:3], ModelError("no such tensor", remedy="mend it")))
    result = call("attach")
    assert result.exit_code == 3
    assert result.stderr == "error: no such tensor\n  mend it\n"


class DeadTerminal(output.LineView):
    """A view whose terminal has gone."""

    def show(self, event: ev.AnyEvent) -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_terminal_that_is_gone_counts_as_a_hangup(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = install(fakes.FakeEngine(fakes.job()))
    monkeypatch.setattr(
        "ltx_tui.cli.work.make_view", lambda **_: DeadTerminal(fakes.console(terminal=False))
    )
    result = call(*RUN)
    assert (result.exit_code, result.stderr) == (129, "")
    assert [name for name, _ in engine.calls] == ["start", "follow"]

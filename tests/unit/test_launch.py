"""Starting a worker: its answer, its last words, its independence, its scope."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import EnvironmentFaultError
from engine.worker import launch as launch_module
from engine.worker.launch import launch
from engine.worker.lock import read_lock
from engine.worker.logout import Logout
from tests.systemd import System

WORKER = """
import os, sys, time
from pathlib import Path
from engine.errors import LtxError
from engine.worker.launch import answer_ready, answer_unfit
from engine.worker.lock import WorkerInfo, WorkerRunsError, take_lock
import msgspec
state = Path(sys.argv[1])
"""

HOLDS = """
info = WorkerInfo.of_this_process(version=" ".join(sys.argv[2:]), protocol=1)
try:
    with take_lock(state, info) as lock:
        time.sleep(float(os.environ.get("SLOW", 0)))
        lock.tell(msgspec.structs.replace(info, socket="/nowhere"))
        answer_ready(os.getpid())
        print("to nobody", flush=True)
        time.sleep(600)
except WorkerRunsError as error:
    answer_ready(error.info.pid)
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "project" / ".ltx-tui"
    yield folder
    info = read_lock(folder) if folder.exists() else None
    if info is not None:
        os.kill(info.pid, signal.SIGKILL)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a way to make the module that is started."""
    (tmp_path / "modules").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))

    def make(body: str) -> str:
        (tmp_path / "modules" / "some_worker.py").write_text(WORKER + body)
        return "some_worker"

    return make


def start(state: Path, module: str, **options: object) -> str:
    options.setdefault("logout", Logout())
    return asyncio.run(launch(state, idle=7.5, module=module, **options))  # type: ignore[arg-type]


def test_a_worker_is_started_in_a_session_of_its_own(
    state: Path, module: Callable[[str], str], tmp_path: Path
) -> None:
    assert start(state, module(HOLDS)) == ""
    info = read_lock(state)
    assert info is not None
    assert info.version == "--idle 7.5"
    assert os.getsid(info.pid) == info.pid
    process = psutil.Process(info.pid)
    assert process.cwd() == "/"
    outputs = {file.path for file in process.open_files()}
    assert str(state / "logs" / "worker.stderr.log") in outputs
    assert (state / "logs" / "worker.stderr.log").read_text() == ""


def test_a_worker_outlives_the_client_and_its_loop(
    state: Path, module: Callable[[str], str]
) -> None:
    client = (
        "import asyncio, gc, sys; from pathlib import Path\n"
        "from engine.worker.launch import launch\n"
        f"asyncio.run(launch(Path(sys.argv[1]), idle=1, module={module(HOLDS)!r})); gc.collect()"
    )
    done = subprocess.run(
        [sys.executable, "-c", client, str(state)], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    info = read_lock(state)
    assert info is not None
    assert psutil.Process(info.pid).status() != psutil.STATUS_ZOMBIE


def test_a_worker_that_ends_leaves_no_zombie(state: Path, module: Callable[[str], str]) -> None:
    start(state, module(HOLDS))
    info = read_lock(state)
    assert info is not None
    os.kill(info.pid, signal.SIGKILL)
    while psutil.pid_exists(info.pid):  # until the test's own time is up
        time.sleep(0.01)
    assert read_lock(state) is None


def test_two_clients_at_once_get_one_worker(
    state: Path, module: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "0.3")
    name = module(HOLDS)

    async def both() -> None:
        await asyncio.gather(
            *(launch(state, idle=1, module=name, logout=Logout()) for _ in range(3))
        )

    asyncio.run(both())
    info = read_lock(state)
    assert info is not None
    assert info.socket  # also those who lost the race waited for it


def test_the_reason_of_a_worker_that_cannot_run_is_told(
    state: Path, module: Callable[[str], str]
) -> None:
    body = """
print("a banner of some package")
answer_unfit(LtxError("the journal is \\x1b[2Jdamaged", remedy="delete it", file="journal.db"))
sys.exit(3)
"""
    with pytest.raises(EnvironmentFaultError) as caught:
        start(state, module(body))
    assert caught.value.message == "journal.db: the journal is \\x1b[2Jdamaged"
    assert caught.value.remedy == "delete it"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('no \\x07luck')", r"exit status 1 .*RuntimeError: no \\x07luck"),
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("print('just words')", "exit status 0"),
    ],
)
def test_the_last_words_of_a_worker_that_dies_are_told(
    body: str, words: str, state: Path, module: Callable[[str], str]
) -> None:
    log = state / "logs" / "worker.stderr.log"
    log.parent.mkdir(parents=True)
    log.write_text("of an earlier one\n")
    with pytest.raises(EnvironmentFaultError, match=words) as caught:
        start(state, module(body))
    assert "earlier" not in caught.value.message
    assert caught.value.file == log


def test_a_secret_in_the_last_words_is_not_told(
    state: Path, module: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "very-secret")
    with pytest.raises(EnvironmentFaultError, match="refused: …"):
        start(state, module("sys.exit('refused: ' + os.environ['MY_API_KEY'])"))


def test_a_worker_that_does_not_answer_is_ended(
    state: Path, module: Callable[[str], str], tmp_path: Path
) -> None:
    body = f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); time.sleep(600)"
    with pytest.raises(EnvironmentFaultError, match="does not come up within 1 s"):
        start(state, module(body), patience=1)
    if (tmp_path / "pid").exists():
        assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_worker_goes_on_when_its_client_has_gone(
    state: Path, module: Callable[[str], str]
) -> None:
    name = module("input()" + HOLDS)
    # Its answer finds nobody; that must not stop it.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", name, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ},
    )
    state.mkdir(parents=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    try:
        while (info := read_lock(state)) is None or not info.socket:
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_the_log_of_stray_words_stays_short(state: Path, module: Callable[[str], str]) -> None:
    log = state / "logs" / "worker.stderr.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {n:07}\n" for n in range(50_000)))
    with log.open("a") as other:  # another worker, which has the file open
        start(state, module("print('hello', file=sys.stderr, flush=True)\n" + HOLDS))
        other.write("of the other\n")
    lines = log.read_text().splitlines()
    assert log.stat().st_size < 257 << 10
    assert lines[0].startswith("line ")
    assert len(lines[0]) == len("line 0000000")
    assert lines[-3:] == ["line 0049999", "hello", "of the other"]


def test_the_child_imports_our_engine_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = launch_module._environment({"PYTHONPATH": f"lib{os.pathsep}/abs", "A": "b"})
    home = str(Path(launch_module.engine.__file__).parent.parent)
    assert made["PYTHONPATH"].split(os.pathsep) == [home, str(tmp_path / "lib"), "/abs"]
    assert made["A"] == "b"
    monkeypatch.setattr(launch_module.site, "getsitepackages", lambda: [home])
    assert launch_module._environment({"A": "b"}) == {"A": "b"}


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(tmp_path, monkeypatch)


def test_the_worker_is_started_in_its_scope(
    system: System, state: Path, module: Callable[[str], str], tmp_path: Path
) -> None:
    system.tool(
        "systemd-run",
        f'echo "$XDG_RUNTIME_DIR $*" > {tmp_path}/asked\n'
        'while [ "$1" != -- ]; do shift; done\nshift\nexec "$@"',
    )
    policy = Logout(ends=True, runtime=str(system.manager()), warning="a word")
    assert start(state, module(HOLDS), logout=policy) == "a word"
    assert read_lock(state) is not None
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(f"{system.root}/run/user/1000 --user --scope --collect --quiet --unit=")
    assert f"--unit=ltx-tui-{launch_module.runtime_name(state)[:12]}-{os.getpid()}-" in asked
    assert f"-- {sys.executable} -P -m some_worker {state} --idle 7.5" in asked


@pytest.mark.parametrize("how", ["fails", "is gone"])
def test_a_scope_that_cannot_be_had_is_done_without(
    how: str, system: System, state: Path, module: Callable[[str], str]
) -> None:
    system.tool("systemd-run", "echo 'Failed to connect to bus' >&2; exit 1")
    if how == "is gone":
        (system.tools / "systemd-run").write_text("#!/nowhere/at/all\n")
    policy = Logout(ends=True, runtime=str(system.manager()))
    warning = start(state, module(HOLDS), logout=policy)
    assert "systemd-run --user --scope tmux" in warning
    assert read_lock(state) is not None


def test_the_policy_is_found_out_where_it_is_not_given(
    state: Path, module: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found() -> Logout:
        return Logout(ends=True, warning="a word")

    monkeypatch.setattr(launch_module, "logout_policy", found)
    assert start(state, module(HOLDS), logout=None) == "a word"

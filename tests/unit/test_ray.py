"""Jobs on a real cluster of two nodes: the same files, whatever happens to the nodes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from engine.client import Engine
from engine.errors import EnvironmentFaultError
from engine.events import AnyEvent, ClipDone, ClipStarted, Notice
from engine.files.identity import file_identity
from engine.precompute.layout import Stage
from engine.project import Project
from engine.worker import cluster as cluster_module
from engine.worker.messages import StepDone
from engine.worker.pool import Pool
from engine.worker.ray_messages import File
from engine.worker.stage_work import Outcome
from tests.flaky_port import flaky
from tests.jobs import ending, failed, made, project_of, run
from tests.ray_cluster import Machines, descendants, started
from tests.small_set import write_clip, write_dataset
from tests.unit.test_pool import setup, works
from tests.workers import ROOT, still_alive, text_project

CLIPS = 12
Here = tuple[list[tuple[str, str]], dict[str, str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def machines(warm: dict[str, str]) -> Iterator[Machines]:
    with started(warm) as cluster:
        yield cluster


@pytest.fixture
def two(machines: Machines) -> Machines:
    machines.need("node1", "node2")
    return machines


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make clips enough for two nodes: what the first does alone is soon done."""
    root = tmp_path_factory.mktemp("ray") / "source"
    rows = []
    for number in range(CLIPS):
        name = f"{number % 3}/{number:02}.mp4"
        size = (96, 96) if number % 2 else (144, 96)
        write_clip(root / name, size=size, count=18, seed=number)
        rows.append({"caption": f"Grating number {number} " * (number % 5 + 1), "media_path": name})
    write_dataset(root, rows)
    return root


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have encoders without models."""
    monkeypatch.setenv("LTX_TUI_ENCODER", "tests.fake_encoder")


@pytest.fixture(scope="module")
def here(
    warm: dict[str, str],
    source: Path,
    models: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Here:
    """Return what a job makes here of those clips: its stages and clips, and its files."""
    project = of_small_set(source, tmp_path_factory.mktemp("local") / "set", models)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in warm.items():
            patch.setenv(name, value)
        events = run(project)
    return made(events), contents(project)


def on_ray(machines: Machines, address: str = "") -> dict[str, object]:
    return {"scale__engine": "ray", "scale__address": address or machines.address}


def of_small_set(source: Path, root: Path, models: tuple[Path, Path], **more: object) -> Project:
    shutil.copytree(source, root, copy_function=shutil.copy2)
    return project_of(root, models, video__buckets="64x64x17;96x64x17", audio__enabled=True, **more)


def contents(project: Project) -> dict[str, str]:
    """Return the digest of every output."""
    folder = project.output_dir
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): file_identity(path).digest for path in found}


def run_and(
    project: Project, act: Callable[[AnyEvent], object], stages: list[Stage] | None = None
) -> list[AnyEvent]:
    """Run a job, and do something at each of its events."""

    async def collect() -> list[AnyEvent]:
        engine, seen = Engine(project), []
        spec = engine.encoding(stages)
        async for event in engine.foreground(spec).events():
            seen.append(event)
            act(event)  # a machine can only be started in the main thread
        return seen

    return asyncio.run(collect())


def notices(events: list[AnyEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def test_a_job_on_two_nodes_makes_the_same_files_as_one_here(
    two: Machines, tmp_path: Path, source: Path, models: tuple[Path, Path], here: Here
) -> None:
    there = of_small_set(source, tmp_path / "ray", models, **on_ray(two))
    events = run(there)
    assert (made(events), contents(there)) == here
    devices = {e.device for e in events if isinstance(e, ClipDone)}
    assert devices <= {"node1/cpu", "node2/cpu"}
    assert len(devices) == 2
    # Nothing of the look at the storage is left behind.
    assert not list(there.root.rglob(".ltx-tui-probe*"))


def test_a_job_from_outside_outlives_a_broken_connection_and_makes_the_same_files(
    two: Machines, tmp_path: Path, source: Path, models: tuple[Path, Path], here: Here
) -> None:
    with flaky(two.client_port) as port:
        address = f"ray://127.0.0.1:{port.number}"
        there = of_small_set(source, tmp_path / "ray", models, **on_ray(two, address))
        dropped: list[int] = []

        def drop(event: AnyEvent) -> None:
            if isinstance(event, ClipDone) and event.stage == "latents" and not dropped:
                dropped.append(port.drop())

        events = run_and(there, drop)
    assert dropped[0] > 0
    assert (made(events), contents(there)) == here
    assert {e.device for e in events if isinstance(e, ClipDone)} == {"node1/cpu", "node2/cpu"}


@pytest.mark.parametrize("how", ["cancelled", "lost"])
def test_the_encoders_of_a_job_from_outside_end_with_it(
    two: Machines, tmp_path: Path, models: tuple[Path, Path], fake: None, how: str
) -> None:
    address = f"ray://127.0.0.1:{two.client_port}"
    captions = [f"slow 1.{n:03}" for n in range(40)]
    project = text_project(tmp_path / "p", models, captions, **on_ray(two, address))

    async def begin() -> None:
        engine = Engine(project)
        events = engine.foreground(engine.encoding([Stage.CONDITIONS])).events()
        async with contextlib.aclosing(events):
            async for event in events:
                if isinstance(event, ClipDone):
                    assert two.running("tests.fake_encoder")
                    if how == "cancelled":
                        return
                    for bridge in descendants(os.getpid(), "engine.worker.ray_bridge"):
                        bridge.kill()

    expected = contextlib.nullcontext()
    if how == "lost":
        expected = pytest.raises(EnvironmentFaultError, match="connection to the Ray cluster")
    with expected:
        asyncio.run(begin())
    until = time.monotonic() + 30
    while two.running("tests.fake_encoder"):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_node_killed_in_the_middle_costs_nothing_but_time(
    two: Machines, tmp_path: Path, source: Path, models: tuple[Path, Path], here: Here
) -> None:
    there = of_small_set(source, tmp_path / "ray", models, **on_ray(two))
    killed: list[str] = []

    def kill(event: AnyEvent) -> None:
        if isinstance(event, ClipStarted) and event.stage == "latents" and not killed:
            killed.append(event.device.partition("/")[0])
            two.kill(killed[0])

    events = run_and(there, kill)
    assert failed(events) == []
    assert contents(there) == here[1]
    assert any(f"the node {killed[0]} was lost" in text for text in notices(events))
    done = [(event.stage, event.clip) for event in events if isinstance(event, ClipDone)]
    assert len(done) == len(set(done))


def test_the_step_of_a_lost_node_is_done_elsewhere_as_it_was(
    two: Machines, tmp_path: Path, models: tuple[Path, Path], fake: None
) -> None:
    project = text_project(
        tmp_path / "p", models, [f"slow 0.5{n:02}" for n in range(6)], **on_ray(two)
    )
    killed: list[str] = []

    def kill(event: AnyEvent) -> None:
        if isinstance(event, ClipStarted) and not killed:
            killed.append(event.device.partition("/")[0])
            two.kill(killed[0])

    events = run_and(project, kill, [Stage.CONDITIONS])
    assert ending(events).done == 6
    # Nothing that was in hand is to blame, so nothing is tried a rung lower.
    details = {event.detail for event in events if isinstance(event, ClipDone)}
    assert details == {"rung 0"}


def test_a_node_that_comes_back_is_used_again(
    two: Machines, tmp_path: Path, models: tuple[Path, Path], fake: None
) -> None:
    captions = [f"slow 1.{n:03}" for n in range(8)]
    project = text_project(tmp_path / "p", models, captions, **on_ray(two))
    two.kill("node2")
    back: list[AnyEvent] = []
    gone: list[str] = []

    def come_back(event: AnyEvent) -> None:
        # One goes, another comes: its lane has to find the new place.
        if isinstance(event, ClipDone) and not gone:
            gone.append("node1")
            two.need("node3")
            two.kill("node1")
        if isinstance(event, ClipDone) and event.device == "node3/cpu":
            back.append(event)

    try:
        events = run_and(project, come_back, [Stage.CONDITIONS])
    finally:
        two.kill("node3")
    assert ending(events).done == 8
    assert back
    assert any("node3 has come" in text for text in notices(events))


def test_a_cluster_without_nodes_stops_the_job_and_a_rerun_goes_on(
    two: Machines,
    tmp_path: Path,
    models: tuple[Path, Path],
    fake: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster_module, "GRACE", 2.0)
    captions = [f"slow 0.5{n:02}" for n in range(8)]
    project = text_project(tmp_path / "p", models, captions, **on_ray(two))
    seen: list[AnyEvent] = []

    def kill(event: AnyEvent) -> None:
        seen.append(event)
        if sum(isinstance(one, ClipDone) for one in seen) == 2 and isinstance(event, ClipDone):
            two.kill("node1")
            two.kill("node2")

    with pytest.raises(EnvironmentFaultError, match="no node of the Ray cluster is left") as error:
        run_and(project, kill, [Stage.CONDITIONS])
    assert "goes on where it stopped" in error.value.remedy
    two.need("node1", "node2")
    events = run(project, [Stage.CONDITIONS])
    before = sum(isinstance(one, ClipDone) for one in seen)
    assert 2 <= before < 8
    # What was made in the last moment, and not told any more, is found again.
    assert ending(events).done + ending(events).fresh == 8
    assert ending(events).done <= 8 - before


def test_an_encoder_that_dies_by_itself_is_tried_a_rung_lower(
    two: Machines, tmp_path: Path, models: tuple[Path, Path], fake: None
) -> None:
    project = text_project(tmp_path / "p", models, ["die-once", "ok", "bad"], **on_ray(two))
    events = run(project, [Stage.CONDITIONS])
    done = {event.clip: event.detail for event in events if isinstance(event, ClipDone)}
    assert done == {"000.mp4": "rung 1", "001.mp4": "rung 0"}
    assert [one.reason for one in failed(events)] == ["it is bad"]
    assert any("SIGABRT (a last word)" in text for text in notices(events))


def test_a_node_with_other_files_is_told_before_anything_begins(
    two: Machines,
    tmp_path: Path,
    models: tuple[Path, Path],
    fake: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = text_project(tmp_path / "p", models, ["ok", "ok"], **on_ray(two))
    real = cluster_module.seen_here

    def otherwise(paths: Iterable[Path]) -> list[File]:
        """Return what is seen, but as if the worker saw other bytes of the model."""
        model = str(models[0])
        seen = real(paths)
        return [replace(one, size=one.size + (one.path == model)) for one in seen]

    monkeypatch.setattr(cluster_module, "seen_here", otherwise)
    with pytest.raises(EnvironmentFaultError, match="node1 sees another file") as error:
        run(project, [Stage.CONDITIONS])
    assert str(error.value.file) == str(models[0])
    assert "docs/scale.md" in error.value.remedy
    assert not list(project.output_dir.rglob("*.pt"))


def test_the_memory_of_every_node_is_known(
    two: Machines, tmp_path: Path, models: tuple[Path, Path], fake: None
) -> None:
    project = project_of(tmp_path, models, **on_ray(two))
    cluster = cluster_module.make_cluster(project)
    assert cluster is not None
    pool = Pool(tmp_path / "logs", "cpu", 60, cluster=cluster)
    known: set[str] = set()

    async def collect() -> int:
        done = 0
        async for outcome in pool.run(setup(), works(tmp_path, *["slow 0.5"] * 10)):
            done += isinstance(outcome, Outcome) and isinstance(outcome.answer, StepDone)
            known.update(one.node for one in pool.nodes if one.host.total > 0)
            assert len(pool.pids) == 1  # the bridge alone: the encoders are elsewhere
        await pool.close()
        return done

    assert asyncio.run(collect()) == 10
    assert known == {"node1", "node2"}


def test_a_cluster_of_this_machine_alone_is_reached_by_nobody_else(
    tmp_path: Path, models: tuple[Path, Path], fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    project = project_of(tmp_path, models, scale__engine="ray", scale__address="local")
    cluster = cluster_module.make_cluster(project)
    pool = Pool(tmp_path / "logs", "cpu", 60, cluster=cluster)
    heard: set[str] = set()
    family: list[psutil.Process] = []

    async def collect() -> int:
        done = 0
        async for outcome in pool.run(setup(), works(tmp_path, "slow 0.1", "ok")):
            ended = isinstance(outcome, Outcome) and isinstance(outcome.answer, StepDone)
            done += ended
            if ended and not family:
                family.extend(psutil.Process(pool.pids[0]).children(recursive=True))
                for one in family:
                    sockets = one.net_connections("tcp")
                    heard.update(s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN)
        await pool.close()
        return done

    assert asyncio.run(collect()) == 2
    assert heard
    assert {address.removeprefix("::ffff:") for address in heard} == {"127.0.0.1"}
    # It ends with its job.
    assert not still_alive(family, 20)

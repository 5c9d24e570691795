"""What a cluster needs, without one: places, keepers, probes, and words for what is missing."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from engine.errors import EnvironmentFaultError, UsageError
from engine.memory.monitor import NodeMemory
from engine.precompute.layout import Stage
from engine.precompute.steps import StageSetup, TextStep
from engine.project import Project
from engine.worker import ray_node
from engine.worker.cluster import make_cluster
from engine.worker.messages import OpenStage
from engine.worker.process import EncoderLostError
from engine.worker.ray_messages import Check, Ended, File, Lost, NoPlace, Out, Placed, Request
from engine.worker.ray_node import Keeper, look
from engine.worker.ray_slots import Slots, has_gpus, nodes_of
from engine.worker.remote import Life
from engine.worker.shared_files import Probes, files_of, folders_of, seen_here
from tests.jobs import project_of, run
from tests.workers import ROOT, text_project


def node(number: int, *, gpus: int = 0, cpus: int = 1, **more: object) -> Mapping[str, object]:
    return {
        "NodeID": f"id{number}",
        "Alive": True,
        "NodeName": f"192.0.2.{number}",
        "NodeManagerAddress": f"192.0.2.{number}",
        "NodeManagerHostname": "box",
        "Resources": {"GPU": float(gpus), "CPU": float(cpus)},
        **more,
    }


# Places


def test_each_gpu_is_a_place_or_else_each_machine() -> None:
    found = [node(1, gpus=8), node(2, gpus=2), node(3), node(4, gpus=4, Alive=False)]
    assert has_gpus(found)
    assert [one.devices for one in nodes_of(found, gpus=True)] == [8, 2]
    assert [one.devices for one in nodes_of(found, gpus=False)] == [1, 1, 1]
    assert not has_gpus([node(1), node(4, gpus=4, Alive=False)])


def test_a_machine_that_is_to_give_nothing_is_no_place() -> None:
    assert nodes_of([node(1, cpus=0)], gpus=False) == ()


def test_machines_have_the_names_they_were_given_or_the_hosts() -> None:
    found = [node(1), node(2), node(3, NodeName="left")]
    assert [one.name for one in nodes_of(found, gpus=False)] == ["box", "box-2", "left"]


def test_the_emptiest_machine_comes_first_and_only_those_that_were_checked() -> None:
    slots = Slots()
    slots.update(nodes_of([node(1, gpus=1), node(2, gpus=2), node(3, gpus=8)], gpus=True))
    assert not slots.usable
    assert slots.take() is None
    slots.admit(["id1", "id2"])
    assert slots.usable
    taken = [slots.take() for _ in range(4)]
    assert [one.id if one else None for one in taken] == ["id2", "id2", "id1", None]
    assert taken[2] is not None
    slots.give_back(taken[2])
    assert slots.take(avoid=["id1"]) is None
    again = slots.take()
    assert again is not None
    assert again.id == "id1"
    slots.update(nodes_of([node(3, gpus=8)], gpus=True))
    assert not slots.usable


# What every machine has to see


def check_of(probes: Probes, files: list[File]) -> Check:
    folders = tuple(map(str, probes.folders))
    return Check(
        number=1,
        nodes=("n1",),
        probe=probes.name,
        nonce=probes.nonce,
        folders=folders,
        files=tuple(files),
    )


def test_the_same_folders_and_files_are_no_problem(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"weights")
    with Probes([tmp_path, tmp_path]) as probes:
        assert probes.not_from("n1") == tmp_path
        assert look(check_of(probes, seen_here([model])), "n1", "box") == []
        assert probes.not_from("n1") is None
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_another_machine_does_not_share_is_named(tmp_path: Path) -> None:
    with Probes([tmp_path]) as probes:
        check = check_of(probes, [])
        gone = msgspec.structs.replace(check, folders=("/nowhere/at all",))
        other = msgspec.structs.replace(check, nonce="another")
        hidden = msgspec.structs.replace(check, probe="not there")
        (problem,) = look(gone, "n1", "box")
        assert problem.reason == "does not have this folder"
        assert (problem.node, problem.path) == ("box", "/nowhere/at all")
        assert "sees another folder" in look(other, "n1", "box")[0].reason
        assert "does not see what the worker writes" in look(hidden, "n1", "box")[0].reason
        assert "docs/scale.md" in problem.remedy


def test_another_file_under_a_models_name_is_told_with_size_and_time(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"weights")
    (seen,) = seen_here([model, tmp_path / "missing"])
    model.write_bytes(b"other weights")
    with Probes([tmp_path]) as probes:
        (problem,) = look(check_of(probes, [seen]), "n1", "box")
        assert "sees another file under this path: 13 bytes of" in problem.reason
        assert "the worker 7 bytes of" in problem.reason
        model.unlink()
        (problem,) = look(check_of(probes, [seen]), "n1", "box")
        assert problem.reason == "cannot see this file (No such file or directory)"


def test_a_machine_with_a_disk_of_its_own_there_is_found_out(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    alone = [unshare or "", "-m", "sh", "-c"]
    if unshare is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    code = (
        "import sys, msgspec; from engine.worker.ray_node import look; "
        "from engine.worker.ray_messages import Check; "
        "check = msgspec.json.decode(sys.argv[1], type=Check); "
        "print(look(check, 'n1', 'box')[0].reason)"
    )
    command = [sys.executable, "-c", code]
    with Probes([tmp_path]) as probes:
        check = msgspec.json.encode(check_of(probes, [])).decode()
        child = subprocess.run(
            [*alone, 'mount -t tmpfs none "$0" && exec "$@"', tmp_path, *command, check],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert child.returncode == 0, child.stderr
        assert child.stdout.startswith("does not see what the worker writes to this folder")
        assert probes.not_from("n1") == tmp_path


def test_probes_of_one_that_was_killed_are_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".ltx-tui-probe-0123").write_text("old")
    with Probes([tmp_path]):
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


def test_models_media_and_the_outputs_folder_are_looked_at(tmp_path: Path) -> None:
    gemma = tmp_path / "gemma"
    gemma.mkdir()
    for name in ("a.safetensors", "tokenizer.json"):
        (gemma / name).touch()
    (tmp_path / "vae.safetensors").touch()
    setup = StageSetup(
        stage=Stage.CONDITIONS,
        checkpoint=str(tmp_path / "vae.safetensors"),
        text_encoder=str(gemma),
    )
    steps = [
        TextStep(
            id=n,
            clip="c",
            row=n,
            output=str(tmp_path / f"out/conditions/{n % 2}/{n}.pt"),
            prompt="p",
        )
        for n in range(4)
    ]
    names = [path.name for path in files_of(setup, steps)]
    assert names == ["vae.safetensors", "a.safetensors", "tokenizer.json"]
    assert folders_of(steps) == [tmp_path]
    (tmp_path / "out/conditions").mkdir(parents=True)
    assert folders_of(steps) == [tmp_path / "out/conditions"]
    assert folders_of([]) == []


# Keepers


def keep(monkeypatch: pytest.MonkeyPatch, gpus: list[str]) -> Keeper:
    monkeypatch.setattr(ray_node, "_gpus", lambda: gpus)
    monkeypatch.setattr(ray_node, "_NEWS", 0.3)
    return Keeper("box")


async def heard(keeper: Keeper, kind: str, number: int = 1) -> list[str]:
    """Read until so many lines of a kind have come."""
    lines: list[str] = []
    seen = 0
    while len(lines) < number:
        for one in await keeper.read(seen):
            seen = one.number
            lines += [one.text] if one.kind == kind else []
    return lines


def test_a_keeper_passes_lines_on_once_however_often_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keeper = keep(monkeypatch, [])

    async def talk() -> None:
        begun = await keeper.begin("tests.fake_encoder")
        assert await keeper.begin("tests.fake_encoder") == begun
        assert (begun.shown, begun.device) == ("cpu", "cpu")
        setup = StageSetup(stage=Stage.CONDITIONS, checkpoint="x", device="cpu")
        line = msgspec.json.encode(OpenStage(setup)).decode()
        await keeper.write(1, [line])
        await keeper.write(1, [line])  # as Ray does when an answer is lost
        first = await keeper.read(0)
        assert (await keeper.read(0))[: len(first)] == first
        lines = await heard(keeper, "out", 12)
        answers = [msgspec.json.decode(one)["type"] for one in lines]
        assert answers.count("hello") == 1
        assert answers.count("stage-opened") == 1
        memory = msgspec.json.decode((await heard(keeper, "memory"))[0], type=NodeMemory)
        assert (memory.node, memory.device) == ("box", "cpu")
        assert memory.host.total > 0
        await keeper.close()
        assert await heard(keeper, "end") == ["0"]

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_a_keeper_tells_how_its_encoder_was_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = keep(monkeypatch, ["3"])

    async def talk() -> None:
        begun = await keeper.begin("tests.fake_encoder")
        assert (begun.shown, begun.device) == ("cuda:3", "cuda:0")
        await heard(keeper, "out")
        await keeper.kill()
        assert await heard(keeper, "end") == ["-9"]

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_an_encoder_has_its_machines_threads_not_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    child = (
        "import os; from engine.worker.ray_node import _environment; "
        "os.environ['OMP_NUM_THREADS'] = '77'; print(_environment().get('OMP_NUM_THREADS'))"
    )
    for ours in (None, "3"):
        if ours is None:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", ours)
        # The parent stands for Ray's own process of that machine.
        parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        result = subprocess.run(
            [sys.executable, "-c", parent], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert result.stdout.strip() == str(ours)


# The worker's end


def test_a_life_ends_as_a_process_does_or_is_lost() -> None:
    async def live() -> None:
        sent: list[Request] = []
        gone: list[int] = []
        life = Life(7, sent.append, lambda number, _: gone.append(number))
        life.take(Placed(lane=7, node="box", shown="cuda:3", device="cuda:0"))
        assert (await life.placed).shown == "cuda:3"
        life.take(Out(lane=7, line='{"type":"hello"}'))
        assert await life.pipes.stdout.readline() == b'{"type":"hello"}\n'
        life.pipes.stdin.write(b"one\ntwo\n")
        assert len(sent) == 2
        life.take(Ended(lane=7, status=-6))
        assert await life.wait() == -6
        assert await life.pipes.stdout.readline() == b""
        assert gone == [7]
        lost = Life(8, sent.append, lambda *_: None)
        lost.take(Lost(lane=8, how="the node box was lost"))
        with pytest.raises(EncoderLostError, match="box was lost"):
            await lost.wait()
        nowhere = Life(9, sent.append, lambda *_: None)
        nowhere.take(NoPlace(lane=9, reason="no node is left", remedy="start some"))
        with pytest.raises(EnvironmentFaultError, match="no node is left"):
            await nowhere.placed

    asyncio.run(live())


def test_numbers_of_gpus_mean_nothing_on_several_machines(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    project = text_project(
        tmp_path / "p", models, ["ok"], scale__engine="ray", run__device="cuda:0,cuda:1"
    )
    with pytest.raises(UsageError, match="devices of one machine"):
        run(project, [Stage.CONDITIONS])


def test_a_local_job_has_no_cluster(tmp_path: Path, models: tuple[Path, Path]) -> None:
    assert make_cluster(project_of(tmp_path, models)) is None
    assert make_cluster(Project.defaults(tmp_path)) is None

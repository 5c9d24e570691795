"""Joining a cluster: what is missing is named with its remedy, and machines are looked at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import EnvironmentFaultError
from engine.precompute.layout import Stage
from engine.precompute.steps import StageSetup
from engine.worker import cluster as cluster_module
from engine.worker import ray_join
from engine.worker.cluster import Cluster
from engine.worker.ray_calls import answered
from engine.worker.ray_join import connect, why_not
from engine.worker.ray_messages import Admit, Answer, Check, Checked, Join, Node, Nodes, Request
from engine.worker.ray_node import look
from tests.jobs import run
from tests.workers import text_project

CLIENT = "ray://127.0.0.1:10001"


# What is not installed, or not there


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    real = importlib.util.find_spec
    found = lambda name: None if name == package else real(name)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", found)


@pytest.mark.parametrize(
    ("package", "address", "words"),
    [
        ("ray", "auto", "needs the package ray, which is not installed"),
        ("ray", CLIENT, "needs the package ray, which is not installed"),
        ("grpc", CLIENT, f"the address {CLIENT} needs the package grpcio, which is not installed"),
    ],
)
def test_without_a_package_a_run_says_what_to_install(
    tmp_path: Path,
    models: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    address: str,
    words: str,
) -> None:
    without(monkeypatch, package)
    project = text_project(
        tmp_path / "p", models, ["ok"], scale__engine="ray", scale__address=address
    )
    with pytest.raises(EnvironmentFaultError, match=words) as error:
        run(project, [Stage.CONDITIONS])
    assert "pip install 'ltx-tui[ray]' here and on every node" in error.value.remedy


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_where_nothing_listens_is_told_at_once(tmp_path: Path, models: tuple[Path, Path]) -> None:
    address = f"ray://127.0.0.1:{free_port()}"
    project = text_project(
        tmp_path / "p", models, ["ok"], scale__engine="ray", scale__address=address
    )
    with pytest.raises(EnvironmentFaultError) as error:
        run(project, [Stage.CONDITIONS])
    assert error.value.message == f"no Ray client server answers at {address}: Connection refused"
    assert f"--ray-client-server-port={address.rpartition(':')[2]}" in error.value.remedy
    assert "ltx-tui[ray]" in error.value.remedy


@pytest.mark.parametrize("address", ["ray://head", "ray://", "ray://:10001", "ray://head:x"])
def test_an_address_that_is_not_complete_is_explained(address: str) -> None:
    with pytest.raises(ValueError, match="a host and a port") as error:
        connect(None, address)
    told = why_not(address, error.value)
    assert "as in ray://host:10001" in told.message


class Ray:
    """Ray's module, as far as one joins with it.

    Attributes:
        faults: What joining raises, once each.
    """

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.joined: list[str] = []

    def init(self, *, address: str, **_more: object) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.joined.append(address)


def test_a_server_that_dies_at_its_start_is_asked_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_join, "_knock", lambda _address: None)
    died = ConnectionAbortedError(
        "Initialization failure from server:\nTraceback\nRuntimeError: Starting it failed."
    )
    ray = Ray(died)
    connect(ray, CLIENT)
    assert ray.joined == [CLIENT]
    with pytest.raises(ConnectionAbortedError) as error:
        connect(Ray(died, died), CLIENT)
    told = why_not(CLIENT, error.value)
    assert told.message.endswith("cannot serve us: RuntimeError: Starting it failed.")
    assert "GRPC_ENABLE_FORK_SUPPORT=0" in told.remedy


def test_why_a_cluster_cannot_be_joined() -> None:
    auto = why_not("auto", ConnectionError("Could not find any running Ray instance.\nPlease …"))
    assert auto.message == "no Ray cluster runs on this machine"
    # The port of the cluster itself, or a token that is not its own: both are silence to Ray.
    silent = why_not("ray://head:6379", ConnectionError("ray client connection timeout"))
    assert "does not answer as a Ray client server" in silent.message
    assert "RAY_AUTH_TOKEN_PATH" in silent.remedy
    nowhere = why_not("ray://nowhere:10001", socket.gaierror(-2, "Name or service not known"))
    assert nowhere.message.endswith("at ray://nowhere:10001: Name or service not known")
    other = why_not("head:6379", RuntimeError("Version mismatch: 2.60 and 2.50\nmuch advice"))
    assert other.message.endswith("Version mismatch: 2.60 and 2.50")


# Waiting for what a call returns


def call() -> tuple[Any, concurrent.futures.Future[Any]]:
    """Return what a call on the cluster gives, and where its answer comes."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    return SimpleNamespace(future=lambda: future), future


def test_the_answer_to_a_call_is_returned_or_raised() -> None:
    async def ask(settle: Callable[[concurrent.futures.Future[Any]], object]) -> object:
        reference, future = call()
        asyncio.get_running_loop().call_later(0.01, settle, future)
        return await answered(reference)

    assert asyncio.run(ask(lambda future: future.set_result(7))) == 7
    with pytest.raises(KeyError, match="gone"):
        asyncio.run(ask(lambda future: future.set_exception(KeyError("gone"))))


def test_a_wait_that_is_called_off_leaves_the_call_alone() -> None:
    reference, future = call()
    late, later = call()

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answered(reference), 0.01)
        assert not future.cancelled()
        future.set_result("nobody waits")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answered(late), 0.01)

    asyncio.run(ask())
    later.set_result("its loop is closed")
    assert not later.cancelled()


# Machines that come while others are looked at


class Bridge:
    """Stands in for the child: two machines, of which one goes while both are looked at."""

    pid = 1

    def __init__(self, take: Callable[[Answer], None]) -> None:
        self._take = take
        self.looks = 0
        self.admitted: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    def send(self, request: Request) -> None:
        match request:
            case Join():
                self._take(Nodes(nodes=tuple(self._node(name) for name in ("n1", "n2"))))
            case Check():
                self.looks += 1
                self._tasks.append(asyncio.create_task(self._look(request)))
            case Admit():
                self.admitted += request.nodes

    def _node(self, name: str) -> Node:
        return Node(id=name, name=name, devices=1)

    async def _look(self, check: Check) -> None:
        if self.looks == 1:
            self._take(Nodes(nodes=(self._node("n1"),)))
        await asyncio.sleep(0.1)
        problems = [one for name in check.nodes for one in look(check, name, name)]
        self._take(Checked(number=check.number, problems=tuple(problems), seen=check.nodes))

    async def close(self) -> None:
        await asyncio.gather(*self._tasks)


def test_a_machine_that_goes_in_the_middle_of_a_look_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Bridge] = []

    async def start(_log: Path, take: Callable[[Answer], None], *_: object, **__: object) -> Bridge:
        made.append(Bridge(take))
        return made[0]

    monkeypatch.setattr(cluster_module.RayChild, "start", start)
    setup = StageSetup(stage=Stage.CONDITIONS, checkpoint="")

    async def check() -> None:
        cluster = Cluster("auto", "cpu", tmp_path / "logs", [tmp_path], 5.0)
        # The look at the one that stays would clear away what the first look reads.
        await cluster.check(setup, [])
        await asyncio.sleep(0.3)
        assert made[0].looks == 1
        assert "n1" in made[0].admitted
        assert cluster.size == 1
        await cluster.close()

    asyncio.run(asyncio.wait_for(check(), 20))
    assert not list(tmp_path.glob(".ltx-tui-probe*"))

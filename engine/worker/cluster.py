"""The machines of a Ray cluster as the worker sees them: checked, admitted, and given to lanes."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from engine.errors import EnvironmentFaultError, UsageError
from engine.memory.monitor import NodeMemory
from engine.precompute.steps import AnySetup, AnyStep
from engine.project import Project
from engine.text import listed, plural, visible
from engine.worker.process import EncoderProcess, Program
from engine.worker.ray_child import RayChild
from engine.worker.ray_messages import (
    CLIENT,
    Admit,
    Answer,
    Check,
    Checked,
    Ended,
    File,
    Join,
    Log,
    Lost,
    Memory,
    Node,
    Nodes,
    NoPlace,
    Out,
    Place,
    Placed,
    Problem,
    Refused,
    Request,
    Waits,
)
from engine.worker.remote import Life
from engine.worker.shared_files import Probes, files_of, folders_of, seen_here

log = logging.getLogger("ltx_tui.worker")

# Seconds without any machine after which a job stops.
GRACE = 60.0
# Starting a cluster on this machine takes a while; so may a look at the files of slow storage.
_JOIN, _CHECK = 120.0, 180.0
Tell = Callable[[str], Awaitable[None]]


class Cluster:
    """A connection to a cluster, made when it is first needed."""

    def __init__(
        self, address: str, device: str, logs: Path, always: Sequence[Path], grace: float
    ) -> None:
        """Connect to nothing yet.

        Args:
            address: As `scale.address`.
            device: As `run.device`; GPUs have no numbers here, since each machine has its own.
            logs: Folder of the log files.
            always: Folders and files that every machine has to see, whatever the work is.
            grace: Seconds without any machine after which nothing is waited for.
        """
        self._address = address
        self._device = device
        self._gpus = None if device == "auto" else device == "cuda"
        self._logs = logs
        self._always = tuple(always)
        self._grace = grace
        self._child: RayChild | None = None
        self._nodes: tuple[Node, ...] | None = None
        self._admitted: set[str] = set()
        # Ids of machines that may not be used.
        self._refused: set[str] = set()
        self._lives: dict[int, Life] = {}
        self._last = 0
        self._joined: asyncio.Future[None] | None = None
        self._checks: dict[int, asyncio.Future[Checked]] = {}
        self._known: tuple[tuple[Path, ...], tuple[File, ...]] = ((), ())
        self._tell: Tell | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._admitting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The number of the process that talks to Ray."""
        return self._child.pid if self._child is not None else None

    @property
    def size(self) -> int:
        """How many encoders the machines may run at a time."""
        return sum(node.devices for node in self._nodes or () if node.id in self._admitted)

    def memory(self) -> tuple[NodeMemory, ...]:
        """Return the memory where encoders run, in the order of the machines' names."""
        found = [life.memory for life in self._lives.values() if life.memory is not None]
        return tuple(sorted(found, key=lambda one: (one.node, one.device)))

    def listen(self, tell: Tell) -> None:
        """Have news of machines told."""
        self._tell = tell

    def _news(self, text: str) -> None:
        log.info("%s", text)
        if self._tell is not None:

            async def deliver(tell: Tell) -> None:
                await tell(text)

            task = asyncio.create_task(deliver(self._tell))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    # The files

    async def check(self, setup: AnySetup, steps: Sequence[AnyStep]) -> None:
        """See that every machine finds what is read, and where outputs go; join if need be.

        Raises:
            UsageError: GPUs are named by their numbers.
            EnvironmentFaultError: One does not; or there is no cluster, or no machine in it.
        """
        if self._device not in ("auto", "cpu", "cuda"):
            raise UsageError(
                f"run.device = {self._device!r} names devices of one machine",
                remedy='with scale.engine = "ray" use auto, cuda or cpu; what each machine gives '
                "is said when Ray is started there (--num-gpus, CUDA_VISIBLE_DEVICES)",
            )
        folders, files = await asyncio.to_thread(self._gather, setup, steps)
        await self._join()
        if (folders, files) == self._known and self._admitted:
            return
        # A machine that comes in this moment waits: a second look would clear away our probes.
        async with self._admitting:
            self._known = (folders, files)
            nodes = [node for node in self._nodes or () if node.id not in self._refused]
            problems = await self._look(nodes)
        if problems:
            raise _fault(problems)
        if not self.size:
            what = "CPU" if self._gpus is False else "GPU" if self._gpus else "device"
            raise EnvironmentFaultError(
                f"no node of the Ray cluster has a {what} to give",
                remedy="start nodes, or start them with --num-gpus or --num-cpus; see "
                "docs/scale.md",
            )

    def _gather(
        self, setup: AnySetup, steps: Sequence[AnyStep]
    ) -> tuple[tuple[Path, ...], tuple[File, ...]]:
        folders = [path for path in self._always if path.is_dir()] + folders_of(steps)
        files = [path for path in self._always if path.is_file()] + files_of(setup, steps)
        return tuple(dict.fromkeys(folders)), tuple(seen_here(dict.fromkeys(files)))

    async def _look(self, nodes: Sequence[Node]) -> tuple[Problem, ...]:
        """Have machines look at what is shared, and admit those that see it."""
        if not nodes:
            return ()
        folders, files = self._known
        with Probes(folders) as probes:
            self._last += 1
            number = self._last
            answer = self._checks[number] = asyncio.get_running_loop().create_future()
            self._send(
                Check(
                    number=number,
                    nodes=tuple(node.id for node in nodes),
                    probe=probes.name,
                    nonce=probes.nonce,
                    folders=tuple(map(str, probes.folders)),
                    files=files,
                )
            )
            try:
                checked = await asyncio.wait_for(answer, _CHECK)
            except TimeoutError:
                raise EnvironmentFaultError(
                    f"the nodes of the Ray cluster did not answer for {_CHECK:.0f} s",
                    remedy="see `ray status` there; see docs/scale.md",
                ) from None
            finally:
                self._checks.pop(number, None)
            problems = list(checked.problems)
            bad = {problem.node for problem in problems}
            good = [node for node in nodes if node.id in checked.seen and node.name not in bad]
            for node in list(good):
                folder = await asyncio.to_thread(probes.not_from, node.id)
                if folder is not None:
                    good.remove(node)
                    problems.append(_unseen(node, folder))
        self._refused |= {node.id for node in nodes} - {node.id for node in good}
        self._admitted |= {node.id for node in good}
        self._send(Admit(nodes=tuple(node.id for node in good)))
        return tuple(problems)

    async def _welcome(self) -> None:
        """Look at machines that have come since, and use those that see the same files."""
        if not self._known[0]:
            return  # nothing has been checked yet; they are, with all others
        async with self._admitting:
            known = self._admitted | self._refused
            new = [node for node in self._nodes or () if node.id not in known]
            try:
                problems = await self._look(new)
            except EnvironmentFaultError as error:
                self._news(f"{listed([n.name for n in new])} cannot be used: {error.headline}")
                return
            for problem in problems:
                self._news(f"{problem.node} is not used: it {problem.reason} ({problem.path})")
            good = [node for node in new if node.id in self._admitted]
            for node in good:
                self._news(f"{node.name} has come, with {plural(node.devices, 'device')}")

    # Encoders

    async def start(self, program: Program, patience: float) -> EncoderProcess:
        """Start an encoder on a free device, as soon as there is one, and wait until it answers.

        Args:
            program: What is started.
            patience: As in `EncoderProcess.start`.

        Raises:
            EncoderDiedError: It does not come up.
            EnvironmentFaultError: No machine is left, or the connection to the cluster is lost.
        """
        self._last += 1
        life = self._lives[self._last] = Life(self._last, self._send, self._lives.pop)
        if self._child is None:
            life.fail(_gone())
        self._send(Place(lane=life.number, module=program.module))
        try:
            placed = await life.placed
        except BaseException:
            life.kill()
            raise
        name = f"encoder-{placed.node}-{placed.shown}".replace(":", "-").replace("/", "-")
        encoder = EncoderProcess(
            life,
            life.pipes,
            self._logs / f"{visible(name)}.log",
            patience,
            place=f"{visible(placed.node)}/{placed.shown}",
            device=placed.device,
        )
        await encoder.greet()
        return encoder

    # The bridge

    async def _join(self) -> None:
        if self._child is not None and self._nodes is not None:
            return
        _refuse_without_packages(self._address)
        self._joined = asyncio.get_running_loop().create_future()
        self._child = await RayChild.start(
            self._logs / "encoder-ray.log",
            self._take,
            self._lose,
            local=self._address == "local",
        )
        self._send(Join(address=self._address, gpus=self._gpus, grace=self._grace))
        try:
            await asyncio.wait_for(self._joined, _JOIN)
        except TimeoutError:
            raise EnvironmentFaultError(
                f"the Ray cluster {self._address!r} does not answer",
                remedy="see whether its head runs (`ray status`) and can be reached from here",
            ) from None

    def _send(self, request: Request) -> None:
        if self._child is not None:
            self._child.send(request)

    def _lose(self) -> None:
        """Nothing is to be had from the cluster any more."""
        self._child, self._nodes = None, None
        self._admitted.clear()
        waiting = [self._joined, *self._checks.values()]
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(_gone())
        for life in list(self._lives.values()):
            life.fail(_gone())

    def _take(self, answer: Answer) -> None:
        match answer:
            case Refused():
                fault = EnvironmentFaultError(answer.reason, remedy=answer.remedy)
                if self._joined is not None and not self._joined.done():
                    self._joined.set_exception(fault)
            case Nodes():
                self._see(answer.nodes)
            case Checked():
                future = self._checks.get(answer.number)
                if future is not None and not future.done():
                    future.set_result(answer)
            case Waits():
                self._news(f"no encoder can be started on {answer.node} now: {answer.reason}")
            case Placed() | NoPlace() | Out() | Log() | Ended() | Lost() | Memory():
                life = self._lives.get(answer.lane)
                if life is not None:
                    life.take(answer)

    def _see(self, nodes: tuple[Node, ...]) -> None:
        before, self._nodes = self._nodes, nodes
        if self._joined is not None and not self._joined.done():
            self._joined.set_result(None)
        there = {node.id for node in nodes}
        for node in before or ():
            if node.id not in there and node.id in self._admitted:
                self._admitted.discard(node.id)
                self._news(f"the node {node.name} has gone")
        if before is not None and there - self._admitted - self._refused:
            task = asyncio.create_task(self._welcome())
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Leave the cluster; one that was started for this job ends."""
        child, self._child = self._child, None
        if child is not None:
            await child.close()
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)


def make_cluster(project: Project) -> Cluster | None:
    """Return the cluster that a project's encoders run on; None where that is this machine."""
    if project.scale.engine != "ray":
        return None
    return Cluster(
        project.scale.address,
        project.run.device,
        project.state_dir / "logs",
        (project.state_dir, project.dataset_path),
        GRACE,
    )


def _refuse_without_packages(address: str) -> None:
    install = "pip install 'ltx-tui[ray]' here and on every node"
    if importlib.util.find_spec("ray") is None:
        raise EnvironmentFaultError(
            'scale.engine = "ray" needs the package ray, which is not installed',
            remedy=f'{install}, or set scale.engine = "local"',
        )
    if address.startswith(CLIENT) and importlib.util.find_spec("grpc") is None:
        raise EnvironmentFaultError(
            f"the address {visible(address)} needs the package grpcio, which is not installed",
            remedy=f"{install}, or run on a machine of the cluster with scale.address = "
            '"host:6379"',
        )


def _gone() -> EnvironmentFaultError:
    return EnvironmentFaultError(
        "the connection to the Ray cluster was lost",
        remedy="see whether its head runs (`ray status`), then run again: the work goes on where "
        "it stopped",
    )


def _fault(problems: Sequence[Problem]) -> EnvironmentFaultError:
    first = problems[0]
    others = {problem.node for problem in problems} - {first.node}
    more = f" (and {plural(len(others), 'other node')})" if others else ""
    return EnvironmentFaultError(
        f"the node {first.node} {first.reason}{more}",
        file=first.path or None,
        remedy=first.remedy,
    )


def _unseen(node: Node, folder: Path) -> Problem:
    return Problem(
        node=node.name,
        path=str(folder),
        reason="writes to a folder of its own under this path: its files do not arrive here",
        remedy="project, outputs, media and models have to lie on storage that every node mounts "
        "at the same path; see docs/scale.md",
    )

"""The process that talks to Ray: run as `python -m engine.worker.ray_bridge`.

Ray starts threads, handles signals and ends the process that lost its cluster: none of that is for
the worker. So it happens here, in a child that speaks `engine.worker.ray_messages` over stdin and
stdout. It ends with its stdin, and Ray then ends what it had started on the nodes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from typing import Any, BinaryIO

import msgspec

from engine.child import serving
from engine.worker.process import LINE_LIMIT
from engine.worker.ray_calls import answered, first_line
from engine.worker.ray_join import alone, connect, why_not
from engine.worker.ray_lane import RayLane
from engine.worker.ray_messages import (
    CLIENT,
    Admit,
    Answer,
    Check,
    Checked,
    CloseInput,
    Ended,
    Join,
    Kill,
    Node,
    Nodes,
    NoPlace,
    Place,
    Problem,
    Refused,
    Request,
    Write,
)
from engine.worker.ray_node import look
from engine.worker.ray_slots import Slots, has_gpus, nodes_of

log = logging.getLogger("ltx_tui.ray")

# Seconds between two looks at which machines there are, and for a machine to look at files.
_LOOK, _FILES = 1.0, 120.0
# Ray is sure that a machine is gone after so many seconds at most, by its own settings.
_DOUBT = 30.0
# Seconds in which a connection from outside the cluster may come back, as Ray's client tries to.
_BLIP = 35.0
# Seconds in which Ray lets go of us.
_FAREWELL = 15.0


class Bridge:
    """One job's connection to a cluster."""

    def __init__(self, ray: Any, outgoing: BinaryIO) -> None:
        """Be connected to nothing yet.

        Args:
            ray: The module.
            outgoing: Takes the answers.
        """
        self._ray = ray
        self._outgoing = outgoing
        self._slots = Slots()
        self._gpus = False
        self._told: tuple[Node, ...] = ()
        self._lanes: dict[int, RayLane] = {}
        self._checks: set[asyncio.Task[None]] = set()
        self._grace = 0.0
        # Seconds in which the cluster need not answer.
        self._patience = 0.0
        self._empty_since: float | None = None

    async def serve(self, requests: asyncio.StreamReader) -> None:
        """Take requests until the input ends."""
        decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
        watching: asyncio.Task[None] | None = None
        try:
            while (line := await requests.readline()).endswith(b"\n"):
                request = decoder.decode(line)
                if not isinstance(request, Join):
                    self._take(request)
                elif await self._join(request):
                    watching = asyncio.create_task(self._watch())
                else:
                    return
        finally:
            if watching is not None:
                watching.cancel()
            await asyncio.gather(*(lane.end() for lane in self._lanes.values()))

    def tell(self, answer: Answer) -> None:
        """Send an answer, as one whole line."""
        try:
            self._outgoing.write(msgspec.json.encode(answer) + b"\n")
            self._outgoing.flush()
        except BrokenPipeError:
            os._exit(0)  # the scheduler is gone, and Ray ends what belongs to us

    # The cluster

    async def _join(self, request: Join) -> bool:
        self._grace = request.grace
        self._patience = _BLIP if request.address.startswith(CLIENT) else 0.0
        try:
            connect(self._ray, request.address)
            found = self._ray.nodes()
        except Exception as error:
            log.exception("cannot join %s", request.address)
            fault = why_not(request.address, error)
            self.tell(Refused(reason=fault.message, remedy=fault.remedy))
            return False
        self._gpus = has_gpus(found) if request.gpus is None else request.gpus
        self._told = nodes_of(found, gpus=self._gpus)
        self._slots.update(self._told)
        self.tell(Nodes(nodes=self._told))
        return True

    async def _watch(self) -> None:
        """See machines come and go, and tell those who wait when there is none left."""
        answered_at = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK)
            try:
                found = await asyncio.to_thread(self._ray.nodes)
            except Exception as error:
                if time.monotonic() - answered_at < self._patience:
                    log.warning("the cluster does not answer at present: %s", first_line(error))
                    continue
                log.exception("the cluster does not answer")
                os._exit(1)  # whoever waits for us is told by that
            answered_at = time.monotonic()
            nodes = nodes_of(found, gpus=self._gpus)
            self._slots.update(nodes)
            if nodes != self._told:
                self._told = nodes
                self.tell(Nodes(nodes=nodes))
            now = time.monotonic()
            if self._slots.usable:
                self._empty_since = None
            else:
                self._empty_since = self._empty_since or now
            if self._empty_since is not None and now - self._empty_since >= self._grace:
                for number, lane in list(self._lanes.items()):
                    if not lane.is_placed:
                        del self._lanes[number]
                        lane.kill()
                        self.tell(self._no_place(number))

    def _no_place(self, lane: int) -> NoPlace:
        what = "GPU" if self._gpus else "CPU"
        return NoPlace(
            lane=lane,
            reason=f"no node of the Ray cluster is left that has a {what} to give",
            remedy="start nodes, then run again: the work goes on where it stopped",
        )

    # Requests

    def _take(self, request: Request) -> None:
        match request:
            case Check():
                task = asyncio.create_task(self._check(request))
                self._checks.add(task)
                task.add_done_callback(self._checks.discard)
            case Admit():
                self._slots.admit(request.nodes)
            case Place():
                lane = RayLane(self._ray, request, self._slots, gpu=self._gpus, tell=self.tell)
                self._lanes[request.lane] = lane
                lane.begin()
            case Write() | CloseInput():
                if request.lane in self._lanes:
                    line = request.line if isinstance(request, Write) else None
                    self._lanes[request.lane].write(line)
            case Kill():
                if request.lane in self._lanes:
                    self._lanes.pop(request.lane).kill()
                self.tell(Ended(lane=request.lane, status=-9))
            case _:
                pass

    async def _check(self, request: Check) -> None:
        names = {node.id: node.name for node in self._slots.nodes if node.id in request.nodes}
        each = await asyncio.gather(*(self._look(request, *node) for node in names.items()))
        problems = [problem for found in each for problem in found or ()]
        seen = [node for node, found in zip(names, each, strict=True) if found is not None]
        self.tell(Checked(number=request.number, problems=tuple(problems), seen=tuple(seen)))

    async def _look(self, request: Check, node: str, name: str) -> list[Problem] | None:
        """Have a machine look; None if it went meanwhile."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        task = self._ray.remote(num_cpus=0, max_retries=3, scheduling_strategy=there)(look)
        try:
            asked = answered(task.remote(request, node, name))
            found: list[Problem] = await asyncio.wait_for(asked, _FILES)
        except TimeoutError:
            reason = f"did not answer for {_FILES:.0f} s: a mount may hang, or it is overloaded"
            remedy = "look at its mounts (df, nfsstat), then run again"
            return [Problem(node=name, reason=reason, remedy=remedy)]
        except Exception as error:
            if not await self._stays(node, error):
                return None
            log.exception("%s cannot look at the files", name)
            remedy = "install the same ltx-tui and Ray there as here; see docs/scale.md"
            reason = f"cannot run ltx-tui: {first_line(error)}"
            return [Problem(node=name, reason=reason, remedy=remedy)]
        return found

    async def _stays(self, node: str, error: Exception) -> bool:
        """Whether a machine on which a look failed is there all the same.

        Ray learns only after a while that a machine is gone.
        """
        exceptions = self._ray.exceptions
        is_told = isinstance(error, exceptions.RayTaskError)  # by what ran there
        until = time.monotonic() + (0 if is_told else _DOUBT)
        while any(one.id == node for one in self._slots.nodes):
            if time.monotonic() >= until:
                return True
            await asyncio.sleep(_LOOK)
        return False


async def _serve(ray: Any, outgoing: BinaryIO) -> None:
    requests = asyncio.StreamReader(limit=LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(requests), os.fdopen(os.dup(0), "rb")
    )
    await Bridge(ray, outgoing).serve(requests)


def main() -> None:
    """Speak the protocol over stdin and stdout; everything that libraries print goes to stderr."""
    outgoing = serving()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "--local" in sys.argv:
        os.environ.update(alone())
    import ray  # reads them as it is imported

    try:
        asyncio.run(_serve(ray, outgoing))
    finally:
        # A cluster that is gone may keep us waiting for ever.
        end = threading.Timer(_FAREWELL, os._exit, [0])
        end.daemon = True
        end.start()
        ray.shutdown()


if __name__ == "__main__":
    main()

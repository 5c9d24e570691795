"""A lane's encoder somewhere in a Ray cluster: its place, its keeper, and the lines between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec

from engine.memory.monitor import NodeMemory
from engine.worker.ray_calls import answered, first_line
from engine.worker.ray_messages import (
    Answer,
    Ended,
    Log,
    Lost,
    Memory,
    Node,
    Out,
    Place,
    Placed,
    Waits,
)
from engine.worker.ray_node import Begun, News, actor
from engine.worker.ray_slots import Slots

log = logging.getLogger("ltx_tui.ray")

# Seconds between two looks for a free device, and for a keeper to be started there.
_LOOK, _START = 0.2, 180.0
# A machine on which no keeper could be started is left alone for so many seconds.
_REST = 60.0
# A keeper ends a little before Ray learns that its machine is gone.
_DOUBT = 5.0


class RayLane:
    """One encoder, from the search for a place to its end."""

    def __init__(
        self,
        ray: Any,
        request: Place,
        slots: Slots,
        *,
        gpu: bool,
        tell: Callable[[Answer], None],
    ) -> None:
        """Look for nothing yet.

        Args:
            ray: The module.
            request: Which lane, and what runs there.
            slots: The devices of the cluster.
            gpu: Whether it needs a GPU.
            tell: Takes answers.
        """
        self._ray = ray
        self._lane, self._module = request.lane, request.module
        self._slots = slots
        self._gpu = gpu
        self._tell = tell
        self._keeper: Any = None
        self._node: Node | None = None
        self._task: asyncio.Task[None] | None = None
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._resting: dict[str, float] = {}
        self._over = False
        self.is_placed = False

    def begin(self) -> None:
        """Look for a place, then pass on lines until the encoder ends."""
        self._task = asyncio.create_task(self._run())

    def write(self, line: str | None) -> None:
        """Pass a line on; None closes the input."""
        self._lines.put_nowait(line)

    def kill(self) -> None:
        """End the encoder at once; nothing more is told of it."""
        self._over = True
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """End the encoder, and wait until that is done."""
        self.kill()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=10)

    def _say(self, answer: Answer) -> None:
        if not self._over:
            self._tell(answer)

    async def _run(self) -> None:
        try:
            begun = await self._place()
            assert self._node is not None  # noqa: S101 - see `_place`
            self.is_placed = True
            self._say(
                Placed(
                    lane=self._lane, node=self._node.name, shown=begun.shown, device=begun.device
                )
            )
            writing = asyncio.create_task(self._write())
            try:
                await self._read()
            finally:
                writing.cancel()
        except Exception as error:
            await self._explain(error)
        finally:
            self._over = True
            await self._clear()

    # Its place

    async def _place(self) -> Begun:
        """Start a keeper on a free device, as soon as there is one."""
        while True:
            now = time.monotonic()
            node = self._slots.take([one for one, until in self._resting.items() if until > now])
            if node is None:
                await asyncio.sleep(_LOOK)
                continue
            self._node = node
            try:
                return await asyncio.wait_for(self._begin(node), _START)
            except Exception as error:
                # Gone in the meantime, or others hold what Ray thought to be free.
                log.warning("%s: no encoder can be started: %s", node.name, first_line(error))
                busy = "its device seems to be in use by others"
                reason = busy if isinstance(error, TimeoutError) else first_line(error)
                self._say(Waits(node=node.name, reason=reason))
                self._resting[node.id] = time.monotonic() + _REST
                await self._clear()

    async def _begin(self, node: Node) -> Begun:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        needs = {"num_gpus": 1, "num_cpus": 0} if self._gpu else {"num_cpus": 1}
        options = actor(self._ray).options(scheduling_strategy=there, **needs)
        self._keeper = options.remote(node.name)
        begun: Begun = await answered(self._keeper.begin.remote(self._module))
        return begun

    async def _clear(self) -> None:
        """End the keeper and what it keeps, and give the device back."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(answered(keeper.kill.remote()), 2)
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self._ray.kill, keeper)
        node, self._node = self._node, None
        if node is not None:
            self._slots.give_back(node)

    # The lines

    async def _write(self) -> None:
        number, is_open = 1, True
        # A keeper that is gone is noticed by whoever reads.
        with contextlib.suppress(Exception):
            while is_open:
                lines = [await self._lines.get()]
                while not self._lines.empty():
                    lines.append(self._lines.get_nowait())
                text = [line for line in lines if line is not None]
                is_open = None not in lines
                if text:
                    await answered(self._keeper.write.remote(number, text))
                    number += len(text)
            await answered(self._keeper.close.remote())

    async def _read(self) -> None:
        seen = 0
        while True:
            news: list[News] = await answered(self._keeper.read.remote(seen))
            for one in news:
                seen = one.number
                if one.kind == "out":
                    self._say(Out(lane=self._lane, line=one.text))
                elif one.kind == "log":
                    self._say(Log(lane=self._lane, line=one.text))
                elif one.kind == "memory":
                    memory = msgspec.json.decode(one.text, type=NodeMemory)
                    self._say(Memory(lane=self._lane, memory=memory))
                else:
                    self._say(Ended(lane=self._lane, status=int(one.text)))
                    return

    async def _explain(self, error: Exception) -> None:
        """Tell how the keeper ended: with its machine, or by itself."""
        if self._node is None:
            log.error("no place can be looked for", exc_info=error)
            self._say(Lost(lane=self._lane, how=f"no place can be looked for: {first_line(error)}"))
            return
        log.warning("%s: the keeper is gone: %s", self._node.name, error)
        until = time.monotonic() + _DOUBT
        while await self._is_there(self._node):
            if time.monotonic() >= until:
                # Killed where it ran, most often because memory ran out: as an encoder's own end.
                self._say(Log(lane=self._lane, line=f"Ray: {first_line(error)}"))
                self._say(Ended(lane=self._lane, status=-9))
                return
            await asyncio.sleep(_LOOK)
        self._slots.lose(self._node)
        self._say(Lost(lane=self._lane, how=f"the node {self._node.name} was lost"))

    async def _is_there(self, node: Node) -> bool:
        try:
            found = await asyncio.to_thread(self._ray.nodes)
        except Exception:
            return False  # the cluster itself is gone
        return any(one["NodeID"] == node.id and one["Alive"] for one in found)

"""Which machine of a cluster runs which encoder: one for each of its devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from engine.worker.ray_messages import Node


def nodes_of(found: Iterable[Mapping[str, Any]], *, gpus: bool) -> tuple[Node, ...]:
    """Return the machines that could run encoders, of what `ray.nodes()` returns.

    Args:
        found: All that Ray knows, dead ones too.
        gpus: Whether encoders run on GPUs; else one on each machine that has CPUs to give.
    """
    alive = [one for one in found if one.get("Alive")]
    names: Counter[str] = Counter()
    nodes = []
    for one in sorted(alive, key=lambda one: (_name(one), str(one["NodeID"]))):
        resources = one.get("Resources") or {}
        devices = int(resources.get("GPU", 0)) if gpus else min(1, int(resources.get("CPU", 0)))
        name = _name(one)
        names[name] += 1
        if names[name] > 1:
            name = f"{name}-{names[name]}"
        if devices:
            nodes.append(Node(id=str(one["NodeID"]), name=name, devices=devices))
    return tuple(nodes)


def has_gpus(found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any machine has a GPU to give."""
    return any(one.get("Alive") and (one.get("Resources") or {}).get("GPU", 0) for one in found)


def _name(node: Mapping[str, Any]) -> str:
    """Return the name that Ray was told, or the host's; Ray's own choice is an address."""
    name = str(node.get("NodeName") or "")
    if name and name != node.get("NodeManagerAddress"):
        return name
    return str(node.get("NodeManagerHostname") or name)


class Slots:
    """The devices of the machines that may be used, and which of them are taken."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._admitted: set[str] = set()
        self._taken: Counter[str] = Counter()

    def update(self, nodes: Iterable[Node]) -> None:
        """Take over which machines there are."""
        self._nodes = {node.id: node for node in nodes}

    def lose(self, node: Node) -> None:
        """A machine is gone, although Ray may list it for a moment."""
        self._nodes.pop(node.id, None)
        self._admitted.discard(node.id)

    def admit(self, nodes: Iterable[str]) -> None:
        """Let machines be used."""
        self._admitted |= set(nodes)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All machines that are there."""
        return tuple(self._nodes.values())

    @property
    def usable(self) -> bool:
        """Whether any machine is there that may be used."""
        return bool(self._admitted & self._nodes.keys())

    def take(self, avoid: Iterable[str] = ()) -> Node | None:
        """Return the machine with the most free devices, one of which is taken now.

        Args:
            avoid: Machines, by id, that are not to be taken at present.
        """
        free = {
            node.id: node.devices - self._taken[node.id]
            for node in self._nodes.values()
            if node.id in self._admitted and node.id not in set(avoid)
        }
        best = max(free, key=lambda one: (free[one], one), default="")
        if not best or free[best] <= 0:
            return None
        self._taken[best] += 1
        return self._nodes[best]

    def give_back(self, node: Node) -> None:
        """A device is free again."""
        self._taken[node.id] -= 1

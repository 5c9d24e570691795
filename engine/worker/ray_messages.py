"""The protocol between a scheduler and its bridge to Ray: JSON lines over stdin and stdout.

The scheduler joins a cluster, has its nodes checked and admits those that it trusts; then it asks
for a place for each lane. What encoders are told, and what they answer, passes through as it is.
"""

from __future__ import annotations

import msgspec

from engine.memory.monitor import NodeMemory

# What an address begins with where Ray's client is used: from outside the cluster.
CLIENT = "ray://"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of the cluster.

    Attributes:
        id: Ray's own; another one each time that the machine joins.
        name: For people: what Ray was told, else the host's name.
        devices: How many encoders may run there at a time.
    """

    id: str
    name: str
    devices: int


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file that every machine has to see alike; `size` in bytes."""

    path: str
    size: int
    mtime_ns: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a machine cannot be used.

    Attributes:
        path: What it sees otherwise; empty where that is not it.
    """

    node: str
    reason: str
    remedy: str
    path: str = ""


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask"):
    pass


class Join(_Request, frozen=True, tag="join"):
    """Connect; answered by `Nodes` or `Refused`.

    Attributes:
        address: As `scale.address`.
        gpus: Whether encoders run on GPUs; None for where there are any.
        grace: Seconds without any usable machine after which those who wait are told so.
    """

    address: str
    gpus: bool | None
    grace: float


class Check(_Request, frozen=True, tag="check"):
    """Have some machines look at shared files; answered by `Checked`.

    Attributes:
        nodes: By their ids.
        probe: Name of a file in each folder, whose content is `nonce`; each machine writes
            another one beside it, named like it with its id behind, and the same content.
        folders: Where the probes lie.
        files: What has to be the same.
    """

    number: int
    nodes: tuple[str, ...]
    probe: str
    nonce: str
    folders: tuple[str, ...]
    files: tuple[File, ...]


class Admit(_Request, frozen=True, tag="admit"):
    """Let encoders run on these machines."""

    nodes: tuple[str, ...]


class Place(_Request, frozen=True, tag="place"):
    """Start a program on a free device, as soon as there is one.

    Answered by `Placed`, or `NoPlace` where there is no machine at all.
    """

    lane: int
    module: str


class Write(_Request, frozen=True, tag="write"):
    """Pass a line on to a program."""

    lane: int
    line: str


class CloseInput(_Request, frozen=True, tag="close"):
    """Close a program's input."""

    lane: int


class Kill(_Request, frozen=True, tag="kill"):
    """End a program at once, or look for a place no more; always answered by `Ended`."""

    lane: int


Request = Join | Check | Admit | Place | Write | CloseInput | Kill


class _Answer(msgspec.Struct, frozen=True, kw_only=True, tag_field="tell"):
    pass


class Refused(_Answer, frozen=True, tag="refused"):
    """There is no such cluster, or we cannot join it."""

    reason: str
    remedy: str


class Nodes(_Answer, frozen=True, tag="nodes"):
    """The machines that could run encoders; told again whenever that changes."""

    nodes: tuple[Node, ...]


class Checked(_Answer, frozen=True, tag="checked"):
    """What the machines found; those that found nothing wrong, or are gone, have no entry."""

    number: int
    problems: tuple[Problem, ...] = ()
    seen: tuple[str, ...] = ()


class Placed(_Answer, frozen=True, tag="placed"):
    """A program runs.

    Attributes:
        node: The machine's name.
        shown: The device as the machine numbers it: "cuda:3".
        device: The same as the program sees it: "cuda:0".
    """

    lane: int
    node: str
    shown: str
    device: str


class Waits(_Answer, frozen=True, tag="waits"):
    """A device that seemed free cannot be had now; another one, or this one later, is tried."""

    node: str
    reason: str


class NoPlace(_Answer, frozen=True, tag="no-place"):
    """There is no machine left."""

    lane: int
    reason: str
    remedy: str


class Out(_Answer, frozen=True, tag="out"):
    """A program printed a line."""

    lane: int
    line: str


class Log(_Answer, frozen=True, tag="log"):
    """A program logged a line."""

    lane: int
    line: str


class Ended(_Answer, frozen=True, tag="ended"):
    """A program ended; negative for a signal."""

    lane: int
    status: int


class Lost(_Answer, frozen=True, tag="lost"):
    """A program's machine is gone, and the program with it."""

    lane: int
    how: str


class Memory(_Answer, frozen=True, tag="memory"):
    """The memory where a program runs."""

    lane: int
    memory: NodeMemory


Answer = Refused | Nodes | Checked | Placed | Waits | NoPlace | Out | Log | Ended | Lost | Memory

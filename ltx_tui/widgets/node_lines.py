"""The machines of a cluster in a few lines: what each has in hand, and the memory that it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from engine.events import InHand
from engine.memory.words import share
from engine.text import plural, visible
from ltx_tui.cli.bars import shortened
from ltx_tui.drawing.colours import QUIET

if TYPE_CHECKING:
    from engine.memory.monitor import NodeMemory

# Machines that are listed; of few clips each is named.
_MOST_NODES, _FEW = 8, 4
# Columns of a clip's name below which other facts are left out.
_LEAST = 10


def of_nodes(hands: Sequence[InHand], memory: Iterable[NodeMemory], width: int) -> Iterator[Text]:
    """Yield the lines of what machines have in hand.

    Args:
        hands: Sorted by device; all of other machines: "node2/cuda:0".
        memory: The latest of all machines.
        width: Columns of a line.
    """
    known = {name: list(every) for name, every in groupby(memory, key=lambda one: one.node)}
    nodes = [
        (name, list(every)) for name, every in groupby(hands, key=lambda one: node_of(one.device))
    ]
    for name, every in nodes[:_MOST_NODES]:
        yield _head(name, every, known.get(name, []), width)
        if len(hands) <= _FEW:
            for hand in every:
                facts = [one for one in (hand.rung, _own(hand.device)) if one]
                while facts and width - 8 - _width(facts) < _LEAST:
                    facts.pop()
                tail = "".join(f" · {one}" for one in facts)
                clip = shortened(visible(hand.clip), max(4, width - 8 - len(tail)))
                yield Text.assemble(("    now ", QUIET), clip, (tail, QUIET))
    if len(nodes) > _MOST_NODES:
        yield Text(f"  and {plural(len(nodes) - _MOST_NODES, 'more node')}", QUIET)


def node_of(device: str) -> str:
    """Return the machine of a device; empty for this one."""
    return device.rpartition("/")[0]


def _width(facts: list[str]) -> int:
    return sum(3 + len(fact) for fact in facts)


def _own(device: str) -> str:
    return device.rpartition("/")[2]


def _head(name: str, hands: list[InHand], memory: list[NodeMemory], width: int) -> Text:
    """Return a machine's line, as many facts as there is room for."""
    text = Text.assemble(("  ", ""), (visible(name), "bold"))
    facts = [] if len(hands) == 1 else [f"{plural(len(hands), 'clip')} in hand"]
    gpus = [one.gpu for one in memory if one.gpu is not None]
    sizes = [(gpu.used, gpu.total) for gpu in gpus if gpu.used is not None and gpu.total]
    if sizes:
        used, total = (sum(part or 0 for part in column) for column in zip(*sizes, strict=True))
        facts.append(f"{'GPU' if len(sizes) == 1 else f'{len(sizes)} GPUs'} {share(used, total)}")
    if memory:
        facts.append(f"memory {share(memory[0].host.used, memory[0].host.total)}")
    for fact in facts:
        if text.cell_len + 3 + len(fact) <= width:
            text.append(f" · {fact}", QUIET)
    return text

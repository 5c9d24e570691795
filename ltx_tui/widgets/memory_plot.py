"""Memory of the GPUs and of the host over the last ten minutes, and what it is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec
from rich.style import Style
from rich.text import Text

from engine.memory.words import gib, share
from engine.text import visible
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.plot import Level, Levels, across, columns, draw
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.widgets.board import Board, Item
from ltx_tui.worker.watch import Watcher

if TYPE_CHECKING:
    from engine.memory.monitor import MemorySample
    from engine.memory.nvml import GpuMemory

_GIB = 1 << 30
# Seconds that the plot shows.
_SPAN = 600.0
# Rows of the least plot with its words above, and of one among others.
_LEAST, _USUAL = 4, 6

_ROLES = {"used": "foreground", "ours": "primary", "limit": "error", "forecast": "accent"}
_SHAPES = {"used": "line", "ours": "filled", "forecast": "dotted", "limit": "dashed"}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a device over time.

    Attributes:
        name: "GPU0", "memory".
        history: (time, level), the latest last.
        fault: Why nothing is known; empty where all is well.
    """

    name: str
    title: str
    now: Level | None
    levels: Levels
    history: tuple[tuple[float, Level], ...] = ()
    fault: str = ""
    busy: int | None = None


class MemoryPlot(Board):
    """The plot; as many devices as there is room for, the others as a line each."""

    DEFAULT_CSS = """
    MemoryPlot { height: 8; scrollbar-size: 0 0; scrollbar-gutter: auto; overflow: hidden; }
    """

    def __init__(
        self,
        watcher: Watcher,
        *,
        forecast: Callable[[], int] = lambda: 0,
        how: Signs | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Draw nothing yet.

        Args:
            watcher: Has the samples.
            forecast: Returns the bytes that the clips in hand are expected to take; 0 if unknown.
            how: The signs; by default what the terminal can write.
            id: Of the widget.
        """
        super().__init__(has_cursor=False, id=id)
        self.can_focus = False
        self._watcher, self._forecast, self._signs = watcher, forecast, how or signs()

    def on_mount(self) -> None:
        """Draw what is known."""
        self.update_plot()

    def on_resize(self) -> None:
        """Draw for another size."""
        self.update_plot()

    def update_plot(self) -> None:
        """Draw anew, and repaint what differs."""
        width, height = self.size
        if width and height:
            self.show(self.lines_of(width, height))

    def lines_of(self, width: int, height: int) -> list[Item]:
        """Return the lines for a size."""
        watcher = self._watcher
        if watcher.memory is None:
            return [Item(Text("memory is shown while a worker runs", Style(dim=True)))]
        found = list(devices(watcher, self._forecast()))
        plots = max(1, min(len(found), height // _USUAL)) if height >= _LEAST else 0
        lines: list[Text] = []
        rest = max(0, min(len(found) - plots, height - plots * _LEAST))
        for number, device in enumerate(found[: plots + rest]):
            room = (height - rest) // plots + (number < (height - rest) % plots) if plots else 1
            lines += self._block(device, width, room if number < plots else 1)
        return [Item(line) for line in lines[:height]]

    def _block(self, device: Device, width: int, height: int) -> list[Text]:
        head = self._head(device, width)
        if height == 1 or device.now is None:
            return [head]
        legend = self._legend(device, width)
        legend = legend[: max(0, height - 3)]
        rows = height - 1 - len(legend)
        together = across(self._signs)
        history = columns(device.history, width * together, _SPAN, together)
        plot = draw(history, device.levels, width, rows, self._signs)
        return [head, *legend, *(self._row(row) for row in plot)]

    def _row(self, cells: list[tuple[str, str]]) -> Text:
        text = Text()
        for kind, group in groupby(cells, key=lambda cell: cell[1]):
            letters = "".join(letter for letter, _ in group)
            text.append(letters, style(self.app, _ROLES[kind]) if kind else Style())
        return text

    def _head(self, device: Device, width: int) -> Text:
        text = Text(device.name, Style(bold=True))
        if device.now is None:
            return text.append(f"  {visible(device.fault or 'not known')}"[: width - text.cell_len])
        used = f"{share(device.now.used, device.levels.total)} used"
        ours = f", {gib(device.now.ours)} ours" if device.now.ours is not None else ""
        if text.cell_len + 2 + len(used + ours) > width:
            used, ours = used.replace(" of ", "/"), ours.replace(" GiB", "")
        facts = [f"{used}{ours}"]
        if device.busy is not None:
            facts.append(f"{device.busy} % busy")
        if device.title:
            facts.append(visible(device.title))
        for fact in facts:
            if text.cell_len + len(fact) + 2 <= width:
                text.append(f"  {fact}")
        return text

    def _legend(self, device: Device, width: int) -> list[Text]:
        """Return what the lines are; figures that change stand in the line above alone."""
        now, levels = device.now, device.levels
        figures = {"used": ""}
        if now is not None and now.ours is not None:
            figures["ours"] = ""
        for name, size in (("forecast", levels.forecast), ("limit", levels.limit)):
            if size:
                figures[name] = f" {gib(size)}"
        lines = [Text()]
        for name, figure in figures.items():
            words = f"{name}{figure} ({_SHAPES[name]})"
            if lines[-1] and lines[-1].cell_len + 2 + len(words) > width:
                lines.append(Text())
            lines[-1].append("  " if lines[-1] else "")
            lines[-1].append(words, style(self.app, _ROLES[name]))
        return lines


def devices(watcher: Watcher, forecast: int) -> Iterator[Device]:
    """Yield the GPUs and the host: the first GPU, the host, the other GPUs."""
    sample = watcher.memory
    if sample is None:
        return
    memory = watcher.project.memory
    gpus = [_gpu(watcher, gpu, forecast) for gpu in sample.gpus]
    yield from gpus[:1]
    on_host = forecast if not sample.gpus else 0
    limit = round(memory.limit * _GIB) if not sample.gpus else 0
    reserve = sample.host.total - round(memory.host_reserve * _GIB)
    yield Device(
        name="memory",
        title="of this machine" if not sample.host.limited_by else "limit of its control group",
        now=_host(sample),
        levels=Levels(
            total=sample.host.total, limit=min(limit or reserve, reserve), forecast=on_host
        ),
        history=tuple((one.time, _host(one)) for one in watcher.history),
    )
    yield from gpus[1:]


def _host(sample: MemorySample) -> Level:
    return Level(used=sample.host.used, ours=sample.host.ours)


def _gpu(watcher: Watcher, gpu: GpuMemory, forecast: int) -> Device:
    memory = watcher.project.memory
    name = f"GPU{gpu.index}"
    if gpu.fault or gpu.used is None or gpu.total is None:
        words = gpu.fault or ("shares the machine's memory" if gpu.unified else "not told")
        return Device(name=name, title=gpu.title, now=None, levels=Levels(total=0), fault=words)
    reserve = gpu.total - round(memory.reserve * _GIB)
    limit = min(round(memory.limit * _GIB) or reserve, reserve)
    history = []
    for sample in watcher.history:
        one = next((other for other in sample.gpus if other.index == gpu.index), None)
        if one is not None and one.used is not None:
            history.append((sample.time, Level(used=one.used, ours=one.ours)))
    return Device(
        name=name,
        title=gpu.title,
        now=Level(used=gpu.used, ours=gpu.ours),
        levels=Levels(total=gpu.total, limit=max(0, limit), forecast=forecast),
        history=tuple(history),
        busy=gpu.utilisation,
    )

"""What the first line of the workbench says of worker and memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ltx_tui.drawing.signs import Signs

if TYPE_CHECKING:
    from engine.memory.monitor import MemorySample
    from ltx_tui.worker.watch import Watcher

_BLOCKS = "▁▂▃▄▅▆▇█"
# How many samples the small history shows.
_SAMPLES = 8
_GIB = 1 << 30


def worker_words(watcher: Watcher, how: Signs) -> tuple[str, str, str]:
    """Return sign, word and colour for how it stands with the worker."""
    state = watcher.worker.state
    if state == "fault":
        return how.failed, "worker fault", "error"
    job = watcher.job
    if watcher.active:
        word = "waiting" if watcher.progress.waiting else "running"
        return how.here, word, "warning" if word == "waiting" else "success"
    if watcher.interrupted:
        return how.warning, "interrupted", "warning"
    if job is not None and job.state in ("paused", "queued"):
        return how.waiting, str(job.state), "warning"
    if state == "starting":
        return how.waiting, "starting", "foreground"
    return (how.waiting, "idle", "foreground") if state == "here" else ("", "", "foreground")


def memory_words(sample: MemorySample | None) -> str:
    """Return "GPU0 61.2/139.8 GiB", of the GPU that is fullest; the host's where there is none."""
    if sample is None:
        return ""
    level = _level(sample)
    if level is None:
        return ""
    name, used, total = level
    return f"{name} {used / _GIB:.1f}/{total / _GIB:.1f} GiB"


def history_words(samples: Iterable[MemorySample], how: Signs) -> str:
    """Return the last samples as blocks: "▂▃▅▆▆▇"."""
    if not how.dots:
        return ""
    levels = [_level(sample) for sample in list(samples)[-_SAMPLES:]]
    shares = [level[1] / level[2] for level in levels if level is not None]
    return "".join(_BLOCKS[min(7, int(share * 8))] for share in shares)


def _level(sample: MemorySample) -> tuple[str, int, int] | None:
    """Return (name, used, total) of what is fullest."""
    gpus = [
        (f"GPU{gpu.index}", gpu.used, gpu.total)
        for gpu in sample.gpus
        if gpu.used is not None and gpu.total
    ]
    if gpus:
        return max(gpus, key=lambda one: one[1] / one[2])
    if sample.gpus or not sample.host.total:
        return None
    return "RAM", sample.host.used, sample.host.total

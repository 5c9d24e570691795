"""Rows and stores for tests, without a dataset and without media."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.overview.file import CAPTIONS, OUTPUTS, table_of
from engine.overview.types import CaptionState, OutputState, Overview, Row, StageState
from engine.project import Project
from ltx_tui.clips.store import Store

STAGES = ("conditions", "latents", "audio_latents")


def make_row(number: int, **changes: object) -> Row:
    """Return a row with everything in it; every eighth is like the first."""
    values: dict[str, object] = {
        "row": number,
        "name": f"scene-{number:04}.mp4",
        "media": f"/data/scene-{number:04}.mp4",
        "caption": f"Clip {number}: a red car drives by",
        "caption_state": list(CaptionState)[number % 5],
        "seconds": 2.0 + number % 8,
        "size": (1920, 1080) if number % 2 else (720, 1280),
        "frames": 48 + 24 * (number % 8),
        "fps": (24.0, 25.0, 23.976)[number % 3],
        "audio": bool(number % 3),
        "bucket": ("960x544x49", "544x960x121", "")[number % 3],
        "kept": (0.0, 2.04),
        "codec": "h264 · aac 48 kHz stereo",
        "stages": tuple(
            StageState(stage, state, "caption edited" if state == "stale" else "")
            for stage, state in zip(STAGES, _states(number), strict=True)
        ),
        "output": f"scene-{number:04}.pt",
    }
    return Row(**(values | changes))  # type: ignore[arg-type]


def _states(number: int) -> tuple[OutputState, ...]:
    states = (
        OutputState.FRESH,
        OutputState.MISSING,
        OutputState.STALE,
        OutputState.FAILED,
        OutputState.BLOCKED,
        OutputState.SKIPPED,
    )
    return OutputState.FRESH, states[number % 6], OutputState.FRESH


def make_overview(rows: int | Sequence[Row] = 12, **changes: object) -> Overview:
    """Return an overview of some rows."""
    made = tuple(make_row(number) for number in range(rows)) if isinstance(rows, int) else rows
    return Overview(rows=tuple(made), stages=STAGES, **changes)  # type: ignore[arg-type]


def store_of(
    rows: int | Sequence[Row] = 12, *, project: Project | None = None, **changes: object
) -> Store:
    """Return a store that shows some rows."""
    store = Store(project or Project.defaults(Path("/data")))
    store.take(table_of(make_overview(rows, **changes)))
    return store


def rows_in(store: Store) -> list[Row]:
    """Return all rows of a store as they are now."""
    return [store.get(index) for index in range(len(store))]


def counts_of(store: Store) -> dict[str, int]:
    """Return how many rows there are ("all"), are "shown", "marked", and in which state.

    The states are "caption.auto" and so on, and "latents.failed" for each stage.
    """
    counts = {"all": len(store), "shown": len(store.shown), "marked": len(store.marked)}
    for number, caption in enumerate(CAPTIONS):
        counts[f"caption.{caption}"] = store.table.captions.count(number)
    for stage, states in zip(store.table.stages, store.table.states, strict=True):
        for code, state in enumerate(OUTPUTS):
            if state is not None:
                counts[f"{stage}.{state}"] = states.count(code)
    return counts

"""`ltx-tui status`: the worker, its jobs, how far they are, the memory. Starts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.console import make_console, print_json
from ltx_tui.cli.jobs import is_held
from ltx_tui.cli.status_view import State, print_state

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.protocol import Snapshot


@click.command("status")
@opt.dataset_argument
@opt.as_json
def command(dataset: Path | None, as_json: bool) -> int:
    """Show the worker, its jobs, what is in hand, failures and memory; starts nothing.

    DATASET names the project, as for the other commands.
    """
    engine = session.known_engine(dataset)
    state = session.ask(engine, look)
    if as_json:
        print_json(state)
    else:
        print_state(make_console(), state, engine.project)
    return 0


async def look(engine: Engine) -> State:
    """Return how things stand.

    Raises:
        LtxError: The worker cannot be reached, or the journal not read.
    """
    snapshot = await _snapshot(engine)
    worker = await engine.worker() if snapshot is not None else None
    memory = await engine.memory()
    if snapshot is None:
        jobs = await engine.jobs()
        interrupted = any(job.state == "running" for job in jobs) and not is_held(engine)
        return State(jobs=jobs, memory=memory, interrupted=interrupted)
    return State(
        worker=worker,
        jobs=snapshot.jobs,
        active=snapshot.active,
        standing=snapshot.standing,
        memory=memory,
    )


async def _snapshot(engine: Engine) -> Snapshot | None:
    """Return how the worker says that things stand; None where there is none."""
    from engine.worker.protocol import Snapshot

    news = engine.events(start=False)
    try:
        async for one in news:
            if isinstance(one, Snapshot):
                return one
    finally:
        await news.aclose()
    return None

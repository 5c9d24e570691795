"""Run as `python -m tests.tui.watching FD`: the jobs pane in a real terminal, time made up.

Half a minute of an encode goes by, tick by tick; "begin", "end" and "idle" are told on FD.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path

from ltx_tui.terminal import guard

guard.prepare()

from ltx_tui.drawing.signs import UNICODE  # noqa: E402
from ltx_tui.widgets.jobs import JobLine, Jobs  # noqa: E402
from tests.tui import fake_worker as fake  # noqa: E402
from tests.tui.conftest import alone, make_project  # noqa: E402

SECONDS, TICK = 30, 0.5
# Long enough for every tick to be painted by itself, as it is when time is real.
PAINT = 0.04


async def encode(stand: fake.Stand) -> None:
    """Let an encode go by: some 1.9 clips a second, memory that moves, now and then a guard."""
    chance = random.Random(3)
    number, done = 412, 0.0
    for tick in range(round(SECONDS / TICK)):
        stand.clock.now += TICK
        done += 1.9 * TICK * chance.uniform(0.5, 1.5)
        while done >= 1:
            done -= 1
            stand.happen(fake.done(number), fake.begun(number + 1))
            number += 1
        if tick % 2 == 0:  # as often as it is told of: half of the samples that come
            used = 44 + chance.uniform(-6, 6)
            host = 21 + chance.uniform(-1, 1)
            stand.take(fake.telemetry(fake.memory(1_600 + tick * TICK, used, used - 3, host)))
        if tick % 20 == 19:
            stand.happen(fake.stepped(number))
        await asyncio.sleep(PAINT)


def main() -> None:
    """Run it."""
    tell = int(sys.argv[1])

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            project = make_project(Path(folder) / "bunny-lora")
            stand = fake.Stand(project)
            fake.at_work(stand)
            watcher = stand.watcher
            app = alone(Jobs(watcher, how=UNICODE), JobLine(watcher, how=UNICODE), project=project)

            async def steps() -> None:
                await asyncio.sleep(0.7)
                os.write(tell, b"begin\n")
                await encode(stand)
                await asyncio.sleep(3)  # on a busy machine the last picture comes late
                os.write(tell, b"end\n")
                await asyncio.sleep(0.7)
                os.write(tell, b"idle\n")
                await asyncio.sleep(1)  # leaving sends something, too
                app.exit(0)

            app.call_later(lambda: app.run_worker(steps()))
            await app.run_async()

    asyncio.run(run())


if __name__ == "__main__":
    main()

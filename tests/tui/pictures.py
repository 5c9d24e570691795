"""Makes the pictures of the documentation, from the app itself: `scripts/pictures`.

The project is made up, and so is its worker; what is drawn is what the workbench draws.
Run as `python -m tests.tui.pictures [FOLDER] [NAME …]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

from ltx_tui.terminal import guard

guard.prepare()

from textual.pilot import Pilot  # noqa: E402 - what is prepared counts at import

from engine.dataset.write_captions import Answer  # noqa: E402
from engine.overview.file import FILE, write_overview  # noqa: E402
from engine.precompute.digest import Digest  # noqa: E402
from engine.project import Project, load_project  # noqa: E402
from engine.worker.scan_types import Scanning  # noqa: E402
from ltx_tui.app import Workbench  # noqa: E402
from ltx_tui.children.frames import FramesChild  # noqa: E402
from ltx_tui.clips.store import Store  # noqa: E402
from ltx_tui.screens.workbench import WorkbenchScreen  # noqa: E402
from tests.tui import harbour, harbour_film, harbour_plan  # noqa: E402
from tests.tui.conftest import SMALL, WIDE, picture, ready, shown, still  # noqa: E402
from tests.tui.fake_worker import Stand  # noqa: E402

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
FONTS = "DejaVu Sans Mono, Menlo, Consolas, Liberation Mono, monospace"

COUNTED = 1.5  # seconds after which the tokens of a caption are counted and told

Steps = Callable[[Pilot[Any], Stand], Awaitable[None]]


async def settle(pilot: Pilot[Any], words: str) -> None:
    """Wait until the app shows some words, then until nothing changes any more."""
    async with asyncio.timeout(20):
        while not any(words in line for line in shown(pilot.app)):
            await pilot.pause(0.02)
    await still(pilot)


async def run(pilot: Pilot[Any], stand: Stand) -> WorkbenchScreen:
    """Bring the worker to the middle of an encode, and the cursor to a clip with a story."""
    screen = await ready(pilot)
    harbour.at_work(stand)
    await settle(pilot, "running")
    screen.clips.go_to(harbour.BELOW)
    await still(pilot)
    screen.clips.go_to(harbour.IN_HAND)
    await still(pilot)
    await pilot.press("r")
    await pilot.pause(COUNTED)
    await still(pilot)
    return screen


async def workbench(pilot: Pilot[Any], stand: Stand) -> None:
    """All panes, while a job runs."""
    await run(pilot, stand)


async def filtered(pilot: Pilot[Any], stand: Stand) -> None:
    """A filter that is being typed, and what it finds."""
    await run(pilot, stand)
    await pilot.press("slash", *"text:gull state:missing")
    await settle(pilot, "some output stands so")


async def caption(pilot: Pilot[Any], stand: Stand) -> None:
    """A caption that is being edited."""
    await run(pilot, stand)
    await pilot.press("e")
    await settle(pilot, "trigger")
    await pilot.press("down", "end", *" Two of them quarrel over a fish.")
    await settle(pilot, "56/1,024 tokens · ✎ draft kept")


async def jobs(pilot: Pilot[Any], stand: Stand) -> None:
    """The pane of jobs and memory."""
    await run(pilot, stand)
    await pilot.press("4")
    await settle(pilot, "forecast")


async def buckets(pilot: Pilot[Any], stand: Stand) -> None:
    """A bucket that is being added, and where clips would go."""
    await run(pilot, stand)
    await pilot.press("3", "a")
    await pilot.pause()
    await pilot.press(*"960x544x25")
    await settle(pilot, "it would get")


async def plan(pilot: Pilot[Any], _stand: Stand) -> None:
    """The plan."""
    await ready(pilot)
    await pilot.press("P")
    await settle(pilot, "Why stale")


async def scenes(pilot: Pilot[Any], _stand: Stand) -> None:
    """The scenes of a film that is not cut yet."""
    await ready(pilot)
    await pilot.press("X")
    await settle(pilot, harbour_film.FILM)
    await pilot.press("enter")
    await settle(pilot, "last ")
    await pilot.press("j", "j", "space", "j", "j", "j")
    await pilot.pause(0.2)
    await still(pilot)


PICTURES: dict[str, tuple[tuple[int, int], Steps]] = {
    "workbench": (WIDE, workbench),
    "workbench-small": (SMALL, workbench),
    "filter": (WIDE, filtered),
    "caption": (SMALL, caption),
    "jobs": (SMALL, jobs),
    "buckets": (SMALL, buckets),
    "plan": (WIDE, plan),
    "scenes": (WIDE, scenes),
}


def draw(name: str) -> str:
    """Return a picture of the documentation as SVG."""
    size, steps = PICTURES[name]
    with tempfile.TemporaryDirectory() as folder, _away_from_home(Path(folder)):
        project = _project(Path(folder) / harbour.NAME)
        svg = asyncio.run(_draw(project, size, steps))
    return as_document(svg)


async def _draw(project: Project, size: tuple[int, int], steps: Steps) -> str:
    async def load(_store: Store) -> None:
        return None

    async def planned(
        _project: Project, _only: Iterable[str] = ()
    ) -> AsyncGenerator[Scanning | Digest]:
        yield harbour_plan.PLAN

    async def write(_request: object) -> Answer:
        return Answer()  # nothing saved: what is typed stays a draft for the picture

    stand = Stand(project)
    app = Workbench(project.root, project)
    with (
        mock.patch.object(Store, "load", load),
        mock.patch("ltx_tui.screens.plan.plan", planned),
        mock.patch("ltx_tui.captions.editing.write_captions", write),
        mock.patch("ltx_tui.scenes.book.split", harbour_film.split),
        mock.patch.object(FramesChild, "show", lambda child, ask: harbour_film.show(child, ask)),
        mock.patch("ltx_tui.widgets.frame_strip.depth_of", return_value="truecolor"),
        mock.patch("ltx_tui.worker.watch.Watcher", return_value=stand.watcher),
    ):
        async with app.run_test(size=size) as pilot:
            await steps(pilot, stand)
            return picture(app, f"ltx-tui {harbour.NAME}")


def _project(root: Path) -> Project:
    """Return the made-up project, whose clips are empty files."""
    rows = harbour.rows()
    for row in rows:
        (root / row.name).parent.mkdir(parents=True, exist_ok=True)
        (root / row.name).touch()
    film = root / harbour_film.FILM
    film.parent.mkdir(exist_ok=True)
    film.touch()
    os.truncate(film, harbour_film.BYTES)
    dataset = [{"media_path": row.name, "caption": row.caption} for row in rows]
    (root / "dataset.json").write_text(json.dumps(dataset), "utf-8")
    (root / "project.toml").write_text(harbour.PROJECT, "utf-8")
    project = load_project(root / "project.toml")
    write_overview(project.state_dir / FILE, harbour.overview(rows))
    return project


def _away_from_home(folder: Path) -> mock._patch_dict:
    """Keep the user's own configuration and terminal out of the pictures."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "LTX_TUI_THEME", "TMUX", "SSH_CONNECTION")
    }
    environ["XDG_CONFIG_HOME"] = str(folder / "config")
    return mock.patch.dict(os.environ, environ, clear=True)


def as_document(svg: str) -> str:
    """Return a picture for the documentation: fonts of the reader's own, nothing of other hosts."""
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: Fira Code[^;]*;", f"font-family: {FONTS};", svg)
    svg = svg.replace("font-family: arial;", "font-family: sans-serif;")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE).strip() + "\n"


def main() -> None:
    """Make all pictures, or those that are named."""
    folder, names = FOLDER, sys.argv[1:]
    if names and names[0] not in PICTURES:
        folder = Path(names.pop(0))
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or PICTURES:
        file = folder / f"{name}.svg"
        file.write_text(draw(name), "utf-8")
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

"""The workbench in tests: tiny projects without torch, apps that run headless, pictures as SVG.

def test_something(project: Project) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("j")
        assert_snapshot(pilot.app, "clips-second")

    run_app(Workbench(project.root, project), steps, size=(80, 24))
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import html
import io
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest

from ltx_tui.terminal import guard

guard.prepare()

from rich._export_format import CONSOLE_SVG_FORMAT  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.segment import Segment, Segments  # noqa: E402
from rich.style import Style  # noqa: E402
from rich.terminal_theme import SVG_EXPORT_THEME  # noqa: E402
from textual.app import App, ComposeResult  # noqa: E402 - what is prepared counts at import
from textual.pilot import Pilot  # noqa: E402
from textual.screen import Screen  # noqa: E402
from textual.widget import Widget  # noqa: E402

from engine.dataset.write_captions import Answer  # noqa: E402
from engine.overview.file import FILE, write_overview  # noqa: E402
from engine.project import Project, load_project, update_project  # noqa: E402
from ltx_tui.app import Workbench  # noqa: E402
from ltx_tui.children.child import Child  # noqa: E402
from ltx_tui.clips.store import Store  # noqa: E402
from ltx_tui.screens.workbench import WorkbenchScreen  # noqa: E402
from tests.tui.bucket_rows import THREE  # noqa: E402
from tests.tui.rows import make_overview  # noqa: E402

SNAPSHOTS = Path(__file__).with_name("snapshots")
UPDATE = "UPDATE_SNAPSHOTS"
SMALL, WIDE, HUGE = (80, 24), (120, 40), (200, 60)

Steps = Callable[[Pilot[Any]], Awaitable[None]]

_TEXT = re.compile(r"<text\b([^>]*)>(.*?)</text>", re.DOTALL)
_PLACE = re.compile(r'\bx="([0-9.]+)" y="([0-9.]+)"')
# Columns of a picture are this wide.
_CELL = 12.2
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


@pytest.fixture(autouse=True)
def _plain_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own configuration, theme and terminal out of the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "LTX_TUI_THEME", "TMUX", "SSH_CONNECTION", "EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project of six clips whose files are empty."""
    return make_project(tmp_path / "bunny-lora")


@pytest.fixture
def three(project: Project) -> Project:
    """A project of three buckets."""
    assert project.file is not None
    return update_project(project.file, {"video.buckets": THREE})


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a workbench from starting processes: clips as they were kept, no tokens counted."""

    async def load(_store: Store) -> None:
        return None

    async def write(_request: object) -> Answer:
        return Answer()

    async def count(_counts: object, _text: str) -> None:
        return None

    monkeypatch.setattr(Store, "load", load)
    monkeypatch.setattr("ltx_tui.clips.scores.Scoring.begin", load)
    monkeypatch.setattr("ltx_tui.children.token_counts.TokenCounts.count", count)
    monkeypatch.setattr("ltx_tui.captions.editing.write_captions", write)


@pytest.fixture
def bench(project: Project, quiet: None) -> Workbench:
    """Return the workbench of a dozen clips in all states, on a project that is not on the disk."""
    return make_bench(project)


def make_bench(project: Project, rows: int = 12) -> Workbench:
    """Return the workbench of a project whose clips were looked at before."""
    write_overview(project.state_dir / FILE, make_overview(rows))
    return Workbench(project.root, project)


def make_project(
    root: Path, captions: Sequence[str] = ("A rabbit.", "", "Two birds.", "", "A stream.", "Fog.")
) -> Project:
    """Return a project of clips named clip-0.mp4 and so on, with these captions."""
    root.mkdir(parents=True)
    rows = []
    for number, caption in enumerate(captions):
        (root / f"clip-{number}.mp4").touch()
        rows.append({"media_path": f"clip-{number}.mp4", "caption": caption})
    (root / "dataset.json").write_text(json.dumps(rows, indent=2), "utf-8")
    (root / "project.toml").write_text(
        '# The rabbit.\n[dataset]\npath = "dataset.json"\n\n'
        '[video]\nbuckets = "960x544x49"  # all there is room for\n',
        "utf-8",
    )
    return load_project(root / "project.toml")


class _Alone(Screen[None]):
    """A screen of widgets, for tests of one of them."""

    def __init__(self, widgets: Sequence[Widget], css: str) -> None:
        type(self).CSS = css
        super().__init__()
        self._widgets = widgets

    def compose(self) -> ComposeResult:
        yield from self._widgets


def alone(*widgets: Widget, project: Project | None = None, css: str = "") -> Workbench:
    """Return the app with nothing but these widgets in it."""
    root = project.root if project is not None else Path.cwd()
    return Workbench(root, project, screen=_Alone(widgets, css))


_started: WeakSet[Child] = WeakSet()
# Seconds for a child to end.
_PATIENCE = 10.0


@pytest.fixture(autouse=True)
def _children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the children that an app starts."""
    start = Child.start

    async def started(*arguments: Any, **named: Any) -> Child:
        child = await start(*arguments, **named)
        _started.add(child)
        return child

    monkeypatch.setattr(Child, "start", started)


def run_app(
    app: App[Any], steps: Steps, *, size: tuple[int, int] = SMALL, toasts: bool = False
) -> None:
    """Run an app without a terminal, and do the steps once it is idle; toasts only if asked for."""

    async def run() -> None:
        _started.clear()
        try:
            async with app.run_test(size=size, notifications=toasts) as pilot:
                await pilot.pause()
                await steps(pilot)
        finally:
            # One that outlives its loop is complained of in a later test.
            for child in list(_started):
                child.hang_up()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.wait(), _PATIENCE)
                await child.close()

    asyncio.run(run())


def assert_snapshot(app: App[Any], name: str) -> None:
    """Compare what the app shows with `snapshots/NAME.svg`; UPDATE_SNAPSHOTS=1 writes it."""
    now = picture(app, name)
    file = SNAPSHOTS / f"{name}.svg"
    if os.environ.get(UPDATE):
        file.parent.mkdir(exist_ok=True)
        file.write_text(now, "utf-8")
        return
    assert file.exists(), f"{file} is missing; {UPDATE}=1 writes it"
    before = file.read_text("utf-8")
    if now != before:
        words = list(difflib.unified_diff(svg_lines(before), svg_lines(now), "was", "is", n=0))
        raise AssertionError(
            f"{name} looks different; {UPDATE}=1 keeps it\n" + ("\n".join(words) or "colours only")
        )


def screen_of(app: Workbench) -> WorkbenchScreen:
    """Return the workbench's own screen."""
    found = next(one for one in app.screen_stack if isinstance(one, WorkbenchScreen))
    assert isinstance(found, WorkbenchScreen)
    return found


async def ready(pilot: Pilot[Any]) -> WorkbenchScreen:
    """Wait until all panes are there and the drafts are read."""
    screen = screen_of(pilot.app)  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        while screen.editor is None or screen.editor.doc is None:
            await pilot.pause(0.01)
    await pilot.pause()
    return screen


async def still(pilot: Pilot[Any]) -> None:
    """Wait until nothing on the screen has changed for a while, colours neither."""
    before: list[list[Segment]] = []
    same = 0
    async with asyncio.timeout(20):
        while same < 3:
            await pilot.pause(0.03)
            now = [_runs(strip) for strip in pilot.app.screen._compositor.render_strips()]
            same = same + 1 if now == before else 0
            before = now


def shown(app: App[Any]) -> list[str]:
    """Return the lines that the app shows, without spaces at their ends."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def svg_lines(svg: str) -> list[str]:
    """Return the words of a picture, line by line."""
    lines: dict[float, str] = {}
    for attributes, words in _TEXT.findall(svg):
        plain = html.unescape(re.sub(r"<[^>]+>", "", words)).replace("\xa0", " ")
        place = _PLACE.search(attributes)
        x, y = (float(place[1]), float(place[2])) if place else (0.0, 0.0)
        lines[y] = lines.get(y, "").ljust(round(x / _CELL)) + plain
    return [line.rstrip() for _, line in sorted(lines.items())]


def picture(app: App[Any], title: str) -> str:
    """Return what the app shows as SVG: the same cells always give the same bytes."""
    width, height = app.size
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
    )
    for strip in app.screen._compositor.render_strips():
        console.print(Segments([*_runs(strip), Segment.line()]))
    svg = console.export_svg(title=title, code_format=CONSOLE_SVG_FORMAT, theme=SVG_EXPORT_THEME)
    # Without what differs from run to run, and without fonts of other hosts.
    return re.sub(r"terminal-\d+", "terminal", _FONTS.sub("", svg))


def _runs(strip: Iterable[Segment]) -> list[Segment]:
    """Return cells in runs of one look; how a widget cut them into segments does not matter."""
    runs: list[tuple[str, Style]] = []
    for segment in strip:
        how = _look(segment.style or Style())
        for part in re.findall(r" +|[^ ]+", segment.text):
            if runs and runs[-1][1] == how and runs[-1][0].isspace() == part.isspace():
                runs[-1] = (runs[-1][0] + part, how)
            else:
                runs.append((part, how))
    return [Segment(text, how) for text, how in runs]


def _look(style: Style) -> Style:
    return Style(
        color=style.color,
        bgcolor=style.bgcolor,
        bold=bool(style.bold),
        dim=bool(style.dim),
        italic=bool(style.italic),
        underline=bool(style.underline),
        strike=bool(style.strike),
        reverse=bool(style.reverse),
    )

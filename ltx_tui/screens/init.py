"""A folder without a project: what is there, what would be made of it, and making it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, Static

from engine.buckets import parse_buckets
from engine.errors import LtxError
from engine.project import PROJECT_FILE, load_project
from engine.text import plural, visible
from engine.worker.begin_types import Seen
from ltx_tui.children.beginning import Beginning
from ltx_tui.commands.registry import Commanded
from ltx_tui.config.user import CHECKPOINT, TEXT_ENCODER
from ltx_tui.drawing.colours import style
from ltx_tui.host import focus_now, workbench_of
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.toggle import Toggle

_FIELDS = (
    ("models.checkpoint", "LTX-2 checkpoint", "a .safetensors file; empty: later"),
    ("models.text_encoder", "Gemma folder", "empty: later"),
    ("video.buckets", "Buckets", "WxHxF;WxHxF"),
    ("text.trigger", "Trigger word", "empty: none"),
)
# What somebody can do who has come to the wrong place.
_WAYS = (
    "Put clips here and press enter to look again. On the command line:\n"
    "  ltx-tui FOLDER   opens another folder\n"
    "  ltx-tui split-scenes FILM clips   cuts a long video into clips\n"
    "  ltx-tui demo     shows the whole job on made-up clips"
)
_VARIABLES = {"models.checkpoint": CHECKPOINT, "models.text_encoder": TEXT_ENCODER}


class InitScreen(Commanded, Screen[None]):
    """Shows what `ltx-tui init` would find, asks what only the user knows, and does it."""

    SCOPE = "init"
    DEFAULT_CSS = """
    InitScreen {
        #title { height: 1; background: $panel; padding: 0 1; }
        #found { height: auto; padding: 1 1 0 1; }
        #form { height: 1fr; padding: 0 1; display: none; }
        .name { height: 1; margin-top: 1; }
        Input { border: none; height: 1; padding: 0 1; background: $surface; }
        Input:focus { background: $panel; }
        #fault { height: auto; padding: 0 1; color: $text-error; display: none; }
    }
    """

    def __init__(self, start: Path) -> None:
        super().__init__()
        self._start = start.expanduser().absolute()
        self._beginning = Beginning(self._start)
        self._found: Seen | None = None
        self._is_making = self._is_looking = False

    def compose(self) -> ComposeResult:
        """Yield what was found, then the questions."""
        yield Static(Text("A new project"), id="title")
        yield Static(id="found", markup=False)
        with VerticalScroll(id="form", can_focus=False):
            for key, name, hint in _FIELDS:
                yield Static(name, classes="name", markup=False)
                yield Input(placeholder=hint, id=_id(key), compact=True)
            yield Toggle("Encode the sound too", id="audio")
            yield Toggle("", id="references")
        yield Static(id="fault", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Look, aside."""
        self.query_one("#found", Static).update(
            Text(f"There is no {PROJECT_FILE} in {visible(self._start)} or above.\nLooking …")
        )
        self.run_worker(self._look())

    async def _look(self) -> None:
        self._is_looking = True
        try:
            await self._beginning.close()
            found = await self._beginning.look()
        except LtxError as error:
            self.query_one("#found", Static).update(
                Text(visible(f"{error.headline}\n{error.remedy}\n\n{_WAYS}", keep="\n"))
            )
            return
        finally:
            self._is_looking = False
        self._found = found
        self._show(found)

    def _show(self, found: Seen) -> None:
        what = f"{found.dataset}, a new one" if found.is_new else visible(found.dataset)
        text = Text.assemble(
            ("■ ", style(self.app, "success")),
            f"{plural(found.clips, 'clip')} in {visible(found.folder)}: {what}\n",
        )
        for note in found.notes:
            text.append("! ", style(self.app, "warning")).append(visible(note) + "\n")
        text.append(
            f"enter makes {PROJECT_FILE}, with every key explained; nothing is overwritten.",
            Style(dim=True),
        )
        self.query_one("#found", Static).update(text)
        for key, variable in _VARIABLES.items():
            self.query_one(f"#{_id(key)}", Input).value = os.environ.get(variable, "")
        self.query_one(f"#{_id('video.buckets')}", Input).value = found.buckets or "960x544x49"
        self.query_one("#audio", Toggle).value = found.audio
        references = self.query_one("#references", Toggle)
        references.display = bool(found.reference_column)
        references.label = f"Use the column {found.reference_column!r} as reference videos"
        self.query_one("#form").display = True
        focus_now(self.query_one(Input))
        self.refresh_bindings()

    def on_input_submitted(self) -> None:
        """Enter in any field makes the project."""
        self.do_make()

    def do_make(self) -> None:
        """Make the project and open it."""
        if self._found is None:
            if not self._is_looking:
                self.run_worker(self._look())
        elif not self._is_making:
            self._is_making = True
            self.run_worker(self._make(self._found))

    def do_leave(self) -> None:
        """Leave; nothing has been written."""
        self.app.exit(0)

    async def _make(self, found: Seen) -> None:
        try:
            file = await self._beginning.make(self._answers(found))
            project = await asyncio.to_thread(load_project, file)
        except LtxError as error:
            self._fault(f"{error.message} — {error.remedy}" if error.remedy else error.message)
            return
        finally:
            self._is_making = False
        workbench_of(self).open_project(project)

    async def on_unmount(self) -> None:
        """End the process that looks."""
        await self._beginning.close()

    def _answers(self, found: Seen) -> dict[str, object]:
        """Return what was typed, as keys of project.toml.

        Raises:
            UsageError: The buckets make no sense.
        """
        answers: dict[str, object] = {"audio.enabled": self.query_one("#audio", Toggle).value}
        for key, _, _ in _FIELDS:
            answer = self.query_one(f"#{_id(key)}", Input).value.strip()
            if key == "video.buckets":
                parse_buckets(answer)
            if answer:
                is_path = key.startswith("models.")
                answers[key] = str(Path(answer).expanduser().absolute()) if is_path else answer
        if found.reference_column and self.query_one("#references", Toggle).value:
            answers["dataset.reference_column"] = found.reference_column
        return answers

    def _fault(self, words: str) -> None:
        fault = self.query_one("#fault", Static)
        fault.update(Text(visible(f"✗ {words}")))
        fault.display = True


def _id(key: str) -> str:
    return key.replace(".", "-").replace("_", "-")

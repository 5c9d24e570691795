"""The settings: project.toml key by key, with its comments kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Input, Static

from engine.errors import LtxError
from engine.project import Project, load_project
from engine.settings import Key
from engine.text import visible
from ltx_tui.commands.registry import Commanded
from ltx_tui.config.project_file import file_of, write_settings
from ltx_tui.config.project_rows import SettingRow, Value, options_of, parsed, setting_rows, spelled
from ltx_tui.drawing.colours import style
from ltx_tui.host import focus_now, workbench_of
from ltx_tui.screens.choice import Choice
from ltx_tui.screens.list_keys import LINE_KEYS, PAGE_KEYS, SearchedList
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.lines import Lines

_NAMES = 20


class _Settings(Lines):
    """Sections and keys."""

    def __init__(self, project: Project) -> None:
        super().__init__(id="keys")
        self.rows = setting_rows(project)

    def count(self) -> int:
        """Return how many there are, or one that says that there is none."""
        return len(self.rows) or 1

    def can_choose(self, index: int) -> bool:
        """Whether it is a key."""
        return index < len(self.rows) and self.rows[index].key is not None

    def text(self, index: int, width: int) -> Text:
        """Return a section's name, or a key with its value, and whether that is the default."""
        if not self.rows:
            return Text(" no key has these words", Style(dim=True))
        row = self.rows[index]
        if row.key is None:
            return Text(f" [{row.section}]", style(self.app, "primary", bold=True))
        sign, how = ("  ", Style(dim=True)) if row.is_default else ("● ", Style(bold=True))
        text = Text.assemble((f" {sign}", style(self.app, "accent")), row.key.name.ljust(_NAMES))
        value = visible(spelled(row.value)) or "–"
        note = "  default" if row.is_default else ""
        room = max(4, width - text.cell_len - len(note) - 1)
        shown = Text(value, how)
        shown.truncate(room, overflow="ellipsis")
        return text.append_text(shown).append(note, Style(dim=True))


class SettingsScreen(SearchedList, Commanded, Screen[None]):
    """All keys; the one under the cursor is explained below, and changed there."""

    SCOPE = "settings"
    AUTO_FOCUS = "#keys"
    DEFAULT_CSS = """
    SettingsScreen {
        #title { height: 1; background: $panel; padding: 0 1; }
        #keys { height: 1fr; }
        #about { height: auto; min-height: 2; max-height: 5; padding: 0 1; background: $surface; }
        #fault { height: auto; max-height: 4; padding: 0 1; display: none; color: $text-error; }
        Input { display: none; border: none; height: 1; padding: 0 1; background: $panel; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*LINE_KEYS, *PAGE_KEYS]

    def __init__(self, project: Project) -> None:
        super().__init__()
        self._project = project
        self._list = _Settings(project)
        self._words = ""
        self._edited: Key | None = None

    def compose(self) -> ComposeResult:
        """Yield title, keys, what the key means, a line to type in."""
        yield Static(Text(f"Settings of {visible(self._file)}"), id="title")
        yield self._list
        yield Static(id="about", markup=False)
        yield Static(id="fault", markup=False)
        yield Input(id="value", compact=True)
        yield Input(id="find", placeholder="find a key", compact=True)
        yield Footer()

    @property
    def _file(self) -> Path:
        return file_of(self._project)

    def on_mount(self) -> None:
        """Begin with the first key."""
        self._list.move_to(1)
        self._explain()

    def on_lines_moved(self) -> None:
        """Explain the key that was chosen."""
        self._explain()

    def on_lines_picked(self) -> None:
        """Change the key that was clicked twice."""
        self.do_edit()

    @property
    def _row(self) -> SettingRow | None:
        index = self._list.cursor
        return self._list.rows[index] if self._list.can_choose(index) else None

    def _explain(self) -> None:
        row = self._row
        if row is None or row.key is None:
            self.query_one("#about", Static).update("")
            return
        choices = f" One of: {', '.join(row.key.choices)}." if row.key.choices else ""
        default = spelled(row.key.default) or "empty"
        self.query_one("#about", Static).update(
            Text.assemble(
                (row.key.full_name, style(self.app, "accent", bold=True)),
                f"  {row.key.description}{choices}",
                (f" Default: {default}.", Style(dim=True)),
            )
        )

    # Changing

    def do_edit(self) -> None:
        """Change the value: typed, or chosen where there are only a few."""
        row = self._row
        if row is None or row.key is None:
            return
        key, options = row.key, options_of(row.key)
        if options:
            names = [spelled(one) for one in options]

            def chosen(index: int | None) -> None:
                if index is not None:
                    self._change(key, options[index])

            self.app.push_screen(Choice(key.full_name, names, spelled(row.value)), chosen)
            return
        self._edited = key
        line = self.query_one("#value", Input)
        line.value = spelled(row.value)
        line.placeholder = f"{key.full_name}: {spelled(key.default) or 'empty'} is the default"
        line.display = True
        focus_now(line)

    def do_reset(self) -> None:
        """Go back to the default."""
        row = self._row
        if row is not None and row.key is not None and not row.is_default:
            self._change(row.key, row.key.default)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed."""
        if event.input.id == "find":
            self._keep_words()
            return
        if self._edited is None:
            return
        try:
            value = parsed(self._edited, event.value)
        except LtxError as error:
            self._fault(error)
            return
        self._change(self._edited, value)

    def _change(self, key: Key, value: Value) -> None:
        self.run_worker(self._write({key.full_name: value}), exclusive=True)

    async def _write(self, values: dict[str, object]) -> None:
        try:
            project = await asyncio.to_thread(write_settings, self._project, values)
        except LtxError as error:
            self._fault(error)
            return
        except OSError as error:
            self._fault(LtxError(f"cannot be written: {error.strerror}", file=self._file))
            return
        self._close_line()
        self._take(project)

    def _take(self, project: Project) -> None:
        self._project = project
        self._show_rows()
        workbench_of(self).use_project(project)

    def _show_rows(self) -> None:
        before = self._row
        self._list.rows = setting_rows(self._project, self._words)
        keys = [row.key.full_name if row.key else "" for row in self._list.rows]
        name = before.key.full_name if before is not None and before.key is not None else ""
        self._list.renew()
        self._list.move_to(keys.index(name) if name in keys else 1)
        self._explain()

    def _fault(self, error: LtxError) -> None:
        """Say what is wrong with the value; what was typed stays to be mended."""
        where = error.column or ""
        text = f"✗ {where}: {error.message}".replace("✗ :", "✗")
        fault = self.query_one("#fault", Static)
        fault.update(Text(visible(f"{text} — {error.remedy}" if error.remedy else text)))
        fault.display = True

    def _close_line(self) -> None:
        self.query_one("#fault").display = False
        self.query_one("#value").display = False
        self._edited = None
        focus_now(self._list)

    # Finding

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the keys that have the words."""
        if event.input.id == "find":
            self._words = event.value
            self._show_rows()
        else:
            self.query_one("#fault").display = False

    def do_close(self) -> None:
        """Go back: out of a value, out of what is looked for, out of the settings."""
        if self._edited is not None:
            self._close_line()
            return
        if not self._drop_words():
            self.dismiss()

    # The whole file

    async def do_external(self) -> None:
        """Edit project.toml in $EDITOR, and take what it says then."""
        if not workbench_of(self).edit_file(self._file):
            return
        try:
            project = await asyncio.to_thread(load_project, self._file)
        except LtxError as error:
            self._fault(error)
            return
        self.query_one("#fault").display = False
        self._take(project)

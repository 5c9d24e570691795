"""The workbench as a program: opens at once, never blocks, leaves the terminal as it was."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import WorkerFailed

from engine.errors import LtxError
from engine.project import PROJECT_FILE, Project, apply_overrides
from engine.text import visible
from ltx_tui import crash, themes
from ltx_tui.cli.errors import abandon_terminal
from ltx_tui.commands.command import Command
from ltx_tui.commands.registry import Commanded, commands, find, reachable
from ltx_tui.config.user import Config
from ltx_tui.drawing.colours import Colourless, textual_theme
from ltx_tui.host import Host, focus_first
from ltx_tui.key_order import KeyOrder
from ltx_tui.keymap import textual_keymap
from ltx_tui.state import StateKeeper
from ltx_tui.terminal import guard
from ltx_tui.terminal.clipboard import copy

# Seconds between a change of what is restored at the next start and its write.
_DEBOUNCE = 1.0
# Seconds that saving may take when the user leaves.
_PATIENCE = 2.0
FAULT = 3


class Workbench(Commanded, KeyOrder, inherit_bindings=False):
    """The workbench.

    Attributes:
        config: The user's own settings.
        chosen_keys: Keys of commands that the user has chosen.
        keeper: What is restored at the next start.
        farewell: What to print after the end.
    """

    SCOPE = "app"
    TITLE = "ltx-tui"
    ENABLE_COMMAND_PALETTE = False
    ESCAPE_TO_MINIMIZE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "help_quit", show=False)]
    CSS = """
    Screen { layout: vertical; overflow: hidden; }
    ToastRack { margin-bottom: 1; }
    """

    def __init__(
        self,
        start: Path,
        project: Project | None,
        *,
        config: Config | None = None,
        theme: str = "",
        screen: Screen[Any] | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            start: The folder or dataset that was named, for `init` where there is no project.
            project: The project; None to offer `init`.
            config: The user's own settings.
            theme: Name of the theme; by default as LTX_TUI_THEME or the configuration says, else
                one that suits the terminal.
            screen: Shown instead of the workbench, in tests of a single screen or pane.

        Raises:
            UsageError: There is no such theme.
        """
        self.config = config or Config()
        super().__init__()
        self.animation_level = "none"
        if self.no_color:
            self._filters[1:] = [Colourless()]  # the first is about the terminal's own colours
        self.start = start
        self.project = project
        # A dataset that was named goes before the one of project.toml, however often that is read.
        is_named = start.is_file() and start.name != PROJECT_FILE
        self._dataset = start.expanduser().absolute() if is_named else None
        self.keeper = StateKeeper(project.state_dir) if project is not None else None
        self._own_screen = screen
        self._write_timer: Any = None
        self._report = Text()
        self._is_ending = False
        self.farewell = ""
        self.take_theme(theme or os.environ.get(themes.VARIABLE) or self.config.theme or "")
        self.chosen_keys = self.config.keys
        self.set_keymap(textual_keymap(self.chosen_keys))

    # Themes

    def take_theme(self, name: str) -> None:
        """Use a theme from now on.

        Raises:
            UsageError: There is none of that name.
        """
        # With 16 colours shades of others run together, words with what is behind them.
        has_few = self.console.color_system == "standard"
        theme = themes.load_theme(name or (themes.ANSI if has_few else themes.DEFAULT))
        if self.no_color:
            theme = themes.load_theme(themes.ANSI)
        if self.available_themes.get(theme.name) is None:
            self.register_theme(textual_theme(theme))
        self.theme = theme.name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the variables that Textual's own styles ask for and no theme of ours gives."""
        return {"ansi-background": "ansi_default"}

    # Screens

    def get_default_screen(self) -> Screen[Any]:
        """Return the first screen."""
        if self._own_screen is not None:
            return self._own_screen
        if self.project is None:
            from ltx_tui.screens.init import InitScreen

            return InitScreen(self.start)
        return self._workbench(self.project)

    def _workbench(self, project: Project) -> Screen[Any]:
        from ltx_tui.screens.workbench import WorkbenchScreen

        return WorkbenchScreen(project, self.keeper.state if self.keeper is not None else None)

    def settled(self) -> None:
        """All that was imported and made for the first picture stays: collect garbage from now on.

        Going through it again and again would cost more than all that it could find.
        """
        gc.collect()
        gc.freeze()
        gc.enable()

    def open_project(self, project: Project) -> None:
        """Show the workbench of a project that has just been made."""
        self.project = project
        self.keeper = StateKeeper(project.state_dir)
        # The first screen of an app cannot be switched; it stays below, and is done.
        self.push_screen(self._workbench(project))

    def on_resize(self, event: events.Resize) -> None:
        """Show a notice instead of a picture that does not fit."""
        from ltx_tui.screens.too_small import TooSmall, is_too_small

        if is_too_small(event.size):
            if not isinstance(self.screen, TooSmall):
                self.push_screen(TooSmall())
        elif isinstance(self.screen, TooSmall):
            self.pop_screen()

    # Commands

    def do_palette(self) -> None:
        """Offer all commands."""
        from ltx_tui.screens.palette import Palette

        self.push_screen(Palette(self.offered(), self.chosen_keys), self._picked)

    async def _picked(self, command: str | None) -> None:
        if command is not None:
            await self.run_command(command)

    def offered(self) -> list[Command]:
        """Return the commands that something on the current screen can do, in order."""
        nodes = self._commanded()
        return [
            one
            for one in commands()
            if one.scope in nodes and hasattr(nodes[one.scope], one.method)
        ]

    def _commanded(self) -> dict[str, Commanded]:
        """Return who does the commands of each scope: what has the focus wins."""
        screen = self.screen
        nodes: dict[str, Commanded] = {}
        for node in reachable(screen.focused or screen):
            nodes.setdefault(node.SCOPE, node)
        for child in screen.walk_children():
            if isinstance(child, Commanded) and child.SCOPE:
                nodes.setdefault(child.SCOPE, child)
        return nodes

    async def run_command(self, command: str) -> None:
        """Do a command, wherever the focus is; a pane that does it gets the focus first."""
        node = self._commanded().get(find(command).scope)
        if node is None:
            return
        if isinstance(node, Widget) and node.parent is not self and not node.has_focus_within:
            focus_first(node)
        await node.action_command(command)

    def do_help(self) -> None:
        """Explain the keys of what has the focus."""
        from ltx_tui.screens.help import HelpScreen

        nodes = list(reachable(self.screen.focused or self.screen))
        self.push_screen(HelpScreen(nodes, self.chosen_keys))

    def do_jump(self) -> None:
        """Offer a letter for each pane."""
        from ltx_tui.screens.jump import JumpScreen, Target, targets

        def go(target: Target | None) -> None:
            if target is not None:
                target.go()

        found = targets(self.screen)
        if found:
            self.push_screen(JumpScreen(found), go)

    def do_settings(self) -> None:
        """Show project.toml key by key."""
        if self.project is None:
            return
        from ltx_tui.screens.settings import SettingsScreen

        self.push_screen(SettingsScreen(self.project))

    def do_log(self) -> None:
        """Show what worker and encoders wrote down."""
        if self.project is None:
            return
        from ltx_tui.screens.log import LogScreen

        self.push_screen(LogScreen(self.project.state_dir / "logs"))

    def do_theme(self) -> None:
        """Offer the themes, each shown as one moves over it."""
        from ltx_tui.screens.theme import ThemeScreen

        self.push_screen(ThemeScreen(self.theme))

    async def do_quit(self) -> None:
        """Leave; what runs goes on."""
        await self._finish(0)

    async def _finish(self, code: int) -> None:
        """Save all that was typed, then end."""
        if self._is_ending:
            return
        self._is_ending = True
        for screen in self.screen_stack:
            finish = getattr(screen, "finish", None)
            if finish is not None:
                # What cannot be saved in time lies in the journal of drafts.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(finish(), _PATIENCE)
            self.farewell = getattr(screen, "farewell", "") or self.farewell
        self.keep_now()
        self.exit(code, return_code=code)

    def action_help_quit(self) -> None:
        """Say how to leave to somebody who expects ctrl+c to do it."""
        self.notify("ctrl+q leaves; the work goes on", timeout=3)

    # What others use

    def remember(self, **changes: object) -> None:
        """Keep where the user is for the next start; see `ltx_tui.state.State`."""
        if self.keeper is None or not self.keeper.change(**changes):
            return
        if self._write_timer is None:
            self._write_timer = self.set_timer(_DEBOUNCE, self._write_state)

    async def _write_state(self) -> None:
        self._write_timer = None
        if self.keeper is not None:
            await asyncio.to_thread(self.keeper.write)

    def use_project(self, project: Project) -> None:
        """Take other settings of the same project from now on."""
        project = apply_overrides(project, {"dataset.path": self._dataset})
        self.project = project
        for screen in self.screen_stack:
            take = getattr(screen, "use_project", None)
            if take is not None:
                take(project)

    def edit_file(self, file: Path) -> bool:
        """Edit a file in the user's editor; return whether that went well."""
        from ltx_tui.terminal.external import edit

        try:
            edit(self, file)
        except LtxError as error:
            self.complain(error)
            return False
        return True

    async def ready_for_keys(self) -> None:
        """Wait for what the next key needs, such as the caption that is typed into."""
        wait = getattr(self.screen, "ready_for_keys", None)
        if wait is not None:
            await wait()

    async def copy(self, text: str) -> None:
        """Copy text, and say so."""
        self.notify(await copy(self, text), timeout=2)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Show a short message for some seconds; it is shown as it is, without markup."""
        super().notify(
            visible(message, keep="\n"),
            title=visible(title),
            severity=severity,
            timeout=timeout,
            markup=markup,
        )

    def complain(self, error: LtxError) -> None:
        """Show an error with its remedy."""
        self.notify(f"{error.headline}\n{error.remedy}".strip(), severity="error", timeout=8)

    # The end

    def taken(self, number: signal.Signals) -> None:
        """End because of a signal; called in its handler."""
        if number is signal.SIGHUP:
            # At once: the loop may be waiting for somebody to read.
            abandon_terminal()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the end has been reached already
                loop.call_soon_threadsafe(self._leave, number)

    def _leave(self, number: signal.Signals) -> None:
        self.keep_now()
        self.run_worker(self._finish(128 + number), exit_on_error=False)

    def panic(self, *renderables: Any) -> None:
        """End where keys cannot be read; a terminal that has gone away is no fault."""
        if guard.is_gone():
            self.taken(signal.SIGHUP)
        else:
            super().panic(*renderables)

    def keep_now(self) -> None:
        """Write what was typed, and where the user was, before returning: the program ends."""
        for stack in self._screen_stacks.values():
            for screen in stack:
                desk = getattr(screen, "desk", None)
                if desk is not None:
                    desk.keep_now()
        if self.keeper is not None:
            self.keeper.write()

    def _handle_exception(self, error: Exception) -> None:
        if self._exception is None:
            folder = self.project.state_dir / "logs" if self.project is not None else None
            cause = error.error if isinstance(error, WorkerFailed) else error
            self._report = crash.words(cause, crash.report(cause, folder))
            self.keep_now()
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Print where the report is, instead of a screen full of locals."""
        self._exit_renderables.append(self._report)
        self._close_messages_no_wait()


if TYPE_CHECKING:
    # What widgets ask of the app, it has.
    _HOST: type[Host] = Workbench

"""What the workbench does to have clips captioned, and about the captions that come."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from textual.screen import Screen

from engine.overview.types import CaptionState
from engine.text import plural, visible
from ltx_tui.commands.registry import Commanded
from ltx_tui.host import workbench_of

if TYPE_CHECKING:
    from engine.project import Project
    from ltx_tui.captions.captioning import Ask
    from ltx_tui.captions.docs import Told
    from ltx_tui.desk import Desk
    from ltx_tui.screens.captioner_dialog import CaptionerDialog
    from ltx_tui.state import State
    from ltx_tui.widgets.caption_editor import CaptionEditor
    from ltx_tui.widgets.caption_pane import CaptionPane
    from ltx_tui.widgets.clip_list import ClipList


class CaptionNews(Commanded, Screen[None]):
    """The part of the workbench that asks a captioner.

    Attributes:
        desk: What the panes share.
        editor: The caption in hand; None until the first picture is there.
        state: Where the user was at the start.
    """

    desk: Desk
    editor: CaptionEditor | None
    state: State
    _instruction: str | None = None

    def _perform(self, action: Coroutine[Any, Any, str]) -> None:
        """Do something that takes a while, and say how it went."""
        raise NotImplementedError

    def hear_captions(self) -> None:
        """Say what becomes of captions, whichever pane is shown."""
        self.desk.captions.subscribe(self._caption_told)

    def _caption_told(self, told: Told) -> None:
        if told.what == "stays" and told.key is not None:
            words = f"{told.key.name}: what you typed stays; the new caption is among its versions"
            self.app.notify(words, timeout=6)

    def do_caption_missing(self) -> None:
        """Caption all clips that have no caption."""
        from ltx_tui.captions.captioning import Counts, count
        from ltx_tui.screens.caption_dialog import CaptionDialog

        missing = count(self.desk.store).missing
        if not missing:
            words = "no clip is without a caption; c captions one or the marked ones anew"
            self.app.notify(words, timeout=5)
            return
        title = "Caption all that have no caption"
        self._ask(CaptionDialog(title, self.desk.project, Counts(missing=missing)))

    def on_clip_list_caption(self, event: ClipList.Caption) -> None:
        """Caption the clip in hand, or the marked ones."""
        from ltx_tui.captions.captioning import count
        from ltx_tui.screens.caption_dialog import CaptionDialog

        names = event.names
        what = visible(names[0]) if len(names) == 1 else plural(len(names), "marked clip")
        counts = count(self.desk.store, names)
        self._ask(CaptionDialog(f"Caption {what}", self.desk.project, counts, names))

    def on_caption_pane_again(self, event: CaptionPane.Again) -> None:
        """Caption a clip again, with another instruction."""
        from ltx_tui.screens.again_dialog import AgainDialog

        key, captions, project = event.key, self.desk.captions, self.desk.project
        state = captions.state(key, captions.text_of(key))
        self._ask(
            AgainDialog(
                project,
                key,
                self._last_instruction or project.captions.instruction,
                is_one_of=self.desk.store.table.names.count(key.name) > 1,
                is_by_hand=state not in (CaptionState.NONE, CaptionState.AUTO),
            )
        )

    @property
    def _last_instruction(self) -> str:
        return self.state.instruction if self._instruction is None else self._instruction

    def _ask(self, dialog: CaptionerDialog) -> None:
        self.run_worker(self._have_captioned(dialog), group="captioning", exclusive=True)

    async def _have_captioned(self, dialog: CaptionerDialog) -> None:
        from ltx_tui import actions

        ask = cast("Ask | None", await self.app.push_screen_wait(dialog))
        if ask is None:
            return
        if ask.instruction is not None:
            self._instruction = ask.instruction
            workbench_of(self).remember(instruction=ask.instruction)
        # What is being typed is what the captioner finds.
        if self.editor is not None:
            self.editor.collect()
        await self.desk.captions.save()
        if ask.keep_instruction:
            self._perform(self._keep_instruction(dialog.project, ask.instruction or ""))
        self._perform(actions.caption(self.desk.watcher, ask))

    async def _keep_instruction(self, project: Project, instruction: str) -> str:
        """Write an instruction into project.toml.

        Raises:
            ProjectError: The file cannot be read or written.
        """
        from ltx_tui import actions

        workbench_of(self).use_project(await actions.keep_instruction(project, instruction))
        return "the instruction is in project.toml now"

"""The text area of the caption editor, and the line of a folded section."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.document._document import EditResult
from textual.document._edit import Edit
from textual.geometry import Size
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from engine.dataset.history import step_between
from ltx_tui.captions.disguise import plain
from ltx_tui.captions.parts import PLAIN
from ltx_tui.captions.status import written
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import style
from ltx_tui.host import focus_now
from ltx_tui.terminal.clipboard import copy
from ltx_tui.widgets.line import Line

_LABEL = 8


def _keys(keys: str, action: str) -> Binding:
    return Binding(keys, action, show=False)


class CaptionArea(TextArea, inherit_bindings=False):
    """Soft-wrapped text as high as it is; undo, and all keys of commands, are the editor's."""

    DEFAULT_CSS = """
    CaptionArea {
        border: none; padding: 0; height: auto; width: 1fr; min-height: 1;
        background: transparent; overflow: hidden; scrollbar-size: 0 0;
        &:focus { border: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        _keys("up", "cursor_up"),
        _keys("down", "cursor_down"),
        _keys("left", "cursor_left"),
        _keys("right", "cursor_right"),
        _keys("ctrl+left,alt+left", "cursor_word_left"),
        _keys("ctrl+right,alt+right", "cursor_word_right"),
        _keys("home", "cursor_line_start"),
        _keys("end", "cursor_line_end"),
        _keys("pageup", "cursor_page_up"),
        _keys("pagedown", "cursor_page_down"),
        _keys("ctrl+shift+left", "cursor_word_left(True)"),
        _keys("ctrl+shift+right", "cursor_word_right(True)"),
        _keys("shift+home", "cursor_line_start(True)"),
        _keys("shift+end", "cursor_line_end(True)"),
        _keys("shift+up", "cursor_up(True)"),
        _keys("shift+down", "cursor_down(True)"),
        _keys("shift+left", "cursor_left(True)"),
        _keys("shift+right", "cursor_right(True)"),
        _keys("backspace", "delete_left"),
        _keys("ctrl+w,alt+backspace", "delete_word_left"),
        _keys("delete,ctrl+d", "delete_right"),
        _keys("alt+delete", "delete_word_right"),
        _keys("ctrl+u", "delete_to_start_of_line"),
        _keys("ctrl+k", "delete_to_end_of_line_or_delete_line"),
        _keys("ctrl+x", "cut"),
        _keys("ctrl+c", "copy"),
        _keys("ctrl+v", "paste"),
    ]

    def __init__(
        self, section: str, edited: Callable[[], None], leave: Callable[[CaptionArea, int], None]
    ) -> None:
        """Make an empty area.

        Args:
            section: Its name.
            edited: Called at once when the user changed the text: no message is waited for.
            leave: Called when the cursor is moved out of the area: 1 downwards, -1 upwards.
        """
        super().__init__(compact=True, highlight_cursor_line=False)
        self.section = section
        self._edited = edited
        self._leave = leave
        self._is_showing = False
        self.cursor_blink = False  # an idle terminal gets no bytes
        self.match_cursor_bracket = False

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """Return the lines that the text takes in a width."""
        self.wrapped_document.wrap(max(1, width - 1), tab_width=self.indent_width)
        return max(1, self.wrapped_document.height)

    def show(self, text: str) -> None:
        """Show a text; what it has in common with the one before stays where it is."""
        before = self.text
        if text == before:
            return
        step = step_between(before, text)
        places = [_location(before, at) for at in (step.start, step.start + len(step.old))]
        is_at_start = self.selection == Selection.cursor((0, 0))
        self._is_showing = True
        try:
            self.replace(step.new, *places)
        finally:
            self._is_showing = False
        if is_at_start:  # what comes in before it does not push it along
            self.put_cursor(0)

    def edit(self, edit: Edit) -> EditResult:
        """Make an edit, and have it kept."""
        result = super().edit(edit)
        self.history.clear()  # undo is the editor's, over all sections
        if not self._is_showing:
            self._edited()
        return result

    def action_copy(self) -> None:
        """Copy what is selected, through tmux as well."""
        if self.selected_text:
            self.run_worker(copy(self.app, self.selected_text), name="copy")

    def action_cut(self) -> None:
        """Cut what is selected."""
        if self.selected_text and not self.read_only:
            self.action_copy()
            self.delete(*self.selection, maintain_selection_offset=False)

    def put_cursor(self, offset: int) -> None:
        """Move the cursor to an offset of the text."""
        self.selection = Selection.cursor(_location(self.text, offset))

    def action_cursor_up(self, select: bool = False) -> None:
        """Go up, out of the area from its first line."""
        if not select and self.navigator.is_first_wrapped_line(self.cursor_location):
            self._leave(self, -1)
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Go down, out of the area from its last line."""
        if not select and self.navigator.is_last_wrapped_line(self.cursor_location):
            self._leave(self, 1)
        else:
            super().action_cursor_down(select)

    async def _on_key(self, event: events.Key) -> None:
        """Finish what a key is bound to before the next key is looked at.

        Keys that come in one go, as over a slow line, would else be typed into the caption or
        section that the one before them left.
        """
        focused = self.app.focused
        if focused is not self:
            event.prevent_default()
            event.stop()
            # Another event: this one has had its default action.
            again = events.Key(event.key, event.character)
            (focused or self.app.screen).post_message(again)
        elif not event.is_printable and event.key != "enter" and await self._is_bound(event.key):
            event.prevent_default()
            event.stop()

    async def _is_bound(self, key: str) -> bool:
        """Do what a key is bound to in the editor; return whether there was anything."""
        for node, bindings in self.screen._modal_binding_chain:
            for binding in bindings.key_to_bindings.get(key, ()):
                if not binding.priority and await self.app.run_action(binding.action, node):
                    return True
            if isinstance(node, Commanded):
                break
        return False

    async def _on_paste(self, event: events.Paste) -> None:
        """Insert what was pasted, without control characters."""
        event.prevent_default()
        event.stop()
        if not self.read_only:
            self.replace(plain(event.text), *self.selection, maintain_selection_offset=False)


class SectionHead(Line, can_focus=True):
    """A section's name; folded, its first words as well."""

    DEFAULT_CSS = """
    SectionHead { width: 8; height: 1; }
    SectionHead.-folded { width: 1fr; }
    SectionHead:focus { background: $block-cursor-blurred-background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        _keys("up", "leave(-1)"),
        _keys("down", "leave(1)"),
        _keys("enter", "unfold"),
    ]

    def __init__(self, section: str, leave: Callable[[int], None]) -> None:
        """Make a name.

        Args:
            section: It.
            leave: Called when the cursor is moved away: 1 downwards, -1 upwards.
        """
        super().__init__()
        self.section = section
        self.can_focus = False
        self.words = ""
        self._leave = leave

    def fold(self, words: str | None) -> None:
        """Show first words as well; None: the name alone."""
        self.words = words or ""
        self.set_class(words is not None, "-folded")
        self.can_focus = words is not None
        self.redraw()

    def action_leave(self, by: int) -> None:
        """Go to the section above or below."""
        self._leave(by)

    def action_unfold(self) -> None:
        """Show the text again."""
        if isinstance(self.parent, SectionRow):
            self.parent.fold(folded=False)

    def content(self, width: int) -> Text:
        """Return the line."""
        name = Text(self.section.ljust(_LABEL), style(self.app, "secondary", bold=True))
        if not self.has_class("-folded"):
            return name
        text = Text.assemble(
            name, (written("▸ "), Style()), (self.words or "empty", Style(dim=True))
        )
        text.truncate(width, overflow="ellipsis")
        return text


class SectionRow(Horizontal):
    """One section: its name and its text."""

    DEFAULT_CSS = """
    SectionRow { height: auto; width: 1fr; }
    """

    def __init__(
        self, section: str, edited: Callable[[], None], leave: Callable[[CaptionArea, int], None]
    ) -> None:
        """Make a row of a section; see `CaptionArea`."""
        self.area = CaptionArea(section, edited, leave)
        self.head = SectionHead(section, lambda by: leave(self.area, by))
        super().__init__(self.head, self.area)
        self.section = section

    @property
    def is_folded(self) -> bool:
        """Whether only the first words are shown."""
        return self.head.has_class("-folded")

    def fold(self, *, folded: bool) -> None:
        """Show only the first words, or all; the focus stays in the section."""
        has_focus = self.has_focus_within
        words = " ".join(self.area.text.split()) if folded else None
        self.head.fold(words)
        self.area.display = self.area.can_focus = not folded
        if has_focus:
            focus_now(self.head if folded else self.area)

    def take_focus(self) -> None:
        """Go to the section at once, so that the next key is for it already."""
        self.screen.set_focus(self.head if self.is_folded else self.area)

    def lay_out(self, *, is_shown: bool, is_plain: bool) -> None:
        """Show the section or not; the whole caption has no name beside it."""
        self.display = is_shown
        # Textual would give the focus to what is not shown, and what is typed there be lost.
        self.area.can_focus = is_shown and not self.is_folded
        self.head.display = not (is_plain and self.section == PLAIN)


def _location(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n"), len(before) - (before.rfind("\n") + 1)

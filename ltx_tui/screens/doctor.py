"""The doctor: what would spoil the training, clip by clip, with its remedy and a fix on a key."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Input

from engine.findings import Finding
from engine.text import plural, visible
from ltx_tui.captions.status import ago
from ltx_tui.clips.checkup import Checkup, Order, Told
from ltx_tui.clips.store import Store
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.screens.choice import Choice
from ltx_tui.screens.confirm import Confirm
from ltx_tui.screens.doctor_lines import FindingsView, is_proxy, whole
from ltx_tui.screens.list_keys import PAGE_KEYS, SearchedList
from ltx_tui.widgets.board import Board, Item, fault_lines
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.lines import Lines
from ltx_tui.widgets.words import Words

# In lower terminals less is said of the finding under the cursor.
_TALL = 30
# Seconds between two words on how far it is.
_TICK = 0.5


class _Found(Lines):
    """The findings, below the headings of their groups."""

    def __init__(self, view: FindingsView, how: Signs) -> None:
        super().__init__(id="found")
        self.view, self.how = view, how
        self.empty: list[Text] = []

    def count(self) -> int:
        """Return how many lines there are; those that say why there is no finding otherwise."""
        return len(self.view.entries) or len(self.empty)

    def can_choose(self, index: int) -> bool:
        """Whether there is a finding."""
        return index < len(self.view.entries) and self.view.entries[index].finding is not None

    def text(self, index: int, width: int) -> Text:
        """Return a line."""
        if not self.view.entries:
            return self.empty[index]
        return self.view.line(index, width, partial(style, self.app), self.how)

    @property
    def chosen(self) -> Finding | None:
        """What the cursor is on."""
        at = self.cursor
        return self.view.entries[at].finding if self.can_choose(at) else None

    def show_line(self, index: int) -> None:
        """Scroll to a line, and to the heading above it."""
        if index and not self.can_choose(index - 1):
            super().show_line(index - 1)
        super().show_line(index)


class DoctorScreen(SearchedList, Commanded, Screen[str]):
    """What is found; ends with the name of a clip to go to, or with nothing."""

    SCOPE = "doctor"
    AUTO_FOCUS = "#found"
    DEFAULT_CSS = """
    DoctorScreen {
        #found { height: 1fr; width: 1fr; }
        #whole { height: 6; padding: 0 1; background: $surface; }
        &.-tall #whole { height: 8; }
        #find { display: none; border: none; height: 1; padding: 0 1; background: $panel; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*PAGE_KEYS]

    def __init__(self, checkup: Checkup, store: Store, *, how: Signs | None = None) -> None:
        """Show what is known.

        Args:
            checkup: What looks and mends.
            store: The clips.
            how: The signs; by default what the terminal can write.
        """
        super().__init__()
        self.checkup, self.store = checkup, store
        self.how = how or signs()
        self.view = FindingsView()
        self.list = _Found(self.view, self.how)
        self._title = Words(id="title", classes="title")
        self._whole = Board(has_cursor=False, id="whole")
        self._whole.can_focus = False
        self._end: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """Yield title, findings, the one in hand, what is looked for."""
        yield self._title
        yield self.list
        yield self._whole
        yield Input(placeholder="words, such as: error fix clips/take", id="find", compact=True)
        yield Footer()

    # Beginning and end

    def on_mount(self) -> None:
        """Show what is known, and look."""
        self._end = self.checkup.subscribe(self._told)
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._draw())
        self.query_one(Input).cursor_blink = False  # it would send bytes for ever
        self.set_interval(_TICK, self._tick)
        self.checkup.look()
        self._take()

    async def on_unmount(self) -> None:
        """Stop looking; what is being mended goes on."""
        if self._end is not None:
            self._end()
        await self.checkup.leave()

    def on_resize(self) -> None:
        """Draw for another size."""
        self.set_class(self.app.size.height >= _TALL, "-tall")
        self.call_after_refresh(self._draw)

    # Drawing

    def _tick(self) -> None:
        if self.checkup.progress is not None:
            self._draw_title()

    def _told(self, what: Told) -> None:
        if not self.is_mounted:
            return
        if what == "findings":
            self._take()
        else:
            self._draw_title()
            if not self.view.entries:
                self._draw()

    def _take(self) -> None:
        """Show other findings; the cursor stays on what it was on."""
        chosen = self.list.chosen
        self.view.take(self.checkup.findings)
        self._place(chosen)

    def _place(self, chosen: Finding | None) -> None:
        """Draw everything, with the cursor on a finding, or near to where it was."""
        place = self.view.place_of(chosen)
        self._draw()
        self.list.move_to(self.list.cursor if place is None else place)
        self._draw_whole()

    def _draw(self) -> None:
        if self.is_mounted:
            self.list.empty = self._empty()
            self.list.renew()
            self._draw_title()
            self._draw_whole()

    def _empty(self) -> list[Text]:
        """Return why there is nothing in the list."""
        checkup, how = self.checkup, self.how
        width = max(20, self.app.size.width - 3)
        if checkup.fault is not None and not checkup.findings:
            headline, remedy = visible(checkup.fault.headline), visible(checkup.fault.remedy)
            return fault_lines(headline, remedy, width, style(self.app, "error"), how, " ")
        if self.view.count:
            return [Text(f" no finding has {self.view.words!r}", Style(dim=True))]
        if checkup.when is not None:
            return [Text(f" {how.ok} nothing found", style(self.app, "success"))]
        words = "looking; what is found comes in the end" if checkup.order else "not looked yet"
        return [Text(f" {words}", Style(dim=True))]

    def _draw_title(self) -> None:
        checkup = self.checkup
        name = visible(checkup.project.root.name)
        parts = [f"Doctor  {name}", self.view.summary()]
        if self.view.words:
            parts.append(f"/{self.view.words}")
        text = " · ".join(part for part in parts if part)
        self._title.say(Text(text, Style(bold=True)), self._standing())

    def _standing(self) -> str:
        """Return what is being done, or how old it is what is shown."""
        checkup = self.checkup
        if checkup.progress is not None:
            return str(checkup.progress)
        if checkup.fault is not None:
            return "the look failed"
        if checkup.is_fresh or checkup.when is None:
            return ""
        return f"found {ago(time.time() - checkup.when)}"

    def _draw_whole(self) -> None:
        one, width = self.list.chosen, self._whole.room
        if not width:
            return
        if one is None:
            self._whole.show([])
            return
        failure = self.checkup.failures.get(one.clip) if one.fix else None
        lines = whole(one, failure, width, partial(style, self.app), self.how)
        self._whole.show([Item(line) for line in lines])

    def on_lines_moved(self) -> None:
        """Say all about the finding that was chosen."""
        self._draw_whole()

    def on_lines_picked(self) -> None:
        """Go to the clip that was clicked twice."""
        self.do_show()

    # Finding words

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the findings that have the words."""
        chosen = self.list.chosen
        self.view.choose(words=event.value)
        self._place(chosen)

    def on_input_submitted(self) -> None:
        """Go back to the findings, those with the words."""
        self._keep_words()

    # Moving

    def do_down(self) -> None:
        """Choose the next finding."""
        self.list.move(1)

    def do_up(self) -> None:
        """Choose the finding before."""
        self.list.move(-1)

    # Commands

    def do_close(self) -> None:
        """Go back: out of what is looked for, then out of the doctor."""
        if self._drop_words():
            return
        if self.checkup.is_writing:
            self.notify("mending goes on; what comes of it is told", timeout=4)
        self.dismiss("")

    def do_show(self) -> None:
        """Go to the clip in the list of clips."""
        one = self.list.chosen
        if one is None or not one.clip:
            self.notify("this is about no single clip", severity="warning", timeout=3)
        else:
            self.dismiss(one.clip)

    def do_group(self) -> None:
        """Group by kind, or by clip."""
        chosen = self.list.chosen
        self.view.choose(by="clip" if self.view.by == "kind" else "kind")
        self._place(chosen)

    def do_look(self) -> None:
        """Look again."""
        self.checkup.look()
        self._draw_title()

    async def do_stop(self) -> None:
        """Stop looking or mending."""
        if self.checkup.order is None:
            self.notify("nothing is being done", timeout=2)
        else:
            await self.checkup.stop()

    def do_fix(self) -> None:
        """Mend the clip in hand."""
        one = self._fixable()
        if one is not None:
            self._ask_to_mend([one], visible(one.clip))

    def do_fix_all(self) -> None:
        """Mend all clips that are shown with the same kind of finding."""
        one = self._fixable()
        if one is not None:
            found = [other for other in self.view.like(one) if other.fix]
            clips = plural(len({other.clip for other in found}), "clip")
            self._ask_to_mend(found, clips)

    def _fixable(self) -> Finding | None:
        one = self.list.chosen
        if one is not None and one.fix:
            return one
        words = (
            f"no proxy mends this: {one.remedy or one.text}" if one is not None else "no finding"
        )
        self.notify(words, severity="warning", timeout=4)
        return None

    def _ask_to_mend(self, found: Sequence[Finding], title: str) -> None:
        code, fix = found[0].code, found[0].fix
        clips = tuple(dict.fromkeys(one.clip for one in found))
        order = Order(fix=(code,), only=clips)
        if len(clips) == 1:
            lines = (
                f"write a proxy {fix}, beside the clip, with _proxy in its name",
                "let the dataset name it instead: caption, bucket and marks go along",
                "the clip itself stays as it is, and can be named again",
            )
        else:
            lines = (
                f"write {len(clips):,} proxies {fix}, beside the clips",
                "let the dataset name them instead: captions, buckets and marks go along",
                "the clips themselves stay as they are, and can be named again",
            )
        self._ask(f"Fix {code} of {title}", lines, "fix", order)

    def do_undo(self) -> None:
        """Give clips back in place of their proxies."""
        one = self.list.chosen
        names = [name for name in self.store.table.names if is_proxy(name)]
        last = tuple(fixed.clip for fixed in self.checkup.fixed)
        choices: dict[str, tuple[str, ...]] = {}
        if one is not None and one.clip in names:
            choices[one.clip] = (one.clip,)
        if last:
            choices[f"{plural(len(last), 'clip')} mended last" if last[1:] else last[0]] = last
        if len(names) > 1 or not choices:
            choices[f"all {plural(len(names), 'clip')} with a proxy"] = ()
        if not names:
            self.notify("no clip has a proxy", severity="warning", timeout=3)
        elif len(choices) == 1:
            self._ask_to_undo(choices.popitem())
        else:
            offered = list(choices.items())

            def taken(index: int | None) -> None:
                if index is not None:
                    self._ask_to_undo(offered[index])

            self.app.push_screen(Choice("Undo the fix of", list(choices)), taken)

    def _ask_to_undo(self, choice: tuple[str, tuple[str, ...]]) -> None:
        what, only = choice
        lines = (
            "let the dataset name the clips themselves again, and not their proxies",
            "remove the proxies, but for those that somebody changed",
        )
        self._ask(f"Undo the fix of {what}", lines, "undo", Order(undo=True, only=only))

    def _ask(self, title: str, lines: Sequence[str], does: str, order: Order) -> None:
        async def answered(is_wanted: bool | None) -> None:
            if is_wanted:
                await self.checkup.mend(order)

        self.app.push_screen(Confirm(title, lines, does=does), answered)

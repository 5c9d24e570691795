"""Find and replace over this and the marked captions: every change is seen before it is made."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, Label, Static

from engine.dataset.caption_db import Key
from engine.dataset.replace_text import Change, Query, replaced
from engine.errors import LtxError
from engine.text import plural, visible
from ltx_tui.captions.book import CaptionRows
from ltx_tui.captions.editing import Captions
from ltx_tui.captions.status import written
from ltx_tui.children.captions import find_changes
from ltx_tui.clips.columns import fitted_name
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import style
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.lines import Lines

_AFTER = 0.2  # seconds from a key to a new search
_NAME = 20
_BATCH = 500


class _Changes(Lines):
    """Every match, with what it would become."""

    def __init__(self) -> None:
        super().__init__(id="changes")
        self.keys: Sequence[Key] = ()
        self.texts: Sequence[str] = ()
        self.changes: Sequence[Change] = ()
        self.refused: set[int] = set()
        self.words = ""

    def count(self) -> int:
        """Return how many there are, or one line that says why there are none."""
        return len(self.changes) or 1

    def can_choose(self, index: int) -> bool:
        """Whether there is a change."""
        return index < len(self.changes)

    def text(self, index: int, width: int) -> Text:
        """Return a change: chosen or not, which clip, the words around it."""
        if not self.changes:
            return Text(f" {self.words}", Style(dim=True))
        change = self.changes[index]
        sign = "[ ]" if index in self.refused else written("[✓]")
        room = min(_NAME, width // 4)
        name = Text(fitted_name(self.keys[change.text].name, room), Style(dim=True))
        line = Text.assemble(f" {sign} ", name, " ")
        return line.append_text(self._around(change, width - line.cell_len))

    def _around(self, change: Change, width: int) -> Text:
        """Return what changes with as many of the words before and after as have room."""
        whole = self.texts[change.text]
        old, new = _short(change.old), _short(change.new)
        room = max(0, width - len(old) - len(new) - 9)
        after = whole[change.start + len(change.old) :][:room]
        start = max(0, change.start - room // 2)
        line = Text(written("…") * (start > 0) + _short(whole[start : change.start]))
        line.append(f"[-{old}-]", style(self.app, "error") + Style(strike=True))
        if new:
            line.append(f"{{+{new}+}}", style(self.app, "success", bold=True))
        line.append(_short(after))
        line.truncate(width, overflow="ellipsis")
        return line


class ReplaceScreen(Commanded, Screen[None]):
    """What to find, what to put there, and each change that this makes."""

    SCOPE = "replace"
    AUTO_FOCUS = "#find"
    DEFAULT_CSS = """
    ReplaceScreen {
        .title { height: 1; background: $panel; padding: 0 1; text-style: bold; }
        .line { height: 1; Label { width: 9; padding: 0 1; } Input { width: 1fr; } }
        Input { border: none; height: 1; padding: 0; background: $surface; }
        Input:focus { background: $boost; }
        #options, #count { height: 1; padding: 0 1; }
        #count { background: $panel; }
        #changes { height: 1fr; }
    }
    """

    def __init__(self, captions: Captions, rows: CaptionRows, here: Key | None) -> None:
        """Search in captions.

        Args:
            captions: The captions.
            rows: The store of clips.
            here: The caption in hand.
        """
        super().__init__()
        self._captions = captions
        self._rows = rows
        self._here = here
        self._regex = self._case = False
        self._over_marked = bool(rows.marked)
        self._list = _Changes()
        self._timer: Timer | None = None
        self._is_current = True  # whether the list is of what is asked for by now

    def compose(self) -> ComposeResult:
        """Yield what to find, what to put there, options, changes."""
        yield Static("Find and replace", classes="title")
        for name in ("find", "replace"):
            with Horizontal(classes="line"):
                yield Label(name)
                yield Input(id=name, compact=True)
        yield Static(id="options", markup=False)
        yield self._list
        yield Static(id="count", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin with nothing found."""
        self._list.words = "type what to find"
        self._list.renew()
        self._show()

    # What to look for

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search anew when the typing rests."""
        event.stop()
        self._search_soon()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go on: to the replacement, then to the changes."""
        event.stop()
        (self.query_one("#replace") if event.input.id == "find" else self._list).focus()

    def do_regex(self) -> None:
        """Look for a regular expression, or for plain text."""
        self._regex = not self._regex
        self._search_soon()

    def do_case(self) -> None:
        """Let upper and lower case differ, or not."""
        self._case = not self._case
        self._search_soon()

    def do_where(self) -> None:
        """Look in this caption, or in those that are marked."""
        if self._over_marked or self._rows.marked:
            self._over_marked = not self._over_marked
            self._search_soon()
        else:
            self.app.notify("no clips are marked")

    @property
    def _wanted(self) -> Query:
        return Query(
            find=self.query_one("#find", Input).value,
            replace=self.query_one("#replace", Input).value,
            regex=self._regex,
            case=self._case,
        )

    def _search_soon(self) -> None:
        self._is_current = False
        self._show()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_AFTER, self._begin)

    def _begin(self) -> None:
        self.run_worker(self._search(), exclusive=True, name="search")

    async def _search(self) -> None:
        query = self._wanted
        keys = self._keys()
        texts = await self._texts(keys)
        changes: Sequence[Change] = ()
        words = "nothing found" if query.find else "type what to find"
        try:
            found = await find_changes(query, texts)
            changes = found.changes
            if found.is_cut:
                self.app.notify(f"only the first {len(changes):,} are shown", severity="warning")
        except LtxError as error:
            words = written(f"{visible(error.message)} — {error.remedy}")
        here, self._is_current = self._list, True
        here.keys, here.texts, here.changes, here.words = keys, texts, changes, words
        here.refused = set()
        here.move_to(0)
        here.renew()
        self._show()

    async def _texts(self, keys: Sequence[Key]) -> tuple[str, ...]:
        """Return the captions; with many of them keys are answered meanwhile."""
        texts = []
        for at, key in enumerate(keys):
            texts.append(self._captions.text_of(key))
            if at % _BATCH == _BATCH - 1:
                await asyncio.sleep(0)
        return tuple(texts)

    def _keys(self) -> list[Key]:
        here = [] if self._here is None else [self._here]
        if not self._over_marked:
            return [key for key in here if self._rows.find(key.name) is not None]
        found = [(self._rows.find(name), name) for name in self._rows.marked]
        return [Key(name) for index, name in sorted(one for one in found if one[0] is not None)]

    # What is found

    def do_down(self) -> None:
        """Go to the next change."""
        self._list.move(1)

    def do_up(self) -> None:
        """Go to the change before."""
        self._list.move(-1)

    def do_toggle(self) -> None:
        """Choose the change under the cursor, or not; go on to the next."""
        at = self._list.cursor
        if self._list.can_choose(at):
            self._list.refused ^= {at}
            self._list.renew_line(at)
            self._list.move(1)
            self._show()

    def do_all(self) -> None:
        """Choose all changes."""
        self._list.refused = set()
        self._list.renew()
        self._show()

    def do_none(self) -> None:
        """Choose no change."""
        self._list.refused = set(range(len(self._list.changes)))
        self._list.renew()
        self._show()

    async def do_apply(self) -> None:
        """Replace what is chosen: one step of undo in each caption."""
        if not self._is_current:  # what is seen is not what was asked for last
            self.app.notify("still searching")
            return
        chosen: dict[int, list[Change]] = defaultdict(list)
        for at, change in enumerate(self._list.changes):
            if at not in self._list.refused:
                chosen[change.text].append(change)
        if not chosen:
            self.app.notify("no change is chosen")
            return
        texts = {
            self._list.keys[text]: (
                self._list.texts[text],
                replaced(self._list.texts[text], changes),
            )
            for text, changes in chosen.items()
        }
        done = await self._captions.replace(texts)
        left = len(texts) - done
        words = f"replaced in {plural(done, 'caption')}; ctrl+z undoes it in each"
        if left:
            words += f"; {plural(left, 'caption')} changed meanwhile and left alone"
        self.app.notify(words)
        self.dismiss()

    def do_close(self) -> None:
        """Go back; nothing is replaced."""
        self.dismiss()

    def _show(self) -> None:
        """Renew the words around the changes."""
        marked = plural(len(self._rows.marked), "marked caption")
        where = marked if self._over_marked else "this caption"
        options = (
            f"f6 {'regular expression' if self._regex else 'plain text'} · "
            f"f7 {'case matters' if self._case else 'any case'} · f8 in {where}"
        )
        self.query_one("#options", Static).update(Text(written(options)), layout=False)
        total = len(self._list.changes)
        clips = len({one.text for one in self._list.changes})
        count = (
            f"{total - len(self._list.refused):,} of {plural(total, 'change')} chosen "
            f"in {plural(clips, 'caption')}"
        )
        self.query_one("#count", Static).update(Text(count if total else ""), layout=False)


def _short(text: str) -> str:
    """Return text on one line."""
    return visible(text.replace("\n", written("⏎")))

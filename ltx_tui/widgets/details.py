"""All that is known of the clip in hand: its media, its bucket, how its outputs stand."""

from __future__ import annotations

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from ltx_tui.clips.detail_lines import Detail, details
from ltx_tui.clips.store import Changes, Store
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.host import workbench_of
from ltx_tui.widgets.board import Board, Item, wrapped

_WIDEST_HEAD = 18


class Details(Commanded, Board):
    """The lines; they scroll where there is no room for all of them."""

    SCOPE = "details"
    DEFAULT_CSS = """
    Details { height: auto; max-height: 100%; }
    """

    def __init__(self, store: Store, *, how: Signs | None = None, id: str | None = None) -> None:  # noqa: A002
        """Show no clip yet.

        Args:
            store: The clips.
            how: The signs; by default what the terminal can write.
            id: Of the widget.
        """
        super().__init__(has_cursor=False, id=id)
        self.store = store
        self.how = how or signs()
        self.clip = ""

    def on_mount(self) -> None:
        """Begin to listen."""
        super().on_mount()
        self._end = self.store.subscribe(self._changed)
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._draw())

    def on_unmount(self) -> None:
        """Stop listening."""
        self._end()

    def on_resize(self) -> None:
        """Wrap the lines anew."""
        self._draw()

    def show_clip(self, name: str) -> None:
        """Show a clip, from its first line; an empty name shows none."""
        if name != self.clip:
            self.clip = name
            self.scroll_to(y=0, animate=False, immediate=True)
            self._draw()

    def _changed(self, changes: Changes) -> None:
        if self.is_mounted and (changes is None or self.clip in changes):
            self._draw()

    def _draw(self) -> None:
        if self.room:
            self.show(self._items(self.room))

    def _details(self) -> list[Detail]:
        index = self.store.find(self.clip)
        if index is None:
            return []
        store = self.store
        row = store.get(index)
        found = store.findings.get(row.name, ())
        return details(row, store.project, store.overview.outlooks, self.how, found)

    def _items(self, width: int) -> list[Item]:
        lines = self._details()
        head = min(_WIDEST_HEAD, max((cell_len(one.head) for one in lines), default=0))
        # Where it is narrow the text begins below its head.
        indent = head + 2 if width >= 3 * head else 2
        items = []
        for one in lines:
            items += self._wrapped(one, width, indent)
        return [Item(text) for text in items]

    def _wrapped(self, one: Detail, width: int, indent: int) -> list[Text]:
        sign, role = one.sign
        body = Style(dim=True) if one.is_quiet else Style()
        texts = []
        first = one.head
        if first and cell_len(first) + 1 > indent:
            texts.append(Text(first, Style(dim=True)))
            first = ""
        for number, line in enumerate(wrapped(one.text, max(8, width - indent - cell_len(sign)))):
            text = Text(first.ljust(indent) if not number else " " * indent)
            text.stylize(style(self.app, role) if role and not sign else Style(dim=True))
            text.append(
                sign if not number else " " * cell_len(sign), style(self.app, role or "foreground")
            )
            texts.append(text.append(line, body))
        return texts

    async def do_copy(self) -> None:
        """Copy all of it."""
        lines = [f"{one.head.ljust(_WIDEST_HEAD)} {one.text}".rstrip() for one in self._details()]
        if lines:
            await workbench_of(self).copy("\n".join(lines))

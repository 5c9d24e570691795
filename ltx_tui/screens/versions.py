"""The versions of a caption: how it came to be what it is, and the way back."""

from __future__ import annotations

import time

from rich.console import RenderableType
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from engine.dataset.versions import Version
from engine.errors import LtxError
from engine.text import plural, visible
from ltx_tui.captions.docs import Doc, Told
from ltx_tui.captions.editing import Captions
from ltx_tui.captions.status import ago, written
from ltx_tui.commands.registry import Commanded
from ltx_tui.screens.diff_text import beside, diff_text, stacked
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.lines import Lines

_WHEN, _KIND = 14, 10
# From so many columns on two texts stand beside each other.
_WIDE = 100


class _Versions(Lines):
    """The versions, the newest first."""

    def __init__(self, doc: Doc) -> None:
        super().__init__(id="versions")
        self.versions: list[Version] = []
        self.pinned = 0
        self._doc = doc

    def count(self) -> int:
        """Return how many there are, or one line that says that there are none."""
        return len(self.versions) or 1

    def can_choose(self, index: int) -> bool:
        """Whether there is a version."""
        return index < len(self.versions)

    def text(self, index: int, width: int) -> Text:
        """Return a version: when, how it came about, its first words."""
        if not self.versions:
            return Text(
                " no versions yet: the first is kept with the first change", Style(dim=True)
            )
        one = self.versions[index]
        now = written("now · ") if one.text == self._doc.text else ""
        when = ago(time.time() - one.made)
        sign = written("●") if one.id == self.pinned else " "
        words = " ".join(visible(one.text, keep="\n").split())
        line = Text.assemble(
            f"{sign}{when:<{_WHEN}}",
            (f"{one.kind:<{_KIND}} ", Style(bold=True)),
            (now, Style(italic=True)),
            words or "empty",
        )
        line.truncate(width, overflow="ellipsis")
        return line


class VersionsScreen(Commanded, Screen[None]):
    """Versions above; below, the chosen one compared with the caption or with another version."""

    SCOPE = "versions"
    AUTO_FOCUS = "#versions"
    DEFAULT_CSS = """
    VersionsScreen {
        .title { height: 1; background: $panel; padding: 0 1; text-style: bold; }
        #versions { height: 2fr; }
        #difference { height: 3fr; padding: 0 1; background: $surface; }
    }
    """

    def __init__(self, captions: Captions, doc: Doc) -> None:
        super().__init__()
        self._captions = captions
        self._doc = doc
        self._list = _Versions(doc)
        self._shown = 0
        self._has_two: bool | None = None  # until it is chosen, the width decides

    def compose(self) -> ComposeResult:
        """Yield title, versions, difference."""
        yield Static(Text(f"Versions of {visible(self._doc.key.name)}"), classes="title")
        yield self._list
        yield Static("What restoring it would change", classes="title", id="what", markup=False)
        with VerticalScroll(id="difference", can_focus=False):
            yield Static(id="text", markup=False)
        yield Footer()

    async def on_mount(self) -> None:
        """Read the versions; what was just typed becomes one."""
        self._unsubscribe = self._captions.subscribe(self._hear)
        await self._read()
        self._captions.save_soon(0)

    def on_unmount(self) -> None:
        """Listen no more."""
        self._unsubscribe()

    async def _read(self) -> None:
        before = self._chosen
        try:
            versions = await self._captions.versions(self._doc.key)
        except LtxError as error:
            self.app.notify(visible(str(error)), severity="error")
            return
        here = self._list
        here.versions = versions
        at = next((n for n, one in enumerate(versions) if before and one.id == before.id), 0)
        here.move_to(at)
        here.renew()
        self._show()

    def _hear(self, told: Told) -> None:
        """Read them again where another may have come."""
        if told.key == self._doc.key and told.what in ("state", "text"):
            self.call_later(self._read)

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Show what another version would change."""
        event.stop()
        self._show()

    def on_resize(self) -> None:
        """Show both texts as there is room for them."""
        self._show()

    @property
    def _chosen(self) -> Version | None:
        versions = self._list.versions
        return versions[self._list.cursor] if self._list.cursor < len(versions) else None

    def _show(self) -> None:
        one = self._chosen
        if one is None:
            self.query_one("#text", Static).update(Text(visible(self._doc.text, keep="\n")))
            return
        pinned = self._pinned
        old = pinned.text if pinned is not None else self._doc.text
        heads = (_head(pinned), _head(one))
        title = f"{plural(len(self._list.versions), 'version')} · "
        if old == one.text and self._has_two is not True:
            title += "the caption as it is now" if pinned is None else "both read the same"
        elif pinned is not None or self._is_two:
            title += " → ".join(heads)
        else:
            title += "what restoring it would change"
        self.query_one("#what", Static).update(Text(written(title)), layout=False)
        text: RenderableType = diff_text(self.app, old, one.text)
        if self._is_two:
            text = (beside if self._is_wide else stacked)(self.app, old, one.text, heads)
        self.query_one("#text", Static).update(text)
        if one.id != self._shown:
            self.query_one("#difference", VerticalScroll).scroll_home(animate=False)
        self._shown = one.id

    @property
    def _pinned(self) -> Version | None:
        """What the chosen version is compared with; None for the caption as it is."""
        here = self._list
        return next((one for one in here.versions if one.id == here.pinned), None)

    @property
    def _is_wide(self) -> bool:
        return self.app.size.width >= _WIDE

    @property
    def _is_two(self) -> bool:
        """Whether both texts are shown, rather than what goes and comes in one."""
        return self._is_wide if self._has_two is None else self._has_two

    def do_close(self) -> None:
        """Go back."""
        self.dismiss()

    def do_restore(self) -> None:
        """Bring the chosen version back."""
        one = self._chosen
        if one is not None and one.text != self._doc.text:
            self._captions.restore(self._doc, one.text)
            self.app.notify(f"the {one.kind} version is back; ctrl+z undoes it")
        self.dismiss()

    def do_down(self) -> None:
        """Choose the older version."""
        self._list.move(1)

    def do_up(self) -> None:
        """Choose the newer version."""
        self._list.move(-1)

    def do_pin(self) -> None:
        """Compare the others with this one; again: with the caption as it is."""
        one, here = self._chosen, self._list
        if one is not None:
            here.pinned = 0 if one.id == here.pinned else one.id
            here.renew()
            self._show()

    def do_view(self) -> None:
        """Show both texts, or what goes and comes in one."""
        self._has_two = not self._is_two
        self._show()

    def do_page_down(self) -> None:
        """Scroll the text down."""
        self.query_one("#difference", VerticalScroll).scroll_page_down(animate=False)

    def do_page_up(self) -> None:
        """Scroll the text up."""
        self.query_one("#difference", VerticalScroll).scroll_page_up(animate=False)


def _head(version: Version | None) -> str:
    """Return what a text is called: a version, or the caption as it is."""
    if version is None:
        return "as it is now"
    return f"{version.kind}, {ago(time.time() - version.made)}"

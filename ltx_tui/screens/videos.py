"""The videos that can be cut into scenes: choosing, looking at several, cutting them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from engine.errors import LtxError
from engine.media.scene_options import VIDEO_SUFFIXES
from engine.project import Project
from engine.text import plural, visible
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.frames.words import joined
from ltx_tui.host import focus_now, workbench_of
from ltx_tui.scenes.book import SceneBook
from ltx_tui.scenes.shelf import name_of
from ltx_tui.scenes.state import VideoScenes
from ltx_tui.screens.list_keys import PAGE_KEYS, ListKeys
from ltx_tui.screens.scene_asking import SceneAsking
from ltx_tui.widgets.board import Board, Item, fault_lines, hanging
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.lines import Lines
from ltx_tui.widgets.path_suggester import PathSuggester
from ltx_tui.widgets.scene_lines import about_video, video_line
from ltx_tui.widgets.words import Words


class _Videos(Lines):
    """A line a video."""

    def __init__(self, book: SceneBook, how: Signs) -> None:
        super().__init__(id="videos")
        self.book, self.how = book, how

    def count(self) -> int:
        """Return how many there are; lines that say why there is none otherwise."""
        return len(self.book.videos) or len(self._empty())

    def can_choose(self, index: int) -> bool:
        """Whether there is a video."""
        return index < len(self.book.videos)

    def text(self, index: int, width: int) -> Text:
        """Return the line of a video."""
        if not self.book.videos:
            return self._empty()[index]
        video = self.book.videos[index]
        name = name_of(video, self.book.project.root)
        return video_line(video, name, width, partial(style, self.app), self.how)

    def _empty(self) -> list[Text]:
        """Return why there is nothing in the list."""
        book, width = self.book, max(20, self.size.width - 2)
        if book.fault is not None:
            headline, remedy = visible(book.fault.headline), visible(book.fault.remedy)
            return fault_lines(headline, remedy, width, style(self.app, "error"), self.how, " ")
        if book.is_listing:
            return [Text(" reading the folder", Style(dim=True))]
        words = (
            f"No video to cut in {visible(book.project.root)}.",
            "Pieces that were cut before, references, proxies and outputs are not listed.",
            "o adds a video or a folder from elsewhere; f5 reads the folder again.",
        )
        return [Text(line) for one in words for line in hanging(" ", one, width)]

    @property
    def chosen(self) -> VideoScenes | None:
        """The video under the cursor."""
        return self.book.videos[self.cursor] if self.can_choose(self.cursor) else None


class VideosScreen(ListKeys, SceneAsking):
    """The list, and what is known of the video under the cursor."""

    SCOPE = "videos"
    AUTO_FOCUS = "#videos"
    DEFAULT_CSS = """
    VideosScreen {
        #videos { height: 1fr; width: 1fr; }
        #about { height: 5; padding: 0 1; background: $surface; }
        #path { display: none; border: none; height: 1; padding: 0 1; background: $panel; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*PAGE_KEYS]

    def __init__(self, book: SceneBook, *, how: Signs | None = None) -> None:
        """Show what is known.

        Args:
            book: The videos.
            how: The signs; by default what the terminal can write.
        """
        super().__init__()
        self.book = book
        self.how = how or signs()
        self.list = _Videos(book, self.how)
        self._title = Words(id="title", classes="title")
        self._about = Board(has_cursor=False, id="about")
        self._about.can_focus = False

    def compose(self) -> ComposeResult:
        """Yield the list, the video in hand, a line to type in."""
        yield self._title
        yield self.list
        yield self._about
        yield Input(
            placeholder="a video or a folder; → completes",
            suggester=PathSuggester(self.book.project.root, VIDEO_SUFFIXES),
            id="path",
            compact=True,
        )
        yield Footer()

    def on_mount(self) -> None:
        """Read the folder."""
        self.query_one(Input).cursor_blink = False  # it would send bytes for ever
        self.hear_book()
        self.book.start(self.book.load)
        self.call_after_refresh(self.draw)

    def on_unmount(self) -> None:
        """Listen no more."""
        self.leave_book()

    def on_resize(self) -> None:
        """Draw for another size."""
        self.call_after_refresh(self.draw)

    def on_screen_resume(self) -> None:
        """Show what was chosen in the screen that was over this one."""
        self.call_after_refresh(self.draw)

    def use_project(self, project: Project) -> None:
        """Take other settings of the same project."""
        self.book.use(project)

    # Drawing

    def draw(self) -> None:
        """Draw everything that differs."""
        if self.is_mounted:
            self.list.renew()
            self.list.move_to(self.list.cursor)
            self.draw_progress()

    def draw_progress(self) -> None:
        """Draw how far it is."""
        self.list.renew()
        videos = self.book.videos
        picked = sum(one.is_picked for one in videos)
        parts = [
            f"Scenes  {visible(self.book.project.root.name)}",
            plural(len(videos), "video") if videos else "",
            f"{picked:,} chosen" if picked else "",
            "stored choices cannot be kept" if videos and self.book.fault is not None else "",
        ]
        line = joined(parts, self.app.size.width - 20, self.how)
        self._title.say(Text(line, Style(bold=True)), self.standing_words())
        self._draw_about()

    def _draw_about(self) -> None:
        width, video = self._about.room, self.list.chosen
        if width and video is not None:
            lines = about_video(video, width, partial(style, self.app), self.how)
            if self.book.fault is not None:
                words = visible(self.book.fault.headline)
                lines[1:1] = [Text(one) for one in hanging(f"{self.how.warning} ", words, width)]
            self._about.show([Item(line) for line in lines])
        elif width:
            self._about.show([])

    def on_lines_moved(self) -> None:
        """Say all about the video that was chosen."""
        self._draw_about()

    def on_lines_picked(self) -> None:
        """Open the video that was clicked twice."""
        self.do_open()

    # Commands

    def do_close(self) -> None:
        """Go back: out of the line, then to the clips."""
        path = self.query_one(Input)
        if path.display:
            self._close_line()
            return
        self.say_what_goes_on()
        self.dismiss(None)

    def do_down(self) -> None:
        """Go to the next video."""
        self.list.move(1)

    def do_up(self) -> None:
        """Go to the video before."""
        self.list.move(-1)

    def _in_hand(self) -> list[VideoScenes]:
        """Return the chosen videos, or the one under the cursor."""
        picked = [one for one in self.book.videos if one.is_picked]
        one = self.list.chosen
        if picked or one is None:
            if not picked:
                self.notify("there is no video: o adds one", severity="warning", timeout=3)
            return picked
        return [one]

    def do_open(self) -> None:
        """Show the scenes of the video under the cursor."""
        from ltx_tui.screens.scenes import ScenesScreen

        one = self.list.chosen
        if one is None:
            self._in_hand()
            return

        def ended(_result: object) -> None:
            if shown.video in self.book.videos:
                self.list.move_to(self.book.videos.index(shown.video))

        shown = ScenesScreen(self.book, one, how=self.how)
        self.app.push_screen(shown, ended)

    def do_pick(self) -> None:
        """Choose the video, or not; go on to the next."""
        one = self.list.chosen
        if one is not None:
            one.is_picked = not one.is_picked
            self.draw()
            self.list.move(1)

    def do_pick_all(self) -> None:
        """Choose all videos."""
        self._pick(is_picked=True)

    def do_pick_none(self) -> None:
        """Choose no video."""
        self._pick(is_picked=False)

    def _pick(self, *, is_picked: bool) -> None:
        for one in self.book.videos:
            one.is_picked = is_picked
        self.draw()

    def do_find(self) -> None:
        """Find scenes."""
        videos = self._in_hand()
        waiting = [one for one in videos if not one.is_known]
        for one in waiting:
            self.book.look_anew(one)
        if videos and not waiting:
            self.notify("the scenes are known: enter shows them", timeout=3)

    def do_cut(self) -> None:
        """Cut videos."""
        videos = self._in_hand()
        if videos:
            self.ask_to_cut(videos)

    def do_stop(self) -> None:
        """Stop cutting or looking."""
        self.stop_work()

    def do_look(self) -> None:
        """Read the folder again."""
        self.book.start(self.book.load)

    # A path

    def do_path(self) -> None:
        """Ask for a path."""
        line = self.query_one(Input)
        line.display = True
        focus_now(line)

    def _close_line(self) -> None:
        line = self.query_one(Input)
        line.display, line.value = False, ""
        focus_now(self.list)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Add what was typed."""
        if not event.value.strip():
            self._close_line()
            return
        try:
            added = await self.book.add(Path(event.value.strip()))
        except LtxError as error:
            workbench_of(self).complain(error)  # what was typed stays, to be mended
            return
        self._close_line()
        for one in added:
            one.is_picked = len(added) > 1 or one.is_picked
        self.draw()
        self.list.move_to(self.book.videos.index(added[0]))

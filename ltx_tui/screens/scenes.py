"""The scenes of a video: scores and cuts, the ends of each; joining, splitting, cutting."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input

from engine.errors import UsageError
from engine.media.scene_types import Found
from engine.project import Project
from engine.scenes.choices import Choices, Scene
from engine.text import visible
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.frames.words import joined
from ltx_tui.scenes.book import SceneBook
from ltx_tui.scenes.score_plot import View
from ltx_tui.scenes.state import VideoScenes
from ltx_tui.screens.list_keys import PAGE_KEYS, ListKeys
from ltx_tui.screens.scene_pictures import Pair
from ltx_tui.screens.scene_settings import SceneSettings
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.frame_strip import FrameStrip
from ltx_tui.widgets.lines import Lines
from ltx_tui.widgets.scene_lines import clock, count_words, scene_heading, settings_words, standing
from ltx_tui.widgets.scene_list import SceneList
from ltx_tui.widgets.score_curve import ScoreCurve
from ltx_tui.widgets.words import Words

# From so many lines on the curve is higher.
_TALL = 36
# How much more than a scene is seen where one zooms to it, of its length, and in frames.
_AROUND, _LEAST_AROUND = 0.25, 12


class ScenesScreen(ListKeys, SceneSettings):
    """The scenes of one video."""

    SCOPE = "scenes"
    AUTO_FOCUS = "#scenes"
    DEFAULT_CSS = """
    ScenesScreen {
        #curve { height: 8; }
        &.-tall #curve { height: 13; }
        #body { height: 1fr; }
        #left { width: 1fr; }
        #strip { width: 36%; }
        #heading { height: 1; }
        #scenes { height: 1fr; width: 1fr; }
        #value { display: none; border: none; height: 1; padding: 0 1; background: $panel; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*PAGE_KEYS]

    def __init__(self, book: SceneBook, video: VideoScenes, *, how: Signs | None = None) -> None:
        """Show what is known.

        Args:
            book: The videos.
            video: The one to show.
            how: The signs; by default what the terminal can write.
        """
        self.how = how or signs()
        super().__init__(FrameStrip(how=self.how, id="strip"))
        self.book, self.video = book, video
        self.strip.can_focus = False
        # The frame that a split would begin at; None while scenes are gone through.
        self.frame: int | None = None
        self._is_near = False
        self.list = SceneList(lambda: self.video, how=self.how)
        self._title = Words(id="title", classes="title")
        self._settings = Words(id="settings")
        self._curve = ScoreCurve(how=self.how)
        self._heading = Words(id="heading")

    def compose(self) -> ComposeResult:
        """Yield what is chosen, the curve, the scenes, two pictures, a line to type in."""
        yield self._title
        yield self._settings
        yield self._curve
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield self._heading
                yield self.list
            yield self.strip
        yield Input(id="value", compact=True)
        yield Footer()

    @property
    def home(self) -> Widget:
        """What has the focus while nothing is typed."""
        return self.list

    @property
    def _moved(self) -> Lines:
        """The list that keys move through."""
        return self.list

    # Beginning and end

    def on_mount(self) -> None:
        """Look at the video."""
        self.query_one(Input).cursor_blink = False  # it would send bytes for ever
        self.set_class(self.app.size.height >= _TALL, "-tall")
        self.hear_book()
        self.book.look(self.video)
        self.call_after_refresh(self.draw)

    async def on_unmount(self) -> None:
        """Listen no more, and end what reads frames."""
        self.leave_book()
        await self.close_pictures()

    def on_resize(self) -> None:
        """Draw for another size."""
        self.set_class(self.app.size.height >= _TALL, "-tall")
        self.call_after_refresh(self._draw_anew)

    def _draw_anew(self) -> None:
        self.draw()
        self.show_pictures(anew=True)

    def use_project(self, project: Project) -> None:
        """Take other settings of the same project."""
        self.book.use(project)

    # Drawing

    @property
    def scene(self) -> Scene | None:
        """The scene in hand."""
        scenes = self.video.scenes
        return scenes[min(self.list.cursor, len(scenes) - 1)] if scenes else None

    @property
    def view(self) -> View:
        """The frames that the curve shows."""
        video, scene = self.video, self.scene
        if video.found is None:
            progress = video.progress
            rows = video.choices.finding.skip_start + len(video.scores)
            return View(0, max(rows, progress.total if progress is not None else 0, 1))
        if not self._is_near or scene is None:
            return View(video.found.span.first, video.found.span.end)
        around = max(_LEAST_AROUND, round(_AROUND * scene.whole.frames))
        return View(
            max(video.found.span.first, scene.whole.first - around),
            min(video.found.span.end, scene.whole.end + around),
        )

    def draw(self) -> None:
        """Draw everything that differs."""
        if not self.is_mounted:
            return
        self.list.renew()
        self.list.move_to(self.list.cursor)
        self.draw_progress()
        self._heading.say(scene_heading(self._heading.size.width))
        self.show_pictures()

    def draw_progress(self) -> None:
        """Draw the lines at the top, and the curve."""
        video, width = self.video, self.app.size.width
        name = visible(video.path.name)
        counts = count_words(video) if video.scenes else []
        word, _ = standing(video, self.how)
        is_busy = video.progress is not None or video.is_waiting
        end = word if is_busy else self.standing_words()
        line = joined([name, *counts, self._where()], width - len(end) - 4, self.how)
        self._title.say(Text(line, Style(bold=True)), end)
        words = [self.hint] if self.hint else [*settings_words(video.choices), *self._edits()]
        said = joined([*words, self._cursor_words()], width - 2, self.how)
        self._settings.say(Text(said, style(self.app, "primary")))
        self._curve.draw(video, self.view, self.list.cursor, self.frame)

    def _where(self) -> str:
        """Return which of the videos this is."""
        videos = self._round()
        if len(videos) < 2:
            return ""
        return f"video {videos.index(self.video) + 1:,} of {len(videos):,}"

    def _edits(self) -> list[str]:
        """Return what was changed by hand."""
        choices = self.video.choices
        counts = (
            (len(choices.joined), "joined"),
            (len(choices.split), "split"),
            (len(choices.dropped), "left out"),
        )
        return [f"{count:,} {word}" for count, word in counts if count]

    def _cursor_words(self) -> str:
        if self.frame is None:
            return ""
        return f"frame {self.frame:,} at {clock(self.video.seconds(self.frame), digits=2)}"

    def pair(self) -> Pair | None:
        """Return the ends of the scene, or the frames before and at the cursor."""
        scene = self.scene
        if scene is None:
            return None
        if self.frame is not None:
            return Pair(
                (max(0, self.frame - 1), self.frame),
                (self._labels("ends", self.frame - 1), self._labels("begins", self.frame)),
            )
        first, last = scene.part.first, scene.part.end - 1
        return Pair((first, last), (self._labels("first", first), self._labels("last", last)))

    def _labels(self, word: str, frame: int) -> tuple[str, ...]:
        at = clock(self.video.seconds(frame), digits=2)
        return f"{word} {frame:,} · {at}", f"{word} {frame:,}", f"{frame:,}"

    # Moving through scenes

    def on_lines_moved(self) -> None:
        """Show the ends of the scene that was chosen."""
        scene = self.scene
        if scene is not None and self.frame is not None and not scene.has(self.frame):
            self.frame = None
        self.draw_progress()
        self.show_pictures()

    def on_lines_picked(self) -> None:
        """Zoom to the scene that was clicked twice."""
        self.do_zoom()

    def do_down(self) -> None:
        """Go to the next scene."""
        self.list.move(1)

    def do_up(self) -> None:
        """Go to the scene before."""
        self.list.move(-1)

    def do_zoom(self) -> None:
        """See the scene in hand alone in the curve, or all."""
        self._is_near = not self._is_near
        self.draw_progress()

    # The cursor

    def do_frame_on(self) -> None:
        """Go to the next frame."""
        self._step(1)

    def do_frame_back(self) -> None:
        """Go to the frame before."""
        self._step(-1)

    def do_second_on(self) -> None:
        """Go on a second."""
        self._step(self._second)

    def do_second_back(self) -> None:
        """Go back a second."""
        self._step(-self._second)

    @property
    def _second(self) -> int:
        found = self.video.found
        return max(1, round(found.fps)) if found is not None else 1

    def _step(self, by: int) -> None:
        found, scene = self._known()
        if self.frame is None:
            # The first key shows where the cursor is.
            self.frame = scene.whole.first if by > 0 else scene.whole.end - 1
        frame = self.frame + by
        self.frame = max(found.span.first, min(found.span.end - 1, frame))
        self.list.move_to(self.video.scene_at(self.frame))
        self.draw_progress()
        self.show_pictures()

    def _known(self) -> tuple[Found, Scene]:
        """Return what is known of the video.

        Raises:
            UsageError: Nothing is yet.
        """
        scene, found = self.scene, self.video.found
        if scene is None or found is None:
            raise UsageError("the scenes are not found yet", remedy="wait for it, or press f5")
        return found, scene

    # Choosing

    def change(self, choices: Choices) -> None:
        """Take other choices; the cursor stays near to where it was."""
        scene = self.scene
        at = self.frame if self.frame is not None else scene.whole.first if scene else None
        self.book.change(self.video, choices)
        if at is not None and self.video.scenes:
            self.list.move_to(self.video.scene_at(at))

    def do_turn(self) -> None:
        """Leave the scene out, or keep it."""
        _, scene = self._known()
        self.change(self.video.choices.turned(scene))
        self.list.move(1)

    def do_join(self) -> None:
        """Join the scene with the next one."""
        _, scene = self._known()
        if scene.number == len(self.video.scenes):
            raise UsageError("there is no next scene", remedy="go to the one before it")
        video = self.video
        self.change(video.choices.join_at(scene.whole.end, video.detected))

    def do_split(self) -> None:
        """Split the scene at the cursor."""
        self._known()
        if self.frame is None:
            raise UsageError("there is no frame to split at", remedy="→ and ← go through frames")
        video = self.video
        self.change(video.choices.split_at(self.frame, video.scenes, video.detected))

    def do_undo(self) -> None:
        """Take the last change back."""
        if not self.book.undo(self.video):
            self.notify("nothing to take back", timeout=2)

    def do_reset(self) -> None:
        """Forget what was joined, split and left out."""
        if self.video.choices.has_edits:
            self.change(self.video.choices.without_edits())
            self.notify("the detector's scenes; u brings yours back", timeout=4)

    # The rest

    def do_close(self) -> None:
        """Go back: out of the line, then from frames to scenes, then to the videos."""
        if self.close_line():
            return
        if self.frame is not None:
            self.frame = None
            self.draw_progress()
            self.show_pictures()
            return
        self.dismiss(None)

    def do_cut(self) -> None:
        """Cut this video."""
        self.ask_to_cut([self.video])

    def do_stop(self) -> None:
        """Stop cutting or looking."""
        self.stop_work()

    def do_look(self) -> None:
        """Find the scenes again."""
        self.book.look_anew(self.video)

    def _round(self) -> list[VideoScenes]:
        """Return the videos that are gone through: the chosen ones, else all."""
        picked = [one for one in self.book.videos if one.is_picked]
        found = picked if self.video in picked else self.book.videos
        return found if self.video in found else [self.video]

    def do_next_video(self) -> None:
        """Go to the next video."""
        self._go(1)

    def do_previous_video(self) -> None:
        """Go to the video before."""
        self._go(-1)

    def _go(self, by: int) -> None:
        videos = self._round()
        at = videos.index(self.video) + by
        if not 0 <= at < len(videos):
            self.notify("no more videos", timeout=2)
            return
        self.video, self.frame, self._is_near = videos[at], None, False
        self.book.look(self.video)
        self.list.move_to(0)
        self._draw_anew()

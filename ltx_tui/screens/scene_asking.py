"""What the screens of videos and scenes share: listening, and asking before pieces are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from textual.screen import Screen

from engine.project import Project
from engine.scenes.settings import cutting_of
from engine.text import listed, plural, visible
from ltx_tui.commands.registry import Commanded
from ltx_tui.scenes.book import SceneBook
from ltx_tui.scenes.shelf import Told
from ltx_tui.scenes.state import VideoScenes
from ltx_tui.screens.confirm import Confirm

# Seconds between two pictures of how far it is.
_TICK = 0.5


class SceneAsking(Commanded, Screen[None]):
    """Draws what the book tells, and asks before it writes.

    Attributes:
        book: The videos.
    """

    book: SceneBook
    _end: Callable[[], None] | None = None
    _is_due = False

    def draw(self) -> None:
        """Draw everything that differs."""
        raise NotImplementedError

    def draw_progress(self) -> None:
        """Draw how far it is."""
        raise NotImplementedError

    def hear_book(self) -> None:
        """Follow the book from now on."""
        self._end = self.book.subscribe(self._told)
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.draw())
        self.set_interval(_TICK, self._tick)

    def leave_book(self) -> None:
        """Follow it no more."""
        if self._end is not None:
            self._end()

    def _told(self, what: Told) -> None:
        if not self.is_mounted:
            return
        if what == "progress":
            self._is_due = True
        elif what in ("video", "videos"):
            self.draw()

    def _tick(self) -> None:
        if self._is_due:
            self._is_due = False
            self.draw_progress()

    def standing_words(self) -> str:
        """Return how far cutting is; empty where nothing is cut."""
        cutting = self.book.cutting
        if cutting is None:
            return "reading the folder" if self.book.is_listing else ""
        if cutting.is_stopping:
            return "stopping at the next frame"
        done, wanted = cutting.done
        return f"cutting: {done:,} of {plural(wanted, 'piece')}" if wanted else "looking, then cut"

    def ask_to_cut(self, videos: Sequence[VideoScenes]) -> None:
        """Say what would be written, and write it if that is wanted."""
        if self.book.cutting is not None:
            self.notify("pieces are being written: x stops that", severity="warning", timeout=4)
            return

        def answered(is_wanted: bool | None) -> None:
            if is_wanted:
                self.book.cut(videos)

        names = listed([visible(one.path.name) for one in videos], 2)
        lines = cut_lines(self.book.project, videos, self.book.clips_among(videos))
        self.app.push_screen(Confirm(f"Cut {names}", lines, does="cut"), answered)

    def stop_work(self) -> None:
        """Stop cutting, or else looking."""
        self.notify(self.book.stop() or "nothing is being done", timeout=3)

    def say_what_goes_on(self) -> None:
        """Tell somebody who leaves what goes on without them."""
        if self.book.cutting is not None:
            words = "cutting goes on; what comes of it is told, and the pieces come into the list"
            self.notify(words, timeout=5)
        elif any(one.progress is not None or one.is_waiting for one in self.book.videos):
            self.notify("looking goes on: X shows it again", timeout=4)


def cut_lines(project: Project, videos: Sequence[VideoScenes], clips: int = 0) -> list[str]:
    """Return what cutting some videos would do, a sentence each; `clips` of them have rows."""
    unknown = sum(not one.is_known for one in videos)
    pieces = sum(len(one.kept) for one in videos if one.is_known)
    cutting = cutting_of(project.scenes)
    how = "copied packets" if cutting.copy else f"H.264, crf {cutting.crf}, {cutting.preset}"
    sound = "with sound" if cutting.audio else "without sound"
    what = plural(pieces, "piece") if pieces or not unknown else "the pieces"
    first = f"{videos[0].path.stem}-Scene-001.mp4" if len(videos) == 1 else "NAME-Scene-001.mp4"
    lines = []
    if unknown:
        more = " as well" if pieces else ""
        lines.append(f"find the scenes of {plural(unknown, 'video')} first, and cut them{more}")
    lines += [
        f"write {what} into {_shown(project.scenes_dir, project.root)} ({how}, {sound}) "
        f"as {first} and so on; those that are there already stay",
        "remove pieces that earlier choices made of these videos and that are not wanted any more",
        f"give each piece a row without a caption in {project.dataset_path.name}; "
        "other rows stay as they are, and so does the video",
    ]
    if clips:
        whose = "the video is a clip itself, and its row stays"
        if len(videos) > 1:
            whose = plural(
                clips, "video is a clip as well, whose row stays",
                "videos are clips as well, whose rows stay",
            )  # fmt: skip
        out = "takes it" if clips == 1 else "takes them"
        lines.append(f"{whose}: d in the clip list {out} out of the dataset")
    return lines


def _shown(folder: Path, root: Path) -> str:
    try:
        return f"{folder.relative_to(root).as_posix()}/"
    except ValueError:
        return f"{folder}/"

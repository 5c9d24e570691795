"""Who tells whom in the workbench, and the commands that are about all of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.worker import Worker, WorkerError

from engine.errors import LtxError
from engine.overview.types import CaptionState
from engine.project import Project, load_project
from engine.text import plural
from ltx_tui.clips.filter_types import FilterError
from ltx_tui.drawing.signs import signs
from ltx_tui.host import workbench_of
from ltx_tui.screens.caption_news import CaptionNews
from ltx_tui.screens.clip_taker import ClipTaker
from ltx_tui.screens.doctor_news import DoctorNews
from ltx_tui.screens.scene_news import SceneNews
from ltx_tui.state import State
from ltx_tui.widgets.clip_list import ClipList
from ltx_tui.widgets.details import Details
from ltx_tui.widgets.tabs import TabLine
from ltx_tui.widgets.topbar import TopBar
from ltx_tui.worker.standing import history_words, memory_words, worker_words

if TYPE_CHECKING:
    from ltx_tui.clips.store import Changes as StoreChanges
    from ltx_tui.widgets.buckets import Buckets
    from ltx_tui.widgets.caption_editor import CaptionEditor
    from ltx_tui.widgets.caption_pane import CaptionPane
    from ltx_tui.widgets.jobs import JobLine, Jobs
    from ltx_tui.worker.watch import Changes as WorkerChanges

# Seconds between two words on how far the media are looked at.
_SCAN_EVERY = 0.5


class Wires(DoctorNews, CaptionNews, SceneNews, ClipTaker):
    """The panes of the workbench, and what passes between them.

    Attributes:
        details: What is known of the clip in hand.
        editor: Its caption; None until the first picture is there, as are those that follow.
    """

    details: Details
    editor: CaptionEditor | None = None
    buckets: Buckets | None = None
    jobs: Jobs | None = None
    job_line: JobLine | None = None
    farewell = ""
    _told = 0.0
    _showing: Worker[None] | None = None

    def show_pane(self, pane: str) -> None:
        """Show a pane, and give it the focus."""
        raise NotImplementedError

    def lay_out(self) -> None:
        """Show what is to be seen."""
        raise NotImplementedError

    # Beginning and end

    def restore(self, state: State) -> None:
        """Go where the user was."""
        self.clips.restore(
            clip=state.clip,
            text=state.filter,
            sort=state.sort,
            reverse=state.reverse,
            scroll=state.scroll,
        )

    def begin(self) -> None:
        """Listen to worker and clips, and look at the dataset again."""
        self.desk.store.subscribe(self._clips_changed)
        self.desk.watcher.subscribe(self._worker_changed)
        self.hear_doctor()
        self.hear_captions()
        self.run_worker(self.desk.begin(), group="desk")
        self._take_in_hand(self.clips.clip)

    async def finish(self) -> None:
        """Save all that was typed, and stop listening."""
        from ltx_tui import actions

        if self.editor is not None:
            self.editor.collect()
        self.farewell = actions.leaving(self.desk.watcher)
        if self.desk.is_cutting:
            words = "cutting scenes was stopped; X, then c, goes on from there"
            self.farewell = f"{self.farewell}\n{words}".strip()
        await self.desk.close()

    def use_project(self, project: Project) -> None:
        """Take other settings of the same project from now on."""
        before = self.desk.project
        self.run_worker(self.desk.use(project), group="desk")
        self.tell_standing()
        if self.buckets is not None:
            self.buckets.use(project)
        if self.editor is not None and _of_editor(before) != _of_editor(project):
            self.run_worker(self._renew_editor(), group="editor")

    async def _renew_editor(self) -> None:
        from ltx_tui.widgets.caption_editor import CaptionEditor

        old, self.editor = self.editor, CaptionEditor(self.desk.captions, self.desk.store)
        if old is not None:
            old.collect()
            await old.remove()
        await self.query_one("#caption-frame").mount(self.editor)
        self._take_in_hand(self.clips.clip)

    # What is told in the first lines

    def tell_standing(self) -> None:
        """Say which project this is, and how its clips stand."""
        store, project = self.desk.store, self.desk.project
        note = ""
        if store.scanned is not None:
            note = "looking at clips {:,}/{:,}".format(*store.scanned)
        elif store.is_loading and not len(store):
            note = "reading the dataset"
        self.query_one(TopBar).show(
            project=project.root.name,
            dataset=project.dataset_path.name,
            clips=len(store) or None,
            problems=store.overview.remark_count,
            note=note,
        )

    @property
    def is_whole(self) -> bool:
        """Whether there is anything to draw on: at the end it is taken away piece by piece."""
        return self.is_mounted and bool(self.query(TopBar))

    def _clips_changed(self, changes: StoreChanges) -> None:
        now = time.monotonic()
        # No names: how far the media are looked at.
        is_due = changes is None or (not changes and now - self._told > _SCAN_EVERY)
        if is_due and self.is_whole:
            self._told = now
            self.tell_standing()

    def _worker_changed(self, changes: WorkerChanges) -> None:
        if not self.is_whole:
            return
        watcher, how = self.desk.watcher, signs()
        bar = self.query_one(TopBar)
        if changes - {"memory"}:
            sign, word, role = worker_words(watcher, how)
            bar.show(worker=(sign, word), role=role)
            self.lay_out()
        if "memory" in changes or "worker" in changes:
            is_here = watcher.worker.state == "here"
            bar.show(
                memory=memory_words(watcher.memory) if is_here else "",
                history=history_words(watcher.history, how) if is_here else "",
            )

    @property
    def has_job(self) -> bool:
        """Whether the line about the job has something to say."""
        watcher = self.desk.watcher
        job = watcher.job
        return watcher.worker.state == "fault" or (job is not None and not job.state.has_ended)

    def on_clip_list_headline(self, event: ClipList.Headline) -> None:
        """Say what is shown of the clips."""
        frame = self.query_one("#clips-frame")
        frame.border_subtitle = event.text.replace("[", r"\[")
        self.query_one(TabLine).say(event.text)

    # Clips

    def on_clip_list_selected(self, event: ClipList.Selected) -> None:
        """Show the clip in the other panes."""
        self._take_in_hand(event.name)

    def _take_in_hand(self, name: str) -> None:
        self.details.show_clip(name)
        if self.editor is not None:
            index = self.clips.rows.index
            key = self.desk.captions.key_of(index) if index is not None else ("",)
            # A coroutine that is replaced before it begins would complain of that.
            show = partial(self.editor.show, *key)
            self._showing = self.run_worker(show, group="show", exclusive=True)

    async def ready_for_keys(self) -> None:
        """Wait until the caption is there that the next key may change."""
        if self._showing is not None and self.editor is not None and self.editor.has_focus_within:
            with contextlib.suppress(WorkerError):
                await self._showing.wait()

    def on_clip_list_edit(self) -> None:
        """Go to the caption."""
        self.show_pane("caption")

    async def on_clip_list_reviewed(self, event: ClipList.Reviewed) -> None:
        """Mark captions as reviewed; where all are, take the marks away."""
        from engine.dataset.caption_db import Key  # SQLite is not needed for the first picture

        store = self.desk.store
        found = [store.find(name) for name in event.names]
        rows = [store.get(index) for index in found if index is not None]
        reviewed = any(row.caption_state is not CaptionState.REVIEWED for row in rows)
        try:
            await self.desk.captions.review([Key(r.name) for r in rows], reviewed=reviewed)
        except LtxError as error:
            workbench_of(self).complain(error)

    def on_clip_list_choose_bucket(self, event: ClipList.ChooseBucket) -> None:
        """Ask for a bucket of their own."""
        self.run_worker(self._choose_bucket(event.names), group="bucket", exclusive=True)

    async def _choose_bucket(self, names: tuple[str, ...]) -> None:
        from ltx_tui.widgets.buckets import choose_own_bucket

        project = await choose_own_bucket(self, self.desk.store, self.desk.project, names)
        if project is not None:
            workbench_of(self).use_project(project)

    def on_clip_list_run_marked(self, event: ClipList.RunMarked) -> None:
        """Run them."""
        from ltx_tui import actions

        self._perform(actions.run(self.desk.watcher, event.names))

    # The other panes

    def on_caption_pane_moved(self, event: CaptionPane.Moved) -> None:
        """Follow the editor to another clip."""
        self.clips.go_to(event.name)

    def on_caption_pane_left(self) -> None:
        """Go back to the clips."""
        self.show_pane("clips")

    def on_buckets_show_clips(self, event: Buckets.ShowClips) -> None:
        """Show the clips of a bucket."""
        try:
            self.desk.store.set_filter(event.filter)
        except FilterError as error:
            self.notify(str(error), severity="error")
            return
        self.show_pane("clips")

    def on_buckets_changed(self, event: Buckets.Changed) -> None:
        """Take the buckets that project.toml has now."""
        workbench_of(self).use_project(event.project)

    def on_jobs_show_clip(self, event: Jobs.ShowClip) -> None:
        """Go to a clip."""
        self._go_to_clip(event.name)

    def _go_to_clip(self, name: str) -> None:
        """Go to a clip, if need be past the filter."""
        if not self.clips.go_to(name):
            self.desk.store.set_filter("")
            if not self.clips.go_to(name):
                self.notify("the dataset does not have that clip any more", severity="warning")
                return
        self.show_pane("clips")

    # Commands

    def do_clips(self) -> None:
        """Go to the clips."""
        self.show_pane("clips")

    def do_caption(self) -> None:
        """Go to the caption."""
        self.show_pane("caption")

    def do_buckets(self) -> None:
        """Go to the buckets."""
        self.show_pane("buckets")

    def do_jobs(self) -> None:
        """Go to the jobs."""
        self.show_pane("jobs")

    def do_plan(self) -> None:
        """Show what a run would do; one that is run from there is shown among the jobs."""
        from ltx_tui.screens.plan import PlanScreen

        def ended(is_run: bool | None) -> None:
            if is_run:
                self.show_pane("jobs")

        desk = self.desk
        screen = PlanScreen(desk.project, desk.watcher, desk.store.marked)
        self.app.push_screen(screen, ended)

    def do_frames(self) -> None:
        """Show the frames of the clip in hand; the list follows to where that ends."""
        index = self.clips.rows.index
        if index is None:
            self.notify("there is no clip to look at", severity="warning", timeout=3)
            return
        from ltx_tui.screens.frames import FramesScreen

        def ended(name: str | None) -> None:
            self.clips.go_to(name or "")

        self.app.push_screen(FramesScreen(self.desk.store, self.desk.project, index), ended)

    def do_doctor(self) -> None:
        """Show what would spoil the training; a clip that is picked there is gone to."""
        from ltx_tui.screens.doctor import DoctorScreen

        def ended(name: str | None) -> None:
            if name:
                self._go_to_clip(name)

        self.app.push_screen(DoctorScreen(self.desk.checkup, self.desk.store), ended)

    def do_run(self) -> None:
        """Run what is not fresh."""
        from ltx_tui import actions

        self._perform(actions.run(self.desk.watcher))

    def do_pause(self) -> None:
        """Pause the job, or go on with it."""
        from ltx_tui import actions

        self._perform(actions.pause(self.desk.watcher))

    def do_cancel(self) -> None:
        """Cancel the job."""
        from ltx_tui import actions

        self._perform(actions.cancel(self.desk.watcher))

    def do_retry(self) -> None:
        """Try again what failed."""
        from ltx_tui import actions

        self._perform(actions.retry(self.desk.watcher))

    def _perform(self, action: Coroutine[Any, Any, str]) -> None:
        from ltx_tui.widgets.jobs import perform

        perform(self, action)

    def do_refresh(self) -> None:
        """Read project.toml, dataset and outputs again."""
        self.read_again()
        self.notify(f"reading again: {plural(len(self.desk.store), 'clip')} so far", timeout=2)

    def read_again(self) -> None:
        """Read project.toml, dataset and outputs again.

        Raises:
            LtxError: project.toml cannot be read any more.
        """
        project = self.desk.project
        if project.file is not None:
            project = load_project(project.file)
        workbench_of(self).use_project(project)


def _of_editor(project: Project) -> tuple[object, ...]:
    """Return what the caption editor is made with: with other values it is made anew."""
    return project.text.trigger, project.text.strip_prefixes, project.models.text_encoder

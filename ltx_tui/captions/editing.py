"""The captions as they are edited: nothing that was typed a second ago is ever lost.

Every change goes to the draft journal at once, and to the dataset file when the typing rests.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from engine.dataset.caption_db import Key
from engine.dataset.versions import Kind
from engine.dataset.write_captions import Answer, Clash, Edit, Known, Request, digest_of, stamp
from engine.errors import EnvironmentFaultError, LtxError
from engine.overview.types import CaptionState
from engine.project import Project
from ltx_tui.captions.book import CaptionRows
from ltx_tui.captions.choices import CaptionChoices
from ltx_tui.captions.docs import Doc, Told, What, restored
from ltx_tui.children.captions import write_captions

KEEP_AFTER = 0.3  # seconds from a key to the draft journal
STUCK_AFTER = 0.4  # seconds after which drafts are kept though the loop does nothing
SAVE_AFTER = 2.0  # seconds from the last key to the dataset file
LOOK_EVERY = 2.0  # seconds between two looks at the dataset file
RETRY_AFTER = 30.0
_KEEP_EVERY = 500  # captions that are replaced


class Captions(CaptionChoices):
    """The captions of a project in one workbench."""

    def __init__(self, project: Project, store: CaptionRows) -> None:
        super().__init__(project, store)
        self._keep_lock = asyncio.Lock()
        self._save_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._keep_timer: asyncio.TimerHandle | None = None
        self._save_timer: asyncio.TimerHandle | None = None
        self._net: threading.Timer | None = None
        self._stamp = (0, 0, 0)
        self._has_to_look = True
        self._looks_failed = 0
        self._table = store.table
        self._unsubscribe = store.subscribe(self._rows_changed)

    # Beginning and end

    async def start(self) -> None:
        """Open the drafts and take up what an earlier session left; call it once."""
        try:
            left = await self._thread.open()
        except EnvironmentFaultError as error:
            self.is_read_only = True
            self._opened.set()
            self.set_problem(error.headline, error.remedy)
            return
        for draft, history in left:
            doc = restored(draft.key, draft.text, draft.base, history)
            doc.typed = draft.typed
            self._docs[draft.key] = doc
            self.show(doc)
        self._opened.set()
        self._begin(self.save())
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Save all that can be saved, and end; what cannot is found at the next start."""
        self._unsubscribe()
        for timer in (self._keep_timer, self._save_timer, self._net):
            if timer is not None:
                timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._thread.shelf is not None:
            if any(doc.to_write or not doc.is_kept for doc in self._docs.values()):
                await self.save()
            await self._thread.close()

    def keep_now(self) -> None:
        """Write all drafts to the disk before returning: for a program that is being ended."""
        shelf = self._thread.shelf
        drafts = [doc.draft() for doc in self._docs.values() if not doc.is_saved]
        if shelf is not None and drafts:
            with contextlib.suppress(LtxError):
                shelf.journal.put(drafts)

    async def open(self, key: Key) -> Doc:
        """Return a caption, with the undo of earlier sessions; waits until drafts are there.

        Raises:
            KeyError: There is no such row.
        """
        is_new = self.in_hand(key) is None
        doc = await super().open(key)
        row = self._row(key)
        # The list shows what is typed in another workbench; here it is as the dataset has it.
        if is_new and (row.caption_state is CaptionState.DRAFT or row.caption != doc.text):
            self._look_soon()
        return doc

    # Changing

    def edit(self, doc: Doc, text: str, *, own_step: bool = False) -> None:
        """Change a caption as it is typed."""
        if not self.is_read_only and doc.edit(text, own_step=own_step):
            self._touch(doc)

    def undo(self, doc: Doc) -> bool:
        """Take the last step back, be it of an earlier session; return whether there was one."""
        return self._step(doc, doc.undo)

    def redo(self, doc: Doc) -> bool:
        """Make the last step again that was taken back; return whether there was one."""
        return self._step(doc, doc.redo)

    async def replace(self, texts: Mapping[Key, tuple[str, str]]) -> int:
        """Change many captions, each as one step that can be undone; return how many.

        Args:
            texts: (text that was searched, new text) of each; one that changed since is left.
        """
        done = 0
        for key, (before, after) in texts.items():
            try:
                doc = await self.open(key)
            except KeyError:  # its row is gone
                continue
            if not self.is_read_only and doc.text == before and doc.edit(after, own_step=True):
                done += 1
                self.tell(Told(what="text", key=key))
                if done % _KEEP_EVERY == 0:
                    await self.keep()
        await self.keep()
        self.save_soon(0)
        return done

    async def review(self, keys: Iterable[Key], *, reviewed: bool) -> None:
        """Mark captions as reviewed, or take the mark away; a caption's change does so too.

        Raises:
            EnvironmentFaultError: The disk cannot be written.
        """
        texts = {key: self.text_of(key) for key in keys}
        await self._thread.do(lambda shelf: shelf.review(texts, reviewed=reviewed))
        for key, text in texts.items():
            self.update(key, text)
            self.tell(Told(what="state", key=key))

    async def names_changed(self) -> None:
        """Find what is kept of captions whose clips have other names now."""
        await self._opened.wait()
        if self._thread.shelf is not None:
            with contextlib.suppress(EnvironmentFaultError):  # their marks show at the next start
                await self._thread.do(lambda shelf: shelf.read_marks())

    # Keeping and saving

    async def keep(self) -> None:
        """Write what was typed to the draft journal; it is on the disk when this returns."""
        async with self._keep_lock:
            docs = [doc for doc in self._docs.values() if not doc.is_kept]
            if not docs:
                return
            drafts = [doc.draft() for doc in docs]
            for doc in docs:
                doc.is_kept = True
            try:
                await self._thread.do(lambda shelf: shelf.journal.put(drafts))
            except EnvironmentFaultError as error:
                for doc in docs:
                    doc.is_kept = False
                self.set_problem(error.headline, error.remedy)
                self._keep_soon(RETRY_AFTER / 10)
                return
            except BaseException:
                for doc in docs:
                    doc.is_kept = False
                raise
        if self._keep_timer is None and self._net is not None:
            self._net.cancel()
            self._net = None
        for doc in docs:
            self.show(doc)
            self.tell(Told(what="state", key=doc.key))

    def _keep_stuck(self) -> None:
        """Keep what was typed, without its undo, from a thread of its own.

        A terminal that takes no output holds up the loop, and the timer in it.
        """
        shelf = self._thread.shelf
        if shelf is not None:
            with contextlib.suppress(LtxError):  # told of when the loop goes on
                shelf.keep_texts(doc for doc in tuple(self._docs.values()) if not doc.is_kept)

    async def save(self) -> None:
        """Write what was typed into the dataset file, and learn what others changed in it."""
        async with self._save_lock:
            await self.keep()
            shelf = self._thread.shelf
            edits = [edit for doc in self._docs.values() if (edit := doc.to_write)]
            if shelf is None or not (edits or self._has_to_look):
                return
            self._has_to_look = False
            request = Request(
                dataset=str(self.project.dataset_path),
                video_column=self.project.dataset.video_column,
                caption_column=self.project.dataset.caption_column,
                seen=str(shelf.session.seen_file),
                edits=tuple(edits),
                known=tuple(
                    Known(*doc.key, digest_of(doc.base))
                    for doc in self._docs.values()
                    if doc.is_saved
                ),
            )
            await self._take(await write_captions(request), edits)

    def save_soon(self, delay: float = SAVE_AFTER) -> None:
        """Save after so many seconds, unless this is called again before."""
        if self._save_timer is not None:
            self._save_timer.cancel()
        loop = asyncio.get_running_loop()
        self._save_timer = loop.call_later(delay, lambda: self._begin(self.save()))

    async def _take(self, answer: Answer, edits: list[Edit]) -> None:
        """Take in what became of a write."""
        if answer.problem:
            self._has_to_look = True
            self._looks_failed += 1
            # A file that is just being written by another program may be half there.
            if edits or self._looks_failed > 1:
                self.set_problem(answer.problem, answer.remedy)
            self.save_soon(RETRY_AFTER if self.problem else LOOK_EVERY)
            return
        self._looks_failed = 0
        self._stamp = answer.stamp
        self.set_problem("", "")
        await self._take_saved({Key(*one) for one in answer.saved}, edits)
        for clash in answer.clashes:
            doc = self._docs.get(Key(clash.name, clash.nth))
            if doc is None:  # taken back meanwhile, and let go
                continue
            if not clash.is_gone and clash.theirs == doc.text:
                doc.base, doc.is_kept = clash.theirs, False
            elif await self._is_of_job(clash):
                doc.base, doc.is_kept = clash.theirs, False
                self.save_soon(0)
                self.tell(Told(what="stays", key=doc.key))
            else:
                doc.clash = clash
                self.tell(Told(what="conflict", key=doc.key))
        await self._take_outside({Key(one.name, one.nth): one.text for one in answer.outside})
        if answer.changed:
            what: What = "arrived" if self.comes_from_job() else "outside"
            self.tell(Told(what=what, count=answer.changed))
        await self.keep()

    async def _is_of_job(self, clash: Clash) -> bool:
        """Whether a caption is only new: it is among the versions, so that ours can stay."""
        key, theirs = Key(clash.name, clash.nth), clash.theirs
        if clash.is_gone or not self.comes_from_job():
            return False
        with contextlib.suppress(EnvironmentFaultError):
            return await self._thread.do(lambda shelf: shelf.is_captioned(key, theirs))
        return False

    async def _take_saved(self, saved: set[Key], edits: list[Edit]) -> None:
        written = []
        for edit in edits:
            key = Key(edit.name, edit.nth)
            doc = self._docs.get(key)
            if key not in saved or doc is None:
                continue
            written.append((key, edit.base, edit.text, doc.kind, doc.visit))
            doc.base, doc.may_add, doc.kind = edit.text, False, Kind.EDITED
        if not written:
            return
        try:
            await self._thread.do(lambda shelf: shelf.saved(written))
        except EnvironmentFaultError as error:
            # The drafts stay in the journal; that they are saved is seen at the next start.
            self.set_problem(error.headline, error.remedy)
        for key, *_ in written:
            self.show(self._docs[key])
            self.tell(Told(what="state", key=key))
        self._forget_at = 0
        self._forget()

    async def _take_outside(self, texts: Mapping[Key, str]) -> None:
        for key, text in texts.items():
            doc = self._docs.get(key)
            if doc is None:
                self.update(key, text)
            elif doc.is_saved and text != doc.text:
                doc.take(text)
                self.show(doc)
                self.tell(Told(what="text", key=key))
            # What is being typed clashes when it is written.
        if texts:
            with contextlib.suppress(EnvironmentFaultError):  # only versions would be missing
                await self._thread.do(lambda shelf: shelf.changed_outside(texts))

    def _rows_changed(self, changes: frozenset[str] | None) -> None:
        """See whether captions in hand are still as they were when the list was kept."""
        if changes is None and self._store.table is not self._table:
            self._table = self._store.table
            self._rows_are_new = True
            if self._docs:
                self._look_soon()

    def _look_soon(self) -> None:
        self._has_to_look = True
        self.save_soon(0)

    async def _watch(self) -> None:
        """Look at the dataset file from time to time."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = await asyncio.to_thread(stamp, self.project.dataset_path)
            if now != self._stamp and not self._save_lock.locked():
                self._has_to_look = True
                await self.save()

    # Small things

    def _step(self, doc: Doc, step: Callable[[], bool]) -> bool:
        if self.is_read_only or not step():
            return False
        self._touch(doc)
        self.tell(Told(what="text", key=doc.key))
        return True

    def _touch(self, doc: Doc) -> None:
        self._docs[doc.key] = doc
        self._keep_soon()
        self.save_soon()
        self.tell(Told(what="state", key=doc.key))

    def _keep_soon(self, delay: float = KEEP_AFTER) -> None:
        # From the first key on, not the last: who types on and on loses no more.
        if self._keep_timer is None:
            loop = asyncio.get_running_loop()
            self._keep_timer = loop.call_later(delay, self._keep_due)
        if self._net is None:
            self._net = threading.Timer(delay + STUCK_AFTER, self._keep_stuck)
            self._net.daemon = True
            self._net.start()

    def _keep_at_once(self) -> None:
        self._begin(self.keep())

    def _keep_due(self) -> None:
        self._keep_timer = None
        self._begin(self.keep())

    def _begin(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

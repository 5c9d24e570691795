"""Run as `python -P -m engine.worker.make_references`: makes reference videos of a dataset.

Reads a `Wanted` as a line of JSON from stdin, which then stays open: when it is closed, the work
stops soon, with all that is done in the dataset. Prints events as JSON lines (`engine.events`),
and `Stopped` where the work as a whole cannot be done.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from engine.dataset.references import Item, References
from engine.errors import LtxError, MediaError
from engine.events import (
    ClipDone,
    ClipFailed,
    ClipStarted,
    JobStarted,
    Notice,
    StageCount,
    StageDone,
    StageStarted,
)
from engine.files.identity import stat_identity
from engine.media.condition import Condition, load_condition
from engine.media.probe import Probe
from engine.media.reference import Made, make_reference
from engine.precompute.ledger import Ledger
from engine.precompute.survey import probe_files
from engine.state.kept import Kept
from engine.text import listed, plural
from engine.worker.clip_work import ClipWork, StopAsked, work_off
from engine.worker.reference_types import STAGE, Wanted
from engine.worker.spec import Fault

_MOST_WORKERS = 4  # each encodes in threads of its own


class Work(ClipWork[Wanted]):
    """One request."""

    def __init__(
        self, wanted: Wanted, is_stopped: Callable[[], bool], tell: Callable[[object], None]
    ) -> None:
        super().__init__(wanted, is_stopped, tell)
        self._unsaved: list[Item] = []
        self._hands = threading.local()
        self._numbers = iter(range(1, 1 << 30))
        self._serial = threading.Lock()

    def run(self) -> None:
        """Do it.

        Raises:
            LtxError: The dataset or the condition is unusable as a whole.
            StopAsked: Nobody waits any more, and nothing was begun.
        """
        wanted = self._wanted
        condition = load_condition(
            wanted.condition, low=wanted.low, high=wanted.high, folders=wanted.modules
        )
        references = References(wanted.project, wanted.folder)
        if references.is_new:
            self._say(f"wrote {references.path.name} with {plural(len(references.items), 'clip')}")
        with Ledger(wanted.project.state_dir) as ledger:
            sources = [item.source for item in references.items]
            probes = probe_files(sources, ledger, self._scanned)
        with Kept(wanted.project.state_dir) as kept:
            to_do = self._look(references, probes, condition, kept)
            fresh = len(references.items) - len(to_do) - len(self._failures)
            self._begin(to_do, fresh)
            stopped = self._make_all(to_do, references, condition, kept)
        self._conclude(references, fresh, stopped=stopped)

    def _look(
        self,
        references: References,
        probes: dict[Path, Probe | LtxError],
        condition: Condition,
        kept: Kept,
    ) -> list[tuple[Item, Probe]]:
        """Return what has to be made; what is there already is only named in the dataset."""
        to_do = []
        for item in references.items:
            found = probes[item.source]
            try:
                if isinstance(found, LtxError):
                    raise found
                if item.row in self._wanted.given_up:
                    raise MediaError(
                        "the program that makes references died of it",
                        remedy="play it to see whether it is whole; export it again",
                    )
                override = self._wanted.override
                identity = self._identity(condition, found)
                if not references.is_there(item, found, identity, kept, override=override):
                    to_do.append((item, found))
                elif not references.has_other(item, kept) and not item.is_named:
                    self._unsaved.append(item)
            except LtxError as error:
                self._failures.append(_failure(item, error))
        return to_do

    @property
    def _tonemaps(self) -> bool:
        return self._wanted.project.video.hdr == "tonemap"

    def _identity(self, condition: Condition, probe: Probe) -> str:
        return (
            f"{condition.identity} of SDR" if probe.hdr and self._tonemaps else condition.identity
        )

    def _begin(self, to_do: list[tuple[Item, Probe]], fresh: int) -> None:
        count = StageCount(
            stage=STAGE, to_do=len(to_do) + len(self._failures), fresh=fresh, blocked=0, skipped=0
        )
        self._tell(JobStarted(stages=(count,)))
        self._tell(StageStarted(stage=STAGE, total=count.to_do, load_seconds=0.0))
        for failure in self._failures:
            self._tell(failure)

    def _make_all(
        self,
        to_do: list[tuple[Item, Probe]],
        references: References,
        condition: Condition,
        kept: Kept,
    ) -> bool:
        """Make references side by side, and name them in batches; return whether it was stopped."""
        self._save(references)
        stopped = False
        queue = iter(to_do)
        with ThreadPoolExecutor(self._workers(condition)) as pool:
            futures: dict[Future[Made], Item] = {}
            try:
                self._fill(futures, queue, pool, condition, kept, references)
                while futures:
                    for future in wait(futures, return_when=FIRST_COMPLETED).done:
                        stopped |= self._take(futures.pop(future), future)
                    if len(self._unsaved) >= self._wanted.batch_size:
                        self._save(references)
                    if not (stopped or self._is_stopped()):
                        self._fill(futures, queue, pool, condition, kept, references)
            finally:
                self._save(references)
        return stopped or next(queue, None) is not None

    def _workers(self, condition: Condition) -> int:
        if self._wanted.workers:
            return self._wanted.workers
        # A user's function may keep what it has seen, so clips must not mix.
        return 1 if condition.own else max(1, min(_MOST_WORKERS, os.cpu_count() or 1))

    def _fill(
        self,
        futures: dict[Future[Made], Item],
        queue: Iterator[tuple[Item, Probe]],
        pool: ThreadPoolExecutor,
        condition: Condition,
        kept: Kept,
        references: References,
    ) -> None:
        # No further ahead than there are hands: who stops waits for what is in hand alone.
        while len(futures) < self._workers(condition):
            head = next(queue, None)
            if head is None:
                return
            futures[pool.submit(self._make, *head, condition, kept, references)] = head[0]

    def _make(
        self, item: Item, probe: Probe, condition: Condition, kept: Kept, references: References
    ) -> Made:
        if not hasattr(self._hands, "name"):
            with self._serial:
                self._hands.name = f"thread {next(self._numbers)}"
        self._tell(ClipStarted(stage=STAGE, clip=item.name, row=item.row, device=self._hands.name))
        began, source = time.monotonic(), stat_identity(item.source)
        made = make_reference(
            item.source,
            item.target,
            condition,
            probe,
            tonemap=self._tonemaps,
            check=self._check,
        )
        references.keep(item, self._identity(condition, probe), source, kept)
        self._tell(
            ClipDone(
                stage=STAGE,
                clip=item.name,
                row=item.row,
                output=item.value,
                seconds=time.monotonic() - began,
                detail=plural(made.frames, "frame"),
                device=self._hands.name,
            )
        )
        return made

    def _take(self, item: Item, future: Future[Made]) -> bool:
        """Take a result; return whether the work is to stop."""
        error = future.exception()
        if error is None:
            self._done += 1
            self._unsaved.append(item)
            return False
        if isinstance(error, StopAsked):
            return True
        if isinstance(error, MemoryError):
            error = MediaError("there is not memory enough for its frames")
        if isinstance(error, OSError):
            error = MediaError(f"cannot be read: {error.strerror}", remedy="check the path")
        fault = error if isinstance(error, LtxError) else Fault.of(error).to_error()  # type: ignore[arg-type]
        failure = _failure(item, fault)
        self._failures.append(failure)
        self._tell(failure)
        return False

    def _save(self, references: References) -> None:
        if not self._unsaved:
            return
        batch, self._unsaved = self._unsaved, []
        left = references.save([item for item in batch if not item.is_named])
        if left:
            names = listed([item.name for item in left])
            self._tell(
                Notice(
                    level="warning",
                    text=f"changed in the dataset meanwhile, and left as they are: {names}",
                )
            )

    def _say(self, text: str) -> None:
        self._tell(Notice(level="info", text=text))

    def _conclude(self, references: References, fresh: int, *, stopped: bool) -> None:
        failed = len(self._failures)
        seconds = time.monotonic() - self._began
        self._tell(StageDone(stage=STAGE, done=self._done, failed=failed, seconds=seconds))
        project, wanted = self._wanted.project, self._wanted
        if wanted.folder is not None and (more := references.unlisted(wanted.folder)):
            self._say(f"{plural(more, 'file')} of the folder in no row of the dataset: left alone")
        if self._done and project.file is not None and not project.dataset.reference_column:
            self._say(f'to encode them, set dataset.reference_column = "{references.column}"')
        self._tell(self.end(fresh=fresh, cancelled=stopped))


def _failure(item: Item, error: LtxError) -> ClipFailed:
    same = error.file is None or Path(error.file) == item.source
    return ClipFailed(
        stage=STAGE,
        clip=item.name,
        row=item.row,
        reason=error.message if same else error.headline,
        remedy=error.remedy,
    )


if __name__ == "__main__":
    work_off(Wanted, Work)

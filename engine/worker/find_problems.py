"""Run as `python -P -m engine.worker.find_problems`: looks at the clips of a project, and mends.

Reads a `Wanted` as a line of JSON from stdin, which then stays open: when it is closed, the work
stops soon. Prints JSON lines: events of `engine.events` while it looks, `Fixed` for what it
mended, a `Finding` for each thing found, and `JobDone` last; or `Stopped` where nothing can be
found. What it saw is kept, so that the next look is quick, and what it found, for the workbench.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from engine.errors import LtxError, MediaError
from engine.events import (
    ClipDone,
    ClipFailed,
    ClipStarted,
    JobStarted,
    Notice,
    StageCount,
)
from engine.findings import STAGE, Finding, Wanted
from engine.health.clip_set import Gathered, Looks, findings, gather, looked
from engine.health.findings_file import keep_findings
from engine.health.proxies import Mend, mend, name_proxies, to_mend, undo
from engine.media.health import Signs
from engine.precompute.ledger import Ledger
from engine.precompute.survey import ClipPlan
from engine.state.kept import Kept
from engine.text import listed
from engine.worker.clip_work import ClipWork, work_off

_MOST_WORKERS = 8
_BATCH = 20  # proxies that are named in the dataset at a time
_DIED = MediaError(
    "the program that looks at clips died of it",
    remedy="play it to see whether it is whole; export it again, or take it out",
)


class Work(ClipWork[Wanted]):
    """One request."""

    def run(self) -> None:
        """Do it.

        Raises:
            LtxError: The dataset or the buckets are unusable as a whole.
            StopAsked: Nobody waits any more; what was mended is named in the dataset.
        """
        project = self._wanted.project
        with Ledger(project.state_dir) as ledger, Kept(project.state_dir) as kept:
            found = gather(project, ledger, self._scanned)
            if self._wanted.undo:
                for fixed in undo(found, self._wanted.only, kept):
                    self._done += 1
                    self._tell(fixed)
                found = gather(project, ledger, self._scanned)
            told = findings(found, self._look(found, kept), ledger)
            if self._wanted.fix and self._mend(found, told, kept):
                found = gather(project, ledger, self._scanned)
                told = findings(found, self._look(found, kept), ledger)
        keep_findings(project, tuple(told))
        for one in told:
            self._tell(one)
        self._tell(self.end())

    def _look(self, found: Gathered, kept: Kept) -> Looks:
        """Look at every clip, several side by side."""
        media = found.to_look_at
        count = StageCount(stage=STAGE, to_do=len(media), fresh=0, blocked=0, skipped=0)
        self._tell(JobStarted(stages=(count,)))
        looks: dict[Path, Signs | LtxError] = {}
        with ThreadPoolExecutor(self._workers()) as pool:
            futures = {pool.submit(self._look_at, plan, kept): path for path, plan in media.items()}
            try:
                for future in as_completed(futures):
                    looks[futures[future]] = future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return looks

    def _workers(self) -> int:
        return self._wanted.workers or max(1, min(_MOST_WORKERS, os.cpu_count() or 1))

    def _look_at(self, plan: ClipPlan, kept: Kept) -> Signs | LtxError:
        self._check()
        if plan.clip.row in self._wanted.given_up:
            return _DIED
        began = time.monotonic()
        self._tell(ClipStarted(stage=STAGE, clip=plan.clip.name, row=plan.clip.row))
        assert plan.probe is not None  # noqa: S101 - it was probed, for the type checker
        try:
            signs = looked(plan.clip.media, plan.probe, kept, self._check)
        except MemoryError:
            signs = MediaError("there is not memory enough for its frames")
        self._tell(_done(plan, time.monotonic() - began))
        return signs

    def _mend(self, found: Gathered, told: Iterable[Finding], kept: Kept) -> bool:
        """Make proxies, one after the other, and name them; return whether there were any."""
        mends = to_mend(found, told, self._wanted.fix, self._wanted.only, kept)
        count = StageCount(stage="proxies", to_do=len(mends), fresh=0, blocked=0, skipped=0)
        self._tell(JobStarted(stages=(count,)))
        made: list[Mend] = []
        try:
            for one in mends:
                self._check()
                if self._mend_one(found, one, kept):
                    made.append(one)
                if len(made) >= _BATCH:
                    batch, made = made, []
                    self._name(found, batch)
        finally:
            self._name(found, made)
        return bool(mends)

    def _mend_one(self, found: Gathered, one: Mend, kept: Kept) -> bool:
        clip, began = one.plan.clip, time.monotonic()
        self._tell(ClipStarted(stage="proxies", clip=clip.name, row=clip.row))
        try:
            if clip.row in self._wanted.given_up:
                raise _DIED
            mend(found, one, kept, self._check)
        except (LtxError, OSError, MemoryError) as error:
            failure = _failure(one.plan, error)
            self._failures.append(failure)
            self._tell(failure)
            return False
        self._tell(_done(one.plan, time.monotonic() - began, "proxies", one.value))
        return True

    def _name(self, found: Gathered, made: list[Mend]) -> None:
        if not made:
            return
        fixed, left = name_proxies(found, made)
        for one in fixed:
            self._done += 1
            self._tell(one)
        if left:
            names = listed([one.plan.clip.name for one in left])
            text = f"changed in the dataset meanwhile, and left as they are: {names}"
            self._tell(Notice(level="warning", text=text))


def _done(plan: ClipPlan, seconds: float, stage: str = STAGE, output: str = "") -> ClipDone:
    return ClipDone(
        stage=stage, clip=plan.clip.name, row=plan.clip.row, output=output, seconds=seconds
    )


def _failure(plan: ClipPlan, error: Exception) -> ClipFailed:
    if isinstance(error, LtxError):
        reason, remedy = error.message, error.remedy
    elif isinstance(error, MemoryError):
        reason, remedy = "there is not memory enough for its frames", "scale it down first"
    else:
        reason, remedy = f"cannot be read or written: {error}", "check the disk"
    return ClipFailed(
        stage="proxies", clip=plan.clip.name, row=plan.clip.row, reason=reason, remedy=remedy
    )


if __name__ == "__main__":
    work_off(Wanted, Work)

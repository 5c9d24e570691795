"""Run as `python -m engine.worker.find_scenes`: finds and cuts the scenes of several videos.

Reads a `Wanted` as a line of JSON from stdin, which then stays open: when it is closed, or at
SIGTERM, the work ends at the next frame and no half file is left. Prints JSON lines, see
`scene_messages`. Each video is worked on by a lane, a process of its own kind (`scene_lane`):
one that dies on a video is replaced, and the others go on. Loads no torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from engine.child import when_stdin_ends
from engine.errors import EnvironmentFaultError, LtxError, UsageError
from engine.media.scene_report import Section, Shown, check_report, write_report
from engine.media.scene_types import Range
from engine.worker.scene_messages import (
    AllDone,
    Ask,
    Stopped,
    Video,
    VideoFailed,
    Wanted,
    fault_of,
)
from engine.worker.scene_record import IMAGES, RECORDS, records
from engine.worker.spec import decoder, encode

_LINE_LIMIT = 1 << 26
# What a lane gets to reach the next frame and clear up, in seconds.
_PATIENCE = 10.0


class _Heard(msgspec.Struct, frozen=True):
    """As much of a lane's line as its lane has to know."""

    tell: Literal[
        "progress", "scores", "scenes", "piece", "piece-failed", "warned", "video-failed",
        "video-done",
    ]  # fmt: skip
    video: int


_HEARD = msgspec.json.Decoder(_Heard)


def main() -> None:
    """Do what is asked for on stdin."""
    wanted: Wanted = decoder(Wanted).decode(sys.stdin.buffer.readline())
    code = asyncio.run(run(wanted))
    sys.stdout.flush()
    os._exit(code)  # the thread that waits for the end of stdin is in a system call


async def run(wanted: Wanted) -> int:
    """Do what is wanted, and print what is worth telling; return an exit status."""
    pool = _Pool(wanted)
    _watch(pool)
    try:
        with _claimed(wanted):
            try:
                await pool.run()
            finally:
                _remove_partial(wanted)
            report = None if pool.is_cancelled else _report(wanted)
    except Exception as error:  # whoever asked has to be told of any
        _print(encode(Stopped(fault=fault_of(_as_ours(error, wanted)))))
        return 1
    _print(encode(AllDone(report=report, cancelled=pool.is_cancelled)))
    return 0


class _Pool:
    """The lanes, and what is still to do."""

    def __init__(self, wanted: Wanted) -> None:
        self._lanes = max(1, min(wanted.jobs, len(wanted.videos)))
        self._wanted = msgspec.structs.replace(wanted, videos=(), jobs=self._lanes)
        self._left = deque(wanted.videos)
        self._children: set[Process] = set()
        self.is_cancelled = False

    async def run(self) -> None:
        """Work on all videos."""
        await asyncio.gather(*(self._lane() for _ in range(self._lanes)))

    def cancel(self) -> None:
        """End the work; may be called more than once."""
        self.is_cancelled = True
        self._left.clear()
        for child in self._children:
            if child.stdin is not None:
                child.stdin.close()
            _signal(child, signal.SIGTERM)

    async def _lane(self) -> None:
        child: Process | None = None
        try:
            while self._left:
                video = self._left.popleft()
                if child is None or child.returncode is not None:
                    child = await self._start()
                if not await self._work(child, video) and not self.is_cancelled:
                    status = await child.wait()
                    self._children.discard(child)
                    self._tell_death(video, status)
        finally:
            if child is not None:
                await self._end(child)

    async def _start(self) -> Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "engine.worker.scene_lane",
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
            limit=_LINE_LIMIT,
        )
        self._children.add(child)
        if self.is_cancelled:
            self.cancel()
        return child

    async def _work(self, child: Process, video: Video) -> bool:
        """Have a lane work on a video; False where it died on it."""
        assert child.stdin is not None  # noqa: S101 - pipes, for the type checker
        assert child.stdout is not None  # noqa: S101
        with contextlib.suppress(ConnectionError):
            child.stdin.write(encode(Ask(wanted=self._wanted, video=video)) + b"\n")
            await child.stdin.drain()
        async for line in child.stdout:
            try:
                heard = _HEARD.decode(line)
            except msgspec.MsgspecError:
                continue  # something that a library printed
            _print(line.rstrip(b"\n"))
            if heard.tell in ("video-done", "video-failed"):
                return True
        return False

    def _tell_death(self, video: Video, status: int) -> None:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        error = EnvironmentFaultError(
            f"the process that worked on it died ({how}): a codec failed, or memory ran out",
            remedy="convert it with another program, or try again with --jobs 1",
            file=video.path,
        )
        _print(encode(VideoFailed(video=video.id, fault=fault_of(error))))

    async def _end(self, child: Process) -> None:
        if child.stdin is not None:
            child.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await child.wait()
        except TimeoutError:
            _signal(child, signal.SIGKILL)
            await child.wait()
        self._children.discard(child)


def _signal(child: Process, number: signal.Signals) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)


def _watch(pool: _Pool) -> None:
    """End the work where nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, pool.cancel)

    def cancel() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(pool.cancel)

    when_stdin_ends(cancel)


def _print(line: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # stdin ends as well, and that ends the work
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _claimed(wanted: Wanted) -> Iterator[None]:
    """Hold the folder of the pieces, so that two runs do not write into it at once.

    Raises:
        UsageError: Another run holds it, or a folder inside leads elsewhere.
    """
    out = wanted.out
    if out is None or wanted.cutting is None:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    for name in (RECORDS, IMAGES):
        folder = out / name
        if folder.is_symlink():
            raise UsageError(
                "is a link, and what is written there would leave the folder",
                remedy="remove it, or give another folder",
                file=folder,
            )
    if wanted.images and not wanted.overwrite:
        check_report(out)
    (out / RECORDS).mkdir(exist_ok=True)
    with (out / RECORDS / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                "another run writes scenes into this folder",
                remedy="wait for it, or give another folder",
                file=out,
            ) from error
        _remove_partial(wanted)
        try:
            yield
        finally:
            _remove_partial(wanted)  # of lanes that took too long to end, and were killed


def _remove_partial(wanted: Wanted) -> None:
    """Remove half files that lanes left behind which were killed."""
    if wanted.out is None or wanted.cutting is None:
        return
    starts = tuple(f".{video.name}-Scene-"[:60] for video in wanted.videos)
    for folder in (wanted.out, wanted.out / IMAGES, wanted.out / RECORDS):
        for path in folder.glob(".*.part"):
            if path.name.startswith(starts) or folder.name == RECORDS:
                path.unlink(missing_ok=True)


def _report(wanted: Wanted) -> Path | None:
    """Write the page of previews over all that was cut into the folder."""
    if wanted.out is None or wanted.cutting is None or not wanted.images:
        return None
    sections = []
    for record in records(wanted.out):
        shown = [
            Shown(
                file=made.file,
                kept=made.kept or Range(0, 0),
                start=made.piece.start if made.piece else 0.0,
                seconds=made.piece.seconds if made.piece else 0.0,
                images=[image for image in made.images if (wanted.out / image).is_file()],
            )
            for made in record.pieces()
        ]
        if shown:
            name = record.source.path.name if record.source else record.file.stem
            sections.append(Section(name, shown))
    return write_report(wanted.out, sections)


def _as_ours(error: Exception, wanted: Wanted) -> Exception:
    if isinstance(error, LtxError) or not isinstance(error, OSError):
        return error
    return EnvironmentFaultError(
        f"cannot be written to: {error.strerror or error}",
        remedy="check the folder, its permissions and the disk",
        file=wanted.out,
    )


if __name__ == "__main__":
    main()

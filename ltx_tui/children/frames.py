"""Has frames and sound read by a child process, one clip at a time; the newest request wins."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from engine.buckets import parse_bucket
from engine.errors import EnvironmentFaultError, UsageError
from engine.files.identity import stamp
from engine.overview.types import Row
from engine.precompute.layout import Stage, stage_folders
from engine.project import Project
from engine.worker.spec import encode
from engine.worker.thumbnail_types import Ask, Decoded, Done, Failed, Tell
from ltx_tui.children.child import Child

# Answers that are kept for going back and forth: so many, and so many bytes of pictures.
_KEPT = 24
_KEPT_BYTES = 24 << 20
# The child gives up a clip by itself; one that says nothing for so long hangs, in seconds.
_PATIENCE = 150.0
_REMEDY = "play the clip to see whether it is whole; `ltx-tui doctor` looks at the rest"

_TELL: msgspec.json.Decoder[Tell] = msgspec.json.Decoder(Tell)


def ask_of(
    row: Row,
    project: Project,
    *,
    count: int,
    size: tuple[int, int],
    columns: int,
    compare: bool = False,
    palette: bool = False,
    canny: tuple[float, float] | None = None,
    at: int = -1,
) -> Ask:
    """Return what to ask for to show a clip.

    Args:
        row: The clip.
        project: The settings, as a run would use them.
        count: How many frames.
        size: The most pixels of a picture.
        columns: Of the sound's outline.
        compare: Whether to hold it against the decoded clip.
        palette: Whether pictures have a palette.
        canny: Thresholds of the edges that are shown beside each frame; None for none.
        at: One frame to show alone; -1 for the strip.
    """
    bucket = None
    with contextlib.suppress(UsageError):
        found = parse_bucket(row.bucket)
        bucket = (found.width, found.height, found.frames)
    video = project.video
    return Ask(
        media=Path(row.media),
        state_dir=project.state_dir,
        bucket=bucket,
        start=row.kept[0],
        fps=video.fps,
        reshape=video.reshape,
        seed=video.seed,
        crop_key=row.output,
        tonemap=video.hdr == "tonemap",
        count=count,
        size=size,
        columns=columns,
        palette=palette,
        decoded=_decoded(row, project, bucket) if compare else None,
        canny=canny,
        at=at,
    )


def _decoded(row: Row, project: Project, bucket: tuple[int, int, int] | None) -> Decoded:
    folders = stage_folders(project.output_dir)
    suffix = ".png" if bucket is not None and bucket[2] == 1 else ".mp4"
    return Decoded(
        file=(folders[Stage.DECODED_VIDEOS] / row.output).with_suffix(suffix),
        latents=folders[Stage.LATENTS] / row.output,
    )


class FramesChild:
    """The child, started when it is first needed, and again where it dies."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._child: Child | None = None
        self._reading = asyncio.Lock()
        self._number = 0
        self._kept: OrderedDict[tuple[object, ...], tuple[Tell, ...]] = OrderedDict()

    async def show(self, ask: Ask) -> AsyncGenerator[Tell]:
        """Yield the answers to a request as they come; the last one is not among them.

        A request that is made while another is answered ends that one, which then yields nothing
        more. Answers without a fault are kept until a file changes.

        Raises:
            EnvironmentFaultError: The child cannot be started, dies or hangs.
        """
        self._number += 1
        number = self._number
        key = (ask, *await asyncio.to_thread(_stamps, ask))
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            for tell in known:
                yield tell
            return
        told: list[Tell] = []
        async with self._reading:
            if number != self._number:
                return
            answers = self._answers(msgspec.structs.replace(ask, id=number))
            async with contextlib.aclosing(answers):
                async for tell in answers:
                    if number != self._number:
                        return
                    told.append(tell)
                    yield tell
        # Single frames are kept by the child itself.
        if ask.at < 0 and not any(isinstance(tell, Failed) for tell in told):
            self._keep(key, tuple(told))

    async def _answers(self, ask: Ask) -> AsyncGenerator[Tell]:
        child = await self._started()
        await child.send(encode(ask))
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    line = await child.line()
            except TimeoutError as error:
                await self.close()
                raise EnvironmentFaultError(
                    "the program that reads frames hangs",
                    remedy="look whether the disk of this clip still answers",
                ) from error
            if not line:
                self._child = None
                raise await child.death(_REMEDY, " on this clip")
            tell = _TELL.decode(line)
            if tell.id != ask.id:
                continue  # of a request that was given up
            if isinstance(tell, Done):
                return
            yield tell

    async def _started(self) -> Child:
        """Return the child.

        Raises:
            EnvironmentFaultError: It cannot be started.
        """
        if self._child is None or self._child.returncode is not None:
            self._child = await Child.start(
                "engine.worker.make_thumbnails", name="the program that reads frames"
            )
        return self._child

    def _keep(self, key: tuple[object, ...], told: tuple[Tell, ...]) -> None:
        self._kept[key] = told
        while len(self._kept) > _KEPT or (
            len(self._kept) > 1 and sum(map(_weight, self._kept.values())) > _KEPT_BYTES
        ):
            self._kept.popitem(last=False)

    async def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            await child.close()


def _stamps(ask: Ask) -> tuple[tuple[int, int], ...]:
    """Return size and time of the files that an answer depends on."""
    files = [ask.media]
    if ask.decoded is not None:
        files += [ask.decoded.file, ask.decoded.latents]
    return tuple(map(stamp, files))


def _weight(told: tuple[Tell, ...]) -> int:
    return sum(len(tell.pixels) for tell in told if hasattr(tell, "pixels"))

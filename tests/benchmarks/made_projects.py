"""Projects of many clips whose outputs are all there, made without encoding anything.

The media are empty files whose probes are in the journal, the outputs are small files with a
record each: what a rerun reads is as it is in earnest, what it must not open is empty.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from engine.files.identity import stat_identity
from engine.media.probe_types import PROBE_VERSION, AudioTrack, Probe
from engine.precompute.layout import Stage, stage_folders
from engine.precompute.ledger import Ledger, OutputRecord
from engine.precompute.plan import Planner
from engine.project import Project, load_project, write_project

CAPTION = "A white rabbit stands in a meadow at dawn while a red car drives by. " * 8
STAGES = (Stage.CONDITIONS, Stage.LATENTS, Stage.AUDIO_LATENTS)
_SOUND = AudioTrack(codec="aac", rate=48_000, channels=2, layout="stereo", start=0.0, duration=2.0)
_IN_FOLDER = 1000
_IN_OPEN = 0x20


def make_finished(root: Path, clips: int, models: tuple[Path, Path]) -> Project:
    """Make a project of `clips` clips in which nothing is left to do."""
    names = [f"clips/{n // _IN_FOLDER:04}/scene-{n:07}.mp4" for n in range(clips)]
    for folder in {Path(name).parent for name in names}:
        (root / folder).mkdir(parents=True)
    rows = [{"media_path": n, "caption": f"{CAPTION}{at}"} for at, n in enumerate(names)]
    (root / "dataset.json").write_text(json.dumps(rows))
    values = {
        "dataset.path": "dataset.json",
        "models.checkpoint": str(models[0]),
        "models.text_encoder": str(models[1]),
        "run.device": "cpu",
        "audio.enabled": True,
        "video.buckets": "960x544x49;544x960x49",
    }
    write_project(root / "project.toml", values)
    project = load_project(root / "project.toml")
    with Ledger(project.state_dir) as ledger:
        with ledger.database.transaction(durable=False):
            for number, name in enumerate(names):
                (root / name).touch()
                probe = msgspec.json.encode(probe_of(number))
                ledger.probe_bytes(root / name, PROBE_VERSION, lambda _, probe=probe: probe)
        _finish(project, ledger)
    return project


def probe_of(number: int) -> Probe:
    """Return what a clip is said to be."""
    frames = 49 + number % 200
    return Probe(
        kind="video",
        codec="h264",
        pixel_format="yuv420p",
        width=1920 if number % 3 else 1080,
        height=1080 if number % 3 else 1920,
        frames=frames,
        declared_frames=frames,
        fps_num=24,
        duration=frames / 24,
        audio=(_SOUND,),
    )


def _finish(project: Project, ledger: Ledger) -> None:
    """Make the outputs that the plan lacks, and record them."""
    folders = stage_folders(project.output_dir)
    planner = Planner(project, folders, ledger)
    job = planner.make(STAGES)
    with ledger.database.transaction(durable=False):
        for item in job.plan.items:
            path = folders[item.stage] / item.output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"made")
            record = OutputRecord(
                fingerprint=planner.facts.of(item.stage, job.clips[item.row]),
                identity=stat_identity(path),
                seconds=1.0,
            )
            ledger.record(folders[item.stage], item.output, record)


class Opened:
    """Counts the files that any process opens in some folders, with Linux's inotify."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def count(self) -> int:
        """Return how many have been opened since the last call."""
        found, header = 0, struct.Struct("iIII")
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return found
            at = 0
            while at < len(data):
                _, mask, _, length = header.unpack_from(data, at)
                at += header.size + length
                # Listing a folder opens the folder, not a file.
                found += not mask & 0x4000_0000


@contextmanager
def watching(folders: Sequence[Path]) -> Iterator[Opened]:
    """Watch folders, without those below them."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK)
    try:
        for folder in folders:
            if fd < 0 or libc.inotify_add_watch(fd, os.fsencode(folder), _IN_OPEN) < 0:
                raise OSError(ctypes.get_errno(), "inotify does not work here")
        yield Opened(fd)
    finally:
        os.close(fd)

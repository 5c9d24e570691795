"""`ltx-tui split-scenes`: long videos into scenes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from engine.dataset.add_rows import Added
from engine.errors import UsageError
from engine.media.scene_options import VIDEO_SUFFIXES, Finding
from engine.media.scene_report import check_stats_file
from engine.project import (
    PROJECT_FILE,
    Project,
    apply_overrides,
    find_project,
    load_project,
)
from engine.scenes.settings import choosing_of, cutting_of, finding_of, with_detector
from engine.scenes.sources import add_pieces
from engine.settings import ScenesSection
from engine.worker.scene_messages import PieceDone, Tell, Video, VideoDone, Wanted
from engine.worker.scene_record import name_videos, records
from ltx_tui.children.scenes import jobs_at_once, split
from ltx_tui.cli import options as opt
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.scene_options import CUTTING, FINDING
from ltx_tui.cli.scenes_view import ShowsScenes, make_view
from ltx_tui.cli.signals import caught


@click.command("split-scenes", epilog=EXIT_CODES)
@click.argument("source", metavar="VIDEO|FOLDER", type=opt.PATH)
@click.argument("out_dir", required=False, type=opt.PATH)
@FINDING
@CUTTING
def command(source: Path, out_dir: Path | None, **values: Any) -> int:
    """Find the scenes of a video, or of all videos in a folder, and cut each into a file.

    Writes NAME-Scene-001.mp4 and so on into OUT_DIR, at exact frames, with sound; without
    OUT_DIR, into scenes.output_dir of the project.toml here or above. A video without a cut is
    one scene. A rerun makes only what is missing or was made with other settings.
    """
    project = _project(out_dir)
    if values["add_to_dataset"] and (project is None or values["dry_run"]):
        raise UsageError(
            "--add-to-dataset goes with pieces that are cut into the folder of a project",
            remedy="leave --dry-run out, and make a project there with `ltx-tui init`",
            file=out_dir,
        )
    if out_dir is None and project is None:
        raise UsageError(
            f"no folder for the pieces is given, and there is no {PROJECT_FILE} here or above",
            remedy="name the folder: ltx-tui split-scenes VIDEO FOLDER",
        )
    settings = project or Project.defaults(Path.cwd())
    out = out_dir if out_dir is not None else settings.scenes_dir
    wanted = build(source, out, values, _section(settings, values))
    for option in wanted.finding.idle_options:
        say_warning(f"{option} means nothing to the detector {wanted.finding.detector}")
    view = make_view(wanted, as_json=bool(values["as_json"]))
    pieces = _Pieces(wanted)
    code = asyncio.run(_follow(wanted, view, pieces.hear))
    if project is not None and values["add_to_dataset"] and not view.is_stopped:
        view.show_rows(project.dataset_path, pieces.add_to(project))
    return code


def _project(out_dir: Path | None) -> Project | None:
    """Return the project that a folder is in, the current one where none is named."""
    file = find_project(out_dir if out_dir is not None else Path.cwd())
    return load_project(file) if file is not None else None


def _section(project: Project, values: dict[str, Any]) -> ScenesSection:
    """Return what project.toml says about scenes, with the options on top."""
    detector = values["scenes__detector"]
    section = with_detector(project.scenes, detector)
    overrides = {
        name: value for name, value in opt.overrides(values).items() if name.startswith("scenes.")
    }
    return apply_overrides(
        Project(root=project.root, file=project.file, scenes=section), overrides
    ).scenes


class _Pieces:
    """The pieces that are there, and those that are gone."""

    def __init__(self, wanted: Wanted) -> None:
        self._out = wanted.out or Path()
        self.there: list[Path] = []
        self.gone: list[Path] = []

    def hear(self, tell: Tell) -> None:
        """Take in what happened."""
        if isinstance(tell, PieceDone):
            self.there.append(self._out / tell.file)
        elif isinstance(tell, VideoDone):
            self.gone += (self._out / file for file in tell.removed)

    def add_to(self, project: Project) -> Added:
        """Give the pieces rows in the dataset."""
        return add_pieces(project, self.there, self.gone)


def build(source: Path, out_dir: Path, values: dict[str, Any], section: ScenesSection) -> Wanted:
    """Check everything that can be checked before work starts.

    Args:
        source: A video or a folder.
        out_dir: Where pieces go.
        values: The command's parameters.
        section: The settings, those of options among them.

    Raises:
        UsageError: An option makes no sense, or there is nothing to do.
    """
    finding = _finding(values, section)
    finding.check(with_stats=values["stats_file"] is not None)
    choosing = msgspec.structs.replace(choosing_of(section), max_scenes=values["max_scenes"] or 0)
    cutting = cutting_of(section)
    out = out_dir.absolute()
    _check_folder(out)
    paths = _videos(source, out)
    names = name_videos(paths, out)
    stats = _stats_files(values["stats_file"], names, of_folder=source.is_dir())
    return Wanted(
        videos=tuple(
            Video(id=number, path=path.absolute(), name=name, stats=file)
            for number, (path, name, file) in enumerate(zip(paths, names, stats, strict=True))
        ),
        out=None if values["dry_run"] else out,
        finding=finding,
        choosing=choosing,
        cutting=None if values["dry_run"] else cutting,
        images=section.save_images,
        overwrite=values["overwrite"],
        jobs=values["jobs"] or jobs_at_once(),
    )


def _finding(values: dict[str, Any], section: ScenesSection) -> Finding:
    if values["threshold"] is not None:
        section = msgspec.structs.replace(section, threshold=0.0)
    finding = finding_of(section)
    given = {
        name: values[name]
        for name in ("luma_only", "adaptive_window", "fade_bias", "frame_skip", "skip_start")
    }
    return msgspec.structs.replace(
        finding,
        threshold=finding.threshold if values["threshold"] is None else values["threshold"],
        downscale=values["downscale"] or 0,
        skip_end=values["skip_end"],
        duration=values["duration"],
        **given,
    )


def _videos(source: Path, out: Path) -> list[Path]:
    """Return the video, or those of a folder; pieces that were cut before are none."""
    if not source.exists():
        raise UsageError("no such file or folder", remedy="check the path", file=source)
    if not source.is_dir():
        return [source]
    ours = {
        (folder / made.file).resolve()
        for folder in {source.absolute(), out}
        for record in records(folder)
        for made in record.files()
    }
    found = [
        path
        for path in sorted(source.iterdir())
        if path.suffix.lower() in VIDEO_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
        and path.resolve() not in ours
    ]
    if not found:
        raise UsageError(
            "the folder holds no video", remedy="name a video, or a folder of videos", file=source
        )
    return found


def _check_folder(out: Path) -> None:
    there = next(folder for folder in (out, *out.parents) if folder.exists())
    if not there.is_dir():
        raise UsageError("is a file, not a folder", remedy="give another folder", file=there)
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            "cannot be written to", remedy="give another folder, or mend its rights", file=there
        )


def _stats_files(given: Path | None, names: Sequence[str], *, of_folder: bool) -> list[Path | None]:
    if given is None:
        return [None] * len(names)
    files = [given.absolute()]
    if of_folder:
        files = [given.absolute().with_name(f"{given.stem}-{n}{given.suffix}") for n in names]
    for file in files:
        check_stats_file(file)
    return list(files)


async def _follow(wanted: Wanted, view: ShowsScenes, hear: Callable[[Tell], None]) -> int:
    """Show what happens, and return the exit code; Ctrl-C ends the work at the next frame."""

    async def show() -> None:
        async with contextlib.aclosing(split(wanted)) as tells:
            async for tell in tells:
                hear(tell)
                view.show(tell)

    task = asyncio.ensure_future(show())

    def stop() -> None:
        if not view.is_stopped:
            view.stop()
            task.cancel()

    with caught(dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), stop)):
        try:
            await task
        except asyncio.CancelledError:
            if not view.is_stopped:
                raise
        finally:
            view.close()
    return view.code

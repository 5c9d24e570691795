"""`ltx-tui split-scenes`: long videos into scenes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from engine.errors import UsageError
from engine.media.scene_options import (
    DETECTORS,
    PRESETS,
    THRESHOLDS,
    VIDEO_SUFFIXES,
    Choosing,
    Cutting,
    Finding,
)
from engine.media.scene_report import REPORT, check_stats_file
from engine.worker.scene_messages import Video, Wanted
from engine.worker.scene_record import name_videos, records
from ltx_tui.cli import options as opt
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.scenes_view import ShowsScenes, make_view
from ltx_tui.cli.signals import caught
from ltx_tui.scenes_child import split

# Decoders and encoders use several cores each.
_CORES_A_VIDEO, _LEAST_JOBS, _MOST_JOBS = 2, 2, 16
_DEFAULTS = ", ".join(f"{name} {value:g}" for name, value in THRESHOLDS.items())

FINDING = opt.group(
    click.option(
        "--detector",
        type=click.Choice(DETECTORS),
        default="content",
        show_default=True,
        help="How cuts are told: by changes of colour, the same against their surroundings, fades "
        "to black, histograms, or perceptual hashes.",
    ),
    click.option(
        "--threshold",
        type=float,
        help=f"From which score on a frame begins a scene.  [default: {_DEFAULTS}]",
    ),
    click.option(
        "--min-scene-length",
        type=click.IntRange(min=0),
        metavar="FRAMES",
        help="The detector holds a scene for at least so many frames.  [default: 15]",
    ),
    click.option("--luma-only", is_flag=True, help="content, adaptive: compare brightness alone."),
    click.option(
        "--adaptive-window",
        type=click.IntRange(min=1),
        metavar="FRAMES",
        help="adaptive: frames before and after to compare with.  [default: 2]",
    ),
    click.option(
        "--fade-bias",
        type=click.FloatRange(-1, 1),
        help="threshold: where in a fade to cut: -1 as it begins, 1 as it ends.  [default: 0]",
    ),
    click.option(
        "--downscale",
        type=click.IntRange(min=1),
        metavar="FACTOR",
        help="Divide width and height by this to look at them.  [default: down to 256 pixels]",
    ),
    click.option(
        "--frame-skip",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Pass over N frames after each one that is looked at: quicker, and less exact.",
    ),
    click.option(
        "--skip-start",
        type=click.IntRange(min=0),
        default=0,
        metavar="FRAMES",
        help="Leave out the beginning.",
    ),
    click.option(
        "--skip-end",
        type=click.IntRange(min=0),
        default=0,
        metavar="FRAMES",
        help="Leave out the end.",
    ),
    click.option(
        "-d",
        "--duration",
        default="",
        metavar="LENGTH",
        help="How much to look at: 123 (frames), 5s or HH:MM:SS.nnn.",
    ),
    click.option(
        "--stats-file",
        type=opt.PATH,
        metavar="CSV",
        help="Write the scores of every frame; for a folder, one file a video: CSV-NAME.",
    ),
)

CUTTING = opt.group(
    click.option("--max-scenes", type=click.IntRange(min=1), help="Keep the first so many."),
    click.option(
        "--filter-shorter-than",
        default="",
        metavar="LENGTH",
        help="Leave out scenes of less than 123 (frames), 5s or HH:MM:SS.nnn.",
    ),
    click.option(
        "--trim",
        type=click.IntRange(min=0),
        default=1,
        show_default=True,
        metavar="FRAMES",
        help="Leave out so many at each end that is a cut: a guard against a stray frame.",
    ),
    click.option(
        "--copy",
        is_flag=True,
        help="Do not encode: copy from key frame to key frame. Quick and lossless, but a piece "
        "begins and ends where the video lets it; which frames it has is told.",
    ),
    click.option(
        "--crf",
        type=click.IntRange(0, 51),
        default=18,
        show_default=True,
        help="Quality of H.264: 0 is lossless.",
    ),
    click.option(
        "--preset",
        type=click.Choice(PRESETS),
        default="veryfast",
        show_default=True,
        metavar="NAME",
        help="x264's, from ultrafast to veryslow.",
    ),
    click.option("--audio/--no-audio", default=True, help="Cut the sound too (AAC).  [on]"),
    click.option(
        "--save-images",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help=f"Save N previews of each scene, and {REPORT} to look at them.",
    ),
    click.option(
        "--overwrite",
        is_flag=True,
        help="Cut everything again, and replace files that were not made by this command.",
    ),
    click.option("--dry-run", is_flag=True, help="List the scenes; write nothing."),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        metavar="N",
        help="Videos to work on side by side.  [default: one for two cores, at least 2]",
    ),
    opt.as_json,
)


@click.command("split-scenes", epilog=EXIT_CODES)
@click.argument("source", metavar="VIDEO|FOLDER", type=opt.PATH)
@click.argument("out_dir", type=opt.PATH)
@FINDING
@CUTTING
def command(source: Path, out_dir: Path, **values: Any) -> int:
    """Find the scenes of a video, or of all videos in a folder, and cut each into a file.

    Writes NAME-Scene-001.mp4 and so on into OUT_DIR, at exact frames, with sound. A video without
    a cut is one scene. A rerun makes only what is missing or was made with other settings.
    """
    wanted = build(source, out_dir, values)
    for option in wanted.finding.idle_options:
        say_warning(f"{option} means nothing to the detector {wanted.finding.detector}")
    view = make_view(wanted, as_json=bool(values["as_json"]))
    return asyncio.run(_follow(wanted, view))


def build(source: Path, out_dir: Path, values: dict[str, Any]) -> Wanted:
    """Check everything that can be checked before work starts.

    Args:
        source: A video or a folder.
        out_dir: Where pieces go.
        values: The command's parameters.

    Raises:
        UsageError: An option makes no sense, or there is nothing to do.
    """
    finding = Finding(
        detector=values["detector"],
        threshold=values["threshold"],
        min_scene_length=values["min_scene_length"],
        luma_only=values["luma_only"],
        adaptive_window=values["adaptive_window"],
        fade_bias=values["fade_bias"],
        downscale=values["downscale"] or 0,
        frame_skip=values["frame_skip"],
        skip_start=values["skip_start"],
        skip_end=values["skip_end"],
        duration=values["duration"],
    )
    finding.check(with_stats=values["stats_file"] is not None)
    choosing = Choosing(
        trim=values["trim"],
        filter_shorter_than=values["filter_shorter_than"],
        max_scenes=values["max_scenes"] or 0,
    )
    choosing.check()
    cutting = Cutting(
        copy=values["copy"],
        crf=values["crf"],
        preset=values["preset"],
        audio=values["audio"],
    )
    cutting.check()
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
        images=values["save_images"],
        overwrite=values["overwrite"],
        jobs=values["jobs"] or _jobs(),
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


def _jobs() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(_LEAST_JOBS, min(_MOST_JOBS, (cores or 1) // _CORES_A_VIDEO))


async def _follow(wanted: Wanted, view: ShowsScenes) -> int:
    """Show what happens, and return the exit code; Ctrl-C ends the work at the next frame."""

    async def show() -> None:
        async with contextlib.aclosing(split(wanted)) as tells:
            async for tell in tells:
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

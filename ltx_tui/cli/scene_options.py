"""The options of `ltx-tui split-scenes`; most of them are keys of `[scenes]` in project.toml."""

from __future__ import annotations

import click

from engine.media.scene_options import THRESHOLDS
from engine.media.scene_report import REPORT
from ltx_tui.cli import options as opt

_DEFAULTS = ", ".join(f"{name} {value:g}" for name, value in THRESHOLDS.items())

FINDING = opt.group(
    opt.setting(
        "scenes.detector",
        "--detector",
        help="How cuts are told: by changes of colour, the same against their surroundings, fades "
        "to black, histograms, or perceptual hashes.",
    ),
    click.option(
        "--threshold",
        type=float,
        help=f"From which score on a frame begins a scene.  [default: {_DEFAULTS}]",
    ),
    opt.setting(
        "scenes.min_scene_length",
        "--min-scene-length",
        type=click.IntRange(min=0),
        metavar="FRAMES",
        help="The detector holds a scene for at least so many frames.",
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
    opt.setting(
        "scenes.filter_shorter_than",
        "--filter-shorter-than",
        metavar="LENGTH",
        help="Leave out scenes of less than 123 (frames), 5s or HH:MM:SS.nnn.",
    ),
    opt.setting(
        "scenes.trim",
        "--trim",
        type=click.IntRange(min=0),
        metavar="FRAMES",
        help="Leave out so many at each end that is a cut: a guard against a stray frame.",
    ),
    opt.setting(
        "scenes.copy",
        "--copy/--no-copy",
        help="Do not encode: copy from key frame to key frame. Quick and lossless, but a piece "
        "begins and ends where the video lets it; which frames it has is told.",
    ),
    opt.setting(
        "scenes.crf",
        "--crf",
        type=click.IntRange(0, 51),
        help="Quality of H.264: 0 is lossless.",
    ),
    opt.setting(
        "scenes.preset",
        "--preset",
        metavar="NAME",
        help="x264's, from ultrafast to veryslow.",
    ),
    opt.setting("scenes.audio", "--audio/--no-audio", help="Cut the sound too (AAC).  [on]"),
    opt.setting(
        "scenes.save_images",
        "--save-images",
        type=click.IntRange(min=0),
        metavar="N",
        help=f"Save N previews of each scene, and {REPORT} to look at them.",
    ),
    click.option(
        "--overwrite",
        is_flag=True,
        help="Cut everything again, and replace files that were not made by this command.",
    ),
    click.option(
        "--add-to-dataset",
        is_flag=True,
        help="Give each piece a row in the dataset of the project that the folder is in.",
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

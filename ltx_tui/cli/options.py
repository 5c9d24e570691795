"""Options that are keys of project.toml in disguise, each with the names that users know."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from engine.errors import UsageError
from engine.settings import KEYS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
# What is read as a dataset where it is named.
DATASETS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_ONE = r"(?:cpu|mps|cuda(?::\d{1,3})?)"
_DEVICE = re.compile(rf"auto|{_ONE}(?: *, *{_ONE})*")


class Device(click.ParamType[str]):
    """Torch devices by name, with commas between them."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a name that is no device."""
        if not _DEVICE.fullmatch(str(value)):
            words = "use auto, cpu, mps, cuda, cuda:N, or several such as cuda:0,cuda:2"
            self.fail(f"{value!r} is no device; {words}", param, ctx)
        return str(value).replace(" ", "")


def setting(key: str, *names: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """Return an option that overrides one key of project.toml when it is given.

    Args:
        key: Such as "video.buckets".
        names: Such as "--resolution-buckets".
        attributes: For `click.option`; `help` and `type` default to those of the key, and
            `default_words`, what help says of the default, to its value.
    """
    known = KEYS[key]
    attributes.setdefault("help", known.description)
    if known.choices:
        attributes.setdefault("type", click.Choice(known.choices))
    elif not isinstance(known.default, bool):
        attributes.setdefault("type", type(known.default))
    # None means "not given": project.toml decides, then the default.
    is_shown = known.default != "" and not isinstance(known.default, bool)
    default = attributes.pop("default_words", str(known.default) if is_shown else "")
    if default:
        attributes["help"] += f"  [default: {default}]"
    return click.option(*names, key.replace(".", "__"), default=None, **attributes)


def overrides(values: Mapping[str, object]) -> dict[str, object]:
    """Return {"video.buckets": …} from a command's parameters, those not given left out."""
    extra = values.get("assignments") or {}
    assert isinstance(extra, dict)  # noqa: S101 - made by `_assignments`
    named = {
        name.replace("__", ".", 1): value
        for name, value in values.items()
        if "__" in name and value is not None
    }
    return extra | named


def group(*options: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    """Return one decorator for several options, shown in the order given."""

    def apply(function: Decorated) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


def _assignments(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, object]:
    """Read KEY=VALUE; a value is TOML, or else plain text."""
    found: dict[str, object] = {}
    for text in values:
        key, sign, value = text.partition("=")
        key = key.strip()
        if not sign or key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            raise UsageError(
                f"--set {text}: there is no key {key!r}" if sign else f"--set {text} has no '='",
                remedy=f"did you mean {near[0]}?" if near else "write --set video.fps=24",
            )
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key] = value.strip()
    return found


dataset_argument = click.argument("dataset", required=False, type=PATH)

stages = click.option(
    "--stages",
    metavar="A,B",
    help="Only these: conditions, latents, audio_latents, reference_latents, decode.",
)

any_key = click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_assignments,
    help="Any other key of project.toml, such as video.fps=24. May be repeated.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for scripts.")

device = setting(
    "run.device",
    "-d",
    "--device",
    type=Device(),
    help="auto (all GPUs), cpu, cuda:1, mps, or several: cuda:0,cuda:2.",
)

hardware_decoding = setting("run.hardware_decoding", "--hardware-decoding")

memory = group(
    setting(
        "memory.limit",
        "--memory-limit",
        metavar="GIB",
        default_words="all there is",
        help="GiB that the job may use on a device.",
    ),
    setting(
        "memory.reserve",
        "--memory-reserve",
        metavar="GIB",
        help="GiB of a device to leave free for others.",
    ),
)

scale = group(
    setting(
        "scale.engine",
        "--engine",
        help="Encode on this machine, or on the nodes of a Ray cluster (extra: ray).",
    ),
    setting(
        "scale.address",
        "--address",
        help="The cluster: auto (this machine's), host:6379, ray://host:10001, or local.",
    ),
)

# How a job is done, for every command that does one.
following = group(
    click.option(
        "--foreground",
        is_flag=True,
        help="Work in this process instead of the background worker: for containers and batch "
        "systems.",
    ),
    click.option("--detach", is_flag=True, help="Start the job, and leave it to the worker."),
)

project = click.option(
    "--project",
    "start",
    type=PATH,
    help="The project's folder or dataset.  [default: the current folder's]",
)

job_argument = click.argument("job", required=False, type=click.IntRange(min=1))

overwrite = click.option(
    "--overwrite", is_flag=True, help="Encode everything again, fresh outputs too."
)

checkpoint = setting(
    "models.checkpoint",
    "--model-path",
    type=PATH,
    help="The LTX-2 checkpoint (.safetensors).  [required, here or in project.toml]",
)

video_vae = setting(
    "models.video_vae", "--video-vae-path", type=PATH, help="Video VAE of a split pack."
)

audio_vae = setting(
    "models.audio_vae", "--audio-vae-path", type=PATH, help="Audio VAE of a split pack."
)

text_encoder = setting(
    "models.text_encoder",
    "--text-encoder-path",
    type=PATH,
    help="The Gemma folder.  [required, here or in project.toml]",
)

buckets = setting(
    "video.buckets",
    "--resolution-buckets",
    metavar="WxHxF;WxHxF",
    default_words="",
    help="Sizes (pixels, multiples of 32) and lengths (frames, 8·k + 1) that clips are brought "
    "to.  [required, here or in project.toml]",
)

video_column = setting(
    "dataset.video_column",
    "--video-column",
    default_words="media_path or video",
    help="Column of the media paths.",
)

caption_column = setting(
    "dataset.caption_column",
    "--caption-column",
    default_words="caption",
    help="Column of the captions.",
)

video_options = group(
    setting("video.fps", "--fps", help="Frames a second to resample to; 0: the source's own."),
    setting("video.hdr", "--hdr"),
    setting(
        "video.vae_tiling",
        "--vae-tiling/--no-vae-tiling",
        help="Feathered tiles: less memory, but approximate.",
    ),
)

audio = group(
    click.option("--with-audio", is_flag=True, help="Encode the sound too."),
    click.option("--skip-audio", is_flag=True, help="Leave the sound out."),
    setting(
        "audio.durations",
        "--audio-durations",
        metavar="SECONDS;SECONDS",
        help="Lengths that sounds without a picture are cut to; turns sound on.",
    ),
)

text_options = group(
    setting(
        "text.trigger",
        "--lora-trigger",
        help="Trigger word put before every caption when it is encoded.",
    ),
    setting(
        "text.strip_prefixes",
        "--remove-llm-prefixes/--keep-llm-prefixes",
        help='Drop openings such as "The video shows" when encoding.',
    ),
    setting(
        "text.eight_bit",
        "--load-text-encoder-in-8bit/--load-text-encoder-in-16bit",
        help="Load Gemma in 8 bits: half the memory, slightly other embeddings.",
    ),
)


# What process-dataset, plan and adopt share, so that one command line serves all three.
job_options = group(
    buckets,
    checkpoint,
    text_encoder,
    video_vae,
    audio_vae,
    setting(
        "dataset.output_dir",
        "--output-dir",
        type=PATH,
        default_words=".precomputed beside the dataset",
        help="Folder that gets one folder for each kind of output.",
    ),
    video_column,
    caption_column,
    setting("dataset.reference_column", "--reference-column"),
    setting("reference.downscale", "--reference-downscale-factor"),
    setting("reference.temporal_scale", "--reference-temporal-scale-factor"),
    text_options,
    video_options,
    audio,
    setting("run.batch_size", "--batch-size", help="Clips of one bucket encoded at a time."),
    device,
    hardware_decoding,
    memory,
    scale,
    any_key,
)


def audio_override(values: Mapping[str, object]) -> dict[str, object]:
    """Return what --with-audio and --skip-audio say.

    Raises:
        UsageError: Both are given.
    """
    if values["with_audio"] and values["skip_audio"]:
        raise UsageError(
            "--with-audio and --skip-audio cannot both be given", remedy="leave one of them out"
        )
    wanted = bool(values["with_audio"] or values.get("audio__durations"))
    if not wanted and not values["skip_audio"]:
        return {}
    return {"audio.enabled": wanted and not values["skip_audio"]}

"""The doctor: what of machine, models, disk, dataset and media would stop or spoil a job."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal

import av
import av.codec
import msgspec
import psutil

from engine.dataset.clips import Clip, load_clips
from engine.dataset.columns import project_columns
from engine.dataset.lint import lint
from engine.dataset.manifest import load_manifest
from engine.errors import LtxError
from engine.health.machine import Machine, examine
from engine.media.probe import Probe
from engine.models.checkpoint import Checkpoint, model_folder_shards
from engine.models.header import json_object
from engine.precompute.ledger import Ledger
from engine.precompute.survey import probe_files
from engine.project import Project
from engine.text import listed, plural

_LEAST_DISK = 1 << 30
_DECODERS = ("h264", "hevc", "vp9", "av1", "prores", "aac", "opus")
_ENCODERS = ("libx264", "aac")
_FFMPEG = ("libavcodec", "libavformat", "libswresample", "libswscale")
_PACKAGES = ("av", "numpy", "pillow", "safetensors", "tokenizers", "textual")


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"  # in the dataset or its media
    FAULT = "fault"  # in the machine, the installation or the models


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at.

    Attributes:
        group: "software", "device", "models", "disk", "dataset" or "media".
        name: What was looked at.
        text: What was found.
        remedy: What to do about it; empty where nothing needs doing.
    """

    group: str
    name: str
    verdict: Verdict
    text: str
    remedy: str = ""


def diagnose(
    project: Project | None,
    *,
    media: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Check]:
    """Yield the checks one by one, as they are made.

    Args:
        project: What to look at; None for the machine alone.
        media: Whether every media file is probed.
        progress: Told (done, total) while they are.
    """
    yield from _software()
    try:
        machine = examine()
    except LtxError as error:
        yield _failed("device", "torch", error)
        machine = None
    if machine is not None:
        yield from _libraries(machine)
        yield from _device(machine)
    if project is not None:
        yield from _models(project, machine)
        yield from _disk(project)
        yield from _dataset(project, media=media, progress=progress)


def _ok(group: str, name: str, text: str) -> Check:
    return Check(group=group, name=name, verdict=Verdict.OK, text=text)


def _warning(group: str, name: str, text: str, remedy: str = "") -> Check:
    return Check(group=group, name=name, verdict=Verdict.WARNING, text=text, remedy=remedy)


def _failed(group: str, name: str, error: LtxError, verdict: Verdict = Verdict.FAULT) -> Check:
    return Check(group=group, name=name, verdict=verdict, text=error.headline, remedy=error.remedy)


def _software() -> Iterator[Check]:
    yield _ok("software", "ltx-tui", importlib.metadata.version("ltx-tui"))
    yield _ok("software", "Python", f"{platform.python_version()} on {platform.platform()}")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    yield _ok("software", "packages", ", ".join(versions))
    found = av.library_versions
    libraries = [f"{name} {'.'.join(map(str, found[name]))}" for name in _FFMPEG if name in found]
    yield _ok("software", "FFmpeg", ", ".join(libraries))
    missing = [f"{name} (read)" for name in _DECODERS if not _has_codec(name, "r")]
    missing += [f"{name} (write)" for name in _ENCODERS if not _has_codec(name, "w")]
    if missing:
        remedy = "install PyAV from its wheels, which bring FFmpeg along"
        yield _warning("software", "codecs", f"missing: {', '.join(missing)}", remedy)
    else:
        yield _ok("software", "codecs", f"reads {', '.join(_DECODERS)}")


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.codec.Codec(name, mode)
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _libraries(machine: Machine) -> Iterator[Check]:
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    if versions:
        yield _ok("software", "models run on", versions)
    for name, words in machine.faults.items():
        yield Check(
            group="software",
            name=name,
            verdict=Verdict.FAULT,
            text=f"cannot be imported: {words}",
            remedy="install ltx-tui again; torch and torchaudio must be of one release",
        )


def _device(machine: Machine) -> Iterator[Check]:
    memory = psutil.virtual_memory()
    yield _ok(
        "device",
        "CPU",
        f"{plural(machine.threads, 'thread')}, {_bytes(memory.available)} of "
        f"{_bytes(memory.total)} memory free",
    )
    for index, gpu in enumerate(machine.gpus):
        text = f"{gpu.name}, {_bytes(gpu.free)} of {_bytes(gpu.total)} free"
        if gpu.bf16:
            yield _ok("device", f"GPU {index}", text)
        else:
            remedy = 'set video.dtype = "float32" if latents are not finite'
            yield _warning("device", f"GPU {index}", f"{text}, no bfloat16 of its own", remedy)
    if not machine.gpus and "torch" in machine.packages:
        why = "torch sees none" if machine.cuda else "this is torch's build for the CPU"
        yield _warning("device", "GPU", f"{why}: everything runs on the CPU, slowly")


def _models(project: Project, machine: Machine | None) -> Iterator[Check]:
    width = 0
    for name, path in (
        ("checkpoint", project.checkpoint_path),
        ("video VAE", project.video_vae_path),
        ("audio VAE", project.audio_vae_path),
    ):
        if path is None:
            if name == "checkpoint":
                remedy = "set models.checkpoint in project.toml, or give --model-path"
                yield _warning("models", name, "not set", remedy)
            continue
        try:
            checkpoint = Checkpoint.open(path)
        except LtxError as error:
            yield _failed("models", name, error)
            continue
        width = width or _projection_width(checkpoint)
        parts = ", ".join(_parts(checkpoint)) or "none of the parts that are needed"
        size = _bytes(path.stat().st_size)
        yield _ok("models", name, f"{path.name}: LTX-{checkpoint.generation}, {size}, has {parts}")
    yield from _text_encoder(project, machine, width)


def _parts(checkpoint: Checkpoint) -> Iterator[str]:
    for prefix, name in (
        ("vae.", "video VAE"),
        ("encoder.", "video VAE"),
        ("audio_vae.", "audio VAE"),
        ("vocoder.", "vocoder"),
        ("text_embedding_projection.", "text projection"),
    ):
        if checkpoint.has(prefix):
            yield name


def _projection_width(checkpoint: Checkpoint) -> int:
    """Return how many features of the language model the text projection takes; 0 if none."""
    for name, tensor in checkpoint.select("text_embedding_projection.").items():
        if name.endswith("aggregate_embed.weight") and len(tensor.shape) == 2:
            return tensor.shape[1]
    return 0


def _text_encoder(project: Project, machine: Machine | None, width: int) -> Iterator[Check]:
    name, folder = "text encoder", project.text_encoder_path
    if folder is None:
        remedy = "set models.text_encoder in project.toml, or give --text-encoder-path"
        yield _warning("models", name, "not set", remedy)
        return
    try:
        weights = sum(shard.stat().st_size for shard in model_folder_shards(folder))
    except LtxError as error:
        yield _failed("models", name, error)
        return
    yield _ok("models", name, f"{folder.name}: {_bytes(weights)} of weights")
    if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer.model")):
        yield Check(
            group="models",
            name="tokenizer",
            verdict=Verdict.FAULT,
            text=f"{folder}: there is no tokenizer.json",
            remedy="download the whole folder",
        )
    features = _features(folder)
    if width and features and width != features:
        yield Check(
            group="models",
            name="text encoder",
            verdict=Verdict.FAULT,
            text=f"it gives {features:,} features a token, and the checkpoint takes {width:,}",
            remedy="use the language model that the checkpoint was made for (Gemma 3 12B)",
        )
    if project.text.eight_bit and importlib.util.find_spec("bitsandbytes") is None:
        yield Check(
            group="models",
            name="8 bits",
            verdict=Verdict.FAULT,
            text="text.eight_bit is set, and bitsandbytes is not installed",
            remedy="install ltx-tui[quantize], or unset it",
        )
    yield from _room(project, machine, weights)


def _features(folder: Path) -> int:
    """Return hidden size × (layers + 1) of a language model, from its config; 0 if unknown."""
    config = json_object((folder / "config.json").read_bytes()) or {}
    inner = config.get("text_config")
    table = inner if isinstance(inner, dict) else config
    hidden, layers = table.get("hidden_size"), table.get("num_hidden_layers")
    return hidden * (layers + 1) if isinstance(hidden, int) and isinstance(layers, int) else 0


def _room(project: Project, machine: Machine | None, weights: int) -> Iterator[Check]:
    """Warn when the text encoder, the largest model by far, does not fit."""
    if machine is None:
        return
    needed = weights // 2 if project.text.eight_bit else weights
    for device in dict.fromkeys(project.run.device.split(",")):
        yield from _room_on(device.strip(), machine, needed)


def _room_on(device: str, machine: Machine, needed: int) -> Iterator[Check]:
    on_gpu = machine.gpus and device not in ("cpu", "mps")
    index = int(device.partition(":")[2] or 0) if on_gpu else 0
    if on_gpu and index >= len(machine.gpus):
        count = plural(len(machine.gpus), "GPU")
        yield _warning("device", device, f"there is no such GPU; torch sees {count}")
        return
    free = machine.gpus[index].free if on_gpu else psutil.virtual_memory().available
    if needed > free:
        yield _warning(
            "device",
            "memory",
            f"the text encoder takes {_bytes(needed)}, and {_bytes(free)} are free",
            "free memory, or use --load-text-encoder-in-8bit or another device",
        )


def _disk(project: Project) -> Iterator[Check]:
    folder = project.output_dir
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        yield Check(
            group="disk",
            name="outputs",
            verdict=Verdict.FAULT,
            text=f"{there}: not writable",
            remedy="mend the permissions, or set dataset.output_dir",
        )
    elif free < _LEAST_DISK:
        yield _warning("disk", "outputs", f"{folder}: only {_bytes(free)} free", "make space")
    else:
        yield _ok("disk", "outputs", f"{folder}: {_bytes(free)} free")


def _dataset(
    project: Project, *, media: bool, progress: Callable[[int, int], None] | None
) -> Iterator[Check]:
    try:
        manifest = load_manifest(project.dataset_path)
        columns = project_columns(manifest, project.dataset)
        clips = load_clips(manifest, columns, on_collision=project.dataset.on_collision)
    except LtxError as error:
        yield _failed("dataset", "file", error, Verdict.PROBLEM)
        return
    yield _ok("dataset", "file", f"{project.dataset_path}: {plural(len(manifest.rows), 'row')}")
    groups: dict[tuple[str, str, str, str], list[int]] = {}
    for one in lint(manifest, columns, clips):
        key = (one.severity, one.code, one.message, one.remedy)
        groups.setdefault(key, []).extend([] if one.row is None else [one.row])
    for (severity, code, message, remedy), rows in groups.items():
        where = f" ({_rows(rows)})" if rows else ""
        yield Check(
            group="dataset",
            name=code,
            verdict=Verdict.PROBLEM if severity == "error" else Verdict.WARNING,
            text=f"{message}{where}",
            remedy=remedy,
        )
    if media:
        usable = [clip for clip in clips.clips if clip.row not in clips.blocked]
        yield from _media(project, usable, progress)


def _rows(rows: Sequence[int]) -> str:
    return f"{'row' if len(rows) == 1 else 'rows'} {listed([str(row + 1) for row in rows], 5)}"


def _media(
    project: Project, clips: Sequence[Clip], progress: Callable[[int, int], None] | None
) -> Iterator[Check]:
    paths = [path for c in clips for path in (c.media, c.reference, c.audio) if path is not None]
    with Ledger(project.state_dir) as ledger:
        found = probe_files(paths, ledger, progress)
    warned: dict[tuple[str, str], list[str]] = {}
    readable = 0
    for path, one in found.items():
        if isinstance(one, Probe):
            readable += 1
            for warning in one.warnings:
                warned.setdefault((warning.text, warning.remedy), []).append(path.name)
        else:
            yield _failed("media", path.name, one, Verdict.PROBLEM)
    yield _ok("media", "files", f"{readable:,} of {plural(len(found), 'file')} can be read")
    for (text, remedy), names in warned.items():
        yield _warning("media", listed(names), text, remedy)


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"

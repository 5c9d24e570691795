"""A whole `process-dataset` on a GPU against the plain script: clips an hour, busy share, joules.

For a rented GPU, one command; an H200 should take 3 to 5 minutes, less than 3 with --quick:

    python -m tests.benchmarks.bench_gpu [--quick] [--json FILE]

It writes models of LTX-2.0's real shapes with random weights (5 GB; --layers 48 for Gemma's whole
depth, 24 GB) and clips of 1080p30 with sound, encodes them with each way, and watches the GPU
meanwhile. Counted is the steady part: of each stage what comes between its first output and its
last one, by the times of the files, without starts and the loading of models; of pictures without
the first eight, among which forms of the encode are tried (`--no-tune`: none are). All of that is
in the seconds on the wall that stand beside it.

`--device cpu --small` goes through the same steps with toy models, without figures of a GPU.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch

from engine.models.toy import make_toy_models
from engine.precompute.layout import Stage
from engine.precompute.outputs import load, relative_error
from engine.project import load_project, write_project
from tests.benchmarks.gpu_models import LAYERS
from tests.benchmarks.gpu_watch import Figures, Span, Watch, is_counted
from tests.benchmarks.plain_script import STAGES
from tests.benchmarks.rows import Row, main, python, timed
from tests.small_set import write_clip, write_dataset
from tests.workers import end_worker

AGAINST = "a plain script of the same stages, one clip after another"
FPS = 30
# Of one length, about 160 tokens: what a mixture of lengths wins is another benchmark's matter.
CAPTION = "A wide grating drifts to the left over a blue wall while a low tone is heard. " * 5
# How far outputs may be apart: bf16 rounding, twice what bf16 itself costs against float32; sound
# is computed in TF32; prompts in bf16, padded by the plain script, through all layers.
NEAR = {Stage.LATENTS: 0.016, Stage.AUDIO_LATENTS: 0.02, Stage.CONDITIONS: 0.05}
GIB = 1 << 30


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much is encoded.

    Attributes:
        clips: How many.
        different: So many are written, the others are copies.
        source: Width and height of the clips.
        length: Frames of a clip.
        bucket: What it is encoded as.
        captions: Prompts that we encode at a time.
        first: Pictures that are left out of the steady part, in both ways.
    """

    clips: int
    different: int = 4
    source: tuple[int, int] = (1920, 1080)
    length: int = 53
    bucket: str = "960x544x49"
    captions: int = 8
    first: int = 8


FULL = Size(clips=48)
QUICK = Size(clips=16, different=2)
SMALL = Size(
    clips=5, different=2, source=(192, 128), length=12, bucket="96x64x9", captions=2, first=1
)


class Way(NamedTuple):
    """One way to encode the dataset, and what came of it.

    Attributes:
        out: Folder of the outputs.
        wall: Seconds, all in all.
        spans: Of each stage: from when to when it was in steady work.
        clips: Of each stage: how many clips were done in that time.
        watch: What the GPU did meanwhile.
    """

    out: Path
    wall: float
    spans: Mapping[Stage, Span]
    clips: Mapping[Stage, int]
    watch: Watch

    @property
    def seconds(self) -> dict[Stage, float]:
        """Seconds a clip, of each stage."""
        return {
            stage: (end - begin) / self.clips[stage] for stage, (begin, end) in self.spans.items()
        }

    @property
    def rate(self) -> float:
        """Clips an hour."""
        return 3600 / max(1e-9, sum(self.seconds.values()))

    @property
    def figures(self) -> Figures:
        """Of all stages together."""
        return self.watch.over(list(self.spans.values()))

    @property
    def joules(self) -> float | None:
        """Energy a clip."""
        found = [
            (self.watch.over([span]).joules, self.clips[stage])
            for stage, span in self.spans.items()
        ]
        return sum((joules or 0) / clips for joules, clips in found) or None


def write_source(
    root: Path, size: Size, models: tuple[Path, Path], device: str, tune: bool
) -> None:
    """Write the clips, their dataset and a project."""
    root.mkdir(parents=True)
    names = [f"{number:04}.mp4" for number in range(size.clips)]
    first = names[: size.different]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = [
            pool.submit(_write_clip, root / name, size, seed) for seed, name in enumerate(first)
        ]
        for job in jobs:
            job.result()
    for number, name in enumerate(names[size.different :]):
        shutil.copy(root / first[number % size.different], root / name)
    write_dataset(root, [{"caption": CAPTION, "media_path": name} for name in names])
    values = {
        "dataset.path": "dataset.json",
        "models.checkpoint": str(models[0]),
        "models.text_encoder": str(models[1]),
        "run.device": device,
        "run.tune": tune,
        "audio.enabled": True,
        "video.buckets": size.bucket,
        "text.batch_size": size.captions,
    }
    write_project(root / "project.toml", values)


def _write_clip(path: Path, size: Size, seed: int) -> None:
    write_clip(path, size=size.source, count=size.length, seed=seed, fps=FPS)


def steady(folder: Path, together: int) -> tuple[Span, int]:
    """Return from when to when outputs came, after the first ones, and how many.

    Args:
        folder: Of a stage's outputs.
        together: Outputs that come at a time, or are left out.
    """
    times = sorted(path.stat().st_mtime for path in folder.rglob("*.pt"))
    if len(times) <= together:
        raise RuntimeError(f"{folder} has {len(times)} outputs: too few to tell a rate from")
    return (times[together - 1], times[-1]), len(times) - together


def encode(
    command: Sequence[str], out: Path, together: Mapping[Stage, int], log: Path, watch: Watch
) -> Way:
    """Run one way to its end, and look at when its outputs came.

    Raises:
        RuntimeError: It failed; with its last words.
    """
    with watch:
        wall = timed(command, log=log).wall
    found = {stage: steady(out / stage.value, together.get(stage, 1)) for stage in STAGES}
    return Way(
        out=out,
        wall=wall,
        spans={stage: span for stage, (span, _) in found.items()},
        clips={stage: count for stage, (_, count) in found.items()},
        watch=watch,
    )


def both_ways(source: Path, folder: Path, size: Size, watch: Callable[[], Watch]) -> dict[str, Any]:
    """Encode the dataset in each way, on a copy of its own; what fails is in words."""
    found: dict[str, Any] = {}
    for name in ("plain", "ours"):
        root = folder / name
        shutil.copytree(source, root)
        project = load_project(root / "project.toml")
        plain = name == "plain"
        out = root / "out" if plain else project.output_dir
        command = (
            python("tests.benchmarks.plain_script", "plain", str(root), str(out))
            if plain
            else python("ltx_tui", "process-dataset", str(root))
        )
        together = {Stage.CONDITIONS: 1 if plain else size.captions, Stage.LATENTS: size.first}
        try:
            found[name] = encode(command, out, together, folder / f"{name}.log", watch())
        except RuntimeError as error:  # the other one is measured all the same
            found[name] = f"{name} failed: {' '.join(str(error).split())[-600:]}"
        finally:
            end_worker(project)
    return found


def apart(ours: Path, plain: Path, clips: int) -> dict[Stage, float]:
    """Return how far the outputs of each stage are apart at most; infinite where one is missing."""
    found = {}
    for stage in STAGES:
        pairs = [
            (path, plain / stage.value / path.relative_to(ours / stage.value))
            for path in sorted((ours / stage.value).rglob("*.pt"))
        ]
        whole = len(pairs) == clips and all(other.is_file() for _, other in pairs)
        errors = [relative_error(load(a), load(b), stage) for a, b in pairs] if whole else []
        found[stage] = max(errors, default=float("inf"))
    return found


def rows_of(size: Size, about: str, ours: Way, plain: Way) -> list[Row]:
    """Return what the two come to."""
    off = apart(ours.out, plain.out, size.clips)
    far = ", ".join(f"{stage.value} {error:.1e}" for stage, error in off.items())
    a_clip = "; ".join(
        f"{stage.value} {1000 * plain.seconds[stage]:.0f} against {1000 * seconds:.0f} ms"
        for stage, seconds in ours.seconds.items()
    )
    return [
        Row(
            what=f"{about}, clips an hour",
            against=AGAINST,
            goal=1.0,
            ratio=ours.rate / plain.rate,
            equal=all(error <= NEAR[stage] for stage, error in off.items()),
            detail=f"{plain.rate:,.0f} against {ours.rate:,.0f} in steady work; a clip: {a_clip}; "
            f"with start and models {plain.wall:.1f} s against {ours.wall:.1f} s for {size.clips} "
            f"clips; apart at most: {far}",
        ),
        *gpu_rows(about, ours, plain),
    ]


def gpu_rows(about: str, ours: Way, plain: Way) -> list[Row]:
    """Return what the GPU did in both ways."""
    mine, other = ours.figures, plain.figures
    alone = (ways.watch.over([ways.spans[Stage.LATENTS]]).busy for ways in (plain, ours))
    fault = ours.watch.fault
    energies = ours.joules, plain.joules
    how = "by the driver's counter" if is_counted(ours.watch.moments) else "power, added up"
    watts = [
        figures.joules / figures.seconds if figures.joules and figures.seconds else None
        for figures in (other, mine)
    ]
    return [
        Row(
            what=f"{about}, GPU busy",
            ratio=mine.busy,
            unit="%",
            detail=fault
            or f"of the time in which outputs came; the plain script {_words(other.busy, '%')}; "
            f"while pictures are encoded {' against '.join(_words(one, '%') for one in alone)}",
        ),
        Row(
            what=f"{about}, joules a clip",
            against=AGAINST,
            goal=1.0,
            ratio=energies[1] / energies[0] if energies[0] and energies[1] else None,
            detail=fault
            or f"{_words(energies[1], 'J')} against {_words(energies[0], 'J')}, "
            f"{' against '.join(_words(one, 'W') for one in watts)}, of the whole board, {how}",
        ),
        Row(
            what=f"{about}, peak GPU memory",
            ratio=_gib(ours.watch.peak),
            unit="GiB",
            detail=fault
            or "with the CUDA context and what torch keeps for later; the plain script "
            f"{_words(_gib(plain.watch.peak), 'GiB')}",
        ),
    ]


def alone(way: Way) -> str:
    """Return what one way came to, in words, where the other one failed."""
    return (
        f"{way.rate:,.0f} clips an hour, {_words(way.figures.busy, '%')} busy, "
        f"{_words(way.joules, 'J')} a clip, peak {_words(_gib(way.watch.peak), 'GiB')}"
    )


def _words(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g} {unit}"


def _gib(size: int | None) -> float | None:
    return None if size is None else size / GIB


def empty_rows(about: str, why: str) -> list[Row]:
    """Return the same rows without any figure."""
    return [
        Row(what=f"{about}, clips an hour", against=AGAINST, goal=1.0, detail=why),
        Row(what=f"{about}, GPU busy", unit="%", detail=why),
        Row(what=f"{about}, joules a clip", against=AGAINST, goal=1.0, detail=why),
        Row(what=f"{about}, peak GPU memory", unit="GiB", detail=why),
    ]


def make_models(folder: Path, layers: int, device: str) -> tuple[Path, Path]:
    """Write models of the real shapes, from a process that leaves nothing on the GPU."""
    command = python("tests.benchmarks.gpu_models", str(folder), "--layers", str(layers))
    log = folder.with_suffix(".log")
    timed([*command, "--device", device], log=log)
    lines = log.read_text().splitlines()
    checkpoint, text_encoder = [line for line in lines if line.startswith(str(folder))]
    return Path(checkpoint), Path(text_encoder)


def measure(
    quick: bool,
    *,
    device: str = "cuda:0",
    small: bool = False,
    layers: int = LAYERS,
    tune: bool = True,
    nvml: Any = None,
) -> list[Row]:
    """Encode a dataset in both ways; without a GPU the rows are empty."""
    size = SMALL if small else QUICK if quick else FULL
    on_gpu = device.startswith("cuda")
    about = f"{size.clips} clips of {size.source[1]}p{FPS} → {size.bucket} with sound"
    about += " on a GPU" if on_gpu else " on the CPU"
    if on_gpu and not torch.cuda.is_available():
        return empty_rows(about, "no GPU here")
    uuid = str(torch.cuda.get_device_properties(device).uuid) if on_gpu else ""
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.perf_counter()
        models = (
            make_toy_models(folder / "models")
            if small
            else make_models(folder / "models", layers, device)
        )
        write_source(folder / "source", size, tuple(models), device, tune)
        prepared = time.perf_counter() - began
        found = both_ways(folder / "source", folder, size, lambda: Watch(nvml, uuid=uuid))
        if any(isinstance(one, str) for one in found.values()):
            words = (
                one if isinstance(one, str) else f"{name}: {alone(one)}"
                for name, one in found.items()
            )
            return empty_rows(about, "; ".join(words))
        rows = rows_of(size, about, found["ours"], found["plain"])
    title = torch.cuda.get_device_name(device) if on_gpu else "CPU"
    where = f"{title}, Gemma of {layers} layers" if not small else f"{title}, toy models"
    note = f"; {where}, models and clips made in {prepared:.0f} s"
    return [msgspec.structs.replace(rows[0], detail=rows[0].detail + note), *rows[1:]]


def options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark can be told."""
    parser.add_argument("--device", default="cuda:0", help="cuda:0, or cpu with --small")
    parser.add_argument("--small", action="store_true", help="toy models, tiny clips")
    parser.add_argument("--layers", type=int, default=LAYERS, help="Gemma's, in sixes up to 48")
    parser.add_argument("--no-tune", dest="tune", action="store_false", help="run.tune = false")


if __name__ == "__main__":
    main("gpu", __doc__, measure, options)

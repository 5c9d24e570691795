"""Scaling where clips are encoded: the same outputs as on the CPU, within the memory that is said.

The CPU stands for the device here; `test_upload_gpu.py` has a real one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from engine.client import Engine
from engine.media import on_device
from engine.media.cores import SCALERS
from engine.media.probe import probe
from engine.media.source_frames import SourceFrames
from engine.memory.forecast import VideoShape, video_peak, video_weights
from engine.memory.rungs import Rung, video_ladder
from engine.models.checkpoint import Checkpoint
from engine.models.upload import Uploader
from engine.models.video_config import encoder_config
from engine.precompute.layout import Stage
from engine.precompute.stages.pixels import Pixels, Prepared
from engine.precompute.stages.video import VideoStage
from engine.precompute.steps import StageSetup, VideoStep, Window
from engine.project import apply_overrides
from tests.jobs import failed, made, project_of, run
from tests.media_clips import Video, make_video
from tests.small_set import BUCKETS, CAPTIONS, make_small_set, write_clip
from tests.stage_guards import Models, go_on, latents, nobody, same
from tests.unit.test_upload import Recorder

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
FRAMES = 33
SIZE = (96, 64)
SHAPE = VideoShape(*SIZE, FRAMES)
RUNGS = [rung.name for rung in video_ladder(FRAMES, batch=3)]

pytestmark = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch has to scale on this processor",
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    sizes = [(144, 96), (100, 130), SIZE]
    for number, size in enumerate(sizes):
        write_clip(folder / f"{number}.mp4", size=size, count=FRAMES + 2, sound=False, seed=number)
    return [folder / f"{number}.mp4" for number in range(len(sizes))]


def step_of(path: Path, frames: int = FRAMES, size: tuple[int, int] = SIZE) -> VideoStep:
    return VideoStep(
        id=0,
        clip=path.name,
        row=0,
        output="unused",
        media=str(path),
        probe=probe(path),
        window=Window(start=0.0, frames=frames, fps=(24, 1), resample=False),
        size=size,
        reshape="random",
        seed=1,
        crop_key=path.name,
        hdr="tonemap",
    )


def setup_of(models: Models, **more: object) -> StageSetup:
    settings = {"device": "cpu", "batch_size": 4, "scale_on": "device"} | more
    return StageSetup(stage=Stage.LATENTS, checkpoint=str(models[0]), **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def one_by_one(models: Models, clips: list[Path]) -> list[torch.Tensor]:
    """The latents of all clips, scaled on the CPU, each encoded at once."""
    stage = VideoStage(setup_of(models, scale_on="cpu", batch_size=1), nobody)
    steps = [step_of(path) for path in clips]
    return latents(stage.make(steps, [stage.prepare(step) for step in steps], go_on))


def bytes_of(clip: Prepared) -> int:
    assert isinstance(clip, SourceFrames)
    assert clip.frames.dtype == torch.uint8
    return clip.frames.nbytes


@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_scales_what_it_needs_and_has_room_for_it(
    rung: str, models: Models, clips: list[Path], one_by_one: list[torch.Tensor]
) -> None:
    checkpoint = Checkpoint.open(models[0])
    config = encoder_config(checkpoint.section("vae"), checkpoint.path)
    way = next(one for one in video_ladder(FRAMES, batch=3) if one.name == rung)
    steps = [step_of(path) for path in clips]
    pixels = Pixels(setup_of(models), CPU)
    extra = pixels.extra_bytes(SHAPE, [pixels.scaling(step) for step in steps], way, CPU)
    assert extra > 0
    room = video_peak(config, SHAPE, way, 2) + extra
    stage = VideoStage(setup_of(models, limit=video_weights(checkpoint, 2) + room), nobody)
    stage.open()
    prepared = [stage.prepare(step) for step in steps]
    assert [bytes_of(one) for one in prepared] == [
        *(stage.host_bytes(step) - SCALERS * _frame(step) for step in steps),
    ]
    assert stage.begins_with(steps) == rung
    done = stage.make(steps, prepared, go_on)
    assert same(done, one_by_one)
    assert done[0].rung == rung
    assert done[0].peak <= room


def _frame(step: VideoStep) -> int:
    return 3 * step.probe.width * step.probe.height


def test_parts_of_a_mixed_batch_are_those_of_clips_scaled_before(
    models: Models, clips: list[Path]
) -> None:
    pixels, plain = (Pixels(setup_of(models, scale_on=on), CPU) for on in ("device", "cpu"))
    steps = [step_of(path) for path in clips]
    scaled = [plain.read(step) for step in steps]
    assert all(isinstance(one, torch.Tensor) for one in scaled)
    mixed = [pixels.read(steps[0]), scaled[1], pixels.read(steps[2])]
    pixels._uploaders[CPU] = Uploader(CPU, Recorder())
    for first, chunk in ((FRAMES, FRAMES), (9, 8), (1, 8), (17, 16), (25, 24)):
        wanted = list(plain.parts(scaled, first, chunk, CPU))
        found = list(pixels.parts(mixed, first, chunk, CPU))
        assert [part.shape for part in found] == [part.shape for part in wanted]
        assert all(map(torch.equal, found, wanted))


def test_what_is_much_larger_than_its_bucket_is_scaled_while_it_is_read(
    models: Models, tmp_path: Path
) -> None:
    pixels = Pixels(setup_of(models), CPU)
    kept = {}
    for width, height in ((270, 180), (288, 192)):
        path = tmp_path / f"{width}.mp4"
        write_clip(path, size=(width, height), count=9, sound=False)
        kept[width] = isinstance(pixels.read(step_of(path, 9)), SourceFrames)
    # At 2 bytes a value the second one takes 4.5 times what is made of it.
    assert kept == {270: True, 288: False}


def test_hdr_images_and_surprises(models: Models, tmp_path: Path) -> None:
    hdr = make_video(
        tmp_path / "hdr.mp4",
        (np.full((96, 144), 90 + index, np.uint8) for index in range(9)),
        Video(tags={"color_trc": 16, "color_primaries": 9, "colorspace": 9}),
    )
    image = tmp_path / "image.png"
    noise = np.random.default_rng(0).integers(0, 256, (96, 150, 3), dtype=np.uint8)
    Image.fromarray(noise).save(image)
    write_clip(tmp_path / "plain.mp4", size=(144, 96), count=9, sound=False)
    plain = step_of(tmp_path / "plain.mp4", 9)
    other = msgspec.structs.replace(plain.probe, width=120, height=80)
    on, off = (Pixels(setup_of(models, scale_on=place), CPU) for place in ("device", "cpu"))
    for step, kept in (
        (step_of(hdr, 9), False),
        (step_of(image, 1), True),
        (plain, True),
        # The file was changed behind our back: its frames are not as the probe says.
        (msgspec.structs.replace(plain, probe=other), False),
    ):
        found, wanted = on.read(step), off.read(step)
        assert isinstance(found, SourceFrames) == kept
        (whole,) = on.parts([found], step.window.frames, 1, CPU)
        assert torch.equal(whole[0], wanted)


def test_a_frame_that_is_shown_again_is_in_every_place(models: Models, clips: list[Path]) -> None:
    step = step_of(clips[0])
    twice = Window(start=0.0, frames=FRAMES, fps=(48, 1), resample=True)
    step = msgspec.structs.replace(step, window=twice)
    on, off = (Pixels(setup_of(models, scale_on=place), CPU) for place in ("device", "cpu"))
    (whole,) = on.parts([on.read(step)], FRAMES, 1, CPU)
    assert torch.equal(whole[0], off.read(step))
    assert torch.equal(whole[0, :, ::2][:, :-1], whole[0, :, 1::2])


def test_a_device_with_other_bits_is_left_to_the_cpu(
    models: Models,
    clips: list[Path],
    one_by_one: list[torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(on_device, "_WAYS", (lambda bags, table: bags.sums(table) * (1 + 2**-23),))
    stage = VideoStage(setup_of(models), nobody)
    steps = [step_of(path) for path in clips]
    prepared = [stage.prepare(step) for step in steps]
    assert [isinstance(one, SourceFrames) for one in prepared] == [True] * 3
    assert same(stage.make(steps, prepared, go_on), one_by_one)
    # From then on they are scaled while they are read; where nothing is scaled, bytes go up.
    prepared = [stage.prepare(step) for step in steps]
    assert [isinstance(one, SourceFrames) for one in prepared] == [False, False, True]
    assert same(stage.make(steps, prepared, go_on), one_by_one)


def test_tiles_are_made_of_the_same_pixels(models: Models, clips: list[Path]) -> None:
    steps = [step_of(path) for path in clips]
    found = []
    for place in ("device", "cpu"):
        stage = VideoStage(setup_of(models, scale_on=place, vae_tiling=True), nobody)
        found.append(latents(stage.make(steps, [*map(stage.prepare, steps)], go_on)))
    assert all(map(torch.equal, *found))


def test_on_a_gpu_bytes_go_up_where_nothing_is_scaled(models: Models, clips: list[Path]) -> None:
    pixels = Pixels(setup_of(models, scale_on="cpu"), GPU)
    large, _, alike = (step_of(path) for path in clips)
    assert pixels.scaling(large) is None
    how = pixels.scaling(alike)
    assert how is not None
    assert how.is_copy
    # Torch takes a power of two: 608,256 bytes for the one, 1,216,512 for the other.
    assert pixels.host_bytes(alike) == (1 << 20) + SCALERS * _frame(alike)
    assert pixels.host_bytes(large) == (1 << 21) + SCALERS * 4 * _frame(large)
    # One part more than the one in use, as large as a chunk; bytes go up some frames at a time.
    rungs = [
        *(Rung(kind="whole"), Rung(kind="stream", chunk=8), Rung(kind="stream", chunk=24)),
        *(Rung(kind="stream", chunk=16, batch=2), Rung(kind="lean", chunk=8)),
    ]
    part = 3 * SIZE[0] * SIZE[1] * 2
    found = [pixels.extra_bytes(SHAPE, [None], rung, GPU) for rung in rungs]
    assert found == [0, 8 * part, 8 * part, 32 * part, 0]
    for rung, pieces in ((rungs[0], 2), (rungs[-1], 1)):
        frames = 8 * _frame(alike)
        assert pixels.extra_bytes(SHAPE, [how], rung, GPU) == frames * (pieces + 8)


def test_a_whole_job_writes_the_same_files_and_nothing_is_stale(
    tmp_path: Path, models: tuple[Path, Path], warm_encoder: None
) -> None:
    root = make_small_set(tmp_path / "set")
    reference = project_of(root, models, video__buckets=BUCKETS)
    assert failed(run(reference, [Stage.LATENTS])) == []
    out = reference.output_dir / "latents"
    before = {path: path.read_bytes() for path in out.rglob("*.pt")}
    assert len(before) == len(CAPTIONS)

    project = apply_overrides(reference, {"run.scale_on": "device"})
    assert {i.status for i in Engine(project).plan().items if i.stage is Stage.LATENTS} == {"fresh"}
    for path in before:
        path.unlink()
    events = run(project, [Stage.LATENTS])
    assert failed(events) == []
    assert len(made(events)) == len(CAPTIONS)
    assert {path: path.read_bytes() for path in out.rglob("*.pt")} == before

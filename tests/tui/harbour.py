"""A made-up project for the pictures of the documentation: clips of a harbour, half encoded."""

from __future__ import annotations

import math
from collections import Counter

import msgspec

from engine import events as ev
from engine.buckets import Bucket, choose, parse_buckets
from engine.memory.monitor import HostMemory, MemorySample
from engine.memory.nvml import GpuMemory
from engine.overview.types import CaptionState, Made, OutputState, Overview, Row, StageState
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Outlook
from tests.tui.fake_worker import GIB, Stand, changed, job, snapshot, telemetry

NAME = "harbour-lora"
BUCKETS: tuple[Bucket, ...] = parse_buckets("960x544x121;960x544x49;544x960x121")
PROJECT = """\
[dataset]
path = "dataset.json"

[video]
buckets = "960x544x121;960x544x49;544x960x121"

[audio]
enabled = true

[text]
trigger = "HARBR"
"""
STAGES = ("conditions", "latents", "audio_latents")
TAKES = 39
# Rows that an earlier job made, and that the running one has come to.
BEFORE, NOW = 480, 541
TOO_SHORT = "too short: {} frames, and the shortest bucket has 49"

# Name, seconds, size and frames a second; what is seen; what is heard.
SCENES = """\
crane 7.2 1920x1080 24
A yellow harbour crane swings a red container over the quay in low morning light.
A motor hums, chains rattle.
gulls 5.6 1920x1080 25
Gulls wheel above a grey fishing boat while a man in an orange jacket empties a crate.
Gulls cry, water slaps against wood.
ferry 11.4 1920x1080 23.976
A white ferry turns slowly away from its berth; foam spreads behind it.
A horn sounds twice.
nets 3.1 1920x1080 24
Hands mend a green net on a wooden bench, seen from close by.
Rope creaks.
lighthouse 8 1080x1920 24
A striped lighthouse stands against moving clouds, seen upright.
Wind.
market 6.3 1920x1080 25
A fishmonger in a blue apron lays out mackerel on ice and laughs.
Voices, ice being shovelled.
fog 9.5 1920x1080 23.976
Fog drifts over the outer wall until only two lamps are left.
None
rope 2.4 1920x1080 24
A wet rope tightens around an iron bollard and drips.
Rope creaks, drops fall.
pilot 6.9 1920x1080 24
A pilot boat cuts through grey waves towards the camera.
An engine roars.
stairs 5.8 1080x1920 25
A woman with a yellow umbrella climbs the wet harbour stairs, seen upright.
Rain.
welder 4.4 1920x1080 25
A welder kneels in a dry dock; sparks fall past a rusty hull.
A hiss, then a crackle.
sail 1.5 1920x1080 24
A brown sail fills with wind.
Canvas flaps.
cat 5.2 1920x1080 24
A grey cat walks along a row of lobster pots and sits down on the last one.
None
night 7.7 1920x1080 23.976
Harbour lights tremble on black water; a small boat passes from left to right.
A motor putters.
train 10.2 1920x1080 25
A goods train rolls past stacked containers in the evening sun.
Wheels clack on rails.
tide 6.1 1920x1080 24
The tide runs out and leaves three rowing boats lying on the mud.
Wind, a distant bell.
"""


class Scene(msgspec.Struct, frozen=True):
    """What the clips of one name have in common."""

    name: str
    seconds: float
    size: tuple[int, int]
    fps: float
    seen: str
    heard: str


def scenes() -> tuple[Scene, ...]:
    """Return all of them."""
    lines = SCENES.splitlines()
    found = []
    for facts, seen, heard in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        name, seconds, size, fps = facts.split()
        width, height = map(int, size.split("x"))
        found.append(Scene(name, float(seconds), (width, height), float(fps), seen, heard))
    return tuple(found)


_TAKES = ("A first take.", "The camera moves closer.", "The camera stays where it is.")

# Rows in which something has happened, by place.
_EDITED = {530, 533, 539}
_NONE = {540, 545, 549}
_STALE = {530}
_FAILED = 525
# What the pictures show in hand: a clip that was just made, whose caption was edited since.
IN_HAND = "clips/gulls-34.mp4"
BELOW = "clips/lighthouse-35.mp4"


def rows() -> tuple[Row, ...]:
    """Return the clips."""
    every = scenes()
    return tuple(
        _row(number, every[number % len(every)], number // len(every) + 1)
        for number in range(len(every) * TAKES)
    )


def _row(number: int, scene: Scene, take: int) -> Row:
    frames = round(scene.seconds * scene.fps) + take % 5
    bucket = choose(frames, *scene.size, BUCKETS)
    name = f"clips/{scene.name}-{take:02}.mp4"
    seen = f"{scene.seen} {_TAKES[take % 3]}"
    caption = f"[VISUAL]: {seen}\n[SPEECH]: None\n[SOUNDS]: {scene.heard}\n[TEXT]: None"
    has_sound = scene.heard != "None"
    state = _caption(number)
    return Row(
        row=number,
        name=name,
        media=name,
        caption="" if state is CaptionState.NONE else caption,
        caption_state=state,
        seconds=frames / scene.fps,
        size=scene.size,
        frames=frames,
        fps=scene.fps,
        audio=has_sound,
        bucket=str(bucket) if bucket else "",
        kept=(0.0, bucket.frames / scene.fps) if bucket else (0.0, 0.0),
        codec="h264 · aac 48 kHz stereo" if has_sound else "h264 · no sound",
        stages=_stages(number, frames, has_sound=has_sound, fits=bucket is not None),
        output=f"{name.removesuffix('.mp4')}.pt",
        made=_made(number, bucket),
    )


def _caption(number: int) -> CaptionState:
    if number in _NONE:
        return CaptionState.NONE
    if number in _EDITED:
        return CaptionState.EDITED
    return CaptionState.REVIEWED if number < 536 and number != 529 else CaptionState.AUTO


def _stages(number: int, frames: int, *, has_sound: bool, fits: bool) -> tuple[StageState, ...]:
    if not fits:
        reason, remedy = TOO_SHORT.format(frames), "add a shorter bucket"
        return tuple(StageState(one, OutputState.BLOCKED, reason, remedy) for one in STAGES)
    text = OutputState.FRESH if number < 600 else OutputState.MISSING
    conditions = StageState("conditions", text)
    if number in _STALE:
        conditions = StageState("conditions", OutputState.STALE, "caption edited")
    latents = StageState("latents", OutputState.FRESH)
    if number >= NOW:
        latents = StageState("latents", OutputState.MISSING)
    if number == _FAILED:
        latents = _failure()
    sound = StageState("audio_latents", OutputState.FRESH)
    if number >= NOW:
        sound = StageState("audio_latents", OutputState.MISSING)
    if not has_sound:
        sound = StageState("audio_latents", OutputState.SKIPPED, "no sound")
    return conditions, latents, sound


def _failure() -> StageState:
    return StageState(
        "latents",
        OutputState.FAILED,
        "cut short after 62 of 137 frames",
        "export it again, or take it out of the dataset",
    )


def _made(number: int, bucket: Bucket | None) -> tuple[Made, ...]:
    if bucket is None or number >= NOW or number == _FAILED:
        return ()
    peak = round(_need(bucket) - 1.3 * GIB)
    return (
        Made("conditions", seconds=0.4, device="cuda:0"),
        Made("latents", seconds=1.4, rung="one-shot", device="cuda:0", peak=peak),
    )


def _need(bucket: Bucket) -> int:
    """Return about what a clip takes at once: eight channels at full size, and the weights."""
    whole = 8 * bucket.width * bucket.height * 2 * (5.375 * bucket.frames + 4)
    return round(whole + 1.3 * GIB)


def outlooks() -> tuple[Outlook, ...]:
    """Return what memory a run would take."""
    found = [
        Outlook(
            stage=Stage.LATENTS,
            name=str(bucket),
            rung="one-shot",
            need=_need(bucket),
            text=f"one-shot {_need(bucket) / GIB:.1f} GiB, 46.4 of 48.0 GiB free",
        )
        for bucket in BUCKETS
    ]
    captions = Outlook(
        stage=Stage.CONDITIONS,
        name="captions",
        rung="batch 8",
        need=25 * GIB,
        text="batch 8 25.0 GiB, 46.4 of 48.0 GiB free",
    )
    return (*found, captions)


def bucket_counts() -> dict[str, int]:
    """Return how many clips each bucket gets."""
    counts = Counter(row.bucket for row in rows())
    return {str(bucket): counts[str(bucket)] for bucket in BUCKETS}


def overview(clips: tuple[Row, ...]) -> Overview:
    """Return the dataset as the workbench shows it."""
    return Overview(
        rows=clips,
        stages=STAGES,
        coverage=bucket_counts(),
        outlooks=outlooks(),
        remark_count=sum(not row.bucket for row in clips),
    )


# The worker


def at_work(stand: Stand) -> None:
    """Bring the worker to the middle of its job."""
    clips = rows()
    todo = [row for row in clips[BEFORE:] if row.bucket]
    ended = [row for row in todo if row.row < NOW]
    stand.take(snapshot(), changed(job(7)))
    stand.happen(
        ev.JobStarted(
            stages=(
                ev.StageCount(stage=STAGES[0], to_do=38, fresh=547, blocked=39, skipped=0),
                ev.StageCount(stage=STAGES[1], to_do=135, fresh=450, blocked=39, skipped=0),
                ev.StageCount(stage=STAGES[2], to_do=117, fresh=390, blocked=39, skipped=78),
            )
        ),
        ev.StageDone(stage=STAGES[0], done=38, failed=0, seconds=16),
        ev.ModelLoading(stage=STAGES[1], model="video VAE", device="cuda:0"),
        ev.StageStarted(stage=STAGES[1], total=len(todo), load_seconds=1.0),
    )
    stand.clock.now += len(ended) / 0.7
    for row in ended:
        stand.happen(_failed(row) if row.row == _FAILED else _done(row))
    stand.happen(_guard(clips[534]), _begun(clips[NOW]))
    _remember(stand)
    here = {"state": "here", "pid": 4711}
    stand.watcher.worker = msgspec.structs.replace(stand.watcher.worker, **here)


def _done(row: Row) -> ev.ClipDone:
    made = row.made[-1]
    return ev.ClipDone(
        stage="latents",
        clip=row.name,
        row=row.row,
        output=row.output,
        seconds=made.seconds,
        detail=made.rung,
        device=made.device,
        peak=made.peak,
    )


def _failed(row: Row) -> ev.ClipFailed:
    failure = _failure()
    return ev.ClipFailed(
        stage="latents",
        clip=row.name,
        row=row.row,
        reason=failure.reason,
        remedy=failure.remedy,
    )


def _guard(row: Row) -> ev.Guard:
    return ev.Guard(
        stage="latents",
        clip=row.name,
        row=row.row,
        device="cuda:0",
        rung="stream 24",
        text="stepped down to stream 24 (one-shot needs 6.4 GiB, 5.5 GiB free)",
    )


def _begun(row: Row) -> ev.ClipStarted:
    return ev.ClipStarted(
        stage="latents", clip=row.name, row=row.row, device="cuda:0", rung="one-shot"
    )


def _remember(stand: Stand) -> None:
    """Let ten minutes of memory go by: long clips, short ones, and for a while another program."""
    for second in range(0, 600, 2):
        ours = 6.4 if second % 150 < 110 else 3.4
        others = 1.6 + 0.2 * math.sin(second / 40)
        if second < 120:
            ours = 25.0  # the text encoder
        elif 300 <= second < 380:
            ours, others = 3.9, 42.0
        stand.take(telemetry(_memory(1_000.0 + second, ours, others)))


def _memory(time: float, ours: float, others: float) -> MemorySample:
    gpu = GpuMemory(
        index=0,
        title="48 GiB card",
        uuid="0",
        total=48 * GIB,
        used=round((ours + others) * GIB),
        ours=round(ours * GIB),
        utilisation=93,
    )
    host = HostMemory(
        total=64 * GIB, used=round(17.8 * GIB), available=round(46.2 * GIB), ours=round(6.1 * GIB)
    )
    return MemorySample(time=time, host=host, gpus=(gpu,))

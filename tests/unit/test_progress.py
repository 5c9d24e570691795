"""A job's state from its events, and from a snapshot in the middle of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import events as ev
from engine.progress import Progress

CLIPS = 4


def counts(done: int = 0) -> ev.JobStarted:
    return ev.JobStarted(
        stages=(
            ev.StageCount(
                stage="latents", to_do=CLIPS - done, fresh=1, blocked=0, skipped=0, done=done
            ),
        )
    )


def begun(clip: int, device: str = "cuda:0") -> ev.ClipStarted:
    return ev.ClipStarted(stage="latents", clip=f"{clip}", row=clip, device=device, rung="one-shot")


def done(clip: int) -> ev.ClipDone:
    return ev.ClipDone(stage="latents", clip=f"{clip}", row=clip, output="o", seconds=1.0)


def failed(clip: int) -> ev.ClipFailed:
    return ev.ClipFailed(stage="latents", clip=f"{clip}", row=clip, reason="r")


OPENED = ev.StageStarted(stage="latents", total=CLIPS, load_seconds=1.0)
STEPPED = ev.Guard(
    stage="latents", clip="1", row=1, device="cuda:0", rung="stream 16", text="stepped down"
)
WAITS = ev.Guard(
    stage="latents", clip="1", row=1, device="cuda:0", rung="", text="waits", waiting=True
)
EVENTS = st.one_of(
    st.integers(0, 3).map(begun),
    st.integers(0, 3).map(done),
    st.integers(0, 3).map(failed),
    st.sampled_from(
        [
            counts(),
            counts(done=2),
            OPENED,
            STEPPED,
            WAITS,
            ev.Scanning(done=1, total=2),
            ev.Notice(level="info", text="n"),
            ev.ModelLoading(stage="latents", model="m", device="cpu"),
            ev.StageDone(stage="latents", done=2, failed=0, seconds=3.0),
        ]
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=25), st.lists(EVENTS, max_size=25))
def test_a_snapshot_stands_for_all_events_before_it(
    before: list[ev.AnyEvent], after: list[ev.AnyEvent]
) -> None:
    whole, first, late = (Progress(lambda: 5.0) for _ in range(3))
    for event in before:
        first.take(event)
    late.take(first.standing())
    for event in before + after:
        whole.take(event)
    for event in after:
        late.take(event)
    assert late.standing() == whole.standing()
    assert late.waiting == whole.waiting
    assert late.clip == whole.clip


def test_rate_and_remaining_time_count_this_life_of_the_job_only() -> None:
    now = 0.0
    progress = Progress(lambda: now)
    progress.take(counts(done=2))
    progress.take(ev.StageStarted(stage="latents", total=2, load_seconds=1.0))
    stage = progress.stage("latents")
    assert (stage.total, stage.done, progress.rate(stage)) == (CLIPS, 2, 0.0)
    now = 10.0
    progress.take(done(3))
    assert progress.rate(stage) == 0.1
    assert progress.remaining(stage) == 10.0
    late = Progress(lambda: 1000.0)
    late.take(progress.standing())
    assert late.remaining(late.stage("latents")) == 10.0


def test_each_device_has_its_clip_and_the_guard_changes_its_rung() -> None:
    progress = Progress()
    for event in (counts(), OPENED, begun(1), begun(2, "cuda:1"), STEPPED):
        progress.take(event)
    assert {d: (c.clip, c.rung) for d, c in progress.in_hand.items()} == {
        "cuda:0": ("1", "stream 16"),
        "cuda:1": ("2", "one-shot"),
    }
    progress.take(WAITS)
    assert progress.waiting == "waits"
    progress.take(done(1))
    assert list(progress.in_hand) == ["cuda:1"]
    progress.take(begun(3))
    assert progress.waiting == ""
    assert progress.clip == "3"

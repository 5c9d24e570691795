"""Jobs on several machines: what is in hand is grouped by machine, with the memory of each."""

from __future__ import annotations

from engine.events import InHand
from engine.memory.monitor import NodeMemory
from engine.project import Project
from ltx_tui.widgets.node_lines import of_nodes
from tests.tui import fake_worker as fake
from tests.tui.fake_worker import Stand
from tests.tui.test_jobs import see


def hand(number: int, device: str) -> InHand:
    return InHand(
        device=device, stage="latents", clip=f"clips/{number}.mp4", row=number, rung="stream 16"
    )


def memory(node: str, device: str, *, gpu: float = 0) -> NodeMemory:
    sample = fake.memory(0, used=gpu)
    return NodeMemory(
        node=node, device=device, host=sample.host, gpu=sample.gpus[0] if gpu else None
    )


def lines(hands: list[InHand], known: list[NodeMemory], width: int = 80) -> list[str]:
    return [line.plain for line in of_nodes(hands, known, width)]


def test_a_few_clips_are_named_below_their_machine() -> None:
    hands = [hand(1, "left/cuda:0"), hand(2, "right/cuda:0"), hand(3, "right/cuda:1")]
    known = [
        memory("left", "cuda:0", gpu=40),
        memory("right", "cuda:0", gpu=30),
        memory("right", "cuda:1", gpu=50),
    ]
    assert lines(hands, known) == [
        "  left · GPU 40.0 of 139.8 GiB · memory 21.0 of 128.0 GiB",
        "    now clips/1.mp4 · stream 16 · cuda:0",
        "  right · 2 clips in hand · 2 GPUs 80.0 of 279.6 GiB · memory 21.0 of 128.0 GiB",
        "    now clips/2.mp4 · stream 16 · cuda:0",
        "    now clips/3.mp4 · stream 16 · cuda:1",
    ]


def test_of_many_there_is_a_line_for_each_machine() -> None:
    hands = [hand(n * 8 + g, f"node{n:02}/cuda:{g}") for n in range(10) for g in range(8)]
    found = lines(hands, [])
    assert found[0] == "  node00 · 8 clips in hand"
    assert found[-1] == "  and 2 more nodes"
    assert len(found) == 9


def test_what_has_no_room_is_left_out() -> None:
    for width in (20, 30, 40):
        hands = [hand(1, "left/cuda:0")]
        found = lines(hands, [memory("left", "cuda:0", gpu=40)], width)
        assert all(len(line) <= width for line in found), found


def test_a_hostile_name_is_shown_as_escapes() -> None:
    assert "\x1b" not in "".join(lines([hand(1, "a\x1b[2J/cpu")], []))


def test_the_pane_groups_by_machine(project: Project) -> None:
    def at_work(stand: Stand) -> None:
        stand.take(fake.snapshot(fake.ended(6), active=0))
        stand.take(fake.changed(fake.job(7)))
        stand.happen(fake.started(), fake.opened())
        stand.clock.now += 10
        stand.happen(fake.done(1), fake.begun(2, "left/cpu"), fake.begun(3, "right/cpu"))
        sample = fake.memory(stand.clock.now)
        nodes = (memory("left", "cpu"), memory("right", "cpu"))
        stand.take(
            fake.telemetry(
                type(sample)(time=sample.time, host=sample.host, gpus=sample.gpus, nodes=nodes)
            )
        )

    shown, _, _ = see(project, at_work)
    text = "\n".join(shown)
    assert "  left · memory 21.0 of 128.0 GiB" in text
    assert "    now clips/scene-0003.mp4 · one-shot · cpu" in text

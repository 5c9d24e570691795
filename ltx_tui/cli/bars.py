"""A job's stages as rows with bars, and what is in hand."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.events import InHand
from engine.precompute.layout import CAPTIONS
from engine.progress import Progress, StageProgress
from engine.text import plural, visible
from ltx_tui.cli.console import can_write, duration, glyph, text
from ltx_tui.cli.progress import rate_words, stage_name

# Columns that the words beside a bar take, and the shortest bar that is worth drawing.
_BESIDE_BAR, _LEAST_BAR = 66, 8
# Devices whose clips are named.
_MOST_DEVICES = 4


def stage_table(console: Console, progress: Progress) -> Table:
    """Return a row for each stage: sign, name, bar (where there is room), count, standing."""
    table = Table.grid(padding=(0, 1), expand=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    bar = min(40, console.width - _BESIDE_BAR)
    has_bar = bar >= _LEAST_BAR
    if has_bar:
        table.add_column(width=bar)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for stage in progress.stages.values():
        sign, style = _sign(stage)
        table.add_row(
            Text(glyph(console, sign), style=style),
            text(stage_name(stage.stage)),
            *([_bar(console, stage, bar)] if has_bar else []),
            text(count(stage)),
            text(standing(progress, stage)),
        )
    return table


def hand_lines(console: Console, progress: Progress) -> list[Text]:
    """Return a line for each device that works: device, clip, rung."""
    hands = list(progress.in_hand.values())
    lines = [_hand_line(console, hand) for hand in sorted(hands, key=lambda one: one.device)]
    more = len(lines) - _MOST_DEVICES
    if more > 0:
        lines[_MOST_DEVICES:] = [text(f"  and {plural(more, 'more device')}", "quiet")]
    return lines


def _hand_line(console: Console, hand: InHand) -> Text:
    head, tail = f"  {hand.device or 'now'}  ", f"  {hand.rung}" if hand.rung else ""
    room = console.width - cell_len(head) - cell_len(tail) - 1
    return text(f"{head}{shortened(visible(hand.clip), room)}{tail}", "quiet")


def shortened(name: str, room: int) -> str:
    """Return a name in at most `room` columns; its end says most."""
    if cell_len(name) <= room:
        return name
    while name and cell_len(name) > room - 1:
        name = name[1:]
    return f"…{name}"


def _sign(stage: StageProgress) -> tuple[str, str]:
    if stage.state == "stopped":
        return "warn", "warn"
    if stage.state in ("done", "restored") or not stage.total:
        whole = not stage.failed and stage.ended >= stage.total
        return ("ok", "ok") if whole else ("warn", "warn")
    return ("todo", "quiet") if stage.state == "waiting" else ("arrow", "accent")


def _bar(console: Console, stage: StageProgress, width: int) -> Text:
    """Return a bar whose two parts differ in shape, not in colour alone."""
    if not stage.total:
        return Text("")
    full, rest = ("━", "─") if can_write(console, "━─") else ("#", "-")
    done = min(width, width * stage.ended // stage.total)
    colour = "bar" if stage.ended < stage.total else "warn" if stage.failed else "ok"
    return Text.assemble((full * done, colour), (rest * (width - done), "bar.rest"))


def count(stage: StageProgress) -> str:
    """Return "12/40"; empty where there is nothing to do."""
    return f"{stage.ended:,}/{stage.total:,}" if stage.total else ""


def standing(progress: Progress, stage: StageProgress) -> str:
    """Return where a stage stands, in words: "28%  1.7 clips/s  12 min 04 s left"."""
    if stage.state == "done":
        return outcome(stage)
    if stage.state in ("stopped", "restored"):
        return "stopped" if stage.state == "stopped" else "put back"
    if stage.state == "loading":
        return f"loading {stage.model} on {stage.device}"
    if stage.state == "waiting":
        return "waiting" if stage.total else outlook(stage)
    return "  ".join(pace(progress, stage))


def pace(progress: Progress, stage: StageProgress) -> list[str]:
    """Return share, rate and time left of a stage that runs, as far as they are known."""
    left = progress.remaining(stage)
    facts = [
        f"{stage.ended / stage.total:.0%}" if stage.total else "",
        rate_words(progress.rate(stage)),
        f"{duration(left)} left" if left else "",
    ]
    return [fact for fact in facts if fact]


def outlook(stage: StageProgress) -> str:
    """Return what there is to do."""
    to_do = stage.total - stage.before
    facts = [f"{to_do:,} to do" if to_do else "nothing to do"]
    if stage.before:
        facts.append(f"{stage.before:,} done before")
    word = "there already" if stage.stage == CAPTIONS else "fresh"
    return ", ".join([*facts, f"{stage.fresh:,} {word}"])


def outcome(stage: StageProgress) -> str:
    """Return how a stage ended."""
    failed = f", {stage.failed:,} failed" if stage.failed else ""
    if stage.before and stage.ended == stage.before:
        return f"done before{failed}"
    return f"done in {duration(stage.seconds)}{failed}"

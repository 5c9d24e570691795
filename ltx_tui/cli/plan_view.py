"""A plan as tables and short lists."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from engine.buckets import parse_bucket
from engine.errors import UsageError
from engine.precompute.digest import clip_remarks, orphan_groups, reason_groups, step_words
from engine.precompute.plan_types import Plan, Status
from engine.project import Project
from engine.text import listed, plural
from ltx_tui.cli.console import can_write, glyph, text
from ltx_tui.cli.progress import stage_name

_COLUMNS = (
    (Status.FRESH, "ok"),
    (Status.MISSING, "accent"),
    (Status.STALE, "warn"),
    (Status.ASIDE, "accent"),
    (Status.BLOCKED, "error"),
    (Status.SKIPPED, ""),
)
_BAR = 24


def print_plan(console: Console, plan: Plan, project: Project) -> None:
    """Print all of a plan."""
    clips = len({item.row for item in plan.items})
    console.print(
        Text.assemble(
            text(project.root.name or str(project.root), "strong"),
            text(f" · {project.dataset_path.name} · {plural(clips, 'clip')}"),
        )
    )
    if not clips:
        console.print(text("The dataset has no rows.", "warn"))
        return
    console.print()
    console.print(_stage_table(plan))
    _print_reasons(console, plan, Status.STALE, "Why stale", "warn")
    _print_reasons(console, plan, Status.BLOCKED, "Why blocked", "error")
    _print_reasons(console, plan, Status.SKIPPED, "Why skipped", "")
    _print_orphans(console, plan, project)
    _print_buckets(console, plan)
    _print_outlooks(console, plan)
    _print_warnings(console, plan)
    console.print()
    console.print(_next_step(console, plan))


def _stage_table(plan: Plan) -> Table:
    """Return clips by stage and status; a status that is nowhere has no column."""
    counts = {stage: plan.count(stage) for stage in plan.stages}
    always = (Status.FRESH, Status.MISSING, Status.STALE, Status.BLOCKED)
    columns = [
        (status, style)
        for status, style in _COLUMNS
        if status in always or any(count[status] for count in counts.values())
    ]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="quiet")
    table.add_column("stage")
    for status, _ in columns:
        table.add_column("put back" if status is Status.ASIDE else status.value, justify="right")
    for stage, count in counts.items():
        cells = [
            Text(f"{count[status]:,}", style=style if count[status] else "quiet")
            for status, style in columns
        ]
        table.add_row(stage_name(stage), *cells)
    return table


def _print_reasons(console: Console, plan: Plan, status: Status, title: str, style: str) -> None:
    """Print each reason with the stages and clips it is about, the commonest first."""
    groups = reason_groups(plan, status)
    if not groups:
        return
    _title(console, title, style)
    for group in groups:
        stages = [stage_name(stage) for stage in group.stages]
        where = "all stages" if len(stages) == len(plan.stages) > 1 else ", ".join(stages)
        _bullet(console, group.rows, f"{'; '.join(group.reasons)}  [{where}]")
        _indented(console, listed(list(group.clips)), "quiet")
        if group.remedy:
            _indented(console, f"{glyph(console, 'arrow')} {group.remedy}")


def _title(console: Console, title: str, style: str) -> None:
    console.print()
    console.print(text(title, f"strong {style}" if style else "strong"))


def _bullet(console: Console, count: int, line: str) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", min_width=5)
    table.add_column()
    table.add_row(f"{count:,}", text(line))
    console.print(table)


def _indented(console: Console, line: str, style: str = "") -> None:
    console.print(Padding(text(line, style), (0, 0, 0, 7), expand=False))


def _print_orphans(console: Console, plan: Plan, project: Project) -> None:
    if not plan.orphans:
        return
    _title(console, "Orphans: a trainer would read these", "warn")
    for group in orphan_groups(plan):
        _bullet(console, group.count, group.reason)
        _indented(console, listed(list(group.paths)), "quiet")
    folder = project.state_dir / "orphans"
    _indented(console, f"{glyph(console, 'arrow')} a run moves them to {folder}")


def _print_buckets(console: Console, plan: Plan) -> None:
    if not plan.buckets:
        return
    _title(console, "Buckets", "")
    most = max([*plan.buckets.values(), 1])
    table = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", "left", "right", "right"):
        table.add_column(justify=justify)
    block = "█" if can_write(console, "█") else "#"
    for bucket, count in plan.buckets.items():
        bar = block * max(round(_BAR * count / most), 1 if count else 0)
        table.add_row(
            Text(f"  {bucket}"), Text(bar, style="bar"), plural(count, "clip"), _tokens(bucket)
        )
    console.print(table)


def _print_outlooks(console: Console, plan: Plan) -> None:
    """Print what memory the work would take, where there is any work."""
    if not plan.outlooks or not plan.has_work:
        return
    _title(console, "Memory, as forecast", "")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for one in plan.outlooks:
        sign = "" if one.fits else f"{glyph(console, 'warn')} "
        words = text(f"{sign}{one.text}", "" if one.fits else "warn")
        table.add_row(text(f"  {one.name}"), words)
    console.print(table)


def _tokens(bucket: str) -> str:
    try:
        return f"{parse_bucket(bucket).tokens():,} tokens"
    except UsageError:
        return ""


def _print_warnings(console: Console, plan: Plan) -> None:
    """Print what is worth knowing: of the dataset, then of clips, the same words grouped."""
    remarks = clip_remarks(plan)
    if not plan.warnings and not remarks:
        return
    _title(console, "Warnings", "warn")
    sign = glyph(console, "warn")
    for warning in plan.warnings:
        _hanging(console, f"{sign} {warning}")
    for one in remarks:
        _hanging(console, f"{sign} {one.text}: {listed(list(one.clips))}")


def _hanging(console: Console, line: str) -> None:
    console.print(Padding(text(line), (0, 0, 0, 2), expand=False))


def _next_step(console: Console, plan: Plan) -> Text:
    parts = step_words(Counter(item.status for item in plan.items), len(plan.orphans))
    if parts:
        line = f"{glyph(console, 'todo')} A run would {' and '.join(parts)}: "
        return Text.assemble(text(line), text("ltx-tui run", "accent"))
    blocked = plural(len(plan.blocked), "clip is", "clips are")
    if plan.blocked:
        return text(f"{glyph(console, 'warn')} Nothing to do; {blocked} blocked.", "warn")
    return text(f"{glyph(console, 'ok')} Nothing to do: everything is fresh.", "ok")

"""Findings of the doctor in groups, the worst first, and in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from engine.events import ClipFailed
from engine.findings import PROXY, SEVERITIES, Finding, Severity
from engine.text import plural, visible
from ltx_tui.clips.columns import fitted_name
from ltx_tui.clips.detail_lines import finding_sign
from ltx_tui.drawing.colours import QUIET, Paint
from ltx_tui.drawing.signs import Signs
from ltx_tui.widgets.board import hanging, wrapped

Grouping = Literal["kind", "clip"]

WHOLE = "the whole set"
# Columns of names and codes at most, and of "fix" at the end of a line.
_NAME, _CODE, _FIX = 36, 18, 5
# From so many columns on there is room for remedies beside what was found.
_REMEDIES = 110


class Group(msgspec.Struct, frozen=True):
    """Findings of one kind, or of one clip, the worst first.

    Attributes:
        title: The code, or the clip.
        findings: At least one.
        clips: How many clips they are in.
    """

    title: str
    findings: Sequence[Finding]
    clips: int

    @property
    def severity(self) -> Severity:
        """How bad the worst of them is."""
        return self.findings[0].severity

    @property
    def fix(self) -> str:
        """What a proxy would mend; empty where there is nothing."""
        return next((one.fix for one in self.findings if one.fix), "")


class Entry(NamedTuple):
    """A line: the heading of a group, or one of its findings."""

    group: Group
    finding: Finding | None = None


def _rank(one: Finding) -> tuple[int, float]:
    """Return what findings of a group are sorted by; what is about the whole set comes last."""
    return SEVERITIES.index(one.severity), float("inf") if one.row is None else one.row


def grouped(findings: Iterable[Finding], by: Grouping) -> list[Group]:
    """Return findings in groups, the worst and then the largest first."""
    parts: dict[object, list[Finding]] = {}
    for one in findings:
        parts.setdefault(one.code if by == "kind" else (one.row, one.clip), []).append(one)
    groups = []
    for found in parts.values():
        found.sort(key=_rank)
        title = found[0].code if by == "kind" else found[0].clip or WHOLE
        groups.append(Group(title, found, len({one.row for one in found})))
    if by == "kind":
        groups.sort(key=lambda one: (SEVERITIES.index(one.severity), -one.clips, one.title))
    else:
        groups.sort(key=lambda one: _rank(one.findings[0]))
    return groups


class FindingsView:
    """Findings as they are shown.

    Attributes:
        entries: The lines.
        by: What they are grouped by.
        words: Words that all must be in a finding; case does not matter.
        count: How many findings there are, shown or not.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.by: Grouping = "kind"
        self.words = ""
        self._all: Sequence[Finding] = ()
        self._name = self._code = 0

    @property
    def count(self) -> int:
        """How many findings there are, shown or not."""
        return len(self._all)

    def take(self, findings: Sequence[Finding]) -> None:
        """Show other findings."""
        self._all = findings
        self._name = max((cell_len(one.clip) for one in findings), default=0)
        self._code = max((len(one.code) for one in findings), default=0)
        self._arrange()

    def choose(self, *, by: Grouping | None = None, words: str | None = None) -> None:
        """Group otherwise, or show those that have other words."""
        self.by = by or self.by
        self.words = self.words if words is None else words
        self._arrange()

    def _arrange(self) -> None:
        words = self.words.casefold().split()
        found = self._all if not words else [one for one in self._all if _has(one, words)]
        self.entries = []
        for group in grouped(found, self.by):
            self.entries.append(Entry(group))
            self.entries += [Entry(group, one) for one in group.findings]

    def place_of(self, wanted: Finding | None) -> int | None:
        """Return the line of a finding, or of what is left of it; None where it is gone."""
        if wanted is None:
            return None
        for at, (_, one) in enumerate(self.entries):
            if one is not None and (one.row, one.code) == (wanted.row, wanted.code):
                return at
        return None

    def like(self, wanted: Finding) -> list[Finding]:
        """Return all that are shown and of the same kind."""
        found = (one for _, one in self.entries)
        return [one for one in found if one is not None and one.code == wanted.code]

    # Lines

    def line(self, index: int, width: int, paint: Paint, how: Signs) -> Text:
        """Return a line of the list."""
        group, one = self.entries[index]
        if one is None:
            return self._heading(group, width, paint, how)
        sign, role = finding_sign(one.severity, how)
        if self.by == "kind":
            room = min(self._name, _NAME, width // 3)
            head = fitted_name(one.clip or WHOLE, max(room, len(WHOLE)))
        else:
            head = set_cell_size(one.code, min(self._code, _CODE))
        line = Text.assemble("   ", (f"{sign} ", paint(role)), f"{head}  ")
        room = width - line.cell_len - _FIX
        words = visible(one.text)
        if width >= _REMEDIES and one.remedy:
            words = f"{words} {how.arrow} {visible(one.remedy)}"
        line.append(_first(words, room, how).ljust(max(0, room)))
        return line.append(" fix " if one.fix else "", paint("accent"))

    def _heading(self, group: Group, width: int, paint: Paint, how: Signs) -> Text:
        sign, role = finding_sign(group.severity, how)
        title = visible(group.title)
        if self.by == "kind":
            words = f"{group.severity} · {plural(group.clips, 'clip')}"
            if group.findings[0].row is None:
                words = group.severity
            words += f" · fix: a proxy {group.fix}" if group.fix else ""
        else:
            words = f"{group.severity} · {plural(len(group.findings), 'finding')}"
            title = fitted_name(title, max(12, width - len(words) - 8)).rstrip()
        line = Text.assemble(
            (f" {sign} ", paint(role)), (title, paint(role, bold=True)), (f"  {words}", QUIET)
        )
        line.truncate(width, overflow="ellipsis")
        return line

    def summary(self) -> str:
        """Return how many there are of each severity, and in how many clips."""
        if not self._all:
            return ""
        counts = Counter(one.severity for one in self._all)
        parts = [plural(counts[word], word) for word in SEVERITIES if counts[word]]
        clips = len({one.row for one in self._all if one.row is not None})
        return f"{', '.join(parts)} in {plural(clips, 'clip')}"


def _has(one: Finding, words: Sequence[str]) -> bool:
    text = f"{one.clip}\n{one.code}\n{one.severity}\n{one.text}\n{one.remedy}".casefold()
    if one.fix:
        text += "\nfix"
    return all(word in text for word in words)


def _first(words: str, width: int, how: Signs) -> str:
    """Return as many whole words as have room."""
    if cell_len(words) <= width:
        return words
    more = "…" if how.dots else "~"
    lines = wrapped(words, max(1, width - 2))
    return f"{lines[0]} {more}" if lines else ""


def whole(
    one: Finding, failure: ClipFailed | None, width: int, paint: Paint, how: Signs
) -> Iterator[Text]:
    """Yield all that there is to say of a finding.

    Args:
        one: The finding.
        failure: Why its clip was not mended; None where that was not tried.
        width: Columns of a line.
        paint: Gives colours.
        how: The signs.
    """
    sign, role = finding_sign(one.severity, how)
    where = f"  row {one.row + 1:,}" if one.row is not None else ""
    name = fitted_name(one.clip or WHOLE, max(8, width - len(where) - 32)).rstrip()
    line = Text.assemble(
        (name, paint("foreground", bold=True)),
        (where, QUIET),
        (f"  {sign} ", paint(role)),
        f"{one.severity}: {one.code}",
    )
    line.truncate(width, overflow="ellipsis")
    yield line
    yield from map(Text, hanging("  ", visible(one.text), width, most=3))
    arrow = f"  {how.arrow} "
    if one.remedy:
        yield from map(Text, hanging(arrow, visible(one.remedy), width, most=2))
    if failure is not None:
        words = f"not mended: {visible(failure.reason)}"
        words += f" {how.arrow} {visible(failure.remedy)}" if failure.remedy else ""
        for text in hanging(f"  {how.failed} ", words, width, most=2):
            yield Text(text, paint("error"))
    elif one.fix:
        words = f"fix: write a proxy {one.fix} beside it; the clip itself stays as it is"
        for text in hanging(arrow, words, width, most=2):
            yield Text(text, paint("accent"))


def is_proxy(name: str) -> bool:
    """Whether a clip is called like a proxy of the doctor's."""
    return PROXY in name and PROXY in PurePosixPath(name).stem

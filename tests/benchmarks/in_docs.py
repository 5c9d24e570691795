"""Puts measured figures into the documentation, where a marker asks for them.

`<!-- figures: text vae -->` and what follows it up to `<!-- end of figures -->` becomes a table
of those benchmarks. A benchmark that was not run, or failed, leaves its table as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.rows import Report, Row

_MARKED = re.compile(r"<!-- figures: ([a-z ]+) -->\n.*?<!-- end of figures -->", re.DOTALL)


def write_figures(file: Path, reports: Sequence[Report], note: str) -> None:
    """Fill in the marked places of a Markdown file.

    Args:
        file: The file.
        reports: Of this run.
        note: On what machine, and when.
    """
    known = {report.name: report for report in reports if report.rows and not report.fault}

    def filled(match: re.Match[str]) -> str:
        names = match[1].split()
        if not known.keys() >= set(names):
            return match[0]
        table = _table(known, names)
        return f"<!-- figures: {match[1]} -->\n{table}\n\n{note}\n<!-- end of figures -->"

    file.write_text(_MARKED.sub(filled, file.read_text()))


def _table(known: Mapping[str, Report], names: Sequence[str]) -> str:
    rows = [row for name in names for row in known[name].rows]
    if all(row.goal is None for row in rows):
        lines = ["| what | measured | how |", "|---|---|---|"]
        lines += [f"| {row.what} | {row.words(row.ratio)} | {row.detail} |" for row in rows]
        return "\n".join(lines)
    lines = ["| what | against | goal | measured | how |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.what} | {row.against or '–'} | {row.goal_words} | {_measured(row)} | "
        f"{row.detail} |"
        for row in rows
    ]
    return "\n".join(lines)


def _measured(row: Row) -> str:
    verdict = {True: " ✓", False: ", not reached", None: ""}[row.reached]
    return f"**{row.words(row.ratio)}**{verdict}"

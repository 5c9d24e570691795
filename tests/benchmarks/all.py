"""All benchmarks in one go: a table of what was measured against what was aimed at.

Each runs in a process of its own, one after another; one that fails is told of, and the others go
on. A quiet machine gives the truest figures: what is compared is measured in turns.

python -m tests.benchmarks.all [--quick] [--only NAME] [--json FILE] [--chart FILE] [--docs FILE]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.memory.monitor import Monitor
from tests.benchmarks.chart import write_chart
from tests.benchmarks.in_docs import write_figures
from tests.benchmarks.rows import ROOT, Report, Row, python

BENCHMARKS = (
    "frames",
    "text",
    "vae",
    "dataset",
    "rerun",
    "start",
    "scan",
    "hardware",
    "upload",
    "gpu",
)
# Only where they are asked for by name: they take as long as all the others.
LONG = ("million",)
PATIENCE = 1800.0
WIDTHS = (46, 40, 12, 12, 8)
HEADS = ("what", "against", "goal", "measured", "reached")


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` writes."""

    machine: str
    date: str
    quick: bool
    reports: tuple[Report, ...]


def run(name: str, *, quick: bool) -> Report:
    """Run one benchmark; whatever goes wrong with it is in its report."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = python(f"tests.benchmarks.bench_{name}", "--json", str(file))
        command += ["--quick"] * quick
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            fault = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except subprocess.TimeoutExpired:
            fault = [f"not done after {PATIENCE:.0f} s"]
        seconds = round(time.perf_counter() - began, 1)
        if fault or not file.exists():
            return Report(name=name, seconds=seconds, fault=" ".join(fault) or "wrote no rows")
        try:
            found = msgspec.json.decode(file.read_bytes(), type=Report)
        except msgspec.DecodeError as error:
            return Report(name=name, seconds=seconds, fault=f"wrote no rows: {error}")
    return msgspec.structs.replace(found, name=name, seconds=seconds)


def machine() -> str:
    """Return the processor, its cores, and the GPU if there is one."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    gpus = "".join(f", {gpu.title}" for gpu in Monitor().sample().gpus if gpu.title)
    return f"{names[0] if names else platform.machine()}, {cores} cores{gpus}"


def verdict(row: Row) -> str:
    """Return whether the goal is reached, in a word."""
    if row.equal is False:
        return "DIFFERS"
    return {True: "yes", False: "no", None: ""}[row.reached]


def table(reports: Sequence[Report]) -> str:
    """Return all rows as text, each with its figures below it."""
    lines = [_line(HEADS), _line(["─" * width for width in WIDTHS])]
    for report in reports:
        if report.fault:
            lines.append(f"{report.name}: FAILED: {report.fault}")
        for row in report.rows:
            cells = (row.what, row.against or "–", row.goal_words, row.words(row.ratio))
            lines += _wrapped((*cells, verdict(row)))
            lines += textwrap.wrap(row.detail, 110, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def _wrapped(cells: Sequence[str]) -> list[str]:
    columns = [textwrap.wrap(c, w) or [""] for c, w in zip(cells, WIDTHS, strict=True)]
    height = max(map(len, columns))
    filled = [column + [""] * (height - len(column)) for column in columns]
    return [_line(parts) for parts in zip(*filled, strict=True)]


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def main() -> int:
    """Run them; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller and fewer, in a third")
    parser.add_argument(
        "--only", action="append", choices=BENCHMARKS + LONG, help="may be repeated"
    )
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--chart", type=Path, help="draw an SVG to this file")
    parser.add_argument(
        "--docs", type=Path, action="append", help="fill in a Markdown file's figures"
    )
    options = parser.parse_args()
    reports = []
    for name in options.only or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, end="", flush=True)
        reports.append(run(name, quick=options.quick))
        print(f" {reports[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    results = Results(
        machine=machine(),
        date=time.strftime("%Y-%m-%d"),
        quick=options.quick,
        reports=tuple(reports),
    )
    note = f"{results.machine}, {results.date}."
    print(note + "\n")
    print(table(reports))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    if options.chart:
        rows = [row for report in reports for row in report.rows]
        write_chart(options.chart, rows, note)
    for file in options.docs or ():
        write_figures(file, reports, note)
    return int(any(report.fault for report in reports))


if __name__ == "__main__":
    sys.exit(main())

"""What a benchmark finds out: rows of one table, kept as JSON.

A benchmark is run as `python -m tests.benchmarks.bench_NAME [--quick] [--json FILE]`, by hand or by
`tests.benchmarks.all`; each in a process of its own, so that none warms the caches of another.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        what: What is measured.
        against: What it is held against in the same run; empty for a plain figure.
        goal: At least so much, or at most with `most`; None where nothing is asked for.
        ratio: What was measured, in `unit`; None where it cannot be measured here.
        unit: "×" for a ratio, else "s", "%", "MiB", "GiB".
        most: The goal is an upper limit.
        equal: Whether both ways had the same results, or what else must hold does; None where
            nothing was checked.
        detail: In words: the figures behind the ratio, or why there is none.
    """

    what: str
    against: str = ""
    goal: float | None = None
    ratio: float | None = None
    unit: str = "×"
    most: bool = False
    equal: bool | None = None
    detail: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none, or no figure."""
        if self.equal is False:
            return False
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio <= self.goal if self.most else self.ratio >= self.goal

    def words(self, value: float | None) -> str:
        """Return a value of this row with its unit: "4.2 ×", "0.91 s"."""
        if value is None:
            return "–"
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        return f"{value:,.{digits}f} {self.unit}"

    @property
    def goal_words(self) -> str:
        """The goal with its sign: "≥ 4 ×"."""
        if self.goal is None:
            return "–"
        return f"{'≤' if self.most else '≥'} {self.goal:g} {self.unit}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of one benchmark.

    Attributes:
        name: Of the benchmark, such as "text".
        seconds: How long it took.
        fault: Why there are none; empty where all went well.
    """

    name: str
    rows: tuple[Row, ...] = ()
    seconds: float = 0.0
    fault: str = ""


class Usage(msgspec.Struct, frozen=True):
    """What a process took: seconds on the wall, seconds of all cores, and peak memory in MiB."""

    wall: float
    cpu: float
    peak: float


def timed(command: Sequence[str], *, log: Path | None = None, **environment: str) -> Usage:
    """Run a command to its end, with all children that it waits for.

    Args:
        command: What is run, in the repository's root.
        log: Takes what it prints; else that is dropped.
        environment: Variables beside our own.

    Raises:
        RuntimeError: It failed; with its last words.
    """
    target = log or Path(os.devnull)
    with target.open("wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            # As workers and encoders have: Linux shares a busy machine out between sessions.
            start_new_session=True,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text(errors="replace")[-2000:] if log else "(not kept)"
        words = f"{' '.join(command)} ended with {process.returncode}; it said: {said}"
        raise RuntimeError(words)
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure some ways one after another, forwards and backwards in turns.

    What else the machine does is then shared between them.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        order = list(ways)
        for name in order if number % 2 == 0 else order[::-1]:
            found[name].append(ways[name]())
    return found


def ratio_of(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the ratios of values that were measured side by side."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def spread(values: Sequence[float], unit: str = "s") -> str:
    """Return the median of some values, and how far they lie apart."""
    middle = statistics.median(values)
    if len(values) < 2:
        return f"{middle:.3g} {unit}"
    return f"{middle:.3g} {unit} ({min(values):.3g}–{max(values):.3g})"


def main(
    name: str,
    about: str,
    measure: Callable[..., Sequence[Row]],
    more: Callable[[argparse.ArgumentParser], object] | None = None,
) -> None:
    """Be the command of one benchmark.

    Args:
        name: Of the benchmark.
        about: What it does, for `--help`.
        measure: Told whether to be quick, and with `more` all options by name; returns the rows.
        more: Adds options of its own to the parser.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    if more is not None:
        more(parser)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer, in a third")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    own = {key: value for key, value in vars(options).items() if key not in ("quick", "json")}
    began = time.perf_counter()
    rows = tuple(measure(options.quick, **own))
    report = Report(name=name, rows=rows, seconds=round(time.perf_counter() - began, 1))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    print("\n".join(lines(rows)))


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the rows as lines of text, the figures behind them below each."""
    found = []
    for row in rows:
        verdict = {True: "reached", False: "NOT REACHED", None: ""}[row.reached]
        same = {True: ", checked", False: ", CHECK FAILED", None: ""}[row.equal]
        head = f"{row.what} | {row.against or '–'} | {row.goal_words} | {row.words(row.ratio)}"
        found += [f"{head} | {verdict}{same}", f"    {row.detail}"]
    return found


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]

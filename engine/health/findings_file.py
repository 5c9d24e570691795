"""What the doctor found last, kept for the workbench: `.ltx-tui/findings.msgpack`."""

from __future__ import annotations

import contextlib
import os
import time

import msgspec

from engine.files.safe import atomic_write
from engine.findings import Finding
from engine.project import Project

FILE = "findings.msgpack"
_VERSION = 1


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole look found.

    Attributes:
        dataset: The file that was looked through, seen from the project.
        when: When that was, in seconds since 1970.
        findings: Clip by clip, the worst of each first.
    """

    dataset: bytes
    when: float
    findings: tuple[Finding, ...]
    version: int = _VERSION


_REPORT = msgspec.msgpack.Decoder(Report)


def keep_findings(project: Project, findings: tuple[Finding, ...]) -> None:
    """Keep what a whole look found; where nothing can be written, nothing is kept."""
    report = Report(dataset=_dataset(project), when=time.time(), findings=findings)
    with contextlib.suppress(OSError):
        atomic_write(project.state_dir / FILE, msgspec.msgpack.encode(report))


def kept_findings(project: Project) -> Report | None:
    """Return what the last look at the project's dataset found; None where nothing is known."""
    try:
        report = _REPORT.decode((project.state_dir / FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
    if report.version != _VERSION or report.dataset != _dataset(project):
        return None
    words: dict[str, str] = {}
    findings = tuple(shared(one, words) for one in report.findings)
    return msgspec.structs.replace(report, findings=findings)


def shared(one: Finding, words: dict[str, str]) -> Finding:
    """Return a finding whose words are those of others where they are the same, to save memory.

    Args:
        one: The finding.
        words: What there is so far; added to.
    """
    names = ("code", "severity", "text", "remedy", "fix")
    same = {name: words.setdefault(text := getattr(one, name), text) for name in names}
    return msgspec.structs.replace(one, **same)


def _dataset(project: Project) -> bytes:
    # Relative, so that a project folder can be moved as a whole.
    return os.fsencode(os.path.relpath(project.dataset_path, project.state_dir.parent))

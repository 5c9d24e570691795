"""Children of the doctor that look at nothing, and what they find."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from textual.pilot import Pilot

from engine.events import ClipDone, ClipFailed, JobDone, JobStarted, Scanning, StageCount
from engine.findings import FIXES, Finding, Fixed, Severity, Wanted
from ltx_tui.app import Workbench
from ltx_tui.screens.doctor import DoctorScreen
from tests.tui.conftest import (
    ready,
    shown,
    still,
)


def finding(row: int | None, code: str, severity: Severity = "warning", **more: Any) -> Finding:
    values: dict[str, Any] = {
        "clip": "" if row is None else f"scene-{row:04}.mp4",
        "text": f"what {code} is",
        "remedy": f"what helps against {code}",
        "fix": FIXES.get(code, ""),
    }
    return Finding(row=row, code=code, severity=severity, **values | more)


FOUND = (
    finding(0, "audio-missing"),
    finding(1, "vfr", text="variable frame rate, 24.3 a second in the mean"),
    finding(1, "rotated", "note"),
    finding(3, "vfr", text="variable frame rate, 29.5 a second in the mean"),
    finding(3, "borders", text="black bars: 140 px top, 140 px bottom"),
    finding(
        4,
        "too-short",
        "error",
        text="too short: 20 frames, and the shortest bucket has 49",
        remedy="add a bucket such as 960x544x17, or take the clip out",
    ),
    finding(5, "hdr", "error", text="HDR video (PQ)"),
    finding(None, "mixed-fps", "note", text="clips of several frame rates: 24 (9), 25 (3)"),
)


class Ward:
    """Stands in for the children: what they are asked, and what they find.

    Attributes:
        asked: The requests.
        findings: What every look finds.
        fault: Raised instead; None where all is well.
        gate: Closed, a child waits after its first words.
        failure: A clip that cannot be mended, and why.
    """

    def __init__(self) -> None:
        self.asked: list[Wanted] = []
        self.cancelled: list[Wanted] = []
        self.findings: tuple[Finding, ...] = FOUND
        self.fault: Exception | None = None
        self.failure: dict[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    def child(self, _module: str, wanted: Wanted, _events: object) -> Child:
        return Child(self, wanted)


class Child:
    """One request."""

    def __init__(self, ward: Ward, wanted: Wanted) -> None:
        self.ward, self.wanted = ward, wanted
        self.is_cancelled = asyncio.Event()

    async def cancel(self) -> None:
        if not self.is_cancelled.is_set():
            self.ward.cancelled.append(self.wanted)
            self.is_cancelled.set()

    async def events(self) -> AsyncGenerator[object]:
        ward, wanted = self.ward, self.wanted
        ward.asked.append(wanted)
        await asyncio.sleep(0)
        if ward.fault is not None:
            raise ward.fault
        yield Scanning(done=12, total=12)
        yield begun("proxies" if wanted.fix else "doctor", 1 if wanted.fix else 6)
        for one in self._done():
            yield one
        waits = [asyncio.ensure_future(one.wait()) for one in (ward.gate, self.is_cancelled)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not self.is_cancelled.is_set():
            for found in ward.findings:
                yield found
        yield ended(cancelled=self.is_cancelled.is_set())

    def _done(self) -> list[object]:
        told: list[object] = []
        for clip in self.wanted.only if self.wanted.fix or self.wanted.undo else ():
            row = int(clip[6:10])
            if clip in self.ward.failure:
                why = self.ward.failure[clip]
                told.append(
                    ClipFailed(stage="proxies", clip=clip, row=row, reason=why, remedy="mend it")
                )
                continue
            proxy = clip.replace(".mp4", "_proxy.mp4")
            now, before = (clip, proxy) if self.wanted.undo else (proxy, clip)
            codes = self.wanted.fix
            told.append(Fixed(row=row, clip=now, codes=codes, media=now, source=before))
        return told or [ClipDone(stage="doctor", clip="a", row=0, output="", seconds=1.0)]


def begun(stage: str, clips: int) -> JobStarted:
    return JobStarted(stages=(StageCount(stage=stage, to_do=clips, fresh=0, blocked=0, skipped=0),))


def ended(*, cancelled: bool = False) -> JobDone:
    return JobDone(
        done=0, fresh=0, failures=(), skipped=0, set_aside=0, seconds=1.0, cancelled=cancelled
    )


async def opened(pilot: Pilot[Any], *keys: str) -> DoctorScreen:
    """Open the doctor over the workbench, and press some keys."""
    await ready(pilot)
    await pilot.press("D", *keys)
    await still(pilot)
    return next(one for one in pilot.app.screen_stack if isinstance(one, DoctorScreen))


async def until(pilot: Pilot[Any], is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await pilot.pause(0.01)


def text(app: Workbench) -> str:
    return "\n".join(shown(app))


def toasts(app: Workbench) -> list[str]:
    return [one.message for one in app._notifications]

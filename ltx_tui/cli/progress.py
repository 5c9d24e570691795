"""Names, figures and news of a job, in words."""

from __future__ import annotations

from engine.events import Guard, Notice
from engine.text import visible

NAMES = {
    "decoded_videos": "decode videos",
    "decoded_reference_videos": "decode references",
    "decoded_audio": "decode audio",
    "plan": "blocked",  # how a job calls clips that its plan did not let in
}


def stage_name(stage: str) -> str:
    """Return a stage's name for people: "audio latents"."""
    return NAMES.get(stage, stage.replace("_", " "))


def rate_words(rate: float) -> str:
    """Return "1.9 clips/s", or "12 s/clip" for slow ones."""
    if rate <= 0:
        return ""
    if rate >= 9.95:
        return f"{rate:.0f} clips/s"
    return f"{rate:.1f} clips/s" if rate >= 0.95 else f"{1 / rate:.1f} s/clip"


def notice_words(event: Notice) -> str:
    """Return a notice as a line."""
    about = f"{visible(event.clip)}: " if event.clip else ""
    return f"{'! warning: ' if event.level == 'warning' else ''}{about}{event.text}"


def guard_words(event: Guard) -> str:
    """Return what the memory guard did as a line: "memory guard, cuda:0: a.mp4: stepped …"."""
    where = f", {event.device}" if event.device else ""
    return f"memory guard{where}: {visible(event.clip) or stage_name(event.stage)}: {event.text}"

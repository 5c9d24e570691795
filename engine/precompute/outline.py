"""What a client is told of a clip in a plan."""

from __future__ import annotations

from engine.precompute.plan_types import ClipOutline
from engine.precompute.survey import ClipPlan


def outline(plan: ClipPlan) -> ClipOutline:
    """Return what there is to show of a clip."""
    probe, kept = plan.probe, plan.kept
    return ClipOutline(
        row=plan.clip.row,
        clip=plan.clip.name,
        media=str(plan.clip.media),
        size=(probe.width, probe.height) if probe else (0, 0),
        frames=probe.frames if probe else 0,
        fps=float(kept.window.rate) if kept else 0.0,
        duration=probe.duration if probe else 0.0,
        audio=kept is not None and kept.audio is not None,
        bucket=str(kept.bucket) if kept and kept.bucket else "",
        kept=(
            (kept.window.start, kept.window.start + float(kept.window.duration))
            if kept
            else (0.0, 0.0)
        ),
        warnings=plan.warnings,
    )

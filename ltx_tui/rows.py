"""What the workbench knows of clips: immutable rows, made outside the UI process."""

from __future__ import annotations

from engine.overview_types import (
    WORST_FIRST,
    CaptionState,
    Made,
    OutputState,
    Remark,
    Row,
    StageState,
)

__all__ = ["WORST_FIRST", "CaptionState", "Made", "OutputState", "Remark", "Row", "StageState"]

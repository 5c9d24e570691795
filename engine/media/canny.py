"""Canny edges: the built-in condition of reference videos."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from engine.errors import UsageError
from engine.media.arrays import Pixels

LOW, HIGH = 100.0, 200.0


def canny(low: float = LOW, high: float = HIGH) -> Callable[[Pixels], Pixels]:
    """Return a condition that draws the edges of each frame, white on black.

    Args:
        low: A gradient above this continues an edge.
        high: A gradient above this begins one.

    Raises:
        UsageError: The thresholds make no sense.
    """
    if not 0 <= low <= high:
        raise UsageError(
            f"Canny thresholds {low:g} and {high:g} make no sense",
            remedy="give a low one of at least 0 and a high one that is no lower, such as 100, 200",
        )

    def condition(frames: Pixels) -> Pixels:
        drawn = np.empty_like(frames)
        for index, frame in enumerate(frames):
            drawn[index] = edges(frame, low, high)
        return drawn

    return condition


def edges(frame: Pixels, low: float = LOW, high: float = HIGH) -> Pixels:
    """Return the edges of one frame.

    Args:
        frame: uint8 [H, W, 3], RGB.
        low: As for `canny`.
        high: As for `canny`.

    Returns:
        uint8 [H, W, 3]: 255 on an edge, 0 elsewhere, the same in all channels.
    """
    found = cv2.Canny(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), low, high)
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_GRAY2RGB), dtype=np.uint8)

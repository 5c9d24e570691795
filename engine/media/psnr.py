"""Peak signal-to-noise ratio: how far a picture is from the one that it was made from."""

from __future__ import annotations

import math

PEAK = 255.0


def decibels(error: float, peak: float = PEAK) -> float:
    """Return the PSNR in dB of a mean squared error; infinite where the two are equal.

    PSNR = 10 · log10(peak² / MSE), as in Huynh-Thu and Ghanbari, "Scope of validity of PSNR in
    image/video quality assessment", Electronics Letters 44 (2008), equations 1 and 2. The mean is
    over all pixels and all three colours of RGB.

    Args:
        error: Mean of the squared differences.
        peak: The greatest value that a pixel can have.

    Raises:
        ValueError: The error is negative.
    """
    if error < 0:
        raise ValueError("a squared error is not negative")
    return math.inf if error == 0 else 10 * math.log10(peak * peak / error)

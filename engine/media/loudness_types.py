"""What is known about how loud a clip is, for those who do not measure it themselves."""

from __future__ import annotations

import math

import msgspec

# Part of the key under which measures are cached: raise it when one changes for the same file.
LOUDNESS_VERSION = 1
# In dB of full scale: what is quieter counts as silence, and nothing is measured below the floor.
SILENCE, FLOOR = -50.0, -120.0


class Loudness(msgspec.Struct, frozen=True, kw_only=True):
    """What a clip's first sound track sounds like; levels in dB of full scale.

    Attributes:
        seconds: How much was heard; 0 for a clip without a track.
        peak: The loudest sample, `FLOOR` for nothing at all.
        rms: The root of the mean square.
        heard: Share of the time that is louder than `SILENCE`, 0 … 1.
        speech: Share of the time that sounds like speech, 0 … 1: energy where voices have it, a
            pitch, and a level that moves as syllables do. Singing is speech to it, and some music.
    """

    seconds: float
    peak: float
    rms: float
    heard: float
    speech: float

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return self.heard < 0.01 and self.peak < SILENCE + 10


NO_SOUND = Loudness(seconds=0.0, peak=FLOOR, rms=FLOOR, heard=0.0, speech=0.0)


def dbfs(value: float) -> float:
    """Return dB of full scale, which is 1; minus infinity for silence."""
    return 20 * math.log10(value) if value > 0 else -math.inf

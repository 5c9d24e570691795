"""Whether and when a clip is heard. Loads no torch."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np

from engine.errors import MediaError
from engine.media.containers import Check, check_file
from engine.media.loudness_types import dbfs
from engine.media.probe import Probe
from engine.media.sound_parts import SoundError, sound_parts

# Full scale at 1: quieter than this is silence, -60 dB.
SILENCE = 1e-3
# Once it is this loud nobody need hear the rest.
_CLEARLY = 1e-2
_MOST = 600  # seconds that are listened to


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """A sound track as it is heard; times in seconds after the first frame of the picture.

    Attributes:
        peak: The largest sample, full scale at 1; at least `SILENCE` times ten where it is not
            silent and nobody listened further.
        begins: When the first sample is heard.
        ends: When the last one is over.
        fault: Why it cannot be decoded; empty where it can.
    """

    peak: float = 0.0
    begins: float = 0.0
    ends: float = 0.0
    fault: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether nothing can be heard."""
        return self.peak < SILENCE

    @property
    def level(self) -> str:
        """The peak in words, in dB of full scale."""
        return f"{dbfs(self.peak):.0f} dB" if self.peak > 0 else "digital silence"


def listen(path: Path, probe: Probe, *, check: Check | None = None) -> Sound | None:
    """Listen to a file's first sound track, no longer than needed to know that it is heard.

    Args:
        path: A video or a sound.
        probe: What `engine.media.probe.probe` says about it.
        check: Called now and then; what it raises ends the listening.

    Returns:
        None where there is no sound track.

    Raises:
        MediaError: The file cannot be opened any more.
    """
    if not probe.audio:
        return None
    track = probe.audio[0]
    # A header that knows its length spares decoding to the end.
    told = track.start + track.duration if track.duration > 0 else None
    peak, begins, ends = 0.0, math.nan, 0.0
    check_file(path)
    try:
        for part in sound_parts(path):
            if check is not None:
                check()
            begin = ends if part.time is None else float(part.time - probe.origin)
            begins = begin if math.isnan(begins) else begins
            ends = begin + part.samples.shape[1] / part.rate
            peak = max(peak, float(np.abs(part.samples).max(initial=0.0)))
            if (peak >= _CLEARLY and told is not None) or ends > _MOST:
                break
    except MediaError as error:
        return Sound(fault=error.why if isinstance(error, SoundError) else error.message)
    if math.isnan(begins):
        return Sound(fault="nothing in it decodes")
    return Sound(peak=peak, begins=begins, ends=max(ends, told or 0.0))

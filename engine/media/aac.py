"""Sound as FFmpeg's AAC encoder takes it."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from engine.media.arrays import Samples

# The encoder smears pure tones at less than this, for two channels.
_BITS = 320_000
# Rates that AAC knows; others are resampled to the last.
_RATES = (96000, 88200, 64000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 48000)
# Others become stereo.
_LAYOUTS = frozenset({"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"})


def aac_layout(layout: str) -> str:
    """Return the layout that sound of some layout is written in, by FFmpeg's name."""
    return layout if layout in _LAYOUTS else "stereo"


def add_aac(container: OutputContainer, rate: int, layout: str) -> AudioStream:
    """Add a sound track to a file that is being made.

    Args:
        container: The file.
        rate: Samples a second of what will be encoded.
        layout: One that `aac_layout` gives.
    """
    rate = rate if rate in _RATES else _RATES[-1]
    stream = container.add_stream("aac", rate=rate, layout=layout)
    channels = av.AudioLayout(layout).nb_channels
    # 6144 bits a channel and 1024 samples at most.
    stream.bit_rate = min(_BITS, 12 * rate) * channels // 2
    return stream


def sound_frame(samples: Samples, layout: str, rate: int, at: int) -> AudioFrame:
    """Return float32 [channels, n] for the encoder, heard from sample `at` on."""
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
    return frame

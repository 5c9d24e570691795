"""Forecasts made better by peaks that were measured on the same device with the same model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from engine.memory.forecast import VideoShape, video_peak
from engine.memory.rungs import Rung, rung_named
from engine.models.video_config import EncoderConfig

# Beyond these a record says more about some accident than about the next encode.
_LEAST, _MOST = 0.8, 2.0


# On a GPU the allocator rounds up and kernels want scratch: so much of a forecast, until measured.
GPU_EXTRA = 1.1


class Known(Protocol):
    """A measured peak, such as `engine.worker.messages.Peak`."""

    @property
    def shape(self) -> str:
        """As `str(VideoShape)` writes it."""

    @property
    def rung(self) -> str:
        """As `Rung.name` has it."""

    @property
    def bytes(self) -> int:
        """What was needed, or what was not enough."""

    @property
    def fits(self) -> bool:
        """Whether it was enough."""


class Calibration:
    """What is known of one device and model.

    A shape and rung that were measured are forecast as they were. Others get the formula times
    the largest ratio that was seen on rungs of the kind.
    """

    def __init__(
        self,
        config: EncoderConfig,
        itemsize: int,
        known: Iterable[Known] = (),
        *,
        usual: float = 1.0,
    ) -> None:
        """Take what was measured before.

        Args:
            config: The video encoder's.
            itemsize: Bytes an element.
            known: Records of this device and model; those of other things are passed over.
            usual: Peak over formula where nothing was measured: more than 1 on a GPU, whose
                allocator rounds up. On the CPU it is 1.
        """
        self._config = config
        self._itemsize = itemsize
        self._usual = usual
        self._measured: dict[tuple[str, str], int] = {}
        self._too_little: dict[tuple[str, str], int] = {}
        # Of measured peaks over the formula, for each kind of rung: the largest.
        self._ratios: dict[tuple[str, bool], float] = {}
        for one in known:
            shape, rung = VideoShape.parse(one.shape), rung_named(one.rung)
            if shape is not None and rung is not None:
                self.learn(shape, rung, one.bytes, fits=one.fits)

    def peak(self, shape: VideoShape, rung: Rung) -> int:
        """Return the bytes to expect."""
        key = _key(shape, rung)
        expected = self._measured.get(key)
        if expected is None:
            ratio = self._ratios.get(_kind(rung), self._usual_ratio(rung))
            expected = round(self._formula(shape, rung) * ratio)
        return max(expected, self._too_little.get(key, -1) + 1)

    def learn(self, shape: VideoShape, rung: Rung, size: int, *, fits: bool = True) -> None:
        """Take in what an encode needed; with `fits` false, what was not enough for it."""
        key, kind = _key(shape, rung), _kind(rung)
        ratio = min(max(size / max(1, self._formula(shape, rung)), _LEAST), _MOST)
        if fits:
            self._measured[key] = size
            self._too_little.pop(key, None)
            self._ratios[kind] = max(ratio, self._ratios.get(kind, 0))
            return
        self._too_little[key] = max(size, self._too_little.get(key, 0))
        # It needs more than this, which says something only where less was expected.
        if ratio > self._ratios.get(kind, self._usual_ratio(rung)):
            self._ratios[kind] = ratio

    def _formula(self, shape: VideoShape, rung: Rung) -> int:
        return video_peak(self._config, shape, rung, self._itemsize)

    def _usual_ratio(self, rung: Rung) -> float:
        return 1.0 if rung.cpu else self._usual


def _key(shape: VideoShape, rung: Rung) -> tuple[str, str]:
    return str(msgspec.structs.replace(shape, batch=rung.batch)), rung.name


def _kind(rung: Rung) -> tuple[str, bool]:
    return rung.kind, rung.cpu

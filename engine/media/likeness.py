"""Which pictures look alike: a hash of 64 bits of each, and how many of them differ.

The hash is that of the discrete cosine transform: of a picture of 32×32 the 8×8 lowest frequencies,
each as whether it lies above their median (Zauner, "Implementation and benchmarking of perceptual
image hash functions", 2010, § 3.2.1). It stays nearly the same under scaling, another codec and a
little change of light.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIDE = 32
# A picture whose levels spread less than this has nothing that a hash could tell.
FLAT = 3.0
# Mean bits of 64 that may differ in frames of clips that are nearly the same. Different pictures
# differ in about 32; another codec or size changes 0 … 4.
NEAR_BITS = 5.0
# Clips have to share so many telling frames, where they have as many.
_LEAST_FRAMES = 4
_ROWS = 256  # compared with all others at a time: a few MB

_NONE = np.iinfo(np.int64).max


def _basis() -> npt.NDArray[np.float64]:
    """Return the 8 lowest rows of the DCT-II of 32 values."""
    frequency, place = np.arange(8)[:, None], np.arange(SIDE)[None]
    return np.asarray(np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE)), dtype=np.float64)


_BASIS = _basis()


def picture_hash(grey: npt.NDArray[np.uint8]) -> int | None:
    """Return the hash of a picture; None for one that is flat.

    Args:
        grey: uint8 [32, 32].
    """
    if float(grey.std()) < FLAT:
        return None
    low = _BASIS @ grey.astype(np.float64) @ _BASIS.T
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def first_alike(clips: list[tuple[int | None, ...]], bits: float = NEAR_BITS) -> dict[int, int]:
    """Return for each clip that is nearly the same as an earlier one, the first of those.

    Every clip is compared with every other: 10,000 take a second or two.

    Args:
        clips: The hashes of some frames of each, at the same shares of its length; None: a frame
            that tells nothing. All of one length.
        bits: How many bits of 64 may differ in the mean.
    """
    if len(clips) < 2:
        return {}
    hashes = np.array([[one or 0 for one in clip] for clip in clips], dtype=np.uint64)
    telling = np.array([[one is not None for one in clip] for clip in clips])
    least = min(_LEAST_FRAMES, hashes.shape[1])
    first = np.full(len(clips), _NONE)
    for start in range(0, len(clips), _ROWS):
        end = min(start + _ROWS, len(clips))
        alike = _alike(hashes, telling, slice(start, end), bits, least)
        # Only later clips than the one that they are compared with.
        alike &= np.arange(start, end)[:, None] < np.arange(start, len(clips))[None]
        has_one = alike.any(axis=0)
        at = start + np.flatnonzero(has_one)
        first[at] = np.minimum(first[at], start + alike.argmax(axis=0)[has_one])
    return {int(at): int(first[at]) for at in np.flatnonzero(first != _NONE)}


def _alike(
    hashes: npt.NDArray[np.uint64],
    telling: npt.NDArray[np.bool_],
    rows: slice,
    bits: float,
    least: int,
) -> npt.NDArray[np.bool_]:
    """Return bool [rows, clips from the first row on]."""
    total = np.zeros((rows.stop - rows.start, len(hashes) - rows.start), dtype=np.uint16)
    common = np.zeros(total.shape, dtype=np.uint8)
    for frame in range(hashes.shape[1]):
        both = telling[rows, frame][:, None] & telling[None, rows.start :, frame]
        differ = np.bitwise_count(hashes[rows, frame][:, None] ^ hashes[None, rows.start :, frame])
        total += differ * both
        common += both
    return np.asarray((common >= least) & (total <= bits * common))

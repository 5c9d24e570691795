"""Where the pixels of a source go: scale until the bucket is covered, then crop."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.errors import UsageError
from engine.files.identity import hash_text

Reshape = Literal["center", "random"]


class Geometry(msgspec.Struct, frozen=True):
    """A resize and the crop after it, in pixels.

    Attributes:
        width: Width after the resize.
        height: Height after the resize.
        left: First column that is kept.
        top: First row that is kept.
        crop_width: Columns that are kept: the bucket's width.
        crop_height: Rows that are kept: the bucket's height.
    """

    width: int
    height: int
    left: int
    top: int
    crop_width: int
    crop_height: int


def fit(
    src_width: int,
    src_height: int,
    bucket_width: int,
    bucket_height: int,
    reshape: str = "center",
    *,
    seed: int = 0,
    crop_key: str = "",
) -> Geometry:
    """Return how a source of one size is brought to a bucket's.

    The source is scaled, keeping its aspect, until one side equals the bucket's and the other
    covers it; the free side is `int(source side · ratio)`, as in the official preprocessing.
    The crop is centred (offset `delta // 2`) or random. The official random crop differs at each
    run; ours is drawn from `seed` and `crop_key`, so that the same job gives the same pixels and
    a clip is cropped like its reference when both are given one key.

    Args:
        src_width: Source width as displayed (after rotation), in pixels.
        src_height: Source height as displayed.
        bucket_width: Width to reach.
        bucket_height: Height to reach.
        reshape: "center" or "random".
        seed: The job's seed.
        crop_key: What tells this clip from the others, such as its name.

    Raises:
        UsageError: `reshape` is neither.
        ValueError: A size is not positive.
    """
    if min(src_width, src_height, bucket_width, bucket_height) < 1:
        raise ValueError("sizes must be positive")
    width, height = bucket_width, bucket_height
    if src_width / src_height > bucket_width / bucket_height:
        width = int(src_width * bucket_height / src_height)
    else:
        height = int(src_height * bucket_width / src_width)
    # Aspects that differ by a rounding error only can land one pixel short.
    width, height = max(width, bucket_width), max(height, bucket_height)
    spare_x, spare_y = width - bucket_width, height - bucket_height
    if reshape == "center":
        left, top = spare_x // 2, spare_y // 2
    elif reshape == "random":
        left, top = (
            _draw(seed, crop_key, axis, spare) for axis, spare in (("x", spare_x), ("y", spare_y))
        )
    else:
        raise UsageError(f"no reshape mode {reshape!r}", remedy='write "center" or "random"')
    return Geometry(width, height, left, top, bucket_width, bucket_height)


def at_most(width: int, height: int, side: int) -> tuple[int, int]:
    """Return a size of the same shape whose longer side is no longer than `side`."""
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _draw(seed: int, crop_key: str, axis: str, spare: int) -> int:
    """Return an offset in 0 … spare, the same for the same arguments."""
    return int(hash_text(f"{seed}\0{axis}\0{crop_key}"), 16) % (spare + 1)

"""Buckets: the sizes and lengths that clips are brought to, and which clip goes into which."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import msgspec

from engine.errors import UsageError

_FORM = re.compile(r"\s*(\d{1,9})\s*[xX×]\s*(\d{1,9})\s*[xX×]\s*(\d{1,9})\s*", re.ASCII)


class Bucket(msgspec.Struct, frozen=True, order=True):
    """A width and a height in pixels, and a length in frames; `str()` gives "WxHxF"."""

    width: int
    height: int
    frames: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"

    def latent_shape(self, spatial: int = 32, temporal: int = 8) -> tuple[int, int, int]:
        """Return (frames, height, width) of the latent, channels left out.

        Args:
            spatial: Pixels a latent cell, from the checkpoint's VAE.
            temporal: Frames a latent frame, but for the first, which stands alone.
        """
        return (self.frames - 1) // temporal + 1, self.height // spatial, self.width // spatial

    def tokens(self, spatial: int = 32, temporal: int = 8) -> int:
        """Return how many tokens the trainer sees: one for each latent cell."""
        return math.prod(self.latent_shape(spatial, temporal))


def parse_bucket(text: str, *, spatial: int = 32, temporal: int = 8) -> Bucket:
    """Read "WxHxF"; spaces and the sign × are accepted.

    Args:
        text: The bucket as the user types it.
        spatial: What width and height must be multiples of.
        temporal: What the frames less one must be a multiple of.

    Raises:
        UsageError: It is no bucket, or one that the VAE cannot encode; the remedy names the nearest
            that it can.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise UsageError(
            f"{text.strip()!r} is no bucket",
            remedy="write width x height x frames, such as 960x544x49",
        )
    bucket = Bucket(*(int(number) for number in match.groups()))
    problems = [
        f"{name} {value} is not a multiple of {spatial}"
        for name, value in (("width", bucket.width), ("height", bucket.height))
        if value % spatial or not value
    ]
    if bucket.frames % temporal != 1 % temporal or not bucket.frames:
        problems.append(f"{bucket.frames} frames are not a multiple of {temporal} plus 1")
    if problems:
        near = _nearest(bucket, spatial, temporal)
        listed = " or ".join(str(one) for one in near)
        raise UsageError(f"bucket {bucket}: {'; '.join(problems)}", remedy=f"use {listed}")
    return bucket


def parse_buckets(text: str, *, spatial: int = 32, temporal: int = 8) -> tuple[Bucket, ...]:
    """Read "WxHxF;WxHxF" in the order given; a bucket named twice counts once.

    Raises:
        UsageError: There is none, or one of them is wrong.
    """
    parts = [part for part in text.split(";") if part.strip()]
    if not parts:
        raise UsageError(
            "no bucket is given", remedy="name at least one as WxHxF, such as 960x544x49"
        )
    return tuple(
        dict.fromkeys(parse_bucket(part, spatial=spatial, temporal=temporal) for part in parts)
    )


def choose(frames: int, width: int, height: int, buckets: Iterable[Bucket]) -> Bucket | None:
    """Return the bucket for a clip, or None when the clip is too short for all of them.

    Among the buckets that are no longer than the clip: the nearest aspect ratio by
    |ln a − ln b|, then the most frames, then the largest area, then the first named. The
    logarithms are compared as doubles without rounding, as the official preprocessing does, so
    that outputs which it made keep their bucket.

    Args:
        frames: Decoded frames of the clip.
        width: Pixels, as displayed (after rotation).
        height: Pixels, as displayed.
        buckets: The buckets to choose from.

    Raises:
        ValueError: The clip has no size.
    """
    aspect = math.log(width / height)
    return min(
        (bucket for bucket in buckets if bucket.frames <= frames),
        key=lambda b: (abs(aspect - math.log(b.width / b.height)), -b.frames, -b.width * b.height),
        default=None,
    )


def coverage(
    assignments: Iterable[Bucket | None], buckets: Sequence[Bucket] = ()
) -> dict[Bucket | None, int]:
    """Return clips a bucket, those asked for first, empty ones included; None counts too short."""
    counts: dict[Bucket | None, int] = dict.fromkeys(buckets, 0)
    for bucket in assignments:
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


def _nearest(bucket: Bucket, spatial: int, temporal: int) -> list[Bucket]:
    """Return the valid bucket just below and the one just above, in every dimension."""
    down = Bucket(
        max(spatial, bucket.width // spatial * spatial),
        max(spatial, bucket.height // spatial * spatial),
        max(0, bucket.frames - 1) // temporal * temporal + 1,
    )
    up = Bucket(
        max(spatial, -(-bucket.width // spatial) * spatial),
        max(spatial, -(-bucket.height // spatial) * spatial),
        -(-max(0, bucket.frames - 1) // temporal) * temporal + 1,
    )
    return list(dict.fromkeys([down, up]))

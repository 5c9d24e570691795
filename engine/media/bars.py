"""Black bars around a picture, from some of its frames."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

# Levels of 255: a bar is darker than this everywhere, and as even as this.
_DARK, _EVEN = 26.0, 5.0
# The picture beside a bar is brighter than this, in this share of the line at some time: what
# tells a bar from a dark background.
_BRIGHT, _SHARE = 36, 0.4
# Codecs smear the edge: so many lines further inside the picture has to be bright.
_EDGE = 4
# The least that counts, in lines and as a share of the side; and the most.
_LEAST, _LEAST_SHARE, _MOST_SHARE = 4, 0.01, 0.45


class Borders(msgspec.Struct, frozen=True, array_like=True):
    """Black lines on each side, as displayed."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __str__(self) -> str:
        sides = (
            (self.left, "left"), (self.top, "top"), (self.right, "right"), (self.bottom, "bottom"),
        )  # fmt: skip
        return ", ".join(f"{count} px {side}" for count, side in sides if count)


class Bars:
    """Takes some frames of a clip, and tells which bars all of them have."""

    def __init__(self) -> None:
        """Begin without a frame."""
        self._rows: npt.NDArray[np.float32] | None = None
        self._columns: npt.NDArray[np.float32] | None = None

    def take(self, grey: npt.NDArray[np.uint8]) -> None:
        """Take a frame that is not black: uint8 [H, W]."""
        rows, columns = _lines(grey, 1), _lines(grey, 0)
        if self._rows is None or self._columns is None:
            self._rows, self._columns = rows, columns
        elif rows.shape == self._rows.shape and columns.shape == self._columns.shape:
            np.maximum(self._rows, rows, out=self._rows)
            np.maximum(self._columns, columns, out=self._columns)

    def found(self) -> Borders | None:
        """Return the bars, each of an even number of lines; None where there are none."""
        if self._rows is None or self._columns is None:
            return None
        top, bottom = _ends(self._rows)
        left, right = _ends(self._columns)
        borders = Borders(left, top, right, bottom)
        return borders if any((left, top, right, bottom)) else None


def _lines(grey: npt.NDArray[np.uint8], axis: int) -> npt.NDArray[np.float32]:
    """Return [3, lines]: mean, spread, and the share of bright pixels of each line."""
    values = grey.astype(np.float32)
    bright = (grey > _BRIGHT).mean(axis=axis, dtype=np.float32)
    return np.stack([values.mean(axis=axis), values.std(axis=axis), bright])


def _ends(lines: npt.NDArray[np.float32]) -> tuple[int, int]:
    return _bar(lines), _bar(lines[:, ::-1])


def _bar(lines: npt.NDArray[np.float32]) -> int:
    """Return how many lines from the first on are a bar."""
    mean, spread, bright = lines
    count = len(mean)
    is_picture = (mean > _DARK) | (spread > _EVEN)
    size = int(is_picture.argmax()) if is_picture.any() else count
    if size < max(_LEAST, _LEAST_SHARE * count) or size > _MOST_SHARE * count:
        return 0
    if float(bright[size : size + _EDGE + 1].max(initial=0.0)) < _SHARE:
        return 0
    return size + size % 2

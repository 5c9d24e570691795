"""Names for the arrays that pictures and sounds are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]  # [H, W, 3], RGB unless said otherwise
Floats = npt.NDArray[np.float32]
Samples = npt.NDArray[np.float32]  # full scale at ±1

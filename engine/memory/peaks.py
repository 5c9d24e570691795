"""What encodes were seen to need: kept in the journal for each device and model."""

from __future__ import annotations

import msgspec


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """What a way to do a step was seen to need.

    Attributes:
        shape: What was encoded, such as "960x544x121" or "batch of 8, 187 tokens".
        rung: How, such as "stream 16".
        bytes: The most device memory that tensors took, the weights left out.
        fits: False where it ended out of memory; `bytes` is then what there was.
    """

    shape: str
    rung: str
    bytes: int
    fits: bool = True

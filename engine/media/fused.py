"""Sums of weighted rows with one rounding for each product and sum, out of plain operations.

On any device that has float64. A product of two float32 is exact there, but its sum with a third
is not always: rounded to 53 bits and then to 24, it can be wrong by one where the first rounding
lands half-way between two float32, for about one sum in 2³⁰. So the first one is rounded to odd
instead (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums", 2008): of the two
neighbours the one whose last bit is set, which is never half-way. `torch.addcmul` is fused on some
devices and in some builds only.
"""

from __future__ import annotations

import torch

from engine.media.bicubic import Bags

# Elements of a sum at a time.
MOST_ELEMENTS = 1 << 20
# Bytes that are taken for each of them, at most.
BYTES = 80


def fused_sums(bags: Bags, table: torch.Tensor) -> torch.Tensor:
    """Return what `bags.sums(table)` returns, fused whatever the device's own sums are.

    Args:
        bags: On the table's device.
        table: float32 [rows, N].

    Returns:
        float32 [sums, N].
    """
    counts = torch.diff(bags.starts, append=bags.starts.new_tensor([len(bags.rows)]))
    taps = int(counts.max())
    # Where a sum has ended, a row of weight 0 changes nothing.
    at = bags.starts[:, None] + torch.arange(taps, device=bags.starts.device)
    used = torch.arange(taps, device=counts.device) < counts[:, None]
    at = torch.where(used, at, 0)
    rows = bags.rows[at]
    weights = torch.where(used, bags.weights[at], 0)
    ones = [bool((weights[:, tap] == 1).all()) for tap in range(taps)]
    out = table.new_empty((len(counts), table.shape[1]))
    for columns in _blocks(table.shape[1], len(counts)):
        part = table[:, columns]
        total = part[rows[:, 0]] * weights[:, :1]
        for tap in range(1, taps):
            found = part[rows[:, tap]]
            weight = weights[:, tap : tap + 1]
            total = total + found if ones[tap] else fused(found, weight, total)
        out[:, columns] = total
    return out


def fused(first: torch.Tensor, second: torch.Tensor, third: torch.Tensor) -> torch.Tensor:
    """Return first · second + third, rounded once; float32, of shapes that go together."""
    product, term = first.double() * second.double(), third.double()
    total = product + term
    # What the sum has lost, exactly (D. Knuth's two-sum).
    part = total - product
    lost = (product - (total - part)) + (term - part)
    bits = total.view(torch.int64)
    even = (lost != 0) & (bits & 1 == 0)
    # One further from zero where what was lost points there, one nearer otherwise.
    step = torch.where((lost > 0) == (total > 0), 1, -1)
    return torch.where(even, bits + step, bits).view(torch.float64).float()


def _blocks(width: int, sums: int) -> list[slice]:
    step = max(1, MOST_ELEMENTS // sums)
    return [slice(at, min(at + step, width)) for at in range(0, width, step)]

"""Texts of a large set that are nearly the same, found without comparing each with each."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Two texts are nearly the same when they share this part of their shingles.
LIKENESS = 0.8
# Letters of a shingle. One other word in a hundred changes about a fiftieth of them.
_SHINGLE = 9
_BINS = 128
# Bands of so many bins: of two texts that are 80 % alike, one band at least is the same in both
# with a probability of 1 − (1 − 0.8⁴)³² > 1 − 10⁻⁷.
_ROWS = 4
# Texts whose shingles are hashed at once: a few tens of MB.
_BLOCK = 512
# A text of fewer letters says too little to be called a copy, unless it is the same.
_SHORTEST = 40

_SPACE = re.compile(r"[\W_]+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint32(0x9E3779B1)
_EMPTY = np.iinfo(np.uint32).max

Signatures = npt.NDArray[np.uint32]


def near_copies(texts: Sequence[str], likeness: float = LIKENESS) -> list[int | None]:
    """Return for each text the index of another that is nearly the same, or None.

    Upper and lower case, punctuation and spaces do not count. The first of a group names the
    second, the others name the first. Signatures are one-permutation MinHash, so likeness is
    estimated, to about ±0.04.

    Args:
        texts: Any number of them; 100,000 take seconds.
        likeness: From which part of shared shingles on, 0 … 1.
    """
    plain = [_SPACE.sub(" ", text.lower()).strip() for text in texts]
    twins: list[int | None] = [None] * len(texts)
    # The same to the letter, whatever the length; only one of each goes on.
    first: dict[str, int] = {}
    for index, text in enumerate(plain):
        known = first.setdefault(text, index)
        if text and known != index:
            _pair(twins, known, index)
    different = [index for text, index in first.items() if len(text) >= _SHORTEST]
    if len(different) > 1:
        rows = np.array(different)
        signatures = _signatures([plain[index] for index in different])
        for one, other in _alike(signatures, likeness):
            _pair(twins, int(rows[one]), int(rows[other]))
    return twins


def _pair(twins: list[int | None], one: int, other: int) -> None:
    first, second = min(one, other), max(one, other)
    if twins[second] is None:
        twins[second] = first
    if twins[first] is None:
        twins[first] = second


def _signatures(texts: Sequence[str]) -> Signatures:
    """Return [texts, _BINS]: in each bin the smallest hash that falls into it."""
    found = np.full((len(texts), _BINS), _EMPTY, np.uint32)
    for begin in range(0, len(texts), _BLOCK):
        block = [text.encode("utf-8", "replace") for text in texts[begin : begin + _BLOCK]]
        found[begin : begin + len(block)] = _filled(_block_signatures(block))
    return found


def _block_signatures(texts: Sequence[bytes]) -> Signatures:
    joined = np.frombuffer(b"".join(texts), np.uint8).astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    hashes = np.zeros(len(joined) - _SHINGLE + 1, np.uint64)
    for offset in range(_SHINGLE):
        hashes *= np.uint64(257)
        hashes += joined[offset : offset + len(hashes)]
    # Mixed, so that both the upper bits (the bin) and those below (the value) are random.
    hashes ^= hashes >> np.uint64(29)
    hashes *= _MULTIPLIER
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MULTIPLIER
    owner = np.repeat(np.arange(len(texts)), lengths)[: len(hashes)]
    # Shingles that run over into the next text belong to none.
    ends = np.cumsum(lengths)
    inside = np.arange(len(hashes)) + _SHINGLE <= ends[owner]
    hashes, owner = hashes[inside], owner[inside]
    slot = owner * _BINS + (hashes >> np.uint64(57)).astype(np.int64)
    value = ((hashes >> np.uint64(20)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    found = np.full(len(texts) * _BINS, _EMPTY, np.uint32)
    np.minimum.at(found, slot, value)
    return found.reshape(len(texts), _BINS)


def _filled(found: Signatures) -> Signatures:
    """Return signatures whose empty bins have the next full one's value and its distance in it."""
    bins = np.arange(_BINS)
    where = np.where(found == _EMPTY, 3 * _BINS, bins)
    around = np.concatenate([where, where + _BINS], axis=1)
    following = np.minimum.accumulate(around[:, ::-1], axis=1)[:, ::-1][:, :_BINS]
    values = np.take_along_axis(found, following % _BINS, axis=1)
    return (values + (following - bins).astype(np.uint32) * _STEP).astype(np.uint32)


def _alike(signatures: Signatures, likeness: float) -> list[tuple[int, int]]:
    """Return pairs of rows that agree in enough bins; each row with the first of its group."""
    pairs: list[npt.NDArray[np.int64]] = []
    for begin in range(0, _BINS, _ROWS):
        band = np.ascontiguousarray(signatures[:, begin : begin + _ROWS])
        keys = _mixed(band)
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
        is_new = np.concatenate([[True], ranked[1:] != ranked[:-1]])
        heads = order[np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))]
        # With the first of the group, and with the one before: a group need not be all alike.
        for partners in (heads, np.concatenate([order[:1], order[:-1]])):
            use = ~is_new & (partners != order)
            pairs.append(np.stack([partners[use], order[use]], axis=1))
    found = np.unique(np.concatenate(pairs), axis=0)
    kept = []
    for start in range(0, len(found), 1 << 16):
        part = found[start : start + (1 << 16)]
        shared = np.mean(signatures[part[:, 0]] == signatures[part[:, 1]], axis=1)
        kept += [(int(one), int(other)) for one, other in part[shared >= likeness]]
    return kept


def _mixed(band: Signatures) -> npt.NDArray[np.uint64]:
    keys = np.zeros(len(band), np.uint64)
    for column in range(band.shape[1]):
        keys ^= band[:, column]
        keys *= _MULTIPLIER
        keys ^= keys >> np.uint64(31)
    return keys

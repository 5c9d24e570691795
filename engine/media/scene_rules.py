"""Cuts from scores that are known: what a detector decides, without decoding again.

Pure arithmetic on what `Watch.scores` gave, so that a threshold can be tried out at once. The
rules are PySceneDetect's, one for each detector; tests hold them against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from engine.media.scene_options import DETECTORS, Finding

# PySceneDetect's own.
MIN_SCENE_LENGTH = 15
_LEAST_CHANGE = 15.0


def measuring(finding: Finding) -> Finding:
    """Return the part of the options that scores depend on; the rest only decides about them."""
    return msgspec.structs.replace(finding, threshold=None, min_scene_length=None, fade_bias=None)


def cuts_by(
    finding: Finding, scores: Sequence[float], changes: Sequence[float], end: int
) -> tuple[int, ...]:
    """Return the first frame of each scene but the first one, rising.

    Args:
        finding: The options; those of `measuring` must be those that the scores were made with.
        scores: Of each frame that was looked at; NaN where there is none.
        changes: adaptive: the content scores of the same frames; else empty.
        end: The number behind the last frame.
    """
    rule = dict(zip(DETECTORS, (_content, _adaptive, _fades, _falls, _rises), strict=True))
    first, step = finding.skip_start, finding.frame_skip + 1
    length = MIN_SCENE_LENGTH if finding.min_scene_length is None else finding.min_scene_length
    wanted = _Wanted(finding, length, first, step)
    found = {cut for cut in rule[finding.detector](wanted, scores, changes) if first < cut < end}
    return tuple(sorted(found))


class _Wanted(msgspec.Struct, frozen=True):
    """Options, and how rows become frames."""

    finding: Finding
    length: int
    first: int
    step: int

    def frame(self, row: int) -> int:
        return self.first + row * self.step


def _content(wanted: _Wanted, scores: Sequence[float], _changes: Sequence[float]) -> Iterator[int]:
    """Cut where scores are high; cuts that come too soon after one another become one."""
    level, length = wanted.finding.level, wanted.length
    last_above, merge_start = wanted.first, -1
    may_merge = False
    for row, score in enumerate(scores):
        frame = wanted.frame(row)
        is_above = (0.0 if math.isnan(score) else score) >= level
        if length <= 0:
            if is_above:
                yield frame
            continue
        is_long = frame - last_above >= length
        if is_above:
            last_above = frame
        if merge_start >= 0:
            if is_long and not is_above and last_above - merge_start >= length:
                merge_start = -1
                yield last_above
        elif is_above and is_long:
            may_merge = True
            yield frame
        elif is_above and may_merge:
            merge_start = frame


def _adaptive(wanted: _Wanted, scores: Sequence[float], changes: Sequence[float]) -> Iterator[int]:
    level = wanted.finding.level
    pairs = zip(scores, changes, strict=True)
    return _apart(wanted, (score >= level and change >= _LEAST_CHANGE for score, change in pairs))


def _falls(wanted: _Wanted, scores: Sequence[float], _changes: Sequence[float]) -> Iterator[int]:
    """Cut where histograms differ; no difference of more than 1 is told apart."""
    level = min(1.0, wanted.finding.level)
    return _apart(wanted, (score >= level for score in scores))


def _rises(wanted: _Wanted, scores: Sequence[float], _changes: Sequence[float]) -> Iterator[int]:
    level = wanted.finding.level
    return _apart(wanted, (score >= level for score in scores))


def _apart(wanted: _Wanted, met: Iterator[bool]) -> Iterator[int]:
    """Cut where a condition is met, unless the last cut is too near."""
    last = wanted.first
    for row, is_met in enumerate(met):
        frame = wanted.frame(row)
        if is_met and frame - last >= wanted.length:
            last = frame
            yield frame


def _fades(wanted: _Wanted, scores: Sequence[float], _changes: Sequence[float]) -> Iterator[int]:
    """Cut between the fade to black and the fade from it."""
    level, bias = int(wanted.finding.level), wanted.finding.fade_bias or 0.0
    last = faded = wanted.first
    is_out: bool | None = None
    for row, score in enumerate(scores):
        frame = wanted.frame(row)
        is_dark = score < level
        if is_out is None:
            is_out, faded = is_dark, frame
        elif is_dark != is_out:
            if is_out and frame - last >= wanted.length:
                yield faded + round((frame - faded) * (1.0 + bias) / 2.0)
                last = frame
            is_out, faded = is_dark, frame

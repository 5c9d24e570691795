"""From the section `[scenes]` of project.toml to what is asked about scenes."""

from __future__ import annotations

import msgspec

from engine.media.scene_options import Choosing, Cutting, DetectorName, Finding
from engine.media.scene_rules import MIN_SCENE_LENGTH
from engine.settings import ScenesSection


def with_detector(section: ScenesSection, detector: DetectorName | None) -> ScenesSection:
    """Return the section for another detector, for which its threshold means nothing."""
    if detector is None or detector == section.detector:
        return section
    return msgspec.structs.replace(section, detector=detector, threshold=0.0)


def finding_of(section: ScenesSection) -> Finding:
    """Return how scenes are found; what is usual is left to the detector.

    Raises:
        UsageError: The threshold does not suit the detector.
    """
    length = section.min_scene_length
    finding = Finding(
        detector=section.detector,
        threshold=section.threshold or None,
        min_scene_length=None if length == MIN_SCENE_LENGTH else length,
    )
    finding.check()
    return finding


def choosing_of(section: ScenesSection) -> Choosing:
    """Return which scenes are kept, and how much of each.

    Raises:
        UsageError: The length cannot be read.
    """
    choosing = Choosing(trim=section.trim, filter_shorter_than=section.filter_shorter_than)
    choosing.check()
    return choosing


def cutting_of(section: ScenesSection) -> Cutting:
    """Return how pieces are written."""
    return Cutting(copy=section.copy, crf=section.crf, preset=section.preset, audio=section.audio)

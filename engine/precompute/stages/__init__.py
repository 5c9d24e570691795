"""What each stage does with a step: read, encode, write, verify."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.memory.peaks import Peak
from engine.memory.ways import Report
from engine.precompute.layout import Stage
from engine.precompute.stages.base import Loading, StageRunner
from engine.precompute.steps import AnySetup, CaptionSetup


def open_stage(
    setup: AnySetup,
    loading: Loading,
    *,
    report: Report | None = None,
    peaks: Iterable[Peak] = (),
) -> StageRunner[Any, Any, Any]:
    """Return the runner of a stage, its models not yet loaded; arguments as `StageRunner`'s.

    Raises:
        LtxError: The device does not exist, or the checkpoint is unusable.
    """
    if isinstance(setup, CaptionSetup):
        from engine.precompute.stages.captions import CaptionStage

        return CaptionStage(setup, loading, report=report, peaks=peaks)
    return _runner(setup.stage)(setup, loading, report=report, peaks=peaks)


def _runner(stage: Stage) -> type[StageRunner[Any, Any, Any]]:
    # Each stage imports the models that it needs, and no others.
    if stage is Stage.CONDITIONS:
        from engine.precompute.stages.text import TextStage

        return TextStage
    if stage is Stage.AUDIO_LATENTS:
        from engine.precompute.stages.audio import AudioStage

        return AudioStage
    if stage in (Stage.LATENTS, Stage.REFERENCE_LATENTS):
        from engine.precompute.stages.video import VideoStage

        return VideoStage
    if stage is Stage.DECODED_AUDIO:
        from engine.precompute.stages.decode import AudioDecodeStage

        return AudioDecodeStage
    from engine.precompute.stages.decode import VideoDecodeStage

    return VideoDecodeStage

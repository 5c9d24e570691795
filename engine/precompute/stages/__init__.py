"""What each stage does with a step: read, encode, write, verify."""

from __future__ import annotations

from typing import Any

from engine.precompute.layout import Stage
from engine.precompute.stages.base import Loading, StageRunner
from engine.precompute.steps import StageSetup


def open_stage(setup: StageSetup, loading: Loading) -> StageRunner[Any, Any, Any]:
    """Return the runner of a stage, its models not yet loaded.

    Raises:
        LtxError: The device does not exist, or the checkpoint is unusable.
    """
    # Each stage imports the models that it needs, and no others.
    if setup.stage is Stage.CONDITIONS:
        from engine.precompute.stages.text import TextStage

        return TextStage(setup, loading)
    if setup.stage is Stage.AUDIO_LATENTS:
        from engine.precompute.stages.audio import AudioStage

        return AudioStage(setup, loading)
    if setup.stage in (Stage.LATENTS, Stage.REFERENCE_LATENTS):
        from engine.precompute.stages.video import VideoStage

        return VideoStage(setup, loading)
    if setup.stage is Stage.DECODED_AUDIO:
        from engine.precompute.stages.decode import AudioDecodeStage

        return AudioDecodeStage(setup, loading)
    from engine.precompute.stages.decode import VideoDecodeStage

    return VideoDecodeStage(setup, loading)

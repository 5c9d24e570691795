"""The stages of a job, and the folder that each writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from engine.errors import UsageError


class Stage(StrEnum):
    """A stage; its value is the name of its folder under `.precomputed/`."""

    CONDITIONS = "conditions"
    LATENTS = "latents"
    AUDIO_LATENTS = "audio_latents"
    REFERENCE_LATENTS = "reference_latents"
    DECODED_VIDEOS = "decoded_videos"
    DECODED_REFERENCE_VIDEOS = "decoded_reference_videos"
    DECODED_AUDIO = "decoded_audio"

    @property
    def is_decode(self) -> bool:
        """Whether the stage turns latents back into media."""
        return self.source is not None

    @property
    def source(self) -> Stage | None:
        """The stage whose outputs a decode stage reads."""
        return _DECODES.get(self)

    @property
    def suffix(self) -> str:
        """The suffix of an output; one-frame clips decode to `.png` instead of `.mp4`."""
        if self is Stage.DECODED_AUDIO:
            return ".wav"
        return ".mp4" if self.is_decode else ".pt"


_DECODES = {
    Stage.DECODED_VIDEOS: Stage.LATENTS,
    Stage.DECODED_REFERENCE_VIDEOS: Stage.REFERENCE_LATENTS,
    Stage.DECODED_AUDIO: Stage.AUDIO_LATENTS,
}

# What the journal and events call captioning, which is no stage: it has no folder of outputs.
CAPTIONS = "captions"

ENCODE_STAGES = tuple(stage for stage in Stage if not stage.is_decode)


def parse_stages(
    names: Iterable[str], *, audio: bool = True, references: bool = True
) -> tuple[Stage, ...]:
    """Return stages by name, in the order in which they run.

    Args:
        names: Of stages; "decode" means the decoding of all that is encoded.
        audio: Whether sounds are encoded.
        references: Whether there are references.

    Raises:
        UsageError: A name is unknown.
    """
    wanted: set[Stage] = set()
    for name in names:
        if name == "decode":
            wanted.add(Stage.DECODED_VIDEOS)
            wanted |= {Stage.DECODED_AUDIO} if audio else set()
            wanted |= {Stage.DECODED_REFERENCE_VIDEOS} if references else set()
            continue
        try:
            wanted.add(Stage(name))
        except ValueError:
            known = ", ".join([*(stage.value for stage in ENCODE_STAGES), "decode"])
            raise UsageError(f"unknown stage {name!r}", remedy=f"use one of: {known}") from None
    return tuple(stage for stage in Stage if stage in wanted)


def stage_folders(output_dir: Path, moved: Mapping[Stage, Path] | None = None) -> dict[Stage, Path]:
    """Return the folder of every stage: `output_dir/<stage>`, but for those that `moved` names."""
    return {stage: output_dir / stage.value for stage in Stage} | dict(moved or {})

"""How an output stands against what it should be, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from engine.precompute.facts import Facts
from engine.precompute.fingerprint import differences
from engine.precompute.layout import Stage
from engine.precompute.ledger import OutputRecord
from engine.precompute.output_folder import OutputFolder
from engine.precompute.plan_types import Status
from engine.precompute.survey import ClipPlan
from engine.project import Project

UNADOPTED = "not made by ltx-tui"
_ADOPT = "`ltx-tui adopt` checks such outputs and keeps them; a run encodes them again"
_MISSING: tuple[Status, tuple[str, ...], str] = (Status.MISSING, (), "")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is asked for beside its stages.

    Attributes:
        overwrite: Encode everything again.
        spare: Outputs (stage, path) that `overwrite` does not concern, since the job that it is
            for has made them already.
        only: Names of the clips to do; empty for all.
    """

    overwrite: bool = False
    spare: frozenset[tuple[Stage, str]] = frozenset()
    only: frozenset[str] = frozenset()

    def again(self, stage: Stage, output: str) -> bool:
        """Whether an output is made again whatever it is."""
        return self.overwrite and (stage, output) not in self.spare

    def wants(self, clip: str) -> bool:
        """Whether a clip is to be done."""
        return not self.only or clip in self.only


class Judge:
    """Judges the outputs of one project for one plan, as they are when it first looks."""

    def __init__(self, project: Project, folders: Mapping[Stage, Path], facts: Facts) -> None:
        """Keep what outputs are judged by."""
        self.project = project
        self.folders = folders
        self.facts = facts
        self._seen: dict[Stage, OutputFolder] = {}

    def status(
        self,
        stage: Stage,
        clip: ClipPlan,
        output: str,
        record: OutputRecord | None,
        *,
        again: bool,
    ) -> tuple[Status, tuple[str, ...], str]:
        """Return how an output stands, why, and what the user can do about it.

        Args:
            stage: Its stage.
            clip: Its clip.
            output: Its path inside the stage's folder.
            record: What is known of it.
            again: It is made again whatever it is.
        """
        if clip.blocked is not None:
            return Status.BLOCKED, (clip.blocked.reason,), clip.blocked.remedy
        if _lacks_picture(stage, clip):
            return Status.SKIPPED, ("a sound without a picture",), ""
        if self.is_silent(stage, clip):
            return _silent(clip)
        found = self._folder(stage).look(output)
        present = found is not None
        if again:
            return (Status.STALE, ("asked for again",), "") if present else _MISSING
        if record is None:
            return (Status.STALE, (UNADOPTED,), _ADOPT) if present else _MISSING
        if record.aside and not present:
            present = Path(record.aside).is_file()
            whole = present and not self._differences(stage, clip, record)
            return (Status.ASIDE, ("made before, and set aside",), "") if whole else _MISSING
        if found is None:
            return _MISSING
        if not found.same_stat(record.identity):
            return Status.STALE, ("the output was changed after it was written",), ""
        reasons = self._differences(stage, clip, record)
        return (Status.STALE, reasons, "") if reasons else (Status.FRESH, (), "")

    def present(self, stage: Stage) -> Iterator[str]:
        """Yield the paths of all files in a stage's folder that look like outputs."""
        return iter(self._folder(stage))

    def _folder(self, stage: Stage) -> OutputFolder:
        if stage not in self._seen:
            self._seen[stage] = OutputFolder(self.folders[stage], stage.suffix)
        return self._seen[stage]

    def _differences(self, stage: Stage, clip: ClipPlan, record: OutputRecord) -> tuple[str, ...]:
        try:
            now = self.facts.of(stage, clip)
        except OSError as error:
            # The run will say so of this clip alone, should it still be so then.
            return (f"a file of it cannot be read: {error.strerror}",)
        return differences(self.facts.accepts(record.fingerprint, now).facts, now.facts)

    def is_silent(self, stage: Stage, clip: ClipPlan) -> bool:
        """Whether a stage of sound has nothing to do for a clip."""
        if stage not in (Stage.AUDIO_LATENTS, Stage.DECODED_AUDIO):
            return False
        kept = clip.require()
        image = kept.probe.kind == "image"
        return kept.audio is None and (image or self.project.audio.silent == "skip")


def _lacks_picture(stage: Stage, clip: ClipPlan) -> bool:
    if stage in (Stage.CONDITIONS, Stage.AUDIO_LATENTS, Stage.DECODED_AUDIO):
        return False
    return clip.require().bucket is None


def _silent(clip: ClipPlan) -> tuple[Status, tuple[str, ...], str]:
    if clip.require().probe.kind == "image":
        return Status.SKIPPED, ("an image has no sound",), ""
    return Status.SKIPPED, ('no sound (audio.silent = "skip")',), ""

"""The jobs that can be asked for: what each is to do, from the settings of a project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from engine.errors import UsageError
from engine.precompute.layout import Stage
from engine.project import Project, apply_overrides
from engine.worker.spec import EXTENSIONS, JobSpec, clips_of


class Specs:
    """Makes the specs of a project's jobs; nothing is started.

    Attributes:
        project: The settings.
    """

    def __init__(self, project: Project, folders: Mapping[Stage, Path] | None = None) -> None:
        """Take a project.

        Args:
            project: The settings.
            folders: Where stages write that do not write under the project's output folder.
        """
        self.project = project
        self._moved = dict(folders or {})

    @property
    def default_stages(self) -> tuple[Stage, ...]:
        """The stages that the project asks for."""
        project = self.project
        audio, references = project.audio.enabled, bool(project.dataset.reference_column)
        wanted = {
            Stage.CONDITIONS: True,
            Stage.LATENTS: True,
            Stage.AUDIO_LATENTS: audio,
            Stage.REFERENCE_LATENTS: references,
            Stage.DECODED_VIDEOS: project.run.decode,
            Stage.DECODED_REFERENCE_VIDEOS: project.run.decode and references,
            Stage.DECODED_AUDIO: project.run.decode and audio,
        }
        return tuple(stage for stage, is_wanted in wanted.items() if is_wanted)

    def encoding(
        self,
        stages: Sequence[Stage] | None = None,
        *,
        overwrite: bool = False,
        only: Iterable[str] = (),
    ) -> JobSpec:
        """Return the job that plans, then does exactly the plan.

        Args:
            stages: Which; by default those that the project asks for.
            overwrite: Make everything again.
            only: Names of the clips to do; all if empty.

        Raises:
            UsageError: The stages make no sense for the project.
        """
        return JobSpec(
            kind="encode",
            project=self.project,
            stages=self._stages(stages),
            folders=self._moved,
            overwrite=overwrite,
            only=clips_of(only),
        )

    def adopting(self, stages: Sequence[Stage] | None = None, *, sample: int = 4) -> JobSpec:
        """Return the job that verifies outputs of another tool and records those that hold.

        Args:
            stages: Which; by default those of the project that write tensors.
            sample: How many a stage are encoded again and compared.

        Raises:
            UsageError: The stages make no sense for the project.
        """
        wanted = tuple(stage for stage in self._stages(stages) if not stage.is_decode)
        return JobSpec(
            kind="adopt",
            project=self.project,
            stages=wanted,
            folders=self._moved,
            sample=sample,
        )

    def decoding(self, latents: Path, out: Path, *, audio_latents: Path | None = None) -> JobSpec:
        """Return the job that decodes all latents of a folder, and of one of audio latents."""
        return JobSpec(
            kind="decode",
            project=self.project,
            latents=latents.absolute(),
            out=out.absolute(),
            audio_latents=audio_latents.absolute() if audio_latents is not None else None,
        )

    def captioning(
        self,
        source: Path | None = None,
        *,
        extensions: Iterable[str] = EXTENSIONS,
        recursive: bool = False,
        override: bool = False,
        keep_edited: bool = False,
        only: Iterable[str] = (),
        instruction: str | None = None,
    ) -> JobSpec:
        """Return the job that captions clips; who does it and how stands in the project.

        Captions go into the project's dataset as they come. One that is there already is left
        alone, and so is whatever else the dataset has.

        Args:
            source: A folder of media, whose files become rows, or one file; None for the clips
                that the dataset has.
            extensions: Which files of the folder, without dots.
            recursive: Whether folders inside it are looked at.
            override: Caption clips that have a caption; the old one goes to its versions.
            keep_edited: With `override`, leave alone what a person typed, edited or reviewed.
            only: Names of the clips to do; all if empty. Of several rows that are called the same
                "a.mp4 #2" is the second.
            instruction: What is asked about a clip, instead of what the project says.
        """
        project = self.project
        if instruction is not None:
            project = apply_overrides(project, {"captions.instruction": instruction})
        return JobSpec(
            kind="caption",
            project=project,
            source=source.absolute() if source is not None else None,
            extensions=tuple(dict.fromkeys(one.lower().lstrip(".") for one in extensions)),
            recursive=recursive,
            overwrite=override,
            keep_edited=keep_edited,
            only=clips_of(only),
        )

    def _stages(self, stages: Sequence[Stage] | None) -> tuple[Stage, ...]:
        wanted = self.default_stages if stages is None else tuple(stages)
        if not wanted:
            raise UsageError("no stage to do", remedy="name one with --stages")
        of_references = {Stage.REFERENCE_LATENTS, Stage.DECODED_REFERENCE_VIDEOS} & set(wanted)
        if of_references and not self.project.dataset.reference_column:
            raise UsageError(
                "reference latents need a column of references",
                remedy="set dataset.reference_column, or give --reference-column",
            )
        return wanted

"""Answers between a captioner and the dataset: found on disk, written into it, then removed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import xxhash

from engine.captioners.answer_file import AnswerFile, read_answer
from engine.dataset.caption_db import Key, digest
from engine.dataset.caption_origins import Origin
from engine.dataset.caption_store import NewCaption, open_store, seen_file
from engine.dataset.to_caption import ToCaption
from engine.precompute.steps import CaptionSetup
from engine.worker.spec import JobSpec

_FOLDER = "captioning"
# No dataset has this for a caption.
_NO_CAPTION = "\0"


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not in the dataset yet.

    Attributes:
        detail: How it was made; empty where there is no choice.
        device: Where.
    """

    clip: ToCaption
    answer: AnswerFile
    detail: str = ""
    device: str = ""


class Answers:
    """The answers of one kind of question; of another kind they have other names."""

    def __init__(self, spec: JobSpec, setup: CaptionSetup) -> None:
        """Look at nothing yet.

        Args:
            spec: The job.
            setup: Who answers.
        """
        project, columns = spec.project, spec.project.dataset
        self._state_dir = project.state_dir
        self._folder = project.state_dir / _FOLDER
        self._store = open_store(
            project.dataset_path,
            project.state_dir,
            video_column=columns.video_column,
            caption_column=columns.caption_column,
        )
        section = project.captions
        self._question = msgspec.json.encode(
            [
                str(project.dataset_path),
                setup.captioner,
                setup.model,
                setup.base_url,
                section.instruction,
                section.fps,
                section.audio,
                section.clean,
            ]
        )

    def path(self, clip: ToCaption) -> Path:
        """Return where the answer about a clip lies, as long as the clip is as it is now."""
        try:
            stat = clip.media.stat()
            content = (stat.st_size, stat.st_mtime_ns)
        except OSError:
            content = (0, 0)
        about = xxhash.xxh3_128()
        for part in (self._question, os.fsencode(clip.media)):
            about.update(len(part).to_bytes(8, "little") + part)
        span = (clip.span.start, clip.span.end)
        about.update(repr((clip.key.name, clip.key.nth, *span, *content)).encode())
        return self._folder / f"{about.hexdigest()}.json"

    def find(self, clip: ToCaption, detail: str = "", device: str = "") -> Arrived | None:
        """Return the answer about a clip; None where there is none."""
        answer = read_answer(self.path(clip))
        if answer is None:
            return None
        return Arrived(clip=clip, answer=answer, detail=detail, device=device)

    def take_up(self, clip: ToCaption, *, was_sent: bool) -> Arrived | None:
        """Return the answer about a clip that a worker left behind which ended.

        Args:
            clip: As it is now.
            was_sent: Whether this very job had asked about it. Then the clip is answered,
                whatever became of its caption; for another job it is if nothing was changed since.
        """
        arrived = self.find(clip)
        if arrived is None:
            return None
        base = arrived.answer.base
        if base == digest(clip.base):
            return arrived
        if not was_sent:
            return None
        if arrived.answer.text == clip.base:
            return arrived  # it is in the dataset already
        # Somebody edited the caption: with a base that it is not, it is left as it is.
        return msgspec.structs.replace(
            arrived, clip=msgspec.structs.replace(clip, base=_NO_CAPTION)
        )

    def store(self, batch: Sequence[Arrived]) -> frozenset[Key]:
        """Write captions into the dataset; return those whose caption was edited meanwhile.

        Raises:
            DatasetError: It cannot be read or written.
        """
        return self._store.write(
            [
                NewCaption(
                    key=one.clip.key,
                    base=one.clip.base,
                    text=one.answer.text,
                    is_new=one.clip.row < 0,
                    origin=Origin(
                        captioner=one.answer.captioner,
                        is_malformed=one.answer.is_malformed,
                        problems=one.answer.problems,
                    ),
                )
                for one in batch
            ]
        )

    def forget(self, batch: Sequence[Arrived]) -> None:
        """Remove answers that are in the dataset."""
        for one in batch:
            with contextlib.suppress(OSError):
                self.path(one.clip).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all answers: nobody is going to ask for them."""
        shutil.rmtree(self._folder, ignore_errors=True)
        seen_file(self._state_dir).unlink(missing_ok=True)

"""What a clip's caption is asked for, and what becomes of the answers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.captioners import prompts
from engine.captioners.answer_file import AnswerFile
from engine.captioners.answers import Answer, understand
from engine.captioners.base import CaptionMedia, CaptionRequest
from engine.captions import format_sections, sections
from engine.dataset.windows import END_COLUMN, START_COLUMN, WHOLE, Span
from engine.errors import MediaError
from engine.media.images import is_image
from engine.media.probe import Probe, probe
from engine.precompute.steps import CaptionStep


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about one clip.

    Attributes:
        heard: Whether the model is given the sound.
        wants_sound: Whether the caption has the sections of sound: without a sound track they
            say None, and the model is not tempted to invent something.
        custom: The user's own instruction; empty for ours.
        clean: Whether openings such as "The video shows" are dropped.
    """

    heard: bool
    wants_sound: bool
    custom: str
    clean: bool
    fps: float

    def request(self, *, strict: bool = False) -> CaptionRequest:
        """Return what the captioner is asked, the second time more strictly."""
        return CaptionRequest(
            instruction=prompts.instruction(self.heard, self.custom, strict),
            with_audio=self.heard,
            fps=self.fps,
        )

    def understand(self, text: str) -> Answer:
        """Return an answer as a caption with all its sections."""
        answer = understand(text, self.heard, self.clean, bool(self.custom))
        if self.heard or not self.wants_sound or self.custom or answer.is_malformed:
            return answer
        parts = {part.name: part.text for part in sections(answer.text).parts if part.name}
        wanted = prompts.section_names(with_audio=True)
        full = format_sections({name: parts.get(name, "") for name in wanted})
        return msgspec.structs.replace(answer, text=full)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A clip as a captioner is to see it.

    Attributes:
        known: What was found in the file.
    """

    media: CaptionMedia
    known: Probe


def look(path: Path, span: Span = WHOLE) -> Look:
    """Look what a file holds.

    Args:
        path: A video or an image.
        span: Which part of it is captioned.

    Raises:
        MediaError: It is missing, no media file, or has no such part.
    """
    known = probe(path)
    is_video = not is_image(path)
    seconds = span.seconds_of(known.duration) if is_video else 0.0
    if span != WHOLE and not seconds:
        reason = f"its window {span.words} s lies behind its end"
        raise MediaError(
            reason if is_video else "an image has no window",
            remedy=f"change {START_COLUMN} and {END_COLUMN}, or empty them",
            file=path,
        )
    media = CaptionMedia(
        path=path,
        kind="video" if is_video else "image",
        has_audio=is_video and bool(known.audio),
        seconds=seconds,
        span=span,
    )
    return Look(media=media, known=known)


def question(
    media: CaptionMedia, *, with_audio: bool, instruction: str, fps: float, clean: bool
) -> Question:
    """Return what is asked about a clip.

    An image has no sound, and its caption no sections of sound.
    """
    return Question(
        heard=with_audio and media.has_audio,
        wants_sound=with_audio and media.kind == "video",
        custom=instruction.strip(),
        clean=clean,
        fps=fps,
    )


def asked_by(step: CaptionStep) -> tuple[Look, Question]:
    """Return a step's clip as a captioner is to see it, and what is asked about it.

    Raises:
        MediaError: It is missing, no media file, or has no such part.
    """
    found = look(Path(step.media), step.span)
    return found, question(
        found.media,
        with_audio=step.with_audio,
        instruction=step.instruction,
        fps=step.fps,
        clean=step.clean,
    )


def better(first: Answer, second: Answer) -> Answer:
    """Return the answer to keep of two, the first of which was malformed."""
    if not second.is_malformed:
        return second
    return first if len(first.problems) < len(second.problems) else second


def to_file(answer: Answer, *, captioner: str, base: str, asked: int, seconds: float) -> AnswerFile:
    """Return an answer as it is kept."""
    return AnswerFile(
        text=answer.text,
        is_malformed=answer.is_malformed,
        problems=answer.problems,
        captioner=captioner,
        base=base,
        asked=asked,
        seconds=seconds,
    )

"""The captions of a project, each scored by how much there is against it.

Only what changed is scored anew: a result is kept under a digest of all that it is found from. What
the other captions say about one is always found out again, which takes 0.1 ms a caption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.captions import prompt, sections
from engine.dataset.caption_marks import KnownCaptions
from engine.dataset.columns import project_columns
from engine.dataset.manifest import caption_text, cell_text, load_manifest
from engine.dataset.name_keys import name_keys
from engine.dataset.windows import WHOLE, Span, read_span
from engine.media.loudness_types import Loudness
from engine.precompute.prompt_tokens import PromptTokens
from engine.project import Project
from engine.suspicion.file import Basis, Counted, Result, Stored, basis_of, results_of, stored_of
from engine.suspicion.rules import RULES_VERSION, Facts, Neighbours, neighbours, suspect
from engine.suspicion.types import Reason
from engine.text import visible

_SOUND_SECTIONS = ("SPEECH", "SOUNDS")


class Entry(NamedTuple):
    """A row of the dataset.

    Attributes:
        name: What it is called.
        caption: As the dataset has it, or as the draft is where there is one.
        sound: The file that its sound is in; None where the row names no media.
        span: Which part of it.
        is_reviewed: Whether somebody has reviewed the caption.
        sections: The names of its sections.
    """

    name: str
    caption: str
    sound: Path | None
    span: Span
    is_reviewed: bool
    sections: frozenset[str]


def read_entries(project: Project) -> list[Entry]:
    """Return all rows of a project's dataset.

    Raises:
        LtxError: The dataset cannot be read, or lacks the column of media.
    """
    manifest = load_manifest(project.dataset_path)
    columns = project_columns(manifest, project.dataset, with_references=False, need_caption=False)
    folder = manifest.path.parent.absolute()
    known = KnownCaptions.readable(project.state_dir)
    keys = name_keys(manifest.rows, columns.video)
    found = []
    for key, values in zip(keys, manifest.rows, strict=True):
        text, state = known.look_up(key, caption_text(values, columns.caption))
        own = cell_text(values.get(columns.audio)) if columns.audio else ""
        media = own if own.strip() else cell_text(values.get(columns.video))
        found.append(
            Entry(
                name=key.name,
                caption=text,
                sound=folder / media if media.strip() else None,
                span=WHOLE if own.strip() else _span(values),
                is_reviewed=state == "reviewed",
                sections=frozenset(one.name for one in sections(text).parts if one.name),
            )
        )
    return found


def _span(values: Mapping[str, object]) -> Span:
    try:
        return read_span(values)
    except ValueError:
        return WHOLE


class Scorer:
    """Scores the captions of one reading of the dataset, again and again as clips are heard.

    Attributes:
        entries: The rows.
        with_audio: Whether captions are expected to say what is heard.
    """

    def __init__(self, project: Project, before: Stored | None) -> None:
        """Read the dataset.

        Args:
            project: The settings.
            before: What was found last; what did not change is taken from there.

        Raises:
            LtxError: The dataset cannot be read, or lacks the column of media.
        """
        self._project = project
        # Before the captions are read: what changes meanwhile makes it another basis.
        self._basis: Basis = basis_of(project)
        self.entries = read_entries(project)
        self.with_audio = project.captions.audio and _mostly_heard(self.entries)
        self._known = results_of(before) if before is not None else {}
        self._counted = _Tokens(project, before.counted if before is not None else Counted())
        self._prompts = [self._counted.count(one.caption) for one in self.entries]
        facts = [Facts(caption=one.caption, name=one.name) for one in self.entries]
        self._others = neighbours(facts)

    def needs_sound(self, row: int) -> bool:
        """Whether what is heard says anything about a caption."""
        entry = self.entries[row]
        is_told = any(name in entry.sections for name in _SOUND_SECTIONS)
        return self.with_audio and entry.sound is not None and is_told

    def score(self, heard: Mapping[int, Loudness | None], *, is_whole: bool) -> Stored:
        """Return all scores.

        Args:
            heard: What clips sound like, by row; None where that cannot be found out.
            is_whole: Whether every clip was listened to whose sound counts.
        """
        results = [self._result(row, heard.get(row)) for row in range(len(self.entries))]
        # Kept for the next time, when another few clips were heard.
        self._known = {one.digest: one for one in results}
        return stored_of(
            [one.name for one in self.entries],
            results,
            basis=self._basis,
            is_whole=is_whole,
            counted=self._counted.result(),
        )

    def _result(self, row: int, loudness: Loudness | None) -> Result:
        others, entry = self._others[row], self.entries[row]
        facts = Facts(
            caption=entry.caption,
            name=entry.name,
            loudness=loudness,
            tokens=self._prompts[row],
            is_counted=self._counted.is_exact,
            trigger=self._project.text.trigger,
            with_audio=self.with_audio,
        )
        digest = _digest(facts, others)
        known = self._known.get(digest)
        if known is not None:
            return known
        found = suspect(facts, others)
        pairs = zip(found.kinds, found.reasons, strict=True)
        told = tuple(Reason(kind, visible(text)) for kind, text in pairs)
        return Result(digest, found.score, told)


def _mostly_heard(entries: list[Entry]) -> bool:
    """Whether most captions with sections say what is heard; also where none has sections."""
    labelled = [one.sections for one in entries if one.sections]
    heard = sum(1 for names in labelled if not names.isdisjoint(_SOUND_SECTIONS))
    return 2 * heard >= len(labelled)


def _digest(facts: Facts, others: Neighbours) -> int:
    """Return a digest of all that a result is found from."""
    # A length's distance from the others changes a little with each of them.
    rounded = (round(others.length, 1), others.twin, others.is_same, others.labelled)
    values = (
        RULES_VERSION,
        facts.caption.encode("utf-8", "surrogatepass"),
        facts.loudness,
        facts.tokens,
        facts.is_counted,
        facts.trigger.encode("utf-8", "surrogatepass"),
        facts.with_audio,
        rounded,
    )
    return _number(msgspec.msgpack.encode(values))


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class _Tokens:
    """Counts the tokens of long prompts, each once."""

    def __init__(self, project: Project, before: Counted) -> None:
        self._text = project.text
        self._counter = PromptTokens(project)
        self._tokenizer = _tokenizer(project)
        self._before = before if before.tokenizer == self._tokenizer else None
        self._found: dict[int, int] = {}
        self._was_asked = False

    @property
    def is_exact(self) -> bool:
        """Whether a tokenizer counts."""
        if self._was_asked:
            return self._counter.is_exact
        return self._before.is_exact if self._before is not None else False

    def count(self, caption: str) -> int | None:
        """Return how many tokens the prompt of a caption has; None where they are few."""
        words = prompt(caption, self._text.trigger, self._text.strip_prefixes)
        if not self._counter.may_be_long(words):
            return None
        digest = _number(words.encode("utf-8", "surrogatepass"))
        tokens = self._before.tokens.get(digest) if self._before is not None else None
        if tokens is None:
            self._was_asked = True
            tokens = self._counter.count(words)
        self._found[digest] = tokens
        return tokens

    def result(self) -> Counted:
        """Return what was counted, for the next time."""
        return Counted(self._tokenizer, self.is_exact, self._found)


def _tokenizer(project: Project) -> str:
    """Return what tells one tokenizer from another, without reading it."""
    folder = project.text_encoder_path
    if folder is None:
        return ""
    try:
        stat = (folder / "tokenizer.json").stat()
    except OSError:
        return str(folder)
    return f"{folder} {stat.st_size} {stat.st_mtime_ns}"

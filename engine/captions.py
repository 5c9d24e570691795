"""Captions: the prompt that is encoded, the openings to drop, the four sections."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

SECTION_NAMES = ("VISUAL", "SPEECH", "SOUNDS", "TEXT")

_LABEL = re.compile(rf"\[({'|'.join(SECTION_NAMES)})\]\s*:", re.IGNORECASE)

_WHAT = (
    r"(?:(?:short|brief)\s+)?(?:video(?:\s+clip)?|clip|footage|animation|scene|image|picture|photo)"
)
_VERB = (
    r"(?:shows|depicts|features|captures|displays|presents|portrays|illustrates|highlights|"
    r"introduces|showcases|begins\s+with|opens\s+with|starts\s+with|is\s+about)"
)
_OPENING = re.compile(
    rf"""\s*(?:
        (?:the|this|a)\s+{_WHAT}\s+{_VERB}\b[\s:,]*
      | in\s+(?:the|this)\s+{_WHAT}\s*,\s*(?:(?:we\s+(?:can\s+)?see|there\s+(?:is|are))\b\s*)?
      | (?:(?:video|image)\s+)?(?:caption|description)\s*:\s*
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def prompt(caption: str, trigger: str = "", strip_prefixes: bool = False) -> str:
    """Return the exact text that is encoded for a caption.

    The caption's own spaces stay: what becomes of them is the tokenizer's matter. The trigger word
    goes in front with one space, here only; the dataset never has it.

    Args:
        caption: As the dataset has it.
        trigger: The trigger word, or empty.
        strip_prefixes: Whether to drop an opening such as "The video shows".
    """
    text = strip_llm_prefix(caption) if strip_prefixes else caption
    return f"{trigger} {text}" if trigger else text


def strip_llm_prefix(text: str) -> str:
    """Return a caption without an opening such as "The video shows" or "In this clip, we see".

    Only one opening is dropped, only at the very start, with the space around it; "that" after it
    goes too. The first letter becomes a capital when the opening had one and the word is all in
    lower case ("iPhone" stays). A caption that is nothing but an opening is left alone.
    """
    match = _OPENING.match(text)
    if not match:
        return text
    rest = re.sub(r"^that\s+", "", text[match.end() :])
    word = re.match(r"\w*", rest)
    if not rest.strip():
        return text
    if word and word[0].islower() and match[0].lstrip()[0].isupper():
        rest = rest[0].upper() + rest[1:]
    return rest


class Section(msgspec.Struct, frozen=True):
    """One section as it is written.

    Attributes:
        name: "VISUAL", "SPEECH", "SOUNDS" or "TEXT"; empty for text before the first label.
        label: The label as written, such as "[VISUAL]:".
        body: All text up to the next label, spaces and newlines included.
    """

    name: str
    label: str
    body: str

    @property
    def text(self) -> str:
        """The body without the space around it."""
        return self.body.strip()


class Sections(msgspec.Struct, frozen=True):
    """A caption taken apart; `str()` puts it together again without a change."""

    parts: tuple[Section, ...]

    def __str__(self) -> str:
        return "".join(part.label + part.body for part in self.parts)

    def get(self, name: str) -> str | None:
        """Return the text of a section, or None where the caption does not have it."""
        return next((part.text for part in self.parts if part.name == name), None)

    def replace(self, name: str, text: str) -> Sections:
        """Return the caption with a section's text changed, or the section added at the end."""
        parts = list(self.parts)
        for index, part in enumerate(parts):
            if part.name == name:
                start = part.body[: len(part.body) - len(part.body.lstrip())] if part.text else " "
                end = part.body[len(part.body.rstrip()) :]
                parts[index] = Section(name, part.label, f"{start or ' '}{text}{end}")
                return Sections(tuple(parts))
        if parts:
            last = parts[-1]
            gap = "" if not (last.label + last.body) or last.body.endswith("\n") else "\n"
            parts[-1] = Section(last.name, last.label, last.body + gap)
        return Sections((*parts, Section(name, f"[{name}]:", f" {text}")))


def sections(caption: str) -> Sections:
    """Take a caption apart at its labels; one without labels is a single part without a name."""
    labels = list(_LABEL.finditer(caption))
    starts = [*(label.start() for label in labels), len(caption)]
    parts = [
        Section(label[1].upper(), label[0], caption[label.end() : end])
        for label, end in zip(labels, starts[1:], strict=True)
    ]
    head = caption[: starts[0]]
    return Sections((Section("", "", head), *parts) if head else tuple(parts))


def format_sections(texts: Mapping[str, str]) -> str:
    """Return a caption with one line a section, in the usual order; "None" where one is empty."""
    return "\n".join(
        f"[{name}]: {texts[name].strip() or 'None'}" for name in SECTION_NAMES if name in texts
    )

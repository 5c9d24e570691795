"""What a captioner is asked, in our words."""

from __future__ import annotations

from engine.captions import SECTION_NAMES

# With --no-audio there is nothing to hear, so nothing is asked about it.
SILENT_SECTIONS = ("VISUAL", "TEXT")
# Said beside the instruction about a clip without a sound track, or a model makes sounds up.
NO_SOUND_NOTE = "This clip has no sound at all."

_WANTED = {
    "VISUAL": "everyone and everything in the picture: people and how they look, objects, what "
    "happens and in which order, the place, colours and light, how things and the camera move",
    "SPEECH": "every word that is spoken, written down exactly as it is said and in the language "
    "that it is said in",
    "SOUNDS": "all that is heard apart from words: music, background noise, effects",
    "TEXT": "every word that can be read in the picture, exactly as it stands there",
}
_STRICT = (
    "An earlier answer could not be used. Answer with the caption alone: plain text, no Markdown, "
    "no JSON, no remark before or after it, no question."
)


def section_names(with_audio: bool) -> tuple[str, ...]:
    """Return the sections that are asked for, in the order of the caption."""
    return SECTION_NAMES if with_audio else SILENT_SECTIONS


def instruction(with_audio: bool, custom: str = "", strict: bool = False) -> str:
    """Return the whole prompt.

    Args:
        with_audio: Whether the sound is heard; without it two sections are asked for, not four.
        custom: Stands in place of our own words, and need not ask for sections.
        strict: Whether this is asked again, after an answer that could not be used.
    """
    parts = [custom.strip() or _default(with_audio)]
    if strict:
        parts.append(_STRICT if custom.strip() else f"{_STRICT} {_shape(with_audio)}")
    return "\n\n".join(parts)


def _default(with_audio: bool) -> str:
    names = section_names(with_audio)
    what = "what can be seen and heard" if with_audio else "what can be seen"
    lines = [f"[{name}]: {_WANTED[name]}" for name in names]
    return "\n".join(
        [
            f"Describe {what} in this clip, in full detail, for someone who has to rebuild it "
            "from your words alone.",
            f"Write {_count(names)} sections, each on a line of its own that begins with its "
            "label, in this order:",
            *lines,
            "Where there is nothing for a section, write None after its label.",
            "State only what is there: do not guess, do not judge, and begin each section with "
            'the content itself, not with words such as "The video shows".',
        ]
    )


def _shape(with_audio: bool) -> str:
    names = section_names(with_audio)
    lines = "\n".join(f"[{name}]: …" for name in names)
    return (
        f"It has exactly these {_count(names)} lines, each label once, in this order, with None "
        f"where there is nothing:\n{lines}"
    )


def _count(names: tuple[str, ...]) -> str:
    return {2: "two", 4: "four"}[len(names)]

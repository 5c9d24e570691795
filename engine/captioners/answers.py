"""A captioner's answer, brought into the shape that a dataset has."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable

import msgspec

from engine.captioners.prompts import section_names
from engine.captions import SECTION_NAMES, strip_llm_prefix

# Far over what 1,024 tokens can be: whatever a server sends, the rest of it is not looked at.
MOST_CHARACTERS = 50_000
# Each round takes something away; more than two are only needed for what is wrapped in itself.
_MOST_ROUNDS = 12
# What was spoken or can be read is not ours to shorten.
_DESCRIBED = ("VISUAL", "SOUNDS")

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_SPACES = {"\t": " ", "\u2028": "\n", "\u2029": "\n", "\x0b": "\n", "\x0c": "\n", "\x85": "\n"}

# After these a model only goes on talking to itself.
_END_TOKEN = re.compile(
    r"<\|(?:im_end|im_start|endoftext|eot_id|end_of_text|end|eom_id)\|>|<end_of_turn>|</s>"
)
_START_TOKEN = re.compile(
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<s>)\s*"
    r"(?:assistant|model)?(?:<\|end_header_id\|>)?"
)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_TURN = re.compile(
    r"\n[ \t]*(?:#+[ \t]*|\*\*)?"
    r"(?:Human[ \t]*(?=[:\n*]|\Z)|(?:User|Assistant|System)(?:\*\*)?[ \t]*:)",
    re.IGNORECASE,
)

_FENCE = re.compile(r"[ \t]*```[ \t]*[\w+-]*[ \t]*(?:\n|\Z)")
_NAME = r"(VISUALS?|SPEECH|SOUNDS?|(?:ON[ -]?SCREEN[ ])?TEXT)"
_LEAD = r"^[ \t]*(?:[-+>•*][ \t]+|\d{1,2}[.)][ \t]+|\#{1,6}[ \t]*)?[*_`]{0,3}"
_BRACKETED = re.compile(
    rf"{_LEAD}\[[ \t*]{{0,3}}{_NAME}[ \t*]{{0,3}}\][*_`]{{0,3}}[ \t]{{0,3}}[:：]?[*_`]{{0,3}}"
    rf"|[*_`]{{0,3}}\[{_NAME}\][*_`]{{0,3}}[ \t]{{0,3}}[:：][*_`]{{0,3}}",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_BARE = re.compile(
    rf"{_LEAD}{_NAME}(?:[*_`]{{0,3}}[ \t]{{0,3}}[:：][*_`]{{0,3}}|[*_`]{{2,3}}[ \t]*$)"
    rf"|^[ \t]*\#{{1,6}}[ \t]*{_NAME}[ \t]*$",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_MARK = re.compile(r"[*_`]{2,}|-{3,}|[#>•]+")
_NOTHING = re.compile(r"[\[(*_`]*(?:none|n/?a|nothing|-+|–|—)[.\])*_`]*", re.IGNORECASE)

# Only at the start: people do say "I'm sorry" in films.
_REFUSAL = re.compile(
    r"""[\s"'*]*(?:(?:sorry|unfortunately|apologies|my\ apologies)\b[\s,.!]*)?(?:but\s+)?(?:
        i(?:['’]m|\s+am)\s+(?:very\s+|so\s+)?(?:sorry|unable|not\s+able)
      | i\s+(?:cannot|can['’]t|can\s+not|could\s+not|couldn['’]t|do\s+not\s+have|don['’]t\s+have)\s
      | as\s+an?\s+(?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model)\b
      | (?:no|there\s+is\s+no)\s+(?:video|image|clip)\s+(?:was\s+|is\s+)?
        (?:provided|attached|uploaded)
      | (?:please\s+)?(?:provide|upload|share)\s+(?:me\s+)?(?:the|a|your)\s+(?:video|image|clip)\b
      | (?:很?抱歉|对不起)[，,]|我(?:无法|不能)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is made of a model's answer.

    Attributes:
        text: The caption: its sections in the usual order, or the answer as it is where it has
            none. Empty only for an empty answer.
        is_malformed: Whether it should be asked for again: empty, a refusal, sections missing.
        problems: What was wrong with the answer, also what could be put right.
    """

    text: str
    is_malformed: bool
    problems: tuple[str, ...]


def understand(text: str, with_audio: bool, clean: bool, custom: bool) -> Answer:
    """Return an answer as a caption.

    Understanding a caption that was understood already changes nothing. What is missing stays
    missing: a section that the model left out is not invented.

    Args:
        text: As the model gave it.
        with_audio: Whether four sections were asked for; two otherwise.
        clean: Whether openings such as "The video shows" are dropped, at the start of the caption
            and of what is described. What was spoken or can be read is left alone.
        custom: Whether the user's own instruction was asked, whose answer needs no sections.
    """
    problems: list[str] = []
    names = section_names(with_audio)
    settled = text[:MOST_CHARACTERS]
    for _ in range(_MOST_ROUNDS):
        before = settled
        settled = _plain(before, problems)
        settled = (
            _opened(settled, clean) if custom else _shaped(settled, names, clean, problems)
        ).strip()
        if settled == before:
            break
    faults = _faults(settled, () if custom else names)
    return Answer(
        text=settled,
        is_malformed=bool(faults),
        problems=tuple(dict.fromkeys([*faults, *problems])),
    )


def cut_invented_turn(text: str) -> str:
    r"""Return an answer up to where the model begins to play the other side ("\nHuman: …").

    A speaker called "User:" in the middle is no such place: a label that comes only after it says
    that the answer goes on.
    """
    end = _END_TOKEN.search(text)
    if end and text[: end.start()].strip():
        text = text[: end.start()]
    labels = [(match.start(), _name_of(match)) for match in _BRACKETED.finditer(text)]
    everything = {name for _, name in labels}
    for turn in _TURN.finditer(text):
        if {name for at, name in labels if at < turn.start()} == everything:
            return text[: turn.start()]
    return text


def is_refusal(text: str) -> bool:
    """Return whether a text begins as models do that will not or cannot describe a clip."""
    return _REFUSAL.match(text) is not None


def labelled(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text before the first label, and each (section, body) as they come.

    Labels are read as models write them: in bold, as headings or list items, without a colon;
    without brackets only where no label has any and one of them is VISUAL.
    """
    labels = list(_BRACKETED.finditer(text))
    if not labels:
        labels = list(_BARE.finditer(text))
        if not any(_name_of(label) == "VISUAL" for label in labels):
            return text, []
    ends = [*(label.start() for label in labels[1:]), len(text)]
    return text[: labels[0].start()], [
        (_name_of(label), text[label.end() : end]) for label, end in zip(labels, ends, strict=True)
    ]


def _name_of(label: re.Match[str]) -> str:
    written = next(group for group in label.groups() if group).upper()
    return next(name for name in SECTION_NAMES if name.rstrip("S") in written)


def _plain(text: str, problems: list[str]) -> str:
    """Return the answer alone: no thoughts, turns, fences and control characters."""
    shown = _visible(text).strip()
    for opening in (_THOUGHT, _START_TOKEN):
        match = opening.match(shown)
        shown = shown[match.end() :].lstrip() if match else shown
    cut = cut_invented_turn(shown)
    if re.search(r"\w", _END_TOKEN.sub("", shown[len(cut) :])):
        problems.append("the model went on with an invented turn")
    lines = cut.strip().split("\n")
    kept = [line for line in lines if not _FENCE.fullmatch(line + "\n")]
    return "\n".join(line.rstrip() for line in kept).strip()


def _visible(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.replace("\n", "").isprintable():
        return text  # nearly always, and far quicker
    shown = (_SPACES.get(c, c) for c in text if c not in _BIDI)
    return "".join(c for c in shown if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs"))


def _opened(text: str, clean: bool) -> str:
    return strip_llm_prefix(text) if clean else text


def _shaped(text: str, names: tuple[str, ...], clean: bool, problems: list[str]) -> str:
    """Return the sections that were asked for, each once and in order."""
    text = _from_json(text, problems)
    head, parts = labelled(text)
    if not parts:
        return _opened(text, clean)
    bodies: dict[str, list[str]] = {}
    for name, body in parts:
        bodies.setdefault(name, []).append(_body(body))
    _note_faults_of_order([name for name, _ in parts], names, problems)
    head = _without_marks(head)
    if head and "VISUAL" not in bodies:
        problems.append("the [VISUAL] label was missing")
        bodies["VISUAL"] = [head]
    elif head:
        problems.append("there was text before the first label")
    lines = []
    for name in names:
        if name in bodies:
            body = _merged(bodies[name])
            body = _opened(body, clean and name in _DESCRIBED)
            lines.append(f"[{name}]: {body}")
    return "\n".join(lines)


def _note_faults_of_order(found: list[str], names: tuple[str, ...], problems: list[str]) -> None:
    unique = list(dict.fromkeys(found))
    extra = [name for name in unique if name not in names]
    if extra:
        problems.append(f"sections that were not asked for were dropped: {_labels(extra)}")
    twice = [name for name in unique if found.count(name) > 1]
    if twice:
        problems.append(f"sections stood there more than once: {_labels(twice)}")
    asked = [name for name in unique if name in names]
    if asked != [name for name in names if name in asked]:
        problems.append("the sections were out of order")


def _body(text: str) -> str:
    """Return a section's text without marks around it and without empty lines in it."""
    lines = (line.strip() for line in _without_marks(text).split("\n"))
    body = "\n".join(line for line in lines if line)
    return "None" if not body or _NOTHING.fullmatch(body) else body


def _without_marks(text: str) -> str:
    """Return a text without the space, rules and lonely marks of Markdown around it."""
    words = text.split()
    first = next((word for word in words if not _MARK.fullmatch(word)), "")
    last = next((word for word in reversed(words) if not _MARK.fullmatch(word)), "")
    text = text[text.find(first) : text.rfind(last) + len(last)] if first else ""
    for mark in ("**", "`"):
        inner = text[len(mark) : -len(mark)]
        if text.startswith(mark) and text.endswith(mark) and inner and mark not in inner:
            text = inner.strip()
    return text


def _merged(bodies: list[str]) -> str:
    said = [body for body in dict.fromkeys(bodies) if body != "None"]
    return "\n".join(said) or "None"


def _from_json(text: str, problems: list[str]) -> str:
    """Return an answer in JSON as sections; any other text as it is."""
    if not text.startswith(("{", "[{")):
        return text
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return text
    told = _told(value)
    if told is None or told == text:
        return text
    problems.append("the answer was JSON")
    return told


def _told(value: object) -> str | None:
    """Return what an object of JSON says, or None where it says nothing that we know."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return None
    found: dict[str, str] = {}
    for key, inner in value.items():
        match = re.fullmatch(_NAME, str(key).strip(" []:*_").replace("_", " "), re.IGNORECASE)
        if match:
            found[_name_of(match)] = " ".join(_texts(inner))
        elif str(key).lower() in ("caption", "description", "sections"):
            return _told(inner) if isinstance(inner, dict) else " ".join(_texts(inner))
    return "\n".join(f"[{name}]: {body}" for name, body in found.items()) or None


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)


def _faults(text: str, names: tuple[str, ...]) -> list[str]:
    """Return why an answer has to be asked for again; empty where it need not be."""
    if not text:
        return ["the answer was empty"]
    _, parts = labelled(text) if names else (text, [])
    bodies = dict(parts)
    visual = bodies.get("VISUAL", "" if parts else text).strip()
    if is_refusal(visual) or is_refusal(text):
        return ["the answer was a refusal"]
    if not names:
        return []
    if not parts:
        return ["the answer had no sections"]
    missing = [name for name in names if name not in bodies]
    faults = [f"sections were missing: {_labels(missing)}"] if missing else []
    if visual.casefold() == "none":
        faults.append("the answer saw nothing")
    return faults


def _labels(names: list[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)

"""Which captions a person should look at first, told from the texts and the sound alone.

Nothing is asked of a model. Each reason has a weight in 0 … 1; several add up as independent doubts
do, 1 − Π(1 − weight), so that a further reason never lowers a score, and none reaches 1.

| reason | weight |
|---|---|
| empty | 0.97 |
| a refusal, or "as an AI" | 0.95 |
| a model's control token | 0.85 |
| a word or a sentence over and over | 0.85 |
| speech where nothing is heard | 0.80 |
| sections missing | 0.70 |
| sounds where nothing is heard | 0.60 |
| no speech where a voice seems to be heard | 0.30 … 0.60, by how much of the clip |
| over 1,024 tokens | 0.55 |
| nearly the same as another caption | 0.50; the same word for word 0.60 |
| much shorter than the others | 0.20 … 0.50, by how far |
| much longer than the others | 0.15 … 0.40, by how far |
| the trigger word is already in it | 0.45 |
| no sounds where much is heard | 0.35 |
| opens like a model's answer | 0.25 |

The loudest claims weigh most: a caption that names words nobody said is wrong for certain, one that
misses a voice may only have taken singing for music.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from engine.captioners.answers import is_refusal
from engine.captioners.base import MAX_TOKENS
from engine.captions import SECTION_NAMES, sections, strip_llm_prefix
from engine.media.loudness_types import Loudness
from engine.suspicion.near_copies import near_copies
from engine.suspicion.types import Kind

# Part of what results are kept under: raise it when one changes for the same caption.
RULES_VERSION = 1

# Reasons, with their weights.
_EMPTY, _REFUSAL, _TOKEN, _LOOP = 0.97, 0.95, 0.85, 0.85
_SPEECH_IN_SILENCE, _MISSING, _SOUND_IN_SILENCE = 0.80, 0.70, 0.60
_NO_SPEECH, _TOO_LONG, _NEARLY, _SAME = (0.30, 0.60), 0.55, 0.50, 0.60
_SHORTER, _LONGER = (0.20, 0.50), (0.15, 0.40)
_TRIGGER, _NO_SOUNDS, _OPENING = 0.45, 0.35, 0.25

# From so many captions on, lengths are compared; so many robust deviations are far, and very far.
_FEWEST, _FAR, _VERY_FAR = 8, 3.5, 8.0
# A deviation is taken to be at least this, in natural logarithms of lengths: 15 %.
_LEAST_SPREAD = 0.15
# From these shares of the clip on, a voice or a sound is expected in the caption.
_VOICE_FROM, _SOUND_FROM, _LOUD = 0.25, 0.5, -35.0
# A text of this many letters that packs to this share of its size says the same over and over.
_LONG_TEXT, _PACKED = 400, 0.22
# So often in a row is a loop: a word, a phrase, and either in what somebody says or sings.
_WORD_LOOP, _PHRASE_LOOP, _LONGEST_PHRASE, _SPOKEN = 6, 4, 24, 3
_SENTENCE_LOOP, _SENTENCE_WORDS = 3, 4
# Of captions with labels, so many make one without labels odd.
_MOSTLY = 0.5

_CONTROL = re.compile(
    r"<\|[\w▁ .:/-]{1,40}\|>|</?(?:s|bos|eos|pad|unk|think|image|video|audio|img)>"
    r"|<(?:start|end)_of_(?:turn|image|audio)>|\[/?INST\]|<</?SYS>>|<[｜|][^<>\n]{1,40}[｜|]>"
    r"|\[(?:PAD|CLS|SEP|UNK|MASK)\]|�",
    re.IGNORECASE,
)
_AS_AN_AI = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b", re.IGNORECASE
)
_NOTHING = re.compile(
    r"[\s\"'(\[]*(?:none|n/?a|nothing|no(?:ne)? (?:audible |spoken |discernible )?"
    r"(?:speech|words?|dialogue|sounds?|audio|text)(?: (?:is|are|can be) (?:heard|present|spoken|"
    r"audible|visible))?|silence|silent|inaudible)?[\s.!\"')\]]*",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_SENTENCES = re.compile(r"[.!?\n]+")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one clip and its caption.

    Attributes:
        caption: As the dataset has it.
        name: How the clip is called where another one is said to be like it.
        loudness: Of its sound, `NO_SOUND` where it has no track; None where it was not measured.
        tokens: How many the prompt has; None where they were not counted.
        is_counted: Whether a tokenizer counted them; otherwise they are estimated.
        trigger: The trigger word, or empty.
        with_audio: Whether captions say what is heard; otherwise two sections are expected.
    """

    caption: str
    name: str = ""
    loudness: Loudness | None = None
    tokens: int | None = None
    is_counted: bool = True
    trigger: str = ""
    with_audio: bool = True


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """What the rest of the set says about one caption.

    Attributes:
        length: How many robust deviations it is longer (or, negative, shorter) than the others.
        twin: The name of a clip whose caption is nearly the same; empty for none.
        is_same: Whether it is the same word for word.
        labelled: Whether most of the others have labels.
    """

    length: float = 0.0
    twin: str = ""
    is_same: bool = False
    labelled: bool = False


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is against a caption.

    Attributes:
        score: From 0, nothing, up to 1.
        reasons: Why, the weightiest first; empty exactly where the score is 0.
        kinds: The kind of each reason.
    """

    score: float = 0.0
    reasons: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()


# Kind, weight, words.
_Found = tuple[Kind, float, str]

ALONE = Neighbours()


def suspect(facts: Facts, neighbours: Neighbours = ALONE) -> Suspicion:
    """Return how much there is against one caption.

    Args:
        facts: The caption and its clip.
        neighbours: What the other captions say about it, see `neighbours`.
    """
    text = facts.caption.strip()
    if not text:
        return _summed([("empty", _EMPTY, "the caption is empty")])
    bodies = {part.name: part.text for part in sections(text).parts if part.name}
    found: list[_Found] = []
    for check in _CHECKS:
        found += check(facts, text, bodies, neighbours)
    return _summed(found)


def suspect_all(captions: Sequence[Facts]) -> list[Suspicion]:
    """Return how much there is against each caption of a set, in its order.

    Takes about a quarter of a millisecond a caption.
    """
    return [suspect(*pair) for pair in zip(captions, neighbours(captions), strict=True)]


def neighbours(captions: Sequence[Facts]) -> list[Neighbours]:
    """Return for each caption what the rest of the set says about it."""
    texts = [facts.caption.strip() for facts in captions]
    lengths = _deviations(texts)
    has_labels = [bool(text) and _has_labels(text) for text in texts]
    written = sum(map(bool, texts))
    labelled = written >= _FEWEST and sum(has_labels) > _MOSTLY * written
    bodies = [_body(text) for text in texts]
    found = []
    for index, twin in enumerate(near_copies(bodies)):
        name = captions[twin].name or f"row {twin + 1}" if twin is not None else ""
        found.append(
            Neighbours(
                length=float(lengths[index]),
                twin=name,
                is_same=twin is not None and texts[twin] == texts[index],
                labelled=labelled,
            )
        )
    return found


def _summed(found: Sequence[_Found]) -> Suspicion:
    trust = 1.0
    for _, weight, _ in found:
        trust *= 1.0 - weight
    words: dict[str, Kind] = {}
    for kind, _, text in sorted(found, key=lambda one: -one[1]):
        words.setdefault(text, kind)
    return Suspicion(
        score=min(1.0 - trust, 0.9999) if found else 0.0,
        reasons=tuple(words),
        kinds=tuple(words.values()),
    )


def _refusal(
    facts: Facts, text: str, bodies: dict[str, str], others: Neighbours
) -> Iterator[_Found]:
    del facts, others
    if is_refusal(bodies.get("VISUAL") or text) or _AS_AN_AI.search(text):
        yield "refusal", _REFUSAL, "reads like a model's refusal"


def _tokens(
    facts: Facts, text: str, bodies: dict[str, str], others: Neighbours
) -> Iterator[_Found]:
    del bodies, others
    control = _CONTROL.search(text)
    if control:
        yield "control", _TOKEN, f"has a model's control token in it ({control[0]})"
    if facts.tokens is not None and facts.tokens > MAX_TOKENS:
        many = f"has {'' if facts.is_counted else 'about '}{facts.tokens:,} tokens"
        yield "tokens", _TOO_LONG, f"{many}; what is over {MAX_TOKENS:,} is cut off"


def _loops(facts: Facts, text: str, bodies: dict[str, str], others: Neighbours) -> Iterator[_Found]:
    del facts, others
    for name, body in (bodies or {"": text}).items():
        said = repeated(body, spoken=name == "SPEECH")
        if said:
            short = said if len(said) <= 40 else f"{said[:39]}…"
            yield "repeats", _LOOP, f'says the same over and over ("{short}")'
            return


def _against_sound(
    facts: Facts, text: str, bodies: dict[str, str], others: Neighbours
) -> Iterator[_Found]:
    del text, others
    heard = facts.loudness
    if heard is None or not facts.with_audio:
        return
    speech, sounds = bodies.get("SPEECH"), bodies.get("SOUNDS")
    if heard.silent:
        what = "nothing is heard" if heard.seconds else "the clip has no sound"
        if speech is not None and not _is_nothing(speech):
            yield "speech", _SPEECH_IN_SILENCE, f"speech, but {what}"
        if sounds is not None and not _is_nothing(sounds):
            yield "sounds", _SOUND_IN_SILENCE, f"sounds, but {what}"
        return
    if speech is not None and _is_nothing(speech) and heard.speech >= _VOICE_FROM:
        share = (heard.speech - _VOICE_FROM) / (1 - _VOICE_FROM)
        words = f"no speech, but {heard.speech:.0%} of the clip sounds like a voice"
        yield "speech", _between(_NO_SPEECH, share), words
    is_loud = heard.heard >= _SOUND_FROM and heard.rms > _LOUD
    if sounds is not None and _is_nothing(sounds) and is_loud and _is_nothing(speech or ""):
        yield "sounds", _NO_SOUNDS, f"no sounds, but {heard.heard:.0%} of the clip is loud"


def _sections(
    facts: Facts, text: str, bodies: dict[str, str], others: Neighbours
) -> Iterator[_Found]:
    del text
    wanted = SECTION_NAMES if facts.with_audio else ("VISUAL", "TEXT")
    missing = [name for name in wanted if not bodies.get(name)]
    if bodies and missing:
        yield "sections", _MISSING, "lacks " + ", ".join(f"[{name}]" for name in missing)
    elif not bodies and others.labelled:
        yield "sections", _MISSING, "has no sections, unlike most others"
    elif bodies and _is_nothing(bodies["VISUAL"]):
        yield "sections", _MISSING, "says nothing about the picture"


def _wording(
    facts: Facts, text: str, bodies: dict[str, str], others: Neighbours
) -> Iterator[_Found]:
    del others
    trigger = facts.trigger.strip()
    if trigger and re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", text, re.IGNORECASE):
        yield "trigger", _TRIGGER, f"has the trigger word {trigger} in it already"
    for body in (text, bodies.get("VISUAL", "")):
        if body and strip_llm_prefix(body) != body:
            yield "opening", _OPENING, "opens like a model's answer"
            return


def _among_others(
    facts: Facts, text: str, bodies: dict[str, str], others: Neighbours
) -> Iterator[_Found]:
    del facts, text, bodies
    far = (abs(others.length) - _FAR) / (_VERY_FAR - _FAR)
    if others.length <= -_FAR:
        yield "short", _between(_SHORTER, far), "much shorter than most others"
    elif others.length >= _FAR:
        yield "long", _between(_LONGER, far), "much longer than most others"
    if others.twin and others.is_same:
        yield "copy", _SAME, f"the same as the caption of {others.twin}"
    elif others.twin:
        yield "copy", _NEARLY, f"nearly the same as the caption of {others.twin}"


_Check = Callable[[Facts, str, dict[str, str], Neighbours], Iterator[_Found]]
_CHECKS: tuple[_Check, ...] = (
    _refusal, _tokens, _loops, _against_sound, _sections, _wording, _among_others,
)  # fmt: skip


def _between(weights: tuple[float, float], share: float) -> float:
    low, high = weights
    return low + (high - low) * min(1.0, max(0.0, share))


def _is_nothing(body: str) -> bool:
    return _NOTHING.fullmatch(body) is not None


def repeated(text: str, *, spoken: bool = False) -> str:
    """Return what a text says over and over, as models do that got stuck; empty for nothing.

    Args:
        text: A caption or a section.
        spoken: Whether it is what somebody says or sings, where more of it is natural.
    """
    often = _SPOKEN if spoken else 1
    sentences = Counter(
        " ".join(part.lower().split())
        for part in _SENTENCES.split(text)
        if len(part.split()) >= _SENTENCE_WORDS
    )
    if sentences:
        sentence, count = sentences.most_common(1)[0]
        if count >= _SENTENCE_LOOP * often:
            return sentence
    data = text.encode("utf-8", "replace")
    if len(data) >= _LONG_TEXT and len(zlib.compress(data, 1)) < _PACKED / often * len(data):
        return " ".join(text.split()[-6:])
    return _looping(_WORDS.findall(text.lower()), often)


def _looping(words: list[str], often: int) -> str:
    """Return a word or a phrase that stands many times in a row; empty for none."""
    if not _may_loop(words):
        return ""
    known: dict[str, int] = {}
    numbers = np.array([known.setdefault(word, len(known)) for word in words])
    for length in range(1, min(_LONGEST_PHRASE, len(words) // 2) + 1):
        same = numbers[length:] == numbers[:-length]
        needed = length * ((_WORD_LOOP if length == 1 else _PHRASE_LOOP) * often - 1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
        begins, runs = edges[::2], edges[1::2] - edges[::2]
        if len(runs) and int(runs.max()) >= needed:
            begin = int(begins[int(runs.argmax())])
            return " ".join(words[begin : begin + length])
    return ""


def _may_loop(words: list[str]) -> bool:
    """Return whether a few words in a row were all said just before; most texts have none."""
    last: dict[str, int] = {}
    run = 0
    for index, word in enumerate(words):
        run = run + 1 if index - last.get(word, -_LONGEST_PHRASE - 1) <= _LONGEST_PHRASE else 0
        if run >= _WORD_LOOP - 1:
            return True
        last[word] = index
    return False


def _deviations(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return how far each length is from the middle one, in robust deviations: [captions]."""
    lengths = np.array([len(text) for text in texts], np.float64)
    found = np.zeros(len(texts))
    is_written = lengths > 0
    if int(is_written.sum()) < _FEWEST:
        return found
    logs = np.log(lengths[is_written])
    middle = float(np.median(logs))
    # 1.4826: for a normal distribution this is the standard deviation.
    spread = max(1.4826 * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)
    found[is_written] = (logs - middle) / spread
    return found


def _has_labels(text: str) -> bool:
    return any(part.name for part in sections(text).parts)


def _body(text: str) -> str:
    """Return what a caption says, without labels and without what is not there."""
    parts = sections(text).parts
    return " ".join(part.text for part in parts if not (part.name and _is_nothing(part.text)))

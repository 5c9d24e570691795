"""What there is to caption, by whom, and what the user has answered to that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import msgspec

from engine.captioners.keys import NETWORK, VARIABLES
from engine.overview.file import CAPTIONS
from engine.overview.types import CaptionState
from engine.project import Project
from engine.text import plural, visible
from engine.worker.captioner_types import Ready, Wanted
from engine.worker.spec import encode
from ltx_tui.children.child import ask

if TYPE_CHECKING:
    from ltx_tui.clips.store import Store

Which = Literal["missing", "found", "all", "none"]
"""Clips without a caption; those, too, whose caption no person wrote; all; or none of them."""

_CHECK = "engine.worker.check_captioner"
_VENDORS = {"gemini_flash": "Google", "openai": "OpenAI"}
_NONE, _AUTO = CAPTIONS.index(CaptionState.NONE), CAPTIONS.index(CaptionState.AUTO)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How the captions of some clips stand.

    Attributes:
        missing: Clips without a caption.
        found: Captions as a captioner or another tool left them.
        by_hand: Captions that a person typed, edited or reviewed.
    """

    missing: int = 0
    found: int = 0
    by_hand: int = 0


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What the captioner is to do.

    Attributes:
        clips: Names of the clips; all if empty.
        override: Caption those, too, that have a caption.
        keep_edited: But not those that a person typed, edited or reviewed.
        instruction: What is asked about them; None for what project.toml says.
        keep_instruction: Whether project.toml is to say so from now on.
    """

    clips: tuple[str, ...] = ()
    override: bool = False
    keep_edited: bool = False
    instruction: str | None = None
    keep_instruction: bool = False


def count(store: Store, names: Collection[str] | None = None) -> Counts:
    """Count captions.

    Args:
        store: The clips.
        names: Of some of them; None for all.
    """
    table = store.table
    states: Sequence[int] = table.captions
    if names is not None:
        wanted = frozenset(names)
        pairs = zip(table.names, states, strict=True)
        states = [state for name, state in pairs if name in wanted]
    missing = sum(state == _NONE for state in states)
    found = sum(state == _AUTO for state in states)
    return Counts(missing=missing, found=found, by_hand=len(states) - missing - found)


def choices(counts: Counts) -> list[tuple[Which, str]]:
    """Return what can be answered, in words, what is most likely wanted first."""
    missing, found, by_hand = counts.missing, counts.found, counts.by_hand
    ways: list[tuple[Which, str]] = []
    if missing:
        ways.append(("missing", f"{plural(missing, 'clip')} without a caption"))
    if found:
        tool = f"{plural(found, 'caption')} of a captioner or another tool"
        anew = f"{tool} {'is' if found == 1 else 'are'} written anew"
        ways.append(("found", f"these, and {tool} anew" if missing else anew))
    if by_hand:
        person = f"{plural(by_hand, 'caption')} that a person wrote, edited or reviewed"
        if ways:
            ways.append(("all", f"all, also {person}"))
        else:
            ways += [("none", f"leave {person}"), ("all", "caption anew all the same")]
    return ways


def ask_of(which: Which, clips: tuple[str, ...]) -> Ask | None:
    """Return what follows from an answer; None for nothing."""
    if which == "none":
        return None
    return Ask(clips=clips, override=which != "missing", keep_edited=which == "found")


async def check(project: Project) -> Ready:
    """Return whether the project's captioner can be begun with.

    Raises:
        EnvironmentFaultError: Looking failed.
        OSError: There is no room for its log.
    """
    return await ask(
        _CHECK,
        request=encode(Wanted(project.captions, project.root)),
        decode=lambda out: msgspec.json.decode(out, type=Ready),
        name="the program that looks at the captioner",
        kill=True,
    )


def who_words(project: Project, ready: Ready | None) -> list[str]:
    """Return who captions with which model, and where the clips go.

    Args:
        project: The settings.
        ready: What is known of the captioner; None while it is looked at.
    """
    section = project.captions
    name, model = section.captioner, ready.model if ready is not None else section.model
    if name not in NETWORK:
        how = " in 8 bits" if section.use_8bit else ""
        return [visible(f"{name}: {model or 'the usual model'}{how}, on {project.run.device}")]
    where = urlsplit(section.base_url).netloc or _VENDORS[name]
    what = "frames and sound" if section.audio else "frames"
    return [
        visible(f"{name}: {model or 'the model of its own choice'} at {where}"),
        visible(f"{what} of the clips are sent there"),
    ]


def key_name(project: Project) -> str:
    """Return the variable of the captioner's key; empty where it has none."""
    return next(iter(VARIABLES.get(project.captions.captioner, ())), "")

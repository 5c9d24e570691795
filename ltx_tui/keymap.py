"""Keys that the user chooses: checked against the commands, and shown as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from textual.keys import (
    KEY_NAME_REPLACEMENTS,
    KEY_TO_UNICODE_NAME,
    Keys,
    _character_to_key,
)

from engine.errors import UsageError
from engine.text import guessed
from ltx_tui.commands.command import Command
from ltx_tui.commands.registry import commands

_NAMED = (
    frozenset(key.value for key in Keys)
    | frozenset(KEY_TO_UNICODE_NAME)
    | frozenset(KEY_NAME_REPLACEMENTS.values())
)

# tmux and terminals give these to others, or cannot tell them apart from another key.
_UNSAFE = {
    "ctrl+i": "a terminal sends it as tab",
    "ctrl+m": "a terminal sends it as enter",
    "ctrl+h": "a terminal sends it as backspace",
    "ctrl+[": "a terminal sends it as escape",
    "ctrl+left_square_bracket": "a terminal sends it as escape",
    "ctrl+a": "it is a prefix of screen and tmux",
    "ctrl+b": "it is the prefix of tmux",
    "ctrl+enter": "tmux never delivers it",
    "ctrl+backspace": "tmux never delivers it",
    "alt+enter": "tmux delivers it as enter",
}

_SIGNS = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "delete": "del",
}
_MODIFIERS = ("ctrl", "alt", "shift", "super", "hyper", "meta")


def check_keys(keys: Mapping[str, str], file: Path) -> None:
    """Check what the user's configuration says about keys.

    Raises:
        UsageError: A command or a key is unknown, or two commands of one scope share a key.
    """
    ids = tuple(one.id for one in commands())
    for name, value in keys.items():
        if name not in ids:
            raise UsageError(
                "there is no such command",
                file=file,
                column=f"keys.{name}",
                remedy=guessed(name, ids, otherwise="commands:"),
            )
        for key in split_keys(value):
            _check_key(key, name, file)
    taken: dict[tuple[str, str], str] = {}
    for one in commands():
        for key in keys_of(one, keys):
            other = taken.setdefault((one.scope, key), one.id)
            if other != one.id:
                raise UsageError(
                    f"{shown(key)} does both {other} and {one.id}",
                    file=file,
                    column=f"keys.{one.id if one.id in keys else other}",
                    remedy="give one of them another key",
                )


def keys_of(command: Command, chosen: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys of a command, the user's own where there are any."""
    if command.id not in chosen:
        return command.keys
    return tuple(_long(key) for key in split_keys(chosen[command.id]))


def split_keys(value: str) -> list[str]:
    """Return the keys of a list with commas; a comma alone is the comma key."""
    return [key.strip() for key in value.split(",")] if value.strip() != "," else ["comma"]


def textual_keymap(chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the user's keys as `App.set_keymap` takes them."""
    return {
        name: ",".join(_long(key) for key in split_keys(value)) for name, value in chosen.items()
    }


def shown(key: str) -> str:
    """Return a key as people write it: "ctrl+p", "?", "P", "space", "↓"."""
    *modifiers, last = key.split("+") if key != "+" else ["plus"]
    return "+".join([*modifiers, _SIGNS.get(last, last)])


def all_shown(command: Command, chosen: Mapping[str, str]) -> str:
    """Return all keys of a command for the help: "j, ↓"."""
    return ", ".join(map(shown, keys_of(command, chosen)))


def _long(key: str) -> str:
    return _character_to_key(key) if len(key) == 1 else key


def _check_key(key: str, name: str, file: Path) -> None:
    column = f"keys.{name}"
    if key in _UNSAFE:
        raise UsageError(
            f"{key} cannot be used: {_UNSAFE[key]}",
            file=file,
            column=column,
            remedy="choose another key, such as an F-key",
        )
    *modifiers, last = key.split("+")
    known = len(last) == 1 or last in _NAMED or _long(last) in _NAMED
    if not known or any(one not in _MODIFIERS for one in modifiers):
        near = "" if known else guessed(last, sorted(_NAMED), otherwise="keys:")
        raise UsageError(
            f"there is no key {key!r}",
            file=file,
            column=column,
            remedy=near
            if near.startswith("did")
            else "keys are named like m, M, ctrl+x, f6, space",
        )

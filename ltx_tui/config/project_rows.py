"""The keys of project.toml as rows: sections, values, and what may be typed."""

from __future__ import annotations

import msgspec

from engine.buckets import parse_buckets
from engine.errors import ProjectError
from engine.project import Project
from engine.settings import KEYS, SECTIONS, Key

Value = str | int | float | bool

_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


class SettingRow(msgspec.Struct, frozen=True):
    """A line of the settings: a section's heading, or a key.

    Attributes:
        section: Its name.
        key: None for a heading.
        value: As project.toml says, or the default.
    """

    section: str
    key: Key | None = None
    value: Value = ""

    @property
    def is_default(self) -> bool:
        """Whether the value is the key's default."""
        return self.key is not None and self.value == self.key.default


def setting_rows(project: Project, words: str = "") -> list[SettingRow]:
    """Return the rows, those with the words in name or description; headings only where needed."""
    rows: list[SettingRow] = []
    wanted = words.casefold().split()
    for section in SECTIONS:
        keys = [
            key
            for key in KEYS.values()
            if key.section == section
            and all(w in f"{key.full_name} {key.description}".casefold() for w in wanted)
        ]
        if keys:
            rows.append(SettingRow(section))
            values = getattr(project, section)
            rows += [SettingRow(section, key, getattr(values, key.name)) for key in keys]
    return rows


def options_of(key: Key) -> tuple[Value, ...]:
    """Return all values of a key that has only a few; empty for others."""
    if isinstance(key.default, bool):
        return (True, False)
    return key.choices


def spelled(value: Value) -> str:
    """Return a value as one types it; an empty text is empty."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parsed(key: Key, text: str) -> Value:
    """Return what was typed as the key's type.

    Raises:
        ProjectError: It is no such value.
    """
    text = text.strip()
    if isinstance(key.default, bool):
        if text.lower() not in _WORDS:
            raise _wrong(key, text, "true or false")
        return _WORDS[text.lower()]
    if isinstance(key.default, int):
        return _number(key, text, int, "a whole number")
    if isinstance(key.default, float):
        return _number(key, text, float, "a number")
    if key.full_name == "video.buckets":
        parse_buckets(text)
    return text


def _number(key: Key, text: str, kind: type[int] | type[float], what: str) -> Value:
    try:
        return kind(text)
    except ValueError as error:
        raise _wrong(key, text, what) from error


def _wrong(key: Key, text: str, what: str) -> ProjectError:
    return ProjectError(
        f"{text!r} is not {what}",
        column=key.full_name,
        remedy=f"the default is {spelled(key.default)}",
    )

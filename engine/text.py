"""Text from datasets, file names and models, made safe to show."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence

# Control characters, surrogates from undecodable names, and the marks that turn text around.
_HIDDEN = {"Cc", "Cs", "Co", "Zl", "Zp"}
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: object, *, keep: str = "") -> str:
    r"""Return `text` with every control character as a visible escape.

    Args:
        text: Anything; `str()` is taken of it.
        keep: Characters to leave alone, such as "\n".
    """
    written = str(text)
    if written.isprintable():
        return written  # nearly always, and far quicker
    return "".join(
        c
        if c in keep or (unicodedata.category(c) not in _HIDDEN and c not in _BIDI)
        else c.encode("unicode_escape").decode()
        for c in written
    )


def is_utf8(text: str) -> bool:
    """Whether text can be written as UTF-8: not with half surrogates, as odd file names have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key under which "clip 9" comes before "clip 10"."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p.lower()) for p in parts]


def plural(count: int, one: str, many: str = "") -> str:
    """Return "1 clip", "2 clips", "1,204 clips"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: list[str], most: int = 3) -> str:
    """Return "a, b, c and 4 more"."""
    head = ", ".join(names[:most])
    return head if len(names) <= most else f"{head} and {len(names) - most:,} more"


def guessed(name: str, known: Sequence[str], *, otherwise: str) -> str:
    """Return "did you mean …?" with the known name that is nearest, or all that are known.

    Args:
        name: What was written.
        known: What could have been.
        otherwise: Stands before all that are known, such as "use".
    """
    near = difflib.get_close_matches(name, known, n=1)
    near = near or [one for one in known if one.startswith(name)][:1]
    return f"did you mean {near[0]}?" if near else f"{otherwise} {', '.join(known)}"

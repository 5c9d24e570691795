"""What there can be against a caption: data, without what it takes to find it."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

# From this score on a caption is called suspicious.
SUSPICIOUS = 0.5

Kind = Literal[
    "empty",
    "refusal",
    "control",
    "repeats",
    "speech",
    "sounds",
    "sections",
    "tokens",
    "copy",
    "short",
    "long",
    "trigger",
    "opening",
]
# Their places are kept in files: new ones come last.
KINDS: tuple[Kind, ...] = get_args(Kind)

REMEDIES: dict[Kind, str] = {
    "empty": "write it, or have the clip captioned",
    "refusal": "write it anew, or have the clip captioned again",
    "control": "delete the token, and what may have come after the end",
    "repeats": "delete what is repeated",
    "speech": "listen to the clip: write what is said, or None",
    "sounds": "listen to the clip: write what is heard, or None",
    "sections": "add what is missing, None where there is nothing",
    "tokens": "shorten it",
    "copy": "say what differs, or take one of the clips out",
    "short": "say more, where there is more to see",
    "long": "shorten it, where it says what is not there",
    "trigger": "delete it: it is put in front when the caption is encoded",
    "opening": "delete the opening, or set text.strip_prefixes",
}


class Reason(msgspec.Struct, frozen=True, array_like=True):
    """One thing against a caption.

    Attributes:
        kind: For filters and remedies.
        text: In words.
    """

    kind: Kind
    text: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.kind]

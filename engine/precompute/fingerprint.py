"""What an output depends on, and in which words two versions of that differ.

A fingerprint is a flat table of facts. Two outputs are interchangeable if and only if their
tables agree, so everything that can change a byte of an output is in its table, and nothing
else is.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.files.identity import hash_text

# Raised when the same facts would give other bytes: a change in how we read frames, say.
VERSIONS = {
    "conditions": 1,
    "latents": 1,
    "audio_latents": 1,
    "reference_latents": 1,
    "decoded_videos": 1,
    "decoded_reference_videos": 1,
    "decoded_audio": 1,
}

# Facts kept to explain a change; the fact that they are part of is compared instead.
_EXPLAINS = frozenset({"caption", "trigger"})

# The value of a fact that cannot be told now, such as a model that is not set: no difference.
UNKNOWN = "?"

_WORDS = {
    "media": "the media file changed",
    "reference": "the reference file changed",
    "audio": "the audio file changed",
    "video_vae": "another video VAE",
    "audio_vae": "another audio VAE",
    "video_decoder": "another video decoder",
    "audio_decoder": "another audio decoder",
    "vocoder": "another vocoder",
    "text_encoder": "another text encoder",
    "text_projection": "another text projection in the checkpoint",
    "source": "the latents changed",
    "version": "made by an older version of ltx-tui",
}


class Fingerprint(msgspec.Struct, frozen=True):
    """All that an output depends on: digests of files and models, and every setting."""

    facts: dict[str, str]

    @property
    def digest(self) -> str:
        """One short name for all the compared facts."""
        rows = sorted((k, v) for k, v in self.facts.items() if k not in _EXPLAINS)
        return hash_text(msgspec.json.encode(rows).decode())


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Return why an output made under `old` does not serve for `new`, in words.

    The result is empty if and only if the two agree.
    """
    if old == new:
        return ()  # nearly always
    reasons = []
    for name in sorted(old.keys() | new.keys()):
        if name in _EXPLAINS or old.get(name) == new.get(name) or new.get(name) == UNKNOWN:
            continue
        if name == "prompt":
            reasons.append(_prompt_change(old, new))
        else:
            reasons.append(_WORDS.get(name) or _setting_change(name, old.get(name), new.get(name)))
    return tuple(reasons)


def _prompt_change(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    changed = [
        words
        for name, words in (("caption", "caption edited"), ("trigger", "trigger word changed"))
        if old.get(name) != new.get(name)
    ]
    return " and ".join(changed) or "prompt changed"


def _setting_change(name: str, old: str | None, new: str | None) -> str:
    words = name.replace("_", " ")
    return f"{words} {old or 'none'} → {new or 'none'}"

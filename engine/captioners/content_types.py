"""The types of content that OpenAI-compatible servers take frames and sound in."""

from __future__ import annotations

import re
from typing import Literal

Form = Literal["auto", "openai", "vllm", "llamacpp"]
FORMS: tuple[Form, ...] = ("auto", "openai", "vllm", "llamacpp")

Picture = Literal["image_url", "video_url"]
Sound = Literal["input_audio", "audio_url"]

# llama.cpp takes what OpenAI has; vLLM has types of its own, which keep a video's timing.
_TYPES: dict[Form, tuple[Picture, Sound]] = {
    "auto": ("image_url", "input_audio"),
    "openai": ("image_url", "input_audio"),
    "vllm": ("video_url", "audio_url"),
    "llamacpp": ("image_url", "input_audio"),
}
# Not every server has a status for it; llama.cpp answers 500.
_STATUSES = frozenset({400, 404, 415, 422, 500, 501})
_REFUSED = re.compile(
    r"not\s+support|unsupported|only\s+supported|no\s+endpoints|unknown\s+(?:part|content)|"
    r"invalid\s+(?:content|value|type)|at\s+most\s+\d+\s+(?:image|video|audio)|"
    r"cannot\s+(?:process|handle)|mmproj|not\s+a\s+multimodal|input\s+(?:tag|should\s+be)|"
    r"content\s+type",
    re.IGNORECASE,
)
_KINDS = {
    "image": ("image_url", "video_url"),
    "vision": ("image_url", "video_url"),
    "video": ("video_url",),
    "audio": ("input_audio", "audio_url"),
}
_KIND = re.compile(r"image|vision|video|audio", re.IGNORECASE)
_NO_SENSES = re.compile(r"multimodal|mmproj", re.IGNORECASE)
# What to suspect first where the server does not say which: the less common ones.
_SUSPECTS = ("video_url", "audio_url", "input_audio", "image_url")


class ContentTypes:
    """Which types one server is sent, and which it has refused."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.picture: Picture
        self.sound: Sound
        self.picture, self.sound = _TYPES[form]
        self._refused: set[str] = set()

    def start_with(self, form: Form) -> None:
        """Begin with what a server of this kind takes, unless the user has said which."""
        if self.form == "auto":
            self.picture, self.sound = _TYPES[form]

    def give_up(self, refused: str) -> bool:
        """Note that a type was refused, and go over to the other one for the same thing.

        Args:
            refused: The type.

        Returns:
            Whether there is another one that is worth a try.
        """
        self._refused.add(refused)
        if self.form != "auto":
            return False
        if refused == "video_url" or refused == "image_url":
            other: Picture = "image_url" if refused == "video_url" else "video_url"
            self.picture = self.picture if other in self._refused else other
            return other not in self._refused
        heard: Sound = "input_audio" if refused == "audio_url" else "audio_url"
        self.sound = self.sound if heard in self._refused else heard
        return heard not in self._refused


def refused_type(status: int, said: str, sent: frozenset[str]) -> str:
    """Return which type of content an answer refuses; empty where it is about something else.

    Args:
        status: The HTTP status.
        said: The server's words.
        sent: The types that were sent.
    """
    if status not in _STATUSES or not _REFUSED.search(said):
        return ""
    for match in _KIND.finditer(said):
        for kind in _KINDS[match[0].lower()]:
            if kind in sent:
                return kind
    if _NO_SENSES.search(said):
        return next((kind for kind in _KINDS["image"] if kind in sent), "")
    if re.search(r"content|part", said, re.IGNORECASE):
        return next((kind for kind in _SUSPECTS if kind in sent), "")
    return ""

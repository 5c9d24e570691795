"""What every captioner is given, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import msgspec

from engine.dataset.windows import WHOLE, Span
from engine.errors import LtxError

CaptionerName = Literal["qwen_omni", "gemini_flash", "openai"]
# The limit of the original captioner, which LTX-2's text encoder has too.
MAX_TOKENS = 1024


class CaptionMedia(msgspec.Struct, frozen=True, kw_only=True):
    """A clip to caption.

    Attributes:
        path: A video or an image.
        kind: Which of both.
        has_audio: Whether it has a sound track.
        seconds: How long the part is that is captioned; 0 for an image.
        span: Which part of it is captioned.
    """

    path: Path
    kind: Literal["video", "image"]
    has_audio: bool
    seconds: float
    span: Span = WHOLE


class CaptionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about a clip.

    Attributes:
        instruction: The whole prompt, see `engine.captioners.prompts`.
        with_audio: Whether the sound is heard.
        fps: Frames a second that are looked at.
        max_tokens: How long the answer may be.
    """

    instruction: str
    with_audio: bool
    fps: float = 3.0
    max_tokens: int = MAX_TOKENS


class CaptionError(LtxError):
    """A clip could not be captioned.

    Attributes:
        fatal: Whether every other clip would fail as well: a wrong key, an unknown model, no
            server. The job stops; otherwise it goes on with the next clip.
    """

    fatal: bool = False


class FatalCaptionError(CaptionError):
    """No clip can be captioned this way."""

    fatal = True


class Captioner(Protocol):
    """Says what a clip shows. Cancelling the call abandons it and leaves nothing behind."""

    async def caption(self, media: CaptionMedia, request: CaptionRequest) -> str:
        """Return the answer as the model gave it, only cut at an invented turn.

        Raises:
            CaptionError: It gave none: refused, blocked, cut short, or out of reach after retries.
        """

    async def close(self) -> None:
        """Let go of connections and memory."""

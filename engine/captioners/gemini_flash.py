"""Captions from Google's Gemini: upload a clip, wait for it, ask, delete it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from google import genai
from google.genai import errors, types

from engine.captioners.answers import cut_invented_turn
from engine.captioners.base import (
    CaptionError,
    CaptionMedia,
    CaptionRequest,
    FatalCaptionError,
)
from engine.captioners.keys import key_of
from engine.captioners.media import MOST_FRAMES, as_caption_error, in_thread, small_video
from engine.captioners.prompts import NO_SOUND_NOTE
from engine.captioners.retry import (
    Gate,
    Service,
    TransientError,
    broken_off,
    checked_key,
    cleaned,
    fault_of_status,
    is_transport_fault,
    retry_after,
)
from engine.dataset.windows import WHOLE

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

# Google's name for the newest flash model; --model names a fixed one.
DEFAULT_MODEL = "gemini-flash-latest"
# The service's own limits: bytes of a file, frames a second.
_MOST_BYTES, _MOST_FPS = 2_000_000_000, 24.0
# What a model thinks before it answers counts as answer.
_ROOM_TO_THINK = 8192
# Seconds between two looks at a file that is being taken in, and how long that may last.
_FIRST_LOOK, _LONGEST_LOOK, _LONGEST_WAIT = 0.5, 5.0, 300.0
# An upload is given its time by its size, at so many bytes a second.
_SLOWEST = 200_000
_DELETE_SECONDS, _DELETE_TRIES = 20.0, 3

_MIMES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mov", ".mkv": "video/x-matroska",
    ".webm": "video/webm", ".avi": "video/avi", ".mpg": "video/mpeg", ".mpeg": "video/mpeg",
    ".flv": "video/x-flv", ".wmv": "video/wmv", ".3gp": "video/3gpp", ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".heic": "image/heic",
    ".heif": "image/heif", ".gif": "image/gif", ".bmp": "image/bmp", ".tif": "image/tiff",
    ".tiff": "image/tiff",
}  # fmt: skip
_SERVICE = Service(
    name="Gemini",
    key_remedy="check the key (GOOGLE_API_KEY, GEMINI_API_KEY or --api-key)",
    model_remedy="check --model; Google lists its models at ai.google.dev",
)


class GeminiCaptioner:
    """Sends each clip to Gemini, and deletes it there whatever happens.

    Instead of a file with sound that is not to be heard, or of which only a part is asked about, a
    small copy is sent that has nothing else.
    """

    def __init__(
        self,
        *,
        model: str = "",
        api_key: str = "",
        base_url: str = "",
        gate: Gate | None = None,
    ) -> None:
        """Make a captioner; nothing is sent yet.

        Args:
            model: Empty takes `DEFAULT_MODEL`.
            api_key: Empty takes GOOGLE_API_KEY or GEMINI_API_KEY.
            base_url: Of a proxy; empty is Google's own.
            gate: How many clips at once, and how patient we are.

        Raises:
            FatalCaptionError: There is no key, or what is given cannot be one.
        """
        self._secret = checked_key(api_key or key_of("gemini_flash"))
        if not self._secret:
            raise FatalCaptionError(
                "Gemini needs a key", remedy="set GOOGLE_API_KEY; Google gives one at ai.google.dev"
            )
        self._model = model or DEFAULT_MODEL
        self._gate = gate or Gate(4)
        self._client = genai.Client(
            api_key=self._secret,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=base_url or None,
                # We do the trying again.
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )
        self._deletions: set[asyncio.Task[None]] = set()

    async def caption(self, media: CaptionMedia, request: CaptionRequest) -> str:
        """Return the answer, cut at an invented turn.

        Raises:
            CaptionError: There is none.
        """
        async with self._gate.slot():
            with contextlib.ExitStack() as opened:
                if _has_more_than_asked(media, request):
                    file = await self._small_copy(media, request)
                else:
                    file = opened.enter_context(_opened(media))
                async with self._uploaded(file) as name:
                    uploaded = await self._taken_in(name, media.path)
                    ask = partial(self._ask, uploaded, media, request)
                    return cut_invented_turn(await self._gate.attempt(ask))

    async def close(self) -> None:
        """Finish deleting, then let go of connections."""
        if self._deletions:
            await asyncio.wait(self._deletions)
        await self._client.aio.aclose()
        self._client.close()

    async def _small_copy(self, media: CaptionMedia, request: CaptionRequest) -> _File:
        with as_caption_error(media.path):
            data = await in_thread(
                lambda check: small_video(
                    media.path,
                    request.fps,
                    MOST_FRAMES,
                    check,
                    media.span,
                    with_sound=request.with_audio,
                )
            )
        return _File(io.BytesIO(data), "video/mp4", len(data))

    @contextlib.asynccontextmanager
    async def _uploaded(self, file: _File) -> AsyncIterator[str]:
        """Upload a file, give its name, and delete it at the end, also of a call that is cancelled.

        The name is ours, so that it is known even where the upload is cut off before its answer.
        """
        names: list[str] = []

        async def upload() -> None:
            names.append(f"files/ltx-{uuid.uuid4().hex}")
            file.stream.seek(0)
            await self._client.aio.files.upload(
                file=file.stream,
                config=types.UploadFileConfig(name=names[-1], mime_type=file.mime),
            )

        try:
            seconds = max(self._gate.policy.timeout, file.size / _SLOWEST)
            await self._gate.attempt(partial(self._called, upload), seconds=seconds)
            yield names[-1]
        finally:
            await self._delete(names)

    async def _delete(self, names: list[str]) -> None:
        """Delete uploads; goes on in the background where the caller is cancelled meanwhile."""
        task = asyncio.create_task(self._deleted(names))
        self._deletions.add(task)
        task.add_done_callback(self._deletions.discard)
        await asyncio.shield(task)

    async def _deleted(self, names: list[str]) -> None:
        for name in names:
            for _ in range(_DELETE_TRIES):
                try:
                    async with asyncio.timeout(_DELETE_SECONDS):
                        await self._client.aio.files.delete(name=name)
                    break
                except errors.ClientError as error:
                    if error.code != 429:
                        break  # it is not there, or not any more
                    await self._gate.sleep(_FIRST_LOOK)
                except Exception:  # whatever happens here, the caption counts
                    await self._gate.sleep(_FIRST_LOOK)
            else:
                _log.warning("%s could not be deleted; Google does so after 48 hours", name)

    async def _taken_in(self, name: str, path: Path) -> types.File:
        """Wait until the service has taken in a file.

        Raises:
            CaptionError: It cannot, or does not get done with it.
        """
        begin = self._gate.now()
        wait = _FIRST_LOOK
        while True:
            get = partial(self._client.aio.files.get, name=name)
            file = await self._gate.attempt(partial(self._called, get))
            if file.state == types.FileState.ACTIVE:
                return file
            if file.state == types.FileState.FAILED:
                said = cleaned(file.error.message, [self._secret]) if file.error else ""
                raise CaptionError(
                    "Gemini cannot read the file" + (f": {said}" if said else ""),
                    remedy="export it as H.264 in an MP4",
                    file=path,
                )
            if self._gate.now() - begin > _LONGEST_WAIT:
                raise CaptionError(
                    f"Gemini did not get done with the file in {_LONGEST_WAIT:g} s",
                    remedy="caption this clip again later",
                    file=path,
                )
            await self._gate.sleep(wait)
            wait = min(_LONGEST_LOOK, 1.5 * wait)

    async def _ask(self, file: types.File, media: CaptionMedia, request: CaptionRequest) -> str:
        part = types.Part(
            file_data=types.FileData(file_uri=file.uri, mime_type=file.mime_type),
            video_metadata=types.VideoMetadata(fps=min(request.fps, _MOST_FPS))
            if media.kind == "video"
            else None,
        )
        words = request.instruction
        if request.with_audio and media.kind == "video" and not media.has_audio:
            words = f"{words}\n\n{NO_SOUND_NOTE}"
        generate = partial(
            self._client.aio.models.generate_content,
            model=self._model,
            contents=types.Content(role="user", parts=[part, types.Part(text=words)]),
            config=types.GenerateContentConfig(
                max_output_tokens=request.max_tokens + _ROOM_TO_THINK
            ),
        )
        return _answer(await self._called(generate))

    async def _called(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make one call, with its errors as ours; only words of the service go into them."""
        try:
            return await call()
        except errors.APIError as error:
            raise self._fault(error) from None
        except (CaptionError, TransientError, TimeoutError):
            raise
        except Exception as error:
            if is_transport_fault(error):
                raise broken_off(error, _SERVICE) from None
            if isinstance(error, (ValueError, KeyError, TypeError, AttributeError)):
                raise TransientError("the answer of Gemini makes no sense") from None
            raise

    def _fault(self, error: errors.APIError) -> Exception:
        said = cleaned(error.message or error.status or "", [self._secret])
        reasons = list(_reasons(error.details))
        if "API_KEY_INVALID" in reasons or "API key" in said:
            return FatalCaptionError(said, remedy=_SERVICE.key_remedy)
        if any("PerDay" in reason for reason in reasons):
            return FatalCaptionError(
                f"the day's quota is used up: {said}",
                remedy="go on tomorrow, or with a paid plan; what is captioned already is kept",
            )
        asked = _delay(reasons)
        headers = getattr(error.response, "headers", None)
        if asked is None and headers is not None:
            asked = retry_after(headers)
        return fault_of_status(int(error.code or 500), said, _SERVICE, asked=asked)


class _File(msgspec.Struct, frozen=True):
    """What is uploaded. It is read as a stream: a path would send its name along."""

    stream: io.IOBase
    mime: str
    size: int


def _has_more_than_asked(media: CaptionMedia, request: CaptionRequest) -> bool:
    """Whether a file has sound that is not to be heard, or frames that its row does not keep."""
    is_muted = media.has_audio and not request.with_audio
    return media.kind == "video" and (is_muted or media.span != WHOLE)


@contextlib.contextmanager
def _opened(media: CaptionMedia) -> Iterator[_File]:
    mime = _MIMES.get(media.path.suffix.lower(), f"{media.kind}/mp4")
    try:
        size = media.path.stat().st_size
        stream = media.path.open("rb")
    except OSError as error:
        raise CaptionError(
            f"cannot be read: {error.strerror}", remedy="check the path", file=media.path
        ) from error
    with stream:
        if size > _MOST_BYTES:
            raise CaptionError(
                f"has {size / 1e9:.1f} GB, and Gemini takes 2",
                remedy="cut it into scenes, or use another captioner",
                file=media.path,
            )
        yield _File(stream, mime, size)


def _answer(response: types.GenerateContentResponse) -> str:
    """Return the text of an answer.

    Raises:
        CaptionError: It was blocked, or cut short before it began.
        TransientError: There is none, and no reason why.
    """
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise _blocked(feedback.block_reason.name)
    candidate = next(iter(response.candidates or ()), None)
    if candidate is None:
        raise TransientError("Gemini gave no answer")
    content = candidate.content
    parts = (content.parts if content else None) or ()
    text = "".join(part.text for part in parts if part.text and not part.thought)
    reason = candidate.finish_reason.name if candidate.finish_reason else ""
    if reason == "STOP" and text.strip():
        return text
    if reason == "MAX_TOKENS":
        if text.strip():
            return text
        raise CaptionError(
            "the answer was cut short before it began", remedy="name another model with --model"
        )
    if reason in ("", "STOP", "OTHER", "MALFORMED_RESPONSE", "FINISH_REASON_UNSPECIFIED"):
        raise TransientError("Gemini gave no whole answer")
    raise _blocked(reason)


def _blocked(reason: str) -> CaptionError:
    return CaptionError(
        f"Gemini blocked the clip ({reason.lower()})",
        remedy="caption it by hand, or with another captioner",
    )


def _reasons(details: Any) -> Iterator[str]:
    """Yield every text inside the details of an error."""
    if isinstance(details, str):
        yield details
    elif isinstance(details, dict):
        for key, inner in details.items():
            # So that a delay can be told from other numbers.
            yield from (
                f"{key}={text}" if key == "retryDelay" else text for text in _reasons(inner)
            )
    elif isinstance(details, list):
        for inner in details:
            yield from _reasons(inner)


def _delay(reasons: list[str]) -> float | None:
    """Return the seconds of a "retryDelay=37.5s"."""
    for reason in reasons:
        name, _, value = reason.partition("=")
        if name == "retryDelay":
            with contextlib.suppress(ValueError):
                return max(0.0, float(value.removesuffix("s")))
    return None

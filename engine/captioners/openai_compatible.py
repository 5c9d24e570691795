"""Captions from any server that speaks OpenAI's chat completions, such as vLLM and llama.cpp."""

from __future__ import annotations

import asyncio
import base64
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI, AsyncStream

from engine.captioners.answers import MOST_CHARACTERS, cut_invented_turn
from engine.captioners.base import (
    CaptionError,
    CaptionMedia,
    CaptionRequest,
    FatalCaptionError,
)
from engine.captioners.content_types import ContentTypes, Form, refused_type
from engine.captioners.keys import key_of
from engine.captioners.media import (
    MOST_FRAMES,
    as_caption_error,
    in_thread,
    pictures,
    small_video,
    sound,
)
from engine.captioners.prompts import NO_SOUND_NOTE
from engine.captioners.retry import (
    Gate,
    Service,
    TransientError,
    broken_off,
    checked_key,
    cleaned,
    fault_of_status,
    retry_after,
)
from engine.errors import UsageError
from engine.text import listed

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk

# Servers without keys want one all the same.
_NO_KEY = "none"
_OWN_FORMS: dict[str, Form] = {"vllm": "vllm", "llamacpp": "llamacpp"}
_BLOCKED = "content_filter"


class _AskAgainError(Exception):
    """The server wants the same thing said in another way, which is known by now.

    Attributes:
        refused: The type of content that it does not take; empty where it is about an option.
        said: Its words.
    """

    def __init__(self, refused: str, said: str) -> None:
        super().__init__(refused, said)
        self.refused = refused
        self.said = said


class OpenAICaptioner:
    """Sends frames and sound to a server and returns what it writes.

    The first clip finds out what the server takes; until it is through, the others wait.
    """

    def __init__(
        self,
        *,
        model: str = "",
        base_url: str = "",
        api_key: str = "",
        form: Form = "auto",
        gate: Gate | None = None,
        most_frames: int = MOST_FRAMES,
    ) -> None:
        """Make a captioner; nothing is sent yet.

        Args:
            model: Its name on the server; empty takes the only one that the server has.
            base_url: Such as "http://localhost:8000/v1"; empty is OPENAI_BASE_URL or OpenAI's own.
            api_key: Empty takes OPENAI_API_KEY; a server of one's own needs none.
            form: How frames and sound are sent; "auto" finds out.
            gate: How many clips at once, and how patient we are.
            most_frames: Frames of one clip, at most.

        Raises:
            FatalCaptionError: OpenAI's own service without a key, or what is given cannot be one.
            UsageError: An address that is none, or that has a password in it.
        """
        address = base_url or os.environ.get("OPENAI_BASE_URL", "")
        self._secret = checked_key(api_key or key_of("openai"))
        if not address and not self._secret:
            raise FatalCaptionError(
                "OpenAI's service needs a key",
                remedy="set OPENAI_API_KEY, or name a server of your own with --base-url",
            )
        self._service = Service(
            name=_server_name(address),
            key_remedy="check the key (OPENAI_API_KEY or --api-key)",
            model_remedy="check --model and --base-url, which mostly ends in /v1",
        )
        self._gate = gate or Gate(4)
        self._client = AsyncOpenAI(
            api_key=self._secret or _NO_KEY,
            base_url=address or None,
            max_retries=0,
            timeout=self._gate.policy.timeout,
        )
        self._model = model
        self._is_own = bool(address)
        self._types = ContentTypes(form)
        self._most_frames = most_frames
        self._first = asyncio.Lock()
        self._is_known = False
        self._limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
        self._greedy = True

    async def caption(self, media: CaptionMedia, request: CaptionRequest) -> str:
        """Return the answer, cut at an invented turn.

        Raises:
            CaptionError: There is none.
        """
        if not self._is_known:
            async with self._first:
                if not self._is_known:
                    text = await self._caption(media, request, find_out=True)
                    self._is_known = True
                    return text
        return await self._caption(media, request)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _caption(
        self, media: CaptionMedia, request: CaptionRequest, *, find_out: bool = False
    ) -> str:
        async with self._gate.slot():
            if find_out:
                await self._look_at_server()
            refused: set[str] = set()
            while True:
                content = await self._content(media, request)
                try:
                    text = await self._gate.attempt(partial(self._ask, content, request))
                except _AskAgainError as again:
                    if again.refused in refused:
                        raise self._takes_none(again.refused, again.said) from None
                    refused |= {again.refused} - {""}
                    continue
                return cut_invented_turn(text)

    async def _look_at_server(self) -> None:
        """Ask for the models, where their list says something that is not known."""
        if self._model and self._types.form != "auto":
            return
        try:
            models = await self._gate.attempt(self._models)
        except FatalCaptionError as error:
            if not self._model or "answers 404" not in error.message:
                raise
            return  # a server without a list
        owner = next(
            (owned for name, owned in models if name == self._model or not self._model), ""
        )
        if not self._model:
            if not models or (len(models) > 1 and owner not in _OWN_FORMS):
                raise FatalCaptionError(
                    f"{self._service.name} has {len(models):,} models",
                    remedy=f"name one with --model: {listed([name for name, _ in models])}"
                    if models
                    else "load one first",
                )
            self._model = models[0][0]
        self._types.start_with(_OWN_FORMS.get(owner, "openai"))

    async def _models(self) -> list[tuple[str, str]]:
        if not self._is_own and not self._model:
            raise FatalCaptionError("no model is named", remedy="name one with --model")
        try:
            page = await self._client.models.list()
            return [(model.id, str(getattr(model, "owned_by", "") or "")) for model in page.data]
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise self._fault(error, frozenset()) from None

    async def _content(self, media: CaptionMedia, request: CaptionRequest) -> list[dict[str, Any]]:
        """Return the message: frames, sound, instruction."""
        parts: list[dict[str, Any]] = []
        notes = [request.instruction]
        asked = media.path, request.fps, self._most_frames
        with as_caption_error(media.path):
            if media.kind == "video" and self._types.picture == "video_url":
                film = await in_thread(lambda check: small_video(*asked, check, media.span))
                parts.append(_url("video_url", "video/mp4", film))
            else:
                frames = await in_thread(lambda check: pictures(*asked, check, media.span))
                if len(frames) > 1:
                    notes.insert(0, f"These are {len(frames)} frames of one clip, in order.")
                parts += [_url("image_url", "image/jpeg", frame) for frame in frames]
            if request.with_audio and media.kind == "video":
                heard = await in_thread(lambda check: sound(media.path, check, media.span))
                if heard is None:
                    notes.append(NO_SOUND_NOTE)
                else:
                    parts.append(self._sound_part(heard))
        return [*parts, {"type": "text", "text": "\n\n".join(notes)}]

    def _sound_part(self, heard: bytes) -> dict[str, Any]:
        if self._types.sound == "audio_url":
            return _url("audio_url", "audio/wav", heard)
        data = base64.b64encode(heard).decode("ascii")
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}

    async def _ask(self, content: list[dict[str, Any]], request: CaptionRequest) -> str:
        options: dict[str, Any] = {self._limit_name: request.max_tokens}
        if self._greedy:
            options["temperature"] = 0
        messages = [{"role": "user", "content": content}]
        sent = frozenset(str(part["type"]) for part in content)
        try:
            # The types of the client know nothing of vLLM's content.
            stream = await self._client.chat.completions.create(
                model=self._model, messages=cast("Any", messages), stream=True, **options
            )
            async with cast("AsyncStream[ChatCompletionChunk]", stream) as chunks:
                return await _read(chunks)
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise self._fault(error, sent) from None

    def _fault(self, error: Exception, sent: frozenset[str]) -> Exception:
        """Return what an error of the client means; only words of the server go into it."""
        if isinstance(error, openai.APITimeoutError):
            return TransientError(f"no answer from {self._service.name} in time")
        if isinstance(error, openai.APIConnectionError):
            return broken_off(error, self._service)
        if not isinstance(error, openai.APIError) or isinstance(
            error, openai.APIResponseValidationError
        ):
            return TransientError(f"the answer of {self._service.name} makes no sense")
        said = cleaned(_message(error), [self._secret])
        status = error.status_code if isinstance(error, openai.APIStatusError) else _code(error)
        refused = refused_type(status, said, sent)
        if refused or self._is_about_options(status, said):
            return self._other_way(refused, said)
        if error.code == "insufficient_quota":
            return FatalCaptionError(said, remedy="check the account's credit and plan")
        if error.code == _BLOCKED:
            return CaptionError("the service blocked the clip", remedy="caption it by hand")
        if status == 400 and "context" in said.lower():
            return CaptionError(
                said, remedy="look at fewer frames (--fps), or serve with a longer context"
            )
        asked = (
            retry_after(error.response.headers)
            if isinstance(error, openai.APIStatusError)
            else None
        )
        return fault_of_status(status, said, self._service, asked=asked)

    def _is_about_options(self, status: int, said: str) -> bool:
        """Whether the server wants an option in another way; it is set so for the next try."""
        if status not in (400, 422):
            return False
        if "support" not in said.lower():
            return False
        if "max_completion_tokens" in said and self._limit_name == "max_tokens":
            self._limit_name = "max_completion_tokens"
            return True
        if "temperature" in said.lower() and self._greedy:
            self._greedy = False
            return True
        return False

    def _other_way(self, refused: str, said: str) -> Exception:
        """Return what follows from a refused type of content: say it in another way, or give up."""
        if not refused or self._types.give_up(refused):
            return _AskAgainError(refused, said)
        return self._takes_none(refused, said)

    def _takes_none(self, refused: str, said: str) -> FatalCaptionError:
        if refused in ("input_audio", "audio_url"):
            return FatalCaptionError(
                f"{self._service.name} takes no sound: {said}",
                remedy="caption without it (--no-audio), or serve a model that hears",
            )
        return FatalCaptionError(
            f"{self._service.name} takes no pictures: {said}",
            remedy="serve a model that sees; llama.cpp needs its --mmproj file",
        )


async def _read(stream: AsyncStream[ChatCompletionChunk]) -> str:
    """Return the text of a streamed answer.

    Raises:
        CaptionError: It was blocked, or cut short before it began.
        TransientError: It broke off, or was empty.
    """
    text: list[str] = []
    length = 0
    reason = ""
    async for chunk in stream:
        for choice in chunk.choices[:1]:
            piece = choice.delta.content or choice.delta.refusal or ""
            text.append(piece)
            length += len(piece)
            reason = choice.finish_reason or reason
        if length > MOST_CHARACTERS:
            reason = "length"
            break
    whole = "".join(text)
    if reason == _BLOCKED:
        raise CaptionError("the service blocked the answer", remedy="caption the clip by hand")
    if not reason:
        raise TransientError("the answer broke off")
    if not whole.strip():
        if reason == "length":
            raise CaptionError(
                "the answer was cut short before it began",
                remedy="turn off the model's thinking, or allow longer answers",
            )
        raise TransientError("the answer was empty")
    return whole


def _url(kind: str, mime: str, data: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode("ascii")
    return {"type": kind, kind: {"url": f"data:{mime};base64,{encoded}"}}


def _message(error: openai.APIError) -> str:
    body = error.body
    inner = body.get("message") if isinstance(body, dict) else None
    return str(inner or error.message)


def _code(error: openai.APIError) -> int:
    """Return the status that an error inside a stream names; servers say it there in the body."""
    for value in (error.code, error.body.get("code") if isinstance(error.body, dict) else None):
        if value is not None and str(value).isdecimal() and 400 <= int(value) < 600:
            return int(value)
    return 500


def _server_name(address: str) -> str:
    if not address:
        return "OpenAI"
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "--base-url is no address", remedy="write it like http://localhost:8000/v1"
        )
    if parts.username or parts.password:
        raise UsageError(
            "--base-url must not have a password in it", remedy="set OPENAI_API_KEY instead"
        )
    return f"the server at {parts.hostname}{port}"

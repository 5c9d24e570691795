"""Make a captioner by its name; the vendors' clients are loaded only for those that use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.captioners.base import Captioner, CaptionerName
from engine.captioners.content_types import FORMS
from engine.captioners.keys import NETWORK
from engine.captioners.retry import Gate, Policy
from engine.errors import EnvironmentFaultError, UsageError
from engine.text import guessed

if TYPE_CHECKING:
    from engine.captioners.content_types import Form

MOST_WORKERS = 64


def make_captioner(
    name: CaptionerName,
    *,
    model: str = "",
    base_url: str = "",
    api_key: str = "",
    num_workers: int = 4,
    form: Form = "auto",
    policy: Policy | None = None,
) -> Captioner:
    """Return a captioner that is reached over a network; nothing is sent yet.

    "qwen_omni" is none of them: it runs in the encoder process.

    Args:
        name: "gemini_flash" or "openai".
        model: Its name there; empty takes the default, or the only one that a server has.
        base_url: Of the server; empty is the vendor's own.
        api_key: Empty takes it from the environment.
        num_workers: How many clips are in hand at once.
        form: "openai" only: how frames and sound are sent.
        policy: How patient we are.

    Raises:
        EnvironmentFaultError: The vendor's client is not installed.
        CaptionError: There is no key where one is needed.
        UsageError: A name, a number or an address that makes no sense.
    """
    if name not in NETWORK:
        raise UsageError(
            f"{name!r} is no captioner that is reached over a network",
            remedy=guessed(name, list(NETWORK), otherwise="use"),
        )
    if not 1 <= num_workers <= MOST_WORKERS:
        raise UsageError(f"--num-workers {num_workers}", remedy=f"use 1 to {MOST_WORKERS}")
    if form not in FORMS:
        raise UsageError(f"unknown form {form!r}", remedy=guessed(form, FORMS, otherwise="use"))
    gate = Gate(num_workers, policy)
    try:
        if name == "gemini_flash":
            from engine.captioners.gemini_flash import GeminiCaptioner

            return GeminiCaptioner(model=model, api_key=api_key, base_url=base_url, gate=gate)
        from engine.captioners.openai_compatible import OpenAICaptioner

        return OpenAICaptioner(
            model=model, api_key=api_key, base_url=base_url, gate=gate, form=form
        )
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("google", "openai"):
            raise
        raise EnvironmentFaultError(
            f"captioning with {name} needs the package {error.name}",
            remedy=f"pip install 'ltx-tui[{NETWORK[name]}]'",
        ) from error

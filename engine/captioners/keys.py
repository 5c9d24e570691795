"""The services that caption, and their keys: only in the environment, in no setting and no log."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Those that are reached over a network, and the extra that each needs.
NETWORK = {"gemini_flash": "gemini", "openai": "openai"}
# By captioner: the vendors' own variables, the first of which goes before the others.
VARIABLES = {
    "gemini_flash": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "openai": ("OPENAI_API_KEY",),
}


def key_of(captioner: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a captioner's key; empty where there is none.

    Args:
        captioner: Its name.
        environment: Where to look; by default this process's.
    """
    known = os.environ if environment is None else environment
    return next((known[name] for name in VARIABLES.get(captioner, ()) if known.get(name)), "")


def keys_here() -> dict[str, str]:
    """Return all keys that this process knows, by their variables."""
    names = [name for group in VARIABLES.values() for name in group]
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def use_key(captioner: str, key: str) -> None:
    """Let this process know a key that was given by hand, as if it were in its environment.

    So the workers that it starts know it too; those that run already are told with the job.
    """
    if key and captioner in VARIABLES:
        os.environ[VARIABLES[captioner][0]] = key

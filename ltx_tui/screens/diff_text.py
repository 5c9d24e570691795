"""A difference between two captions, to be read without colours as well."""

from __future__ import annotations

from typing import Any

from rich.style import Style
from rich.text import Text
from textual.app import App

from engine.dataset.word_diff import word_diff
from engine.text import visible
from ltx_tui.colours import style


def diff_text(app: App[Any], old: str, new: str) -> Text:
    """Return both as one text: [-what goes-] and {+what comes+}."""
    gone, come = style(app, "error") + Style(strike=True), style(app, "success", bold=True)
    text = Text()
    for kind, piece in word_diff(old, new):
        words = visible(piece, keep="\n")
        if kind == "same":
            text.append(words)
        elif kind == "old":
            text.append(f"[-{words}-]", gone)
        else:
            text.append(f"{{+{words}+}}", come)
    return text

"""What is said above a caption, in words."""

from __future__ import annotations

import time

from engine.overview.types import CaptionState
from engine.text import plural, visible
from ltx_tui.captions.book import CaptionBook
from ltx_tui.captions.docs import Doc
from ltx_tui.children.token_counts import TokenCount
from ltx_tui.drawing.signs import plain, signs

SIGNS = {
    CaptionState.NONE: "○ none",
    CaptionState.DRAFT: "✎ draft",
    CaptionState.AUTO: "◌ auto",
    CaptionState.EDITED: "● edited",
    CaptionState.REVIEWED: "✓ reviewed",
}


def written(text: str) -> str:
    """Return words of ours as the terminal can write them."""
    return plain(text, signs())


def ago(seconds: float) -> str:
    """Return "just now", "2 min ago", "3 h ago", "5 days ago"."""
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h ago"
    return f"{plural(int(seconds // 86400), 'day')} ago"


def status(captions: CaptionBook, doc: Doc, tokens: TokenCount | None, width: int) -> str:
    """Return how the caption stands; what has no room is left out, the last things stay."""
    state = captions.state(doc.key, doc.text)
    when = f"edited {ago(time.time() - doc.typed)}" if doc.typed else ""
    parts = []
    if state is CaptionState.EDITED and when:
        parts.append(f"● {when}")
    else:
        parts += [] if state is CaptionState.DRAFT else [SIGNS[state]]
        parts += [when] if when else []
    if tokens is not None:
        parts.append(str(tokens))
    parts.append(_saved(doc))
    while len(parts) > 1 and len(" · ".join(parts)) > width:
        del parts[0]
    return written(" · ".join(parts))


def _saved(doc: Doc) -> str:
    if doc.clash is not None:
        return "⚠ conflict"
    if doc.is_saved:
        return "saved ✓"
    if doc.is_held:
        return "✎ draft, both texts"
    return "✎ draft kept" if doc.is_kept else "✎ typing"


def notice(captions: CaptionBook, doc: Doc | None, outside: int, arrived: int = 0) -> str:
    """Return what needs the user's eye; empty when nothing does.

    Args:
        captions: The captions.
        doc: The one in hand.
        outside: How many captions another program changed since this one was opened.
        arrived: How many a job of ours wrote.
    """
    problem = captions.problem
    if captions.is_read_only and problem is not None:
        return f"⚠ nothing can be edited: {visible(problem.message)} — {visible(problem.remedy)}"
    if doc is not None and doc.clash is not None:
        what = "its row is gone from" if doc.clash.is_gone else "it was changed in"
        return f"⚠ {what} the dataset file as well: ctrl+g decides; yours is kept as a draft"
    if problem is not None:
        return (
            f"⚠ not saved: {visible(problem.message)} — {visible(problem.remedy)}; drafts are kept"
        )
    if conflicts := captions.conflicts:
        return f"⚠ {plural(len(conflicts), 'other caption')} changed here and outside: ctrl+g"
    if arrived:
        return f"{plural(arrived, 'new caption')} came in"
    return f"merged {plural(outside, 'caption')} changed outside" if outside else ""

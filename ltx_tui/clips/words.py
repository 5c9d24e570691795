"""What the clip list says of itself: its headline, and why there is nothing to see."""

from __future__ import annotations

from engine.text import plural, visible
from ltx_tui.clips.store import Store


def headline(store: Store) -> str:
    """Return how many clips are shown, by which filter, and what is going on."""
    parts = []
    if store.filter.text:
        parts = [f"{len(store.shown):,} of {len(store):,}", f"/{visible(store.filter.text)}"]
    elif len(store):
        parts = [plural(len(store), "clip")]
    if store.marked:
        parts.append(f"{len(store.marked):,} marked")
    if store.fault is not None:
        parts.append("as it was last time" if len(store) else "cannot be read")
    elif store.scanned is not None:
        # How far is said elsewhere: a headline is part of a frame, which is drawn as a whole.
        parts.append("looking at media")
    elif store.is_loading and (store.is_stale or not store.overview.whole):
        parts.append("as it was last time")
    return " · ".join(parts)


def fault_words(store: Store) -> tuple[str, ...]:
    """Return why the dataset cannot be read, and what to do; nothing where all is well."""
    if store.fault is None:
        return ()
    error = store.fault.to_error()
    remedy = error.remedy
    dataset = store.project.dataset_path
    if str(error.file) == str(dataset) and not dataset.exists():
        remedy = "put it there, or name another one: dataset.path in the settings, f2"
    words = (error.headline, remedy, "f5 tries again")
    return tuple(visible(one) for one in words if one)


def empty_words(store: Store) -> tuple[str, ...]:
    """Return why no clip is shown, and what to do about it."""
    dataset = visible(store.project.dataset_path.name)
    if len(store):
        return (
            f"None of {plural(len(store), 'clip')} matches /{visible(store.filter.text)}",
            "escape shows all of them",
        )
    if store.fault is not None:
        return fault_words(store)
    if store.is_loading:
        return (f"Reading {dataset} …",)
    if store.overview.whole:
        return (
            f"{dataset} has no clips yet",
            "X cuts long videos into clips; or add rows to the dataset, then press f5",
        )
    return ()

"""Proxies of a dataset's clips: made beside their sources, named in the dataset, and undone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from engine.dataset.manifest import cell_text
from engine.dataset.name_keys import name_keys
from engine.dataset.renamed import carry_over
from engine.dataset.write_cells import Cell, row_keys, write_cells
from engine.errors import DatasetError, MediaError
from engine.files.identity import stat_identity
from engine.findings import PROXY, Finding, Fixed
from engine.health.clip_set import Gathered, looked, usual_rate
from engine.media.health import Signs
from engine.media.probe import Probe, probe
from engine.media.proxy import Treatment, make_proxy
from engine.media.reference import stems
from engine.media.selection import exact_rate
from engine.precompute.survey import ClipPlan
from engine.state.kept import Kept
from engine.text import visible

SOURCE_COLUMN = "source_path"
_KIND = "proxy"
_REFERENCE_KIND = "reference"
# Rates that cameras and films have; one that is near is taken instead of a measured mean.
_RATES = tuple(
    Fraction(*rate)
    for rate in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001),
                 (60, 1))
)  # fmt: skip
_NEAR_RATE = 0.01


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a proxy of ours was made of, and what it mends."""

    source: str
    size: int
    mtime_ns: int
    codes: tuple[str, ...]
    treatment: Treatment


class Mend(NamedTuple):
    """A clip that gets a proxy.

    Attributes:
        plan: The clip as it is now, which may be a proxy already.
        key: (media path, which of its rows).
        source: The original.
        target: The proxy.
        value: What the media cell gets.
        original: What the source column gets.
        codes: All that the proxy mends.
    """

    plan: ClipPlan
    key: tuple[str, int]
    source: Path
    target: Path
    value: str
    original: str
    codes: tuple[str, ...]


def to_mend(
    found: Gathered,
    findings: Iterable[Finding],
    codes: Sequence[str],
    only: Sequence[str],
    kept: Kept,
) -> list[Mend]:
    """Return the clips that have something of `codes` that a proxy mends.

    Args:
        found: The dataset.
        findings: What the doctor found of it.
        codes: What is to be mended.
        only: Names of clips; empty for all.
        kept: What is known of proxies that are there.
    """
    wanted: dict[int, list[str]] = {}
    for one in findings:
        if one.row is not None and one.fix and one.code in codes:
            wanted.setdefault(one.row, []).append(one.code)
    keys = row_keys(found.manifest.rows, found.columns.video)
    taken = {str(plan.clip.media).casefold() for plan in found.plans}
    targets: dict[Path, Path] = {}
    mends = []
    for plan in found.plans:
        row = plan.clip.row
        if row not in wanted or (only and plan.clip.name not in only) or plan.probe is None:
            continue
        source, before = _original(found, plan, kept)
        if source not in targets:
            targets[source] = _target(source, plan.probe, taken, kept)
            taken.add(str(targets[source]).casefold())
        target = targets[source]
        original = cell_text(found.manifest.rows[row].get(SOURCE_COLUMN)) or keys[row][0]
        mends.append(
            Mend(
                plan=plan,
                key=keys[row],
                source=source,
                target=target,
                value=str(PurePosixPath(original).with_name(target.name)),
                original=original,
                codes=tuple(sorted({*before, *wanted[row]})),
            )
        )
    return mends


def _original(found: Gathered, plan: ClipPlan, kept: Kept) -> tuple[Path, tuple[str, ...]]:
    """Return the file that a clip's proxy is made of, and what its present proxy mends."""
    named = cell_text(found.manifest.rows[plan.clip.row].get(SOURCE_COLUMN)).strip()
    record = _record(plan.clip.media, kept)
    if named and record is not None:
        source = found.manifest.path.parent.absolute() / named
        if source.is_file():
            return source, record.codes
    return plan.clip.media, ()


def _record(path: Path, kept: Kept) -> Record | None:
    entry = kept.last(_KIND, path)
    return msgspec.msgpack.decode(entry.data, type=Record) if entry is not None else None


def _target(source: Path, found: Probe, taken: set[str], kept: Kept) -> Path:
    """Return a name for a proxy that is free, or has this source's proxy."""
    suffix = ".png" if found.kind == "image" else ".mp4"
    for stem in stems(source):
        target = source.with_name(f"{stem}{PROXY}{suffix}")
        record = _record(target, kept)
        ours = record is not None and record.source == source.name
        if ours or not (target.exists() or str(target).casefold() in taken):
            return target
    raise AssertionError  # the stems do not end


def mend(found: Gathered, one: Mend, kept: Kept, check: Callable[[], None]) -> None:
    """Write a clip's proxy; the dataset is not touched.

    Args:
        found: The dataset.
        one: The clip.
        kept: What is known of looks and proxies.
        check: Called now and then; what it raises ends the work.

    Raises:
        MediaError: The source cannot be read, or its reference would no longer fit.
    """
    source_probe = probe(one.source)
    treatment = _treatment(found, one, source_probe, kept, check)
    _check_pair(found, one, treatment, kept)
    before = stat_identity(one.source)
    record = Record(
        source=one.source.name,
        size=before.size,
        mtime_ns=before.mtime_ns,
        codes=one.codes,
        treatment=treatment,
    )
    if one.target.exists() and kept.fresh(_KIND, one.target) == msgspec.msgpack.encode(record):
        return
    make_proxy(one.source, one.target, source_probe, treatment, check=check)
    kept.keep(_KIND, one.target, stat_identity(one.target), msgspec.msgpack.encode(record))


def _treatment(
    found: Gathered, one: Mend, source: Probe, kept: Kept, check: Callable[[], None]
) -> Treatment:
    crop = None
    if "borders" in one.codes:
        signs = looked(one.source, source, kept, check)
        crop = signs.borders if isinstance(signs, Signs) else None
    return Treatment(
        rate=_rate(found, one, source),
        crop=crop,
        matrix="ITU709" if "matrix-missing" in one.codes else "",
    )


def _rate(found: Gathered, one: Mend, source: Probe) -> tuple[int, int] | None:
    """Return the rate that a proxy gets, where it is not its source's."""
    if source.kind != "video":
        return None
    rate = source.fps
    if source.vfr or "odd-fps" in one.codes:
        fps = found.project.video.fps
        usual = exact_rate(fps, slack=0.005) if fps else usual_rate(found)
        near = [known for known in _RATES if abs(known / source.fps - 1) < _NEAR_RATE]
        rate = usual or (near[0] if near and source.vfr else source.fps)
    return rate.as_integer_ratio() if source.vfr or rate != source.fps else None


def _check_pair(found: Gathered, one: Mend, treatment: Treatment, kept: Kept) -> None:
    """Refuse to part a clip from a reference that cannot be made again.

    Raises:
        MediaError: The proxy has another picture or other moments than the reference.
    """
    column = found.columns.detected_reference
    named = cell_text(found.manifest.rows[one.plan.clip.row].get(column)) if column else ""
    if not named or (treatment.crop is None and treatment.rate is None):
        return
    reference = found.manifest.path.parent.absolute() / named
    if reference.exists() and kept.last(_REFERENCE_KIND, reference) is None:
        raise MediaError(
            "a proxy with another rate or without its bars would no longer fit its reference "
            f"{visible(named)}",
            remedy="mend both by hand, or empty the reference's cell and make it again afterwards",
            file=one.plan.clip.media,
        )


def name_proxies(found: Gathered, mends: Sequence[Mend]) -> tuple[list[Fixed], list[Mend]]:
    """Let the dataset name proxies that are made, with what goes by the old name going along.

    Returns:
        What was changed, and what was not, for its row was changed meanwhile.

    Raises:
        DatasetError: The dataset cannot be written.
    """
    cells = []
    for one in mends:
        media, nth = one.key
        column = found.columns.video
        old = found.manifest.rows[one.plan.clip.row].get(SOURCE_COLUMN)
        cells += [
            Cell(media=media, nth=nth, column=column, before=media, value=one.value),
            Cell(media=media, nth=nth, column=SOURCE_COLUMN, before=old, value=one.original),
        ]
    left = {(cell.media, cell.nth) for cell in _write(found, cells)}
    done = [one for one in mends if one.key not in left]
    _follow(found, {one.plan.clip.row: one.value for one in done})
    fixed = [
        Fixed(
            row=one.plan.clip.row,
            clip=visible(one.value),
            codes=one.codes,
            media=visible(one.value),
            source=visible(one.original),
        )
        for one in done
    ]
    return fixed, [one for one in mends if one.key in left]


def undo(found: Gathered, only: Sequence[str], kept: Kept) -> list[Fixed]:
    """Give rows their own files back, and remove proxies of ours that nobody changed.

    Args:
        found: The dataset.
        only: Names of clips, as they are or were; empty for all.
        kept: What is known of proxies.

    Raises:
        DatasetError: The dataset cannot be written.
    """
    root = found.manifest.path.parent.absolute()
    keys = row_keys(found.manifest.rows, found.columns.video)
    undone: dict[tuple[str, int], Fixed] = {}
    cells = []
    for row, values in enumerate(found.manifest.rows):
        original = cell_text(values.get(SOURCE_COLUMN)).strip()
        media, nth = keys[row]
        wanted = not only or visible(media) in only or visible(original) in only
        # What is known of proxies may have been deleted; their names stay.
        named = PROXY in PurePosixPath(media).stem
        ours = original and (named or _record(root / media, kept) is not None)
        if not (ours and wanted) or not (root / original).is_file():
            continue
        column = found.columns.video
        cells += [
            Cell(media=media, nth=nth, column=column, before=media, value=original),
            Cell(media=media, nth=nth, column=SOURCE_COLUMN, before=original, value=""),
        ]
        undone[keys[row]] = Fixed(
            row=row,
            clip=visible(original),
            codes=(),
            media=visible(original),
            source=visible(media),
        )
    left = {(cell.media, cell.nth) for cell in _write(found, cells)}
    originals = {(cell.media, cell.nth): str(cell.value) for cell in cells if cell.value}
    done = {key: fixed for key, fixed in undone.items() if key not in left}
    _follow(found, {fixed.row: originals[key] for key, fixed in done.items()})
    for media, _ in done:
        if not any(key[0] == media for key in left):
            _remove(root / media, kept)
    return [*done.values()]


def _remove(proxy: Path, kept: Kept) -> None:
    """Remove a proxy that is as we made it; one that was changed stays."""
    with contextlib.suppress(OSError):
        if kept.fresh(_KIND, proxy) is not None:
            proxy.unlink()
            kept.forget(_KIND, proxy)


def _write(found: Gathered, cells: Sequence[Cell]) -> list[Cell]:
    path = found.manifest.path
    try:
        return write_cells(path, cells, video_column=found.columns.video)
    except OSError as error:
        raise DatasetError(
            f"cannot be written: {error.strerror or error}",
            remedy="make its folder writable, and space on its disk",
            file=path,
        ) from error


def _follow(found: Gathered, media: Mapping[int, str]) -> None:
    """Let what goes by the names of rows follow their new media paths, by row."""
    column, rows = found.columns.video, found.manifest.rows
    after = [{**row, column: media.get(n, row.get(column))} for n, row in enumerate(rows)]
    carry_over(found.project, name_keys(rows, column), name_keys(after, column))

"""Whether a clip and its reference are a pair: the same picture at the same moments."""

from __future__ import annotations

import msgspec

from engine.errors import MediaError
from engine.media.probe_types import Probe
from engine.project import Project
from engine.text import plural

# Shapes nearer than this are cropped alike, and lengths nearer than this are the same, in frames.
_SAME_SHAPE = 0.02
_SAME_LENGTH = 2


class PairNote(msgspec.Struct, frozen=True, kw_only=True):
    """Why a reference may not fit its clip, although both can be used.

    Attributes:
        code: A short stable name, such as "pair-shape".
    """

    code: str
    text: str
    remedy: str


def check_reference(found: Probe, project: Project) -> None:
    """Refuse a reference that cannot be read as a picture.

    Raises:
        MediaError: It is a sound, or HDR where that is refused.
    """
    if found.kind == "audio":
        raise MediaError(
            "its reference holds sound and no video", remedy="name a video in the reference column"
        )
    if found.hdr and project.video.hdr == "refuse":
        raise MediaError(
            f"its reference is HDR video ({found.hdr.upper()})",
            remedy='set video.hdr = "tonemap", or make the reference in SDR',
        )


def pair_notes(reference: Probe, clip: Probe) -> tuple[PairNote, ...]:
    """Return what differs between a clip and its reference that should not.

    Both get the size and length of one bucket; what can still differ is which part of the picture
    and which moments those are.
    """
    notes = (_shape(reference, clip), _rate(reference, clip) or _length(reference, clip))
    return tuple(note for note in notes if note is not None)


def _shape(reference: Probe, clip: Probe) -> PairNote | None:
    ratio = (reference.width * clip.height) / (reference.height * clip.width)
    if abs(ratio - 1) < _SAME_SHAPE:
        return None
    return PairNote(
        code="pair-shape",
        text=f"its reference is {reference.width}x{reference.height}, another shape than the "
        f"clip's {clip.width}x{clip.height}: the two are cropped differently",
        remedy="make the reference of this very clip again (ltx-tui compute-reference)",
    )


def _rate(reference: Probe, clip: Probe) -> PairNote | None:
    """Note a reference whose rate was rounded, as the original script does: 29.97 becomes 29."""
    videos = reference.kind == clip.kind == "video"
    if not videos or reference.vfr or clip.vfr or clip.frames < 2:
        return None
    if reference.frames != clip.frames or reference.fps == clip.fps:
        return None
    return PairNote(
        code="pair-rate",
        text=f"its reference has the clip's {plural(clip.frames, 'frame')} at "
        f"{float(reference.fps):.5g} instead of {float(clip.fps):.5g} a second: they drift apart",
        remedy="make the reference again (ltx-tui compute-reference), which keeps the exact rate",
    )


def _length(reference: Probe, clip: Probe) -> PairNote | None:
    if reference.kind != clip.kind:
        return PairNote(
            code="pair-length",
            text=f"its reference is {_kind(reference)}, and the clip {_kind(clip)}",
            remedy="make the reference of this very clip",
        )
    if abs(reference.duration - clip.duration) * float(clip.fps) < _SAME_LENGTH:
        return None
    return PairNote(
        code="pair-length",
        text=f"its reference lasts {reference.duration:.4g} s, and the clip {clip.duration:.4g} s",
        remedy="check that both begin at the same moment, or make the reference again",
    )


def _kind(probe: Probe) -> str:
    return "an image" if probe.kind == "image" else "a video"

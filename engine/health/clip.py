"""What is wrong with one clip, from its probe, its look and its place in the plan."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from engine.findings import FIXES, Finding, Severity
from engine.media.health import Signs, covered
from engine.media.probe import Probe
from engine.media.selection import exact_rate, selection_count
from engine.precompute.pairs import pair_notes
from engine.precompute.survey import ClipPlan
from engine.project import Project

# Sound that begins or ends within so many seconds of the picture is in place.
_LATE, _SHORT = 0.1, 0.25
# Enlarging by less than this is not seen.
_LARGER = 1.02
# A share of the clip that, when black or still, makes it useless.
_MOSTLY = 0.9

# Found here in other words, or by other names.
_OWN_WORDS = frozenset({"truncated", "vfr", "hdr", "untagged_matrix"})
_BT601 = ("smpte170m", "bt470bg")


def finding(plan: ClipPlan, code: str, severity: Severity, text: str, remedy: str) -> Finding:
    """Return a finding about a clip; `--fix` is offered where something mends it."""
    return Finding(
        row=plan.clip.row,
        clip=plan.clip.name,
        code=code,
        severity=severity,
        text=text,
        remedy=remedy,
        fix=FIXES.get(code, ""),
    )


def of_plan(plan: ClipPlan, project: Project, shortest: int) -> Iterator[Finding]:
    """Yield why a clip is blocked, and how it fits its bucket and its reference.

    Args:
        plan: The clip as `engine.precompute.survey` sees it.
        project: The settings.
        shortest: Frames of the shortest bucket.
    """
    probe = plan.probe
    if plan.blocked is not None:
        reason, remedy = plan.blocked.reason, plan.blocked.remedy
        code = _blocked_code(plan, project, shortest)
        yield finding(plan, code, "error", reason, remedy)
    kept = plan.kept
    if probe is None or kept is None or kept.bucket is None:
        return
    bucket = kept.bucket
    scale = max(bucket.width / probe.width, bucket.height / probe.height)
    if scale > _LARGER:
        yield finding(
            plan,
            "upscaled",
            "warning",
            f"smaller than its bucket: {probe.width}x{probe.height} is enlarged {scale:.2g} times "
            f"for {bucket}",
            "use a smaller bucket for it, or a larger original",
        )
    if kept.reference is not None:
        if kept.reference.path == plan.clip.media:
            yield finding(
                plan,
                "pair-same",
                "warning",
                "its reference is the clip itself",
                "make one (ltx-tui compute-reference), unless this is meant",
            )
        for note in pair_notes(kept.reference.probe, probe):
            yield finding(plan, note.code, "warning", note.text, note.remedy)


def _blocked_code(plan: ClipPlan, project: Project, shortest: int) -> str:
    probe = plan.probe
    if probe is None:
        return "unreadable"
    if probe.hdr and project.video.hdr == "refuse":
        return "hdr"
    if probe.kind != "video":
        return "no-picture" if probe.kind == "audio" else "no-bucket"
    fps = exact_rate(project.video.fps, slack=0.005) if project.video.fps else None
    if selection_count(probe, fps) < shortest:
        return "too-short"
    if plan.blocked is not None and plan.blocked.reason.startswith("its reference"):
        return "pair-blocked"
    return "blocked"


def of_probe(plan: ClipPlan, probe: Probe, project: Project) -> Iterator[Finding]:
    """Yield what a clip's header and timestamps say."""
    if probe.damaged:
        yield finding(
            plan,
            "truncated",
            "warning",
            f"damaged or cut short: {probe.frames:,} of {probe.declared_frames:,} frames decode",
            "copy or export it again to have all of it",
        )
    if probe.vfr:
        yield finding(
            plan,
            "vfr",
            "warning",
            f"variable frame rate, {float(probe.fps):.5g} a second in the mean: it is sampled by "
            "time, so that frames repeat or drop out",
            "record or export it at a constant rate, or set video.fps",
        )
    if probe.rotation or probe.mirrored:
        how = f"turned by {probe.rotation}°" if probe.rotation else ""
        how += (" and mirrored" if how else "mirrored") if probe.mirrored else ""
        yield finding(
            plan,
            "rotated",
            "note",
            f"{how} by its metadata, which other tools overlook",
            "it is encoded upright: nothing need be done",
        )
    if probe.hdr and not (plan.blocked is not None and project.video.hdr == "refuse"):
        yield finding(
            plan,
            "hdr",
            "note",
            f"HDR ({probe.hdr.upper()}), mapped to SDR when it is encoded",
            "nothing need be done",
        )
    yield from _colours(plan, probe)
    for warning in probe.warnings:
        if warning.code not in _OWN_WORDS:
            code = warning.code.replace("_", "-")
            yield finding(plan, code, "warning", warning.text, warning.remedy)


def _colours(plan: ClipPlan, probe: Probe) -> Iterator[Finding]:
    if probe.kind != "video" or probe.hdr:
        return
    if any(warning.code == "untagged_matrix" for warning in probe.warnings):
        yield finding(
            plan,
            "matrix-missing",
            "warning",
            "its colour matrix is not tagged: it is read as BT.601, and video of its size is "
            "mostly BT.709, whose greens and reds then come out wrong",
            "tag it when exporting",
        )
        return
    stored_rgb = probe.pixel_format.startswith(("rgb", "bgr", "gbr", "0rgb", "argb", "abgr"))
    clash = (
        (probe.matrix in _BT601 and probe.primaries == "bt709" and _is_hd(probe))
        or (probe.matrix.startswith("bt2020") and probe.primaries in ("bt709", *_BT601))
        or (probe.matrix == "bt709" and probe.primaries == "bt2020")
        or (probe.matrix == "rgb" and not stored_rgb)
    )
    if clash:
        yield finding(
            plan,
            "matrix-wrong",
            "warning",
            f"its colour tags disagree: matrix {probe.matrix}, primaries {probe.primaries}",
            "play it beside the original, and tag it anew when colours are off",
        )


def _is_hd(probe: Probe) -> bool:
    return min(probe.width, probe.height) >= 720


def of_signs(plan: ClipPlan, probe: Probe, signs: Signs) -> Iterator[Finding]:
    """Yield what a clip shows."""
    length = max(probe.duration, 1e-6)
    for code, word, stretches in (
        ("black", "black", signs.black),
        ("frozen", "the picture stands still", signs.frozen),
    ):
        if not stretches:
            continue
        share = covered(stretches) / length
        where = ", ".join(map(str, stretches[:3])) + (" …" if len(stretches) > 3 else "")
        whole = share >= _MOSTLY
        text = f"{word} all the time" if whole else f"{word} at {where}"
        if probe.kind == "image":
            text = "a black picture"
        remedy = "take it out" if whole else "cut that part away, or choose a window without it"
        yield finding(plan, code, "warning", text, remedy)
    if signs.partial and not probe.damaged:
        yield finding(
            plan,
            "seen-in-part",
            "note",
            "only its beginning was looked at: the rest does not decode, or takes too long",
            "play it to the end",
        )
    if signs.borders is not None:
        yield finding(
            plan,
            "borders",
            "warning",
            f"black bars: {signs.borders}",
            "crop them: the model would learn to draw them",
        )


def of_sound(
    plan: ClipPlan, probe: Probe, signs: Signs, project: Project, *, others_sound: bool
) -> Iterator[Finding]:
    """Yield what is heard of a clip with a picture.

    Args:
        plan: The clip.
        probe: What it is.
        signs: What was heard.
        project: The settings.
        others_sound: Whether most clips have sound.
    """
    severity: Severity = "warning" if project.audio.enabled else "note"
    sound = signs.sound
    if probe.kind != "video" or plan.clip.audio is not None:
        return
    if sound is None:
        if (project.audio.enabled and project.audio.silent != "fail") or (
            others_sound and not project.audio.enabled
        ):
            remedy = 'audio.silent = "silence" keeps it in training on sound and picture'
            yield finding(plan, "audio-missing", severity, "no sound track", remedy)
        return
    if sound.fault:
        remedy = "export it again, or remove the track to treat it as silent"
        text = f"its sound cannot be decoded: {sound.fault}"
        yield finding(plan, "audio-unreadable", "error" if project.audio.enabled else "note", text,
                      remedy)  # fmt: skip
        return
    if sound.is_silent:
        remedy = "remove the track, or check how it was recorded"
        text = f"its sound is silent ({sound.level})"
        yield finding(plan, "audio-silent", severity, text, remedy)
        return
    yield from _placed(plan, probe, sound.begins, sound.ends, severity)


def _placed(
    plan: ClipPlan, probe: Probe, begins: float, ends: float, severity: Severity
) -> Iterator[Finding]:
    if begins > _LATE:
        yield finding(
            plan,
            "audio-late",
            severity,
            f"its sound begins {begins:.2f} s after the picture, which other tools overlook",
            "it is encoded in its place: nothing need be done",
        )
    if probe.duration - ends > _SHORT:
        yield finding(
            plan,
            "audio-short",
            severity,
            f"its sound ends {probe.duration - ends:.2f} s before the picture",
            "the rest is encoded as silence: cut the clip where that is wrong",
        )


def odd_rate(plan: ClipPlan, probe: Probe, usual: Fraction | None) -> Iterator[Finding]:
    """Yield a rate that is not that of the set."""
    if usual is None or probe.kind != "video" or probe.vfr or probe.fps == usual:
        return
    yield finding(
        plan,
        "odd-fps",
        "warning",
        f"{float(probe.fps):.5g} frames a second, and most clips have {float(usual):.5g}",
        f"set video.fps = {float(usual):.5g} to bring all clips to one rate",
    )

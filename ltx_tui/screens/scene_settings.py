"""Changing how the scenes of a video are found and chosen: by keys, and typed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from textual.widget import Widget
from textual.widgets import Input

from engine.errors import LtxError, UsageError
from engine.media.scene_options import DETECTORS, THRESHOLDS, Choosing, DetectorName, Finding
from engine.media.scene_rules import MIN_SCENE_LENGTH
from engine.scenes.choices import Choices
from engine.text import plural
from ltx_tui.host import focus_now, workbench_of
from ltx_tui.screens.choice import Choice
from ltx_tui.screens.scene_pictures import ScenePictures

# How far a key moves the threshold.
_STEPS: dict[DetectorName, float] = {
    "content": 1.0,
    "adaptive": 0.25,
    "threshold": 1.0,
    "histogram": 0.01,
    "hash": 0.01,
}
_LOOKS_AT: dict[DetectorName, str] = {
    "content": "changes of colour",
    "adaptive": "colour, in fast motion",
    "threshold": "fades to black",
    "histogram": "histograms of brightness",
    "hash": "perceptual hashes",
}
_Take = Callable[[str], Choices]


class SceneSettings(ScenePictures):
    """The part of the scenes' screen that changes settings.

    Attributes:
        hint: What is being typed; empty for nothing.
    """

    hint = ""
    _take: _Take | None = None

    @property
    def home(self) -> Widget:
        """What has the focus while nothing is typed."""
        raise NotImplementedError

    def change(self, choices: Choices) -> None:
        """Take other choices about the video."""
        raise NotImplementedError

    # Choosing and stepping

    def do_detector(self) -> None:
        """Offer the detectors."""
        now = self.video.choices.finding.detector
        names = [f"{one:<10} {_LOOKS_AT[one]}" for one in DETECTORS]

        def taken(index: int | None) -> None:
            if index is not None and DETECTORS[index] != now:
                # What another detector calls a score means nothing to this one.
                self._find(detector=DETECTORS[index], threshold=None)

        self.app.push_screen(Choice("Detector", names, names[DETECTORS.index(now)]), taken)

    def do_threshold_up(self) -> None:
        """Make the threshold higher: fewer cuts."""
        self._move_threshold(1)

    def do_threshold_down(self) -> None:
        """Make the threshold lower: more cuts."""
        self._move_threshold(-1)

    def _move_threshold(self, by: int) -> None:
        finding = self.video.choices.finding
        step = _STEPS[finding.detector]
        level = round((finding.level / step) + by) * step
        try:
            self._find(threshold=round(level, 4))
        except UsageError:
            self.notify(f"{finding.level:g} is as far as {finding.detector} goes", timeout=2)

    def _find(self, **changes: object) -> None:
        self.change(self._found_with(**changes))

    def _found_with(self, **changes: object) -> Choices:
        choices = self.video.choices
        finding: Finding = msgspec.structs.replace(choices.finding, **changes)
        finding.check()
        if finding.threshold == THRESHOLDS[finding.detector]:
            finding = msgspec.structs.replace(finding, threshold=None)
        return msgspec.structs.replace(choices, finding=finding)

    def _chosen_with(self, **changes: object) -> Choices:
        choices = self.video.choices
        choosing: Choosing = msgspec.structs.replace(choices.choosing, **changes)
        choosing.check()
        return msgspec.structs.replace(choices, choosing=choosing)

    # Typing

    def do_threshold(self) -> None:
        """Ask for the threshold."""
        finding = self.video.choices.finding
        usual = f"{THRESHOLDS[finding.detector]:g}"

        def take(text: str) -> Choices:
            return self._found_with(threshold=_number(text) if text else None)

        hint = f"threshold of {finding.detector}; empty: {usual}"
        self._type(f"{finding.level:g}", hint, take)

    def do_least(self) -> None:
        """Ask how long the detector holds a scene."""
        length = self.video.choices.finding.min_scene_length

        def take(text: str) -> Choices:
            frames = _frames(text) if text else None
            return self._found_with(min_scene_length=None if frames == MIN_SCENE_LENGTH else frames)

        shown = MIN_SCENE_LENGTH if length is None else length
        hint = f"frames that the detector holds a scene; empty: {MIN_SCENE_LENGTH}"
        self._type(str(shown), hint, take)

    def do_shorter(self) -> None:
        """Ask how short a scene may be."""

        def take(text: str) -> Choices:
            return self._chosen_with(filter_shorter_than=text)

        hint = "leave out scenes shorter than 121 (frames), 5s, 0:01:30; empty: none"
        self._type(self.video.choices.choosing.filter_shorter_than, hint, take)

    def do_guard(self) -> None:
        """Ask for the guard."""

        def take(text: str) -> Choices:
            return self._chosen_with(trim=_frames(text) if text else Choosing().trim)

        hint = f"frames left out at each cut of the detector; empty: {Choosing().trim}"
        self._type(str(self.video.choices.choosing.trim), hint, take)

    def _type(self, value: str, hint: str, take: _Take) -> None:
        line = self.query_one(Input)
        self._take = take
        line.value, line.placeholder = value, hint
        line.display = True
        line.cursor_position = len(value)
        focus_now(line)
        self.hint = hint
        self.draw()

    def close_line(self) -> bool:
        """Take the typed line away; return whether there was one."""
        line = self.query_one(Input)
        if not line.display:
            return False
        line.display, self._take, self.hint = False, None, ""
        focus_now(self.home)
        self.draw()
        return True

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed; what makes no sense stays, to be mended."""
        if self._take is None:
            return
        try:
            self.change(self._take(event.value.strip()))
        except LtxError as error:
            workbench_of(self).complain(error)
            return
        self.close_line()

    # Several videos

    def do_spread(self) -> None:
        """Take the settings of this video for the chosen ones."""
        choices = self.video.choices
        others = [one for one in self.book.videos if one.is_picked and one is not self.video]
        for one in others:
            same = msgspec.structs.replace(
                one.choices, finding=choices.finding, choosing=choices.choosing
            )
            self.book.change(one, same)
        if others:
            self.notify(f"the same settings for {plural(len(others), 'other video')}", timeout=3)
        else:
            words = "no other video is chosen: space in the list of videos chooses one"
            self.notify(words, severity="warning", timeout=4)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no number", remedy="write it like 27 or 0.35") from error


def _frames(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(f"{text!r} is no number of frames", remedy="write a whole number, like 15")
    return int(text)

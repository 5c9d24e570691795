"""PySceneDetect's detectors, fed frame by frame, with the score of every frame kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect.common import FrameTimecode
from scenedetect.detector import SceneDetector
from scenedetect.detectors.adaptive_detector import AdaptiveDetector
from scenedetect.detectors.content_detector import ContentDetector
from scenedetect.detectors.hash_detector import HashDetector
from scenedetect.detectors.histogram_detector import HistogramDetector
from scenedetect.detectors.threshold_detector import ThresholdDetector
from scenedetect.stats_manager import StatsManager

from engine.media.arrays import Pixels
from engine.media.scene_options import Finding

_NAN = float("nan")


class Recorder(StatsManager):
    """Keeps what detectors measure in flat arrays: 8 bytes a frame and measure."""

    def __init__(self, first: int, step: int) -> None:
        """Begin empty.

        Args:
            first: The number of the first frame.
            step: From one frame to the next.
        """
        super().__init__()
        self._first = first
        self._step = step
        self.values: dict[str, array[float]] = {}

    def set_metrics(self, timecode: int | FrameTimecode, metric_kv_dict: dict[str, Any]) -> None:
        """Take in the measures of a frame."""
        number = timecode.frame_num if isinstance(timecode, FrameTimecode) else timecode
        place = (number - self._first) // self._step
        for key, value in metric_kv_dict.items():
            column = self.values.setdefault(key, array("d"))
            column.extend([_NAN] * (place + 1 - len(column)))
            column[place] = float(value)

    def metrics_exist(
        self,
        timecode: int | FrameTimecode,  # noqa: ARG002 - PySceneDetect's
        metric_keys: Iterable[str],  # noqa: ARG002
    ) -> bool:
        """Nothing is taken from an earlier pass."""
        return False

    def column(self, key: str, rows: int) -> npt.NDArray[np.float64]:
        """Return float64 [rows]: one measure of all frames, NaN where there is none."""
        known = np.frombuffer(self.values[key], np.float64) if key in self.values else np.empty(0)
        padded = np.full(rows, _NAN)
        padded[: min(rows, len(known))] = known[:rows]
        return padded


class _QuickScore(ContentDetector):
    """The content score without edges, which have no weight, and without 32-bit copies."""

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: Pixels) -> float:
        hue, sat, lum = cv2.split(cv2.cvtColor(frame_img, cv2.COLOR_BGR2HSV))
        last = self._last_frame
        self._last_frame = ContentDetector._FrameData(hue, sat, lum, None)
        if last is None:
            return 0.0
        area = float(lum.shape[0] * lum.shape[1])
        pairs = ((hue, last.hue), (sat, last.sat), (lum, last.lum))
        # A sum of whole numbers: equal to PySceneDetect's to the last bit.
        changes = [cv2.norm(new, old, cv2.NORM_L1) / area for new, old in pairs]
        weights = self._weights[:3]
        total = sum(change * weight for change, weight in zip(changes, weights, strict=True))
        score = float(total / sum(weights))
        if self.stats_manager is not None:
            self.stats_manager.set_metrics(timecode, {self.FRAME_SCORE_KEY: score})
        return score


class _QuickAdaptive(_QuickScore, AdaptiveDetector):
    """The adaptive detector on quick scores."""


class Watch:
    """A detector at work on one video."""

    def __init__(self, finding: Finding, fps: Fraction, first: int, *, whole: bool = False) -> None:
        """Set a detector up.

        Args:
            finding: Which, and how.
            fps: Of the video; only turns frame numbers into PySceneDetect's time codes.
            first: The number of the first frame that will be shown to it.
            whole: Measure all that PySceneDetect writes into its CSV, edges too.
        """
        self._finding = finding
        self._fps = fps
        self._first = first
        self._step = finding.frame_skip + 1
        self._rows = 0
        self.recorder = Recorder(first, self._step)
        self._detector = _make(finding, whole=whole)
        self._detector.stats_manager = self.recorder
        self._cuts: set[int] = set()

    def take(self, number: int, pixels: Pixels) -> None:
        """Look at a frame: its number, and BGR uint8 [h, w, 3]."""
        self._rows += 1
        self._keep(self._detector.process_frame(FrameTimecode(number, self._fps), pixels))

    def finish(self, last: int) -> None:
        """Tell that the frame with this number was the last one."""
        self._keep(self._detector.post_process(FrameTimecode(last, self._fps)))

    def _keep(self, cuts: list[FrameTimecode]) -> None:
        self._cuts.update(cut.frame_num for cut in cuts)

    @property
    def rows(self) -> int:
        """How many frames were looked at."""
        return self._rows

    def cuts(self, end: int) -> tuple[int, ...]:
        """Return the cuts that part the frames before `end`, rising."""
        return tuple(sorted(cut for cut in self._cuts if self._first < cut < end))

    def scores(self, since: int = 0) -> npt.NDArray[np.float32]:
        """Return float32 [rows − since]: what is held against the threshold; NaN where unknown.

        content: the change to the frame before, 0 … 255. adaptive: that change against those
        around it. threshold: the brightness, 0 … 255. histogram and hash: the difference to the
        frame before, 0 … 1.
        """
        key = next((key for key in self.keys if key.startswith(_SCORE[self._finding.detector])), "")
        values = self.recorder.column(key, self._rows)[since:]
        if self._finding.detector == "histogram":
            values = 1 - values  # PySceneDetect keeps how much alike they are
        return values.astype(np.float32)

    def changes(self, since: int = 0) -> npt.NDArray[np.float32]:
        """Return float32 [rows − since]: of adaptive, the change to the frame before, 0 … 255.

        It has to be high enough as well. Empty for the other detectors.
        """
        if self._finding.detector != "adaptive":
            return np.empty(0, np.float32)
        return self.recorder.column(_SCORE["content"], self._rows)[since:].astype(np.float32)

    @property
    def keys(self) -> list[str]:
        """The names of all measures, as in PySceneDetect's CSV."""
        return sorted(set(self._detector.get_metrics()))


_SCORE = {
    "content": "content_val",
    "adaptive": "adaptive_ratio",
    "threshold": "average_rgb",
    "histogram": "hist_diff",
    "hash": "hash_dist",
}


def _make(finding: Finding, *, whole: bool) -> SceneDetector:
    """Return the detector that is asked for; what is not given is PySceneDetect's default."""
    options: dict[str, Any] = {}
    if finding.min_scene_length is not None:
        options["min_scene_len"] = finding.min_scene_length
    if finding.threshold is not None:
        name = "adaptive_threshold" if finding.detector == "adaptive" else "threshold"
        options[name] = finding.threshold
    if finding.detector in ("content", "adaptive"):
        options["luma_only"] = finding.luma_only
    if finding.detector == "content":
        return ContentDetector(**options) if whole else _QuickScore(**options)
    if finding.detector == "adaptive":
        if finding.adaptive_window is not None:
            options["window_width"] = finding.adaptive_window
        return AdaptiveDetector(**options) if whole else _QuickAdaptive(**options)
    if finding.detector == "threshold":
        return ThresholdDetector(fade_bias=finding.fade_bias or 0.0, **options)
    return HashDetector(**options) if finding.detector == "hash" else HistogramDetector(**options)

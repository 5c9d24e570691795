"""The doctor's findings: a made clip for each, and the odd clips of the golden data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.findings import Finding
from engine.health.clip_set import findings, gather, looked
from engine.precompute.ledger import Ledger
from engine.project import Project, apply_overrides
from engine.state.kept import Kept

GOLDEN = Path(
    os.environ.get("LTX_TUI_GOLDEN", Path(__file__).parents[4] / "shared" / "golden")
).resolve()
TURNED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
HD = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}


def picture(seed: int, width: int = 96, height: int = 64) -> np.ndarray:
    """Return luma with large shapes, another for each seed."""
    cells = np.random.default_rng(seed).integers(30, 230, (4, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC))


def moving(count: int = 48, seed: int = 0, step: int = 3, **size: int) -> list[np.ndarray]:
    """Return frames of a picture that moves sideways."""
    return [np.roll(picture(seed, **size), step * k, axis=1) for k in range(count)]


Doctor = Callable[..., list[Finding]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Return what finds the faults of a dataset of clips in `tmp_path`."""

    def find(
        *media: str | Mapping[str, object], values: Mapping[str, object] | None = None
    ) -> list[Finding]:
        rows = [{"media_path": m} if isinstance(m, str) else m for m in media]
        rows = [{"caption": f"clip {k}", **row} for k, row in enumerate(rows)]
        (tmp_path / "dataset.json").write_text(json.dumps(rows))
        return examine(Project.defaults(tmp_path), {"video.buckets": "64x32x9", **(values or {})})

    return find


def examine(project: Project, values: Mapping[str, object]) -> list[Finding]:
    project = apply_overrides(project, values)
    with Ledger(project.state_dir) as ledger, Kept(project.state_dir) as kept:
        found = gather(project, ledger, lambda _done, _total: None)
        looks = {
            path: looked(path, plan.probe, kept, lambda: None)
            for path, plan in found.to_look_at.items()
            if plan.probe is not None
        }
        return findings(found, looks, ledger)


def codes(told: Sequence[Finding], row: int | None = 0) -> list[str]:
    return [one.code for one in told if one.row == row]


def only(told: Sequence[Finding], code: str) -> Finding:
    (one,) = [one for one in told if one.code == code]
    return one


def barred(frame: np.ndarray, **bars: int) -> np.ndarray:
    frame = frame.copy()
    height, width = frame.shape
    frame[: bars.get("top", 0)] = 16
    frame[height - bars.get("bottom", 0) :] = 16
    frame[:, : bars.get("left", 0)] = 16
    frame[:, width - bars.get("right", 0) :] = 16
    return frame

"""Proxies: one rate, upright, SDR, no bars, sound in its place; named, and undone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.dataset.caption_db import CaptionDatabase
from engine.errors import LtxError, MediaError
from engine.files.identity import file_identity
from engine.findings import FIXES
from engine.health import proxies
from engine.health.clip_set import Gathered, findings, gather, looked
from engine.health.proxies import mend, name_proxies, to_mend, undo
from engine.media.bars import Borders
from engine.media.health import look
from engine.media.images import read_image
from engine.media.pictures import rgb
from engine.media.probe import probe
from engine.media.proxy import Treatment, make_proxy
from engine.media.video_frames import video_frames
from engine.precompute.ledger import Ledger
from engine.project import Project, load_project, write_project
from engine.state.kept import Kept
from tests.media_clips import Sound, Video, flat, make_video
from tests.unit.health.conftest import TURNED, barred, moving, picture
from tests.unit.test_reference import coded, number_of


def frames_of(path: Path) -> list[np.ndarray]:
    return [frame.to_ndarray(format="rgb24") for frame in video_frames(path, probe(path))]


def test_a_variable_rate_becomes_the_frames_that_a_player_shows(tmp_path: Path) -> None:
    times = [0, 4, 5, 12, 20, 21, 30, 40]
    how = Video(pts=times, time_base=Fraction(1, 96), b_frames=0)
    source = make_video(tmp_path / "a.mp4", [coded(k) for k in range(8)], how)
    was = probe(source)
    assert was.vfr
    made = make_proxy(source, tmp_path / "p.mp4", was, Treatment(rate=(24, 1)))
    found = probe(tmp_path / "p.mp4")
    assert (found.vfr, found.fps, found.frames) == (False, Fraction(24), made.frames)
    shown = [number_of(frame) for frame in frames_of(tmp_path / "p.mp4")]
    wanted = [max(n for n, time in enumerate(times) if time <= 4 * k) for k in range(made.frames)]
    assert shown == wanted
    steps = [f.pts * found.tick for f in video_frames(tmp_path / "p.mp4", found)]
    assert {b - a for a, b in pairwise(steps)} == {Fraction(1, 24)}


def test_turned_clips_stand_upright_and_bars_are_gone(tmp_path: Path) -> None:
    frames = [barred(one, left=12) for one in moving(12)]
    source = make_video(tmp_path / "a.mp4", frames, Video(matrix=TURNED))
    signs = look(source, probe(source))
    assert signs.borders == Borders(0, 12, 0, 0)
    treatment = Treatment(crop=signs.borders)
    make_proxy(source, tmp_path / "p.mp4", probe(source), treatment)
    found = probe(tmp_path / "p.mp4")
    assert (found.width, found.height, found.rotation, found.frames) == (64, 84, 0, 12)
    assert look(tmp_path / "p.mp4", found).borders is None
    wanted = np.rot90(frames[3][:, 12:], -1)
    shown = frames_of(tmp_path / "p.mp4")[3][:, :, 0]
    levels = (wanted.astype(float) - 16) * 255 / 219
    assert np.abs(shown - levels).mean() < 3


def test_hdr_becomes_sdr(tmp_path: Path) -> None:
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    frames = [flat((593, 512, 512), pix_fmt="yuv420p10le")] * 3  # PQ's 203 cd/m², near SDR white
    how = Video(
        pix_fmt="yuv420p10le", codec="libx265", tags=tags, options={"x265-params": "log-level=none"}
    )
    source = make_video(tmp_path / "a.mp4", frames, how)
    assert probe(source).hdr == "pq"
    make_proxy(source, tmp_path / "p.mp4", probe(source), Treatment())
    found = probe(tmp_path / "p.mp4")
    assert (found.hdr, found.pixel_format, found.matrix) == ("", "yuv420p", "bt709")
    assert frames_of(tmp_path / "p.mp4")[1].mean() > 180


def test_an_untagged_matrix_can_be_read_as_bt709(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", [flat((120, 110, 100), 1280, 720)] * 2)
    # As BT.601, which is what untagged video is taken for, and as BT.709.
    for name, matrix, wanted in (("o.mp4", "", (76, 151, 85)), ("p.mp4", "ITU709", (71, 140, 83))):
        make_proxy(source, tmp_path / name, probe(source), Treatment(matrix=matrix))
        assert probe(tmp_path / name).matrix == "bt709"
        frame = next(video_frames(tmp_path / name, probe(tmp_path / name)))
        colour = rgb(frame, probe(tmp_path / name), source, tonemap=False, exact=True)
        assert np.abs(colour.reshape(-1, 3).mean(0) - wanted).max() < 1.5


@pytest.mark.parametrize(("start", "seconds"), [(0.5, 1.0), (0.0, 0.7), (0.0, 3.0)])
def test_sound_is_in_its_place_and_as_long_as_the_picture(
    tmp_path: Path, start: float, seconds: float
) -> None:
    rate = 44100
    time = np.arange(round(seconds * rate)) / rate
    clicks = (0.5 * np.sin(2 * np.pi * 440 * time))[None].astype(np.float32)
    sound = Sound(samples=clicks, rate=rate, layout="mono", codec="pcm_s16le", start=start)
    source = make_video(tmp_path / "a.mov", moving(48), sound=sound)
    make_proxy(source, tmp_path / "p.mp4", probe(source), Treatment())
    found = probe(tmp_path / "p.mp4")
    (track,) = found.audio
    assert (track.layout, track.rate) == ("mono", rate)
    assert abs(track.start) < 0.03
    assert abs(track.start + track.duration - 2) < 0.03
    import av

    samples: list[np.ndarray] = []
    with av.open(str(tmp_path / "p.mp4")) as container:
        samples += [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    loud = np.abs(np.concatenate(samples)) > 0.1
    first, last = np.flatnonzero(loud)[[0, -1]] / rate
    assert abs(first - start) < 0.03
    assert abs(last - min(2.0, start + seconds)) < 0.03


def test_images_lose_their_bars(tmp_path: Path) -> None:
    pixels = np.repeat(barred(picture(1), top=10)[:, :, None], 3, axis=2)
    pixels[:10] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = probe(tmp_path / "a.png")
    crop = look(tmp_path / "a.png", found).borders
    make_proxy(tmp_path / "a.png", tmp_path / "p.png", found, Treatment(crop=crop))
    assert np.array_equal(read_image(tmp_path / "p.png"), pixels[10:])


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", moving(24))

    def stop() -> None:
        raise LtxError("stopped")

    with pytest.raises(LtxError, match="stopped"):
        make_proxy(source, tmp_path / "p.mp4", probe(source), Treatment(), check=stop)
    wide = Treatment(crop=Borders(60, 0, 60, 0))
    with pytest.raises(MediaError, match="nothing is left"):
        make_proxy(source, tmp_path / "p.mp4", probe(source), wide)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


class Desk:
    """A project whose clips are looked at and mended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "project.toml"
        self.kept = Kept(folder / ".ltx-tui")

    def write(self, *rows: dict[str, object], **values: object) -> None:
        (self.folder / "dataset.json").write_text(json.dumps(rows))
        self.file.unlink(missing_ok=True)
        write_project(self.file, {"video.buckets": "64x32x9", **values})

    @property
    def rows(self) -> list[dict[str, object]]:
        return json.loads((self.folder / "dataset.json").read_text())

    @property
    def project(self) -> Project:
        return load_project(self.file)

    def found(self) -> Gathered:
        with Ledger(self.folder / ".ltx-tui") as ledger:
            return gather(self.project, ledger, lambda _done, _total: None)

    def codes(self) -> set[tuple[int | None, str]]:
        found = self.found()
        return {(one.row, one.code) for one in self._told(found)}

    def _told(self, found: Gathered) -> list[proxies.Finding]:
        looks = {
            path: looked(path, plan.probe, self.kept, lambda: None)
            for path, plan in found.to_look_at.items()
            if plan.probe is not None
        }
        with Ledger(self.folder / ".ltx-tui") as ledger:
            return findings(found, looks, ledger)

    def fix(self, *codes: str, only: Sequence[str] = ()) -> list[str]:
        found = self.found()
        mends = to_mend(found, self._told(found), codes or tuple(FIXES), only, self.kept)
        for one in mends:
            mend(found, one, self.kept, lambda: None)
        fixed, left = name_proxies(found, mends)
        assert left == []
        return [one.media for one in fixed]

    def undo(self, *only: str) -> list[str]:
        return [one.media for one in undo(self.found(), only, self.kept)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def letterboxed(folder: Path, name: str, seed: int = 0, **how: object) -> Path:
    frames = [barred(one, top=8, bottom=8) for one in moving(24, seed=seed)]
    return make_video(folder / name, frames, Video(**how))  # type: ignore[arg-type]


def test_a_fix_names_the_proxy_and_keeps_the_original(desk: Desk, tmp_path: Path) -> None:
    letterboxed(tmp_path, "a.mp4")
    make_video(tmp_path / "b.mp4", moving(24, seed=1))
    original = file_identity(tmp_path / "a.mp4").digest
    desk.write({"media_path": "a.mp4", "caption": "x", "mine": 1.50}, {"media_path": "b.mp4"})
    assert (0, "borders") in desk.codes()
    assert desk.fix("borders") == ["a_proxy.mp4"]
    assert desk.rows == [
        {"media_path": "a_proxy.mp4", "caption": "x", "mine": 1.50, "source_path": "a.mp4"},
        {"media_path": "b.mp4"},
    ]
    assert (0, "borders") not in desk.codes()
    assert file_identity(tmp_path / "a.mp4").digest == original
    assert desk.fix("borders") == []


def test_a_second_fix_is_made_of_the_original(desk: Desk, tmp_path: Path) -> None:
    letterboxed(tmp_path, "a.mp4", matrix=TURNED)
    desk.write({"media_path": "a.mp4", "caption": "x"}, **{"video.buckets": "32x64x9"})
    assert desk.fix("rotated") == ["a_proxy.mp4"]
    assert desk.codes() == {(0, "borders")}
    assert desk.fix("borders") == ["a_proxy.mp4"]
    assert desk.codes() == set()
    assert desk.rows[0]["source_path"] == "a.mp4"
    found = probe(tmp_path / "a_proxy.mp4")
    assert (found.width, found.height, found.rotation) == (48, 96, 0)


def test_undoing_gives_the_row_its_own_file_back(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    letterboxed(tmp_path, "sub/a.mp4")
    letterboxed(tmp_path, "b.mp4", seed=1)
    desk.write({"media_path": "sub/a.mp4", "caption": "x"}, {"media_path": "b.mp4", "caption": "y"})
    before = desk.codes()
    assert sorted(desk.fix()) == ["b_proxy.mp4", "sub/a_proxy.mp4"]
    assert desk.undo("sub/a_proxy.mp4") == ["sub/a.mp4"]
    assert not (tmp_path / "sub" / "a_proxy.mp4").exists()
    assert (tmp_path / "b_proxy.mp4").exists()
    with (tmp_path / "b_proxy.mp4").open("ab") as file:
        file.write(b"somebody's own")
    assert desk.undo() == ["b.mp4"]
    assert (tmp_path / "b_proxy.mp4").exists()  # it is not as we made it
    assert [row["media_path"] for row in desk.rows] == ["sub/a.mp4", "b.mp4"]
    assert desk.codes() == before
    assert desk.undo() == []


def test_names_that_are_taken_are_left_alone(desk: Desk, tmp_path: Path) -> None:
    letterboxed(tmp_path, "a.mp4")
    letterboxed(tmp_path, "a.mov", seed=1)
    (tmp_path / "a_proxy.mp4").write_bytes(b"somebody's own")
    desk.write(
        {"media_path": "a.mp4", "caption": "x"},
        {"media_path": "a.mov", "caption": "y"},
        **{"dataset.on_collision": "rename"},
    )
    assert desk.fix("borders") == ["a.mp4_proxy.mp4", "a.mov_proxy.mp4"]
    assert (tmp_path / "a_proxy.mp4").read_bytes() == b"somebody's own"


def test_only_the_clips_and_codes_that_are_named(desk: Desk, tmp_path: Path) -> None:
    letterboxed(tmp_path, "a.mp4")
    letterboxed(tmp_path, "b.mp4", seed=1)
    desk.write({"media_path": "a.mp4", "caption": "x"}, {"media_path": "b.mp4", "caption": "y"})
    assert desk.fix("vfr", "hdr") == []
    assert desk.fix("borders", only=["b.mp4"]) == ["b_proxy.mp4"]


def test_odd_rates_become_that_of_the_others(desk: Desk, tmp_path: Path) -> None:
    for seed, name in enumerate(("a.mp4", "b.mp4")):
        make_video(tmp_path / name, moving(24, seed=seed))
    make_video(tmp_path / "c.mp4", moving(30, seed=5), Video(fps=Fraction(30)))
    desk.write(*({"media_path": name, "caption": name} for name in ("a.mp4", "b.mp4", "c.mp4")))
    assert desk.fix("odd-fps") == ["c_proxy.mp4"]
    assert probe(tmp_path / "c_proxy.mp4").fps == Fraction(24)
    assert desk.codes() == set()


def test_a_pair_is_not_parted(desk: Desk, tmp_path: Path) -> None:
    letterboxed(tmp_path, "a.mp4", matrix=TURNED)
    make_video(tmp_path / "depth.mp4", moving(24, width=64, height=96))
    desk.write({"media_path": "a.mp4", "caption": "x", "reference_path": "depth.mp4"})
    assert desk.fix("rotated") == ["a_proxy.mp4"]  # the same picture at the same moments
    with pytest.raises(MediaError, match="no longer fit its reference"):
        desk.fix("borders")
    assert desk.rows[0]["media_path"] == "a_proxy.mp4"


def test_bucket_and_versions_go_along(desk: Desk, tmp_path: Path) -> None:
    letterboxed(tmp_path, "a.mp4")
    desk.write({"media_path": "a.mp4", "caption": "x"})
    desk.file.write_text(desk.file.read_text() + '\n"a.mp4" = "96x32x17"\n')
    database = CaptionDatabase(tmp_path / ".ltx-tui")
    mark = "INSERT INTO marks VALUES ('a.mp4', 0, 'reviewed', '', 1.0)"
    database.run(mark)
    assert desk.fix("borders") == ["a_proxy.mp4"]
    assert desk.project.clips == {"a_proxy.mp4": "96x32x17"}
    assert database.all("SELECT name, state FROM marks") == [("a_proxy.mp4", "reviewed")]
    assert desk.undo() == ["a.mp4"]
    assert desk.project.clips == {"a.mp4": "96x32x17"}
    assert database.all("SELECT name, state FROM marks") == [("a.mp4", "reviewed")]
    database.close()


def test_rows_that_were_changed_meanwhile_are_left(desk: Desk, tmp_path: Path) -> None:
    letterboxed(tmp_path, "a.mp4")
    desk.write({"media_path": "a.mp4", "caption": "x"})
    found = desk.found()
    mends = to_mend(found, desk._told(found), ("borders",), (), desk.kept)
    for one in mends:
        mend(found, one, desk.kept, lambda: None)
    desk.write({"media_path": "a.mp4", "caption": "x", "source_path": "elsewhere.mp4"})
    fixed, left = name_proxies(found, mends)
    assert (fixed, left) == ([], mends)
    assert desk.rows[0]["media_path"] == "a.mp4"


def test_lengths_are_those_of_the_source(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", moving(30), Video(fps=Fraction(30)))
    make_proxy(source, tmp_path / "p.mp4", probe(source), Treatment(rate=(24, 1)))
    assert math.isclose(probe(tmp_path / "p.mp4").duration, 1.0)

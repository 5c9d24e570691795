from fractions import Fraction

import pytest

from engine.errors import MediaError
from engine.media.probe import Probe
from engine.media.selection import (
    effective_fps,
    exact_rate,
    first_index,
    in_order,
    kept_start,
    selection_count,
)

FILM = Fraction(24000, 1001)


def video(frames=60, fps=Fraction(30), *, vfr=False):
    return Probe(
        kind="video",
        codec="h264",
        frames=frames,
        fps_num=fps.numerator,
        fps_den=fps.denominator,
        duration=float(frames / fps),
        vfr=vfr,
    )


def test_a_constant_rate_offers_every_frame():
    assert selection_count(video()) == 60
    assert selection_count(video(), Fraction(30)) == 60
    assert selection_count(video(45, FILM)) == 45
    assert effective_fps(video(45, FILM)) == FILM
    assert in_order(video())


def test_another_rate_offers_what_lasts_as_long():
    assert selection_count(video(), Fraction(24)) == 48
    assert selection_count(video(), Fraction(60)) == 120
    assert selection_count(video(45, FILM), Fraction(24)) == 45
    assert selection_count(video(vfr=True)) == 60
    assert not in_order(video(), Fraction(24))
    assert not in_order(video(vfr=True))
    assert not in_order(video(vfr=True), Fraction(30))


def test_a_start_takes_the_nearest_frame_and_tells_when_that_is():
    assert [first_index(video(), t) for t in (0, 0.016, 0.017, 1 / 30, 0.5)] == [0, 0, 1, 1, 15]
    assert selection_count(video(), start=0.5) == 45
    assert selection_count(video(), start=5) == 0
    assert kept_start(video(), 0.017) == Fraction(1, 30)
    assert selection_count(video(), Fraction(24), 0.5) == 36
    assert kept_start(video(), 0.25, Fraction(24)) == Fraction(1, 4)


def test_images_and_sounds():
    image = Probe(kind="image", codec="png", frames=1)
    assert (selection_count(image), effective_fps(image, Fraction(24))) == (1, 1)
    with pytest.raises(MediaError, match="no video"):
        selection_count(Probe(kind="audio", codec="pcm_s16le"))


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (24000 / 1001, Fraction(24000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        (24.0, Fraction(24)),
        (12.5, Fraction(25, 2)),
        (80 / 3, Fraction(80, 3)),
        (1.0, Fraction(1)),
    ],
)
def test_the_exact_rate_behind_a_float(fps: float, exact: Fraction) -> None:
    assert exact_rate(fps) == exact


def test_a_rate_as_people_write_it() -> None:
    assert exact_rate(29.97, slack=0.005) == Fraction(30000, 1001)
    assert exact_rate(23.976, slack=0.005) == Fraction(24000, 1001)
    assert [exact_rate(fps, slack=0.005) for fps in (1, 2, 25)] == [1, 2, 25]

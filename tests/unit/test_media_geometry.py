import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.media.geometry import Geometry, fit

SIDES = st.integers(1, 4096)
BUCKET_SIDES = st.integers(1, 64).map(lambda n: 32 * n)


@settings(deadline=None, max_examples=200)
@given(SIDES, SIDES, BUCKET_SIDES, BUCKET_SIDES, st.sampled_from(["center", "random"]), st.text())
def test_the_crop_lies_inside_the_resized_picture(w, h, bw, bh, reshape, key):
    place = fit(w, h, bw, bh, reshape, seed=7, crop_key=key)
    assert (place.crop_width, place.crop_height) == (bw, bh)
    assert 0 <= place.left <= place.width - bw
    assert 0 <= place.top <= place.height - bh
    assert bw == place.width or bh == place.height
    # The aspect is kept to within the pixel that int() cuts off.
    assert abs(place.width / w - place.height / h) <= 1 / min(w, h) + 1e-9


def test_the_free_side_is_cut_to_a_whole_number_and_the_crop_is_centred():
    assert fit(640, 360, 256, 160) == Geometry(284, 160, 14, 0, 256, 160)
    assert fit(360, 640, 160, 256) == Geometry(160, 284, 0, 14, 160, 256)
    assert fit(192, 192, 192, 192) == Geometry(192, 192, 0, 0, 192, 192)
    # 853.33 columns; an odd rest of 53 leaves one more on the right.
    assert fit(1280, 720, 800, 480) == Geometry(853, 480, 26, 0, 800, 480)


def test_a_random_crop_is_drawn_from_the_seed_and_the_key():
    one = fit(1920, 1080, 512, 512, "random", seed=1, crop_key="a.mp4")
    assert one == fit(1920, 1080, 512, 512, "random", seed=1, crop_key="a.mp4")
    lefts = {
        fit(1920, 1080, 512, 512, "random", seed=seed, crop_key=key).left
        for seed in range(8)
        for key in ("a.mp4", "b.mp4")
    }
    assert len(lefts) > 8
    assert {fit(1920, 1080, 512, 512, "random", seed=s).top for s in range(8)} == {0}


def test_nonsense_is_refused():
    with pytest.raises(UsageError, match="reshape mode 'middle'"):
        fit(10, 10, 32, 32, "middle")
    with pytest.raises(ValueError, match="positive"):
        fit(0, 10, 32, 32)

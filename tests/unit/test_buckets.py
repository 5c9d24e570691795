import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.buckets import Bucket, choose, coverage, parse_bucket, parse_buckets
from engine.errors import UsageError

buckets_strategy = st.builds(
    Bucket,
    width=st.integers(1, 60).map(lambda n: 32 * n),
    height=st.integers(1, 60).map(lambda n: 32 * n),
    frames=st.integers(0, 20).map(lambda n: 8 * n + 1),
)


def test_a_bucket_counts_the_trainers_tokens():
    bucket = Bucket(768, 448, 89)
    assert bucket.latent_shape() == (12, 14, 24)
    assert bucket.tokens() == 4032
    assert Bucket(32, 32, 1).tokens() == 1
    assert Bucket(64, 64, 5).latent_shape(spatial=16, temporal=4) == (2, 4, 4)


@pytest.mark.parametrize("text", ["960x544x49", " 960 X 544 x 49 ", "960×544×49"])
def test_a_bucket_is_read_as_people_write_it(text):
    assert parse_bucket(text) == Bucket(960, 544, 49)


@given(buckets_strategy)
@settings(deadline=None, max_examples=50)
def test_str_and_parse_are_inverse(bucket):
    assert parse_bucket(str(bucket)) == bucket


def test_buckets_keep_their_order_and_lose_their_doubles():
    parsed = parse_buckets("960x544x49; 512x512x1;960x544x49;")
    assert parsed == (Bucket(960, 544, 49), Bucket(512, 512, 1))


@pytest.mark.parametrize("text", ["", " ; ", "960x544", "960x544x49,512x512x1", "axbxc", "1x2x3x4"])
def test_what_is_no_bucket_is_refused(text):
    with pytest.raises(UsageError):
        parse_buckets(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("960x540x49", ["540 is not a multiple of 32", "960x512x49 or 960x544x49"]),
        ("960x544x50", ["50 frames", "960x544x49 or 960x544x57"]),
        ("0x544x0", ["32x544x1"]),
    ],
)
def test_a_wrong_bucket_names_the_nearest_right_ones(text, named):
    with pytest.raises(UsageError) as caught:
        parse_bucket(text)
    for words in named:
        assert words in str(caught.value)


@given(st.integers(0, 10**4), st.integers(0, 10**4), st.integers(0, 300))
@settings(deadline=None, max_examples=100)
def test_every_suggestion_is_itself_accepted(width, height, frames):
    try:
        parse_bucket(f"{width}x{height}x{frames}")
    except UsageError as error:
        for suggestion in error.remedy.removeprefix("use ").split(" or "):
            parse_bucket(suggestion)


def test_other_factors_come_from_the_caller():
    assert parse_bucket("48x48x5", spatial=16, temporal=4) == Bucket(48, 48, 5)
    assert parse_bucket("48x48x2", spatial=16, temporal=1) == Bucket(48, 48, 2)


def test_a_still_goes_to_a_still_bucket_only():
    buckets = parse_buckets("960x544x49;960x544x1")
    assert choose(1, 1920, 1080, buckets) == Bucket(960, 544, 1)
    assert choose(1, 1920, 1080, buckets[:1]) is None


def test_aspect_comes_before_length_and_length_before_area():
    buckets = parse_buckets("512x512x121;960x544x49;960x544x25;1920x1088x49")
    assert choose(121, 1920, 1088, buckets) == Bucket(1920, 1088, 49)
    assert choose(30, 1920, 1088, buckets) == Bucket(960, 544, 25)
    assert choose(500, 700, 720, buckets) == Bucket(512, 512, 121)


@given(
    st.integers(0, 200),
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.lists(buckets_strategy, max_size=8),
)
@settings(deadline=None, max_examples=200)
def test_choose_is_the_rule_as_it_is_written(frames, width, height, buckets):
    chosen = choose(frames, width, height, buckets)
    fitting = [b for b in buckets if b.frames <= frames]
    if not fitting:
        assert chosen is None
        return

    def distance(b):
        return abs(math.log(width / height) - math.log(b.width / b.height))

    nearest = [b for b in fitting if distance(b) == min(map(distance, fitting))]
    longest = [b for b in nearest if b.frames == max(n.frames for n in nearest)]
    largest = [b for b in longest if b.width * b.height == max(n.width * n.height for n in longest)]
    assert chosen == largest[0]


def test_coverage_counts_the_empty_and_the_too_short():
    one, two = parse_buckets("960x544x49;512x512x1")
    assert coverage([one, None, one], [one, two]) == {one: 2, two: 0, None: 1}

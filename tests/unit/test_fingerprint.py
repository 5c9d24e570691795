"""Fingerprints: equal exactly when nothing that matters differs, and the difference in words."""

from hypothesis import given
from hypothesis import strategies as st

from engine.precompute.fingerprint import UNKNOWN, Fingerprint, differences

facts = st.dictionaries(
    st.sampled_from(["media", "bucket", "fps", "video_vae", "version"]),
    st.text(min_size=1).filter(lambda value: value != UNKNOWN),
)


@given(facts, facts)
def test_no_reason_if_and_only_if_equal(old: dict[str, str], new: dict[str, str]) -> None:
    assert (differences(old, new) == ()) == (old == new)
    assert (Fingerprint(old).digest == Fingerprint(new).digest) == (old == new)


def test_reasons_are_in_words() -> None:
    old = {"bucket": "256x160x17", "media": "1", "version": "1"}
    new = {"bucket": "160x256x17", "media": "2", "version": "1"}
    assert differences(old, new) == (
        "bucket 256x160x17 → 160x256x17",
        "the media file changed",
    )


def test_a_changed_prompt_is_explained_by_what_changed_it() -> None:
    old = {"prompt": "1", "caption": "a", "trigger": "T"}
    assert differences(old, old | {"prompt": "2", "caption": "b"}) == ("caption edited",)
    assert differences(old, old | {"prompt": "2", "trigger": "U"}) == ("trigger word changed",)
    both = {"prompt": "2", "caption": "b", "trigger": "U"}
    assert differences(old, both) == ("caption edited and trigger word changed",)


def test_the_same_prompt_from_other_parts_is_the_same() -> None:
    old = {"prompt": "1", "caption": "b", "trigger": "a"}
    new = {"prompt": "1", "caption": "a b", "trigger": ""}
    assert differences(old, new) == ()
    assert Fingerprint(old).digest == Fingerprint(new).digest


def test_what_cannot_be_told_is_no_difference() -> None:
    assert differences({"video_vae": "1"}, {"video_vae": UNKNOWN}) == ()

import random
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.captions import format_sections
from engine.media.loudness_types import NO_SOUND, Loudness
from engine.suspicion.near_copies import near_copies
from engine.suspicion.rules import Facts, Neighbours, neighbours, repeated, suspect, suspect_all

QUIET = Loudness(seconds=4, peak=-70, rms=-80, heard=0, speech=0)
TALK = Loudness(seconds=4, peak=-6, rms=-20, heard=0.9, speech=0.8)
MUSIC = Loudness(seconds=4, peak=-6, rms=-20, heard=1, speech=0)


def caption(visual="A grey dog runs over a lawn.", speech="None", sounds="None", text="None"):
    return format_sections({"VISUAL": visual, "SPEECH": speech, "SOUNDS": sounds, "TEXT": text})


def reasons(text, others=None, **facts):
    return suspect(Facts(caption=text, **facts), others or Neighbours()).reasons


def words(count, seed):
    rng = random.Random(seed)
    return " ".join(
        "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(count)
    )


def several(count=20, length=40):
    return [caption(visual=words(length, seed)) for seed in range(count)]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (caption(), {}),
        (caption(speech="Good boy!"), {"loudness": TALK}),
        (caption(sounds="A piano."), {"loudness": MUSIC}),
        (caption(), {"loudness": QUIET}),
        (caption(), {"loudness": NO_SOUND}),
        (caption(speech="No, no, no!", sounds="La la la."), {}),
        (caption(speech="I'm sorry, I can't."), {}),
        ("[VISUAL]: A dog.\n[TEXT]: None", {"with_audio": False, "loudness": TALK}),
        ("A caption in one sentence.", {"loudness": TALK}),
        (caption(), {"tokens": 1024, "trigger": "tok"}),
        (caption(visual="Tokens lie on a table."), {"trigger": "tok"}),
    ],
)
def test_nothing_is_held_against_a_good_caption(text, facts):
    found = suspect(Facts(caption=text, **facts))
    assert (found.score, found.reasons) == (0.0, ())


@pytest.mark.parametrize(
    ("text", "facts", "reason"),
    [
        ("", {}, "the caption is empty"),
        (" \n", {}, "the caption is empty"),
        ("I'm sorry, I can't describe that.", {}, "reads like a model's refusal"),
        (caption(visual="I cannot view videos."), {}, "reads like a model's refusal"),
        (caption(visual="A dog. As an AI, I see."), {}, "reads like a model's refusal"),
        (caption() + "<|im_end|>", {}, "has a model's control token in it (<|im_end|>)"),
        (caption(visual="<think>A dog"), {}, "has a model's control token in it (<think>)"),
        (caption(visual="A dog [/INST]"), {}, "has a model's control token in it ([/INST])"),
        (caption(visual="a dog " * 9), {}, 'says the same over and over ("a dog")'),
        (caption(speech="Hi"), {"loudness": QUIET}, "speech, but nothing is heard"),
        (caption(speech="Hi"), {"loudness": NO_SOUND}, "speech, but the clip has no sound"),
        (caption(sounds="Wind"), {"loudness": QUIET}, "sounds, but nothing is heard"),
        (caption(), {"loudness": TALK}, "no speech, but 80% of the clip sounds like a voice"),
        (caption(), {"loudness": MUSIC}, "no sounds, but 100% of the clip is loud"),
        ("[VISUAL]: A dog.\n[TEXT]: None", {}, "lacks [SPEECH], [SOUNDS]"),
        ("[VISUAL]:\n[TEXT]: X", {"with_audio": False}, "lacks [VISUAL]"),
        (caption(visual="None"), {}, "says nothing about the picture"),
        (caption(), {"tokens": 1025}, "has 1,025 tokens; what is over 1,024 is cut off"),
        (caption(visual="TOK runs."), {"trigger": "tok"}, "has the trigger word tok in it already"),
        (caption(visual="The video shows a dog."), {}, "opens like a model's answer"),
        ("In this clip, we see a dog.", {}, "opens like a model's answer"),
    ],
)
def test_each_reason(text, facts, reason):
    found = suspect(Facts(caption=text, **facts))
    assert reason in found.reasons
    assert 0 < found.score < 1


def test_each_reason_from_the_neighbours():
    assert reasons(caption(), Neighbours(length=-5)) == ("much shorter than most others",)
    assert reasons(caption(), Neighbours(length=5)) == ("much longer than most others",)
    assert reasons(caption(), Neighbours(twin="a.mp4")) == (
        "nearly the same as the caption of a.mp4",
    )
    assert reasons(caption(), Neighbours(twin="a.mp4", is_same=True)) == (
        "the same as the caption of a.mp4",
    )
    assert reasons("A dog.", Neighbours(labelled=True)) == ("has no sections, unlike most others",)


def test_what_is_certain_weighs_more_than_what_may_be_meant():
    def score(text, **facts):
        return suspect(Facts(caption=text, **facts)).score

    refused = score("I'm sorry, I can't.")
    invented = score(caption(speech="Hi"), loudness=QUIET)
    missed = score(caption(), loudness=TALK)
    opening = score(caption(visual="The video shows a dog."))
    assert score("") > refused > invented > missed > opening > 0
    faint = Loudness(seconds=4, peak=-6, rms=-20, heard=0.9, speech=0.3)
    assert missed > score(caption(), loudness=faint) > 0


def test_reasons_add_up_and_the_weightiest_comes_first():
    one = suspect(Facts(caption=caption(visual="The video shows a dog.")))
    both = suspect(Facts(caption=caption(visual="The video shows a dog."), tokens=2000))
    assert both.score > one.score
    assert both.score == pytest.approx(1 - (1 - 0.25) * (1 - 0.55))
    assert both.reasons[0].startswith("has 2,000 tokens")


loudnesses = st.builds(
    Loudness,
    seconds=st.floats(0, 60),
    peak=st.floats(-120, 0),
    rms=st.floats(-120, 0),
    heard=st.floats(0, 1),
    speech=st.floats(0, 1),
)
facts = st.builds(
    Facts,
    caption=st.one_of(st.text(max_size=60), st.sampled_from([caption(), "The video shows", ""])),
    loudness=st.none() | loudnesses,
    tokens=st.none() | st.integers(0, 3000),
    trigger=st.text(max_size=5),
    with_audio=st.booleans(),
)
others = st.builds(
    Neighbours, length=st.floats(-50, 50), twin=st.sampled_from(["", "a"]), labelled=st.booleans()
)


@given(facts, others)
def test_scores_lie_between_0_and_1_and_have_reasons(one, around):
    found = suspect(one, around)
    assert 0 <= found.score < 1
    assert (found.score == 0) == (found.reasons == ())
    assert len(set(found.reasons)) == len(found.reasons)
    # What the others say never makes a caption less suspicious.
    assert suspect(one).score <= found.score + 1e-12


@given(st.lists(facts, max_size=12))
def test_a_set_has_one_score_for_each_and_the_same_every_time(captions):
    found = suspect_all(captions)
    assert len(found) == len(captions)
    assert suspect_all(captions) == found


def test_lengths_are_compared_with_the_set():
    texts = several()
    texts[3], texts[7] = caption(visual="A dog."), caption(visual=words(400, 99))
    found = suspect_all([Facts(caption=text) for text in texts])
    assert found[3].reasons == ("much shorter than most others",)
    assert found[7].reasons == ("much longer than most others",)
    assert all(not one.reasons for index, one in enumerate(found) if index not in (3, 7))


def test_a_few_captions_are_no_measure():
    few = [*several(3), caption(visual="A dog.")]
    assert all(one.length == 0 for one in neighbours([Facts(caption=text) for text in few]))


def test_a_caption_without_labels_is_odd_only_among_labelled_ones():
    plain = words(50, 5)
    among = suspect_all([Facts(caption=text) for text in [*several(), plain]])
    assert among[-1].reasons == ("has no sections, unlike most others",)
    alone = suspect_all([Facts(caption=words(50, seed)) for seed in range(20)])
    assert all(not one.reasons for one in alone)


def test_near_copies_are_named():
    texts = several()
    texts[9] = texts[4].replace("[VISUAL]: ", "[VISUAL]: Well, ")
    texts[12] = texts[5]
    found = suspect_all([Facts(caption=text, name=f"{n}.mp4") for n, text in enumerate(texts)])
    assert found[4].reasons == ("nearly the same as the caption of 9.mp4",)
    assert found[9].reasons == ("nearly the same as the caption of 4.mp4",)
    assert found[5].reasons == ("the same as the caption of 12.mp4",)
    assert found[12].reasons == ("the same as the caption of 5.mp4",)
    unnamed = suspect_all([Facts(caption=text) for text in texts])
    assert unnamed[9].reasons == ("nearly the same as the caption of row 5",)


def test_labels_and_nones_make_no_copies():
    texts = [caption(visual=f"dog{letter}") for letter in string.ascii_lowercase]
    assert None not in near_copies(texts, likeness=0.4)  # many of the letters are the same
    assert all(not one.twin for one in neighbours([Facts(caption=text) for text in texts]))


def test_copies_are_found_whatever_their_case_and_punctuation():
    text = words(40, 1)
    assert near_copies([text, text.upper().replace(" ", ", "), words(40, 2)]) == [1, 0, None]
    assert near_copies(["A dog.", "a dog", "a cat", ""]) == [1, 0, None, None]
    assert near_copies([]) == []
    assert near_copies(["", "", " "]) == [None, None, None]


@pytest.mark.parametrize("seed", range(5))
def test_likeness_has_a_threshold(seed):
    base = words(100, seed).split()
    slightly, half = list(base), list(base)
    slightly[50] = "changed"
    half[::2] = words(50, seed + 100).split()
    twins = near_copies([" ".join(base), " ".join(slightly), " ".join(half)])
    assert twins == [1, 0, None]


def test_a_hundred_copies_among_thousands():
    texts = [words(25, seed) for seed in range(3000)]
    copies = [text.replace(" ", "  ", 3) + " yes" for text in texts[:100]]
    twins = near_copies(texts + copies)
    assert [twins[3000 + n] for n in range(100)] == list(range(100))
    assert twins[:100] == list(range(3000, 3100))
    assert twins[100:3000] == [None] * 2900


def test_a_group_of_copies_is_found_whole():
    base = words(60, 3)
    twins = near_copies([f"{base} {number}" for number in range(200)])
    assert None not in twins
    assert all(twin != index for index, twin in enumerate(twins))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("la la la la la la", "la"),
        ("la la la la la", ""),
        ("the man walks and " * 4, "the man walks and"),
        ("the man walks and " * 3, ""),
        ("One. The dog runs away fast. Two. The dog runs away fast. The dog  runs away FAST!",
         "the dog runs away fast"),
        ("A dog runs. A cat runs. A bird flies. A man runs.", ""),
        (words(300, 1), ""),
    ],
)  # fmt: skip
def test_loops(text, found):
    assert repeated(text) == found


def test_people_may_repeat_themselves_more_often():
    assert repeated("no " * 10) == "no"
    assert repeated("no " * 10, spoken=True) == ""
    assert repeated("no " * 30, spoken=True) == "no"
    assert reasons(caption(speech="Yeah, yeah! " * 6), loudness=TALK) == ()


def test_long_monotony_without_an_exact_loop_is_found():
    text = " ".join(f"the red car and the blue car {number}" for number in range(60))
    assert repeated(text)


def test_it_loads_neither_torch_nor_ffmpeg():
    code = (
        "import sys, engine.suspicion.rules\n"
        "assert not {'torch', 'av', 'openai', 'google.genai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

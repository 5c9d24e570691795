import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.overview.types import CaptionState, OutputState, Row
from ltx_tui.clips.filter_keys import KEYS, STAGES, completions
from ltx_tui.clips.filter_types import FilterError
from ltx_tui.clips.filters import parse, tokens
from tests.tui.rows import make_row, store_of

ROWS = [make_row(number) for number in range(48)]
ROWS[5] = make_row(5, name="nested/Straße.mov", caption="Two words\n  on two LINES, ÄRGER")
ROWS[6] = make_row(6, caption="", caption_state=CaptionState.NONE, seconds=0.0, size=(0, 0))
ROWS[7] = make_row(7, warnings=("two sound tracks — export it with one",))
STORE = store_of(ROWS)


def found(text):
    STORE.set_filter(text)
    return list(STORE.shown)


def those(holds):
    return [row.row for row in ROWS if holds(row)]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", lambda row: True),
        ("bucket:960x544x49", lambda row: row.bucket == "960x544x49"),
        ("bucket:960×544×49", lambda row: row.bucket == "960x544x49"),
        ("bucket:544x960", lambda row: row.bucket == "544x960x121"),
        ("bucket:*x121", lambda row: row.bucket == "544x960x121"),
        ("bucket:none", lambda row: not row.bucket),
        ("-bucket:none", lambda row: row.bucket),
        ("state:stale", lambda row: any(one.state == "stale" for one in row.stages)),
        ("state:fresh", lambda row: row.stages[1].state in ("fresh", "skipped")),
        ("STATE:Stale", lambda row: row.stages[1].state == "stale"),
        ("state:stale,failed", lambda row: row.stages[1].state in ("stale", "failed")),
        ("stage:latents.failed", lambda row: row.stages[1].state == "failed"),
        ("latents:failed", lambda row: row.stages[1].state == "failed"),
        ("latents:failed,stale", lambda row: row.stages[1].state in ("failed", "stale")),
        ("reference_latents:failed", lambda row: False),
        ("caption:none", lambda row: row.caption_state == "none"),
        ("caption:auto,edited", lambda row: row.caption_state in ("auto", "edited")),
        ("dur:>3s", lambda row: row.seconds > 3),
        ("dur:>=0.05min", lambda row: row.seconds >= 3),
        ("dur:<3000ms", lambda row: row.seconds < 3),
        ("dur:5", lambda row: row.seconds == 5),
        ("fps:<25", lambda row: row.fps < 25),
        ("fps:23.98", lambda row: row.fps == 23.976),
        ("frames:>=96", lambda row: row.frames >= 96),
        ("size:>1280x720", lambda row: row.size[0] > 1280 and row.size[1] > 720),
        ("size:720x1280", lambda row: row.size == (720, 1280)),
        ("audio:no", lambda row: not row.audio),
        ("warn:yes", lambda row: row.warnings),
        ("warn:no", lambda row: not row.warnings),
        ("warn:TRACKS", lambda row: row.row == 7),
        ("why:edited", lambda row: row.stages[1].state == "stale"),
        ("name:scene-002*", lambda row: row.name.startswith("scene-002")),
        ("name:straSSe*", lambda row: row.row == 5),
        ("name:nested", lambda row: row.row == 5),
        ("scene-0011", lambda row: row.row == 11),
        ("strasse", lambda row: row.row == 5),
        ("ärger", lambda row: row.row == 5),
        ('text:"words on two"', lambda row: row.row == 5),
        ('text:"clip 1"', lambda row: row.caption.startswith("Clip 1")),
        ("text:scene", lambda row: False),
        ('"red car" -car', lambda row: False),
        ('-"red car"', lambda row: "red car" not in row.caption),
        (
            "audio:yes dur:>3s bucket:544x960",
            lambda row: row.audio and row.seconds > 3 and row.bucket == "544x960x121",
        ),
    ],
)
def test_what_a_filter_lets_through(text, holds):
    assert found(text) == those(holds)


@pytest.mark.parametrize(
    ("text", "position", "hint"),
    [
        ("stat:stale", 0, "did you mean state?"),
        ("a -bukket:1", 3, "did you mean bucket?"),
        ("state:stal", 6, "did you mean stale?"),
        ("state:stale,zzz", 12, "use fresh, missing"),
        ("latents:fail", 8, "did you mean failed?"),
        ("stage:latents", 13, "such as stage:latents.failed"),
        ("stage:latens.failed", 6, "did you mean latents?"),
        ("stage:latents.fail", 14, "did you mean failed?"),
        ("dur:fast", 4, "such as dur:>3s"),
        ("dur:>3 km", 5, ""),
        ("dur:>3km", 4, "units: s, ms"),
        ("fps:>25s", 4, "units: fps"),
        ("size:>1280", 5, "such as size:>1280x720"),
        ("audio:maybe", 6, "use yes, no"),
        ("text:", 5, 'such as text:"red car"'),
        ('text:"red car', 5, "write"),
        ("caption:none,", 13, "such as caption:none"),
        ("http://x", 0, "use text, name"),
    ],
)
def test_errors_say_where_and_what_was_meant(text, position, hint):
    if text == "dur:>3 km":  # two terms: a length and a word
        assert parse(text).terms
        return
    with pytest.raises(FilterError) as error:
        parse(text)
    assert error.value.position == position
    assert hint in error.value.hint


def test_a_filter_that_makes_no_sense_leaves_what_is_shown():
    found("bucket:none")
    shown = list(STORE.shown)
    with pytest.raises(FilterError):
        STORE.set_filter("bucket:none stat:x")
    assert list(STORE.shown) == shown
    assert STORE.filter.text == "bucket:none"


def test_marks_are_filtered_by():
    store = store_of(6)
    store.mark(["scene-0001.mp4", "scene-0004.mp4", "no such clip"])
    store.set_filter("marked:yes")
    assert list(store.shown) == [1, 4]
    store.set_filter("-marked:yes")
    assert list(store.shown) == [0, 2, 3, 5]


VALUES = {
    "caption": [state.value for state in CaptionState],
    "state": [state.value for state in OutputState],
    "audio": ["yes", "no"],
    "bucket": ["none", "960x544x49", "*x121"],
    "dur": [">3s", "<=4", "5s"],
    "name": ["scene-00*", "straße"],
    "text": ['"red car"', "lines"],
}
TERMS = st.one_of(
    [
        st.sampled_from(values).map(lambda value, key=key: f"{key}:{value}")
        for key, values in VALUES.items()
    ]
)
SIGNED = st.tuples(st.booleans(), TERMS).map(lambda pair: ("-" if pair[0] else "") + pair[1])


@settings(deadline=None)
@given(st.lists(SIGNED, max_size=4))
def test_terms_are_all_asked_for_in_any_order(terms):
    """Several terms let through what each of them does; `-` gives all the others."""
    together = set(found(" ".join(terms)))
    one_by_one = set(range(len(ROWS)))
    for term in terms:
        one_by_one &= set(found(term))
        turned = term[1:] if term.startswith("-") else f"-{term}"
        assert set(found(term)).isdisjoint(found(turned))
        assert sorted([*found(term), *found(turned)]) == list(range(len(ROWS)))
    assert together == one_by_one == set(found("  ".join(reversed(terms))))


@settings(deadline=None)
@given(st.text(max_size=40) | st.text(string.ascii_lowercase + ':,-" ><.0123456789x', max_size=40))
def test_any_text_is_understood_or_refused_with_a_place(text):
    error = None
    try:
        parse(text)
    except FilterError as found:
        error = found
    assert error is None or (0 <= error.position <= len(text) and str(error))


@given(st.lists(st.sampled_from(ROWS), max_size=5), st.text(max_size=12))
def test_text_is_found_wherever_it_stands(rows, needle):
    wanted = " ".join(needle.casefold().split())
    rows = [
        Row(number, f"{number}", "", row.caption, row.caption_state)
        for number, row in enumerate(rows)
    ]
    store = store_of(rows)
    has = [row.row for row in rows if wanted in " ".join(row.caption.casefold().split())]
    assert sorted(store.table.search("captions", needle)) == has


def test_tokens_keep_their_places():
    found = tokens('  -Caption:none,auto  "two words"')
    assert [(one.start, one.negated, one.key, one.values) for one in found] == [
        (2, True, "caption", (("none", 11), ("auto", 16))),
        (22, False, "", (("two words", 22),)),
    ]


@pytest.mark.parametrize(
    ("text", "offers"),
    [
        ("ca", ["caption:"]),
        ("-ca", ["-caption:"]),
        ("audio:no st", ["audio:no state:", "audio:no stage:"]),
        ("caption:no", ["caption:none"]),
        ("caption:none,re", ["caption:none,reviewed"]),
        ("stage:la", ["stage:latents."]),
        ("stage:latents.f", ["stage:latents.fresh", "stage:latents.failed"]),
        ("latents:fa", ["latents:failed"]),
        ("bucket:9", ["bucket:960x544x49"]),
        ("zzz", []),
    ],
)
def test_completions(text, offers):
    assert completions(text, len(text), ["960x544x49", "544x960x121"]) == offers


def test_a_completion_keeps_what_stands_after_it():
    assert completions("capt audio:no", 4) == ["caption: audio:no"]


def test_every_example_is_a_filter():
    for key in KEYS.values():
        assert parse(key.example).terms
    assert set(STAGES).isdisjoint(KEYS)

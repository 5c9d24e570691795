import json

import pytest

from engine.dataset.clips import load_clips
from engine.dataset.columns import resolve_columns
from engine.dataset.lint import lint
from engine.dataset.manifest import load_manifest


@pytest.fixture
def doctor(tmp_path):
    """Return a function that makes a dataset whose files are all there, and lints it."""

    def make(rows, *, reference=""):
        for row in rows:
            media = tmp_path / row["media_path"]
            media.parent.mkdir(parents=True, exist_ok=True)
            if not row["media_path"].startswith(("gone", "/")):
                media.touch()
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps(rows))
        manifest = load_manifest(path)
        columns = resolve_columns(manifest, reference=reference)
        return lint(manifest, columns, load_clips(manifest, columns))

    return make


def row(media, caption, **more):
    return {"media_path": media, "caption": caption, **more}


def codes(problems):
    return [(problem.row, problem.code) for problem in problems]


def test_a_clean_dataset_has_no_problems(doctor):
    assert doctor([row("a.mp4", "A dog."), row("b.mp4", "A cat.")]) == []


def test_problems_are_sorted_by_row_and_the_whole_comes_last(doctor):
    problems = doctor(
        [
            row("a.mp4", " A dog. "),
            row("gone.mp4", ""),
            row("b.mp4", "A dog."),
            row("b.mov", "A cat"),
            row("c.png", "The video shows a hat"),
        ]
    )
    assert codes(problems) == [
        (0, "caption-spaces"),
        (1, "missing-file"),
        (1, "caption-empty"),
        (2, "collision"),
        (3, "collision"),
        (4, "caption-opening"),
        (None, "mixed-media"),
    ]
    assert "1 image among 2 videos: c.png" in problems[-1].message
    assert all(problem.remedy for problem in problems)


def test_equal_captions_name_the_first_row(doctor):
    problems = doctor([row("a.mp4", "Same"), row("b.mp4", "Other"), row("c.mp4", "Same")])
    assert codes(problems) == [(2, "caption-duplicate")]
    assert problems[0].message.endswith("row 1")


@pytest.mark.parametrize(
    "caption",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot view videos.",
        "Sorry, I can’t describe this.",
        "As an AI language model, I do not watch films.",
        "Unfortunately, I am unable to process the clip",
        "No video was provided",
        "[VISUAL]: I'm unable to see it.\n[SPEECH]: None",
    ],
)
def test_refusals_are_found(doctor, caption):
    assert codes(doctor([row("a.mp4", caption)])) == [(0, "caption-refusal")]


@pytest.mark.parametrize(
    "caption",
    [
        'A man says: "I\'m sorry, I cannot help."',
        "[VISUAL]: Two people.\n[SPEECH]: I'm sorry, I can't see.",
        "I cannoli on a plate",
    ],
)
def test_what_people_say_in_films_is_no_refusal(doctor, caption):
    assert doctor([row("a.mp4", caption)]) == []


def test_a_reference_among_the_clips_is_found(doctor):
    problems = doctor(
        [row("a.mp4", "1"), row("a_reference.mp4", "2"), row("lone_reference.mp4", "3")]
    )
    assert codes(problems) == [(1, "reference-as-clip")]


def test_references_that_nobody_asked_for_are_mentioned(doctor):
    rows = [row("a.mp4", "1", reference_path="b.mp4"), row("b.mp4", "2", reference_path="")]
    problems = doctor(rows)
    assert codes(problems) == [(None, "reference-unused")]
    assert "1 row has a reference" in problems[0].message
    asked = doctor(rows, reference="reference_path")
    assert codes(asked) == [(1, "reference-empty")]


def test_an_empty_dataset_says_so(doctor):
    assert codes(doctor([])) == [(None, "no-clips")]


def test_spaces_in_a_path_and_odd_paths_do_no_harm(doctor):
    assert codes(doctor([row("a.mp4 ", "1")])) == [(0, "path-spaces")]
    assert codes(doctor([row("/", "1"), row("_reference.mp4", "2")])) == [(0, "not-a-file")]

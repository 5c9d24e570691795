import json
import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset.clips import load_clips
from engine.dataset.columns import resolve_columns
from engine.dataset.manifest import Manifest, load_manifest
from engine.dataset.outputs import claim_outputs, output_path
from engine.files.safe import inside


@pytest.fixture
def dataset(tmp_path):
    """Return a function that makes a dataset with its media, and loads its clips."""

    def make(rows, *, touch=True, reference="", **options):
        path = tmp_path / "data" / "dataset.json"
        path.parent.mkdir(exist_ok=True)
        if touch:
            for row in rows:
                media = path.parent / row["media_path"]
                media.parent.mkdir(parents=True, exist_ok=True)
                media.touch()
        path.write_text(json.dumps(rows))
        manifest = load_manifest(path)
        return load_clips(manifest, resolve_columns(manifest, reference=reference), **options)

    return make


def clips_of(*media, caption="c"):
    return [{"media_path": name, "caption": caption} for name in media]


def outputs(clip_set):
    return [str(clip.output) for clip in clip_set.clips]


def codes(clip_set):
    return [(problem.row, problem.severity, problem.code) for problem in clip_set.problems]


def test_outputs_mirror_the_dataset_folder(dataset, tmp_path):
    found = dataset(clips_of("a.mp4", "nested/deep/er/clip.mp4", "x/../b.mov", "./c.v2.mp4"))
    assert outputs(found) == ["a.pt", "nested/deep/er/clip.pt", "b.pt", "c.v2.pt"]
    assert found.problems == ()
    first, nested = found.clips[0], found.clips[1]
    assert first.media == tmp_path / "data" / "a.mp4"
    assert (first.row, first.name, first.caption, first.reference) == (0, "a.mp4", "c", None)
    assert nested.output == PurePosixPath("nested/deep/er/clip.pt")


def test_an_absolute_path_inside_the_folder_is_relative(dataset, tmp_path):
    found = dataset(clips_of(str(tmp_path / "data" / "sub" / "a.mp4")))
    assert outputs(found) == ["sub/a.pt"]


def test_media_outside_get_a_folder_of_their_own(dataset, tmp_path):
    found = dataset(clips_of("../one/a.mp4", "../two/one/a.mp4", str(tmp_path / "one" / "b.mp4")))
    assert found.problems == ()
    folders = [clip.output.parts[1] for clip in found.clips]
    assert all(clip.output.parts[0] == "external" for clip in found.clips)
    assert all(name.startswith("one-") and len(name) == 12 for name in folders)
    assert len(set(folders)) == 3
    assert [clip.output.name for clip in found.clips] == ["a.pt", "a.pt", "b.pt"]


def test_a_link_counts_by_its_own_path(dataset, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    found = dataset(clips_of("link/a.mp4"), touch=False)
    assert outputs(found) == ["link/a.pt"]
    assert found.problems == ()


def test_the_way_up_from_a_link_is_the_file_systems(dataset, tmp_path):
    (tmp_path / "far" / "sub").mkdir(parents=True)
    (tmp_path / "far" / "a.mp4").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "far" / "sub")
    found = dataset(clips_of("link/../a.mp4"), touch=False)
    assert found.problems == ()
    assert found.clips[0].media.samefile(tmp_path / "far" / "a.mp4")


def test_two_media_of_one_stem_are_refused_naming_both_rows(dataset):
    found = dataset(clips_of("dup/a.mp4", "b.mp4", "dup/a.mov", "dup/../dup/a.mp4"))
    assert outputs(found) == ["b.pt"]
    assert codes(found) == [(row, "error", "collision") for row in (0, 2, 3)]
    first, second, third = found.problems
    assert "rows 1 and 3, 4 would both write dup/a.pt" in first.message
    assert "dup/a.mov.pt" in second.remedy
    assert "on_collision" in second.remedy
    assert "dup/a.mp4.pt" in third.remedy
    assert found.blocked == {0, 2, 3}


def test_renamed_collisions_never_meet_a_third(dataset):
    rows = clips_of("a.mp4", "a.mov", "a.mov", "a.mov.mkv", "a~2.avi", "a.mov")
    found = dataset(rows, on_collision="rename")
    assert outputs(found) == ["a.pt", "a~3.pt", "a~4.pt", "a.mov.pt", "a~2.pt", "a~5.pt"]
    assert codes(found) == [(row, "warning", "renamed") for row in (1, 2, 5)]
    assert found.blocked == frozenset()
    assert outputs(dataset(clips_of("a.mp4", "a.mov"), on_collision="rename")) == [
        "a.pt",
        "a.mov.pt",
    ]


def test_names_that_differ_by_case_only_are_a_warning(dataset):
    found = dataset(clips_of("A.mp4", "a.mp4"))
    assert outputs(found) == ["A.pt", "a.pt"]
    assert codes(found) == [(1, "warning", "case-collision")]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "media-empty"),
        (None, "media-empty"),
        ("  ", "media-empty"),
        (float("nan"), "media-empty"),
        (3, "path-type"),
        (["a.mp4"], "path-type"),
        ("a\0b.mp4", "path-characters"),
        ("a\nb.mp4", "path-characters"),
        ("\udcff.mp4", "path-characters"),
    ],
)
def test_a_cell_that_is_no_path_is_a_problem_of_its_row(dataset, value, code):
    found = dataset(clips_of(value), touch=False)
    assert found.clips == ()
    assert codes(found) == [(0, "error", code)]
    assert found.problems[0].remedy


def test_a_row_without_the_key_is_a_problem_too(dataset):
    found = dataset([*clips_of("a.mp4"), {"caption": "x"}], touch=False)
    assert codes(found) == [(0, "error", "missing-file"), (1, "error", "media-empty")]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("none.mp4", "missing-file"),
        (".", "not-a-file"),
        ("..", "not-a-file"),
        ("/", "not-a-file"),
        ("x" * 5000, "missing-file"),
        ("sub\\a.mp4", "missing-file"),
    ],
)
def test_a_path_without_a_file_is_an_error_and_keeps_its_clip(dataset, value, code):
    found = dataset(clips_of(value), touch=False)
    assert codes(found) == [(0, "error", code)]
    assert len(found.clips) == 1
    assert found.blocked == {0}
    if "\\" in value:
        assert "with / instead" in found.problems[0].remedy


def test_captions_keep_their_spaces_and_empty_ones_are_a_warning(dataset):
    rows = clips_of("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", "f.mp4")
    captions = ["  x  ", "", None, float("nan"), 5, ["x"]]
    for row, caption in zip(rows, captions, strict=True):
        row["caption"] = caption
    found = dataset(rows)
    assert [clip.caption for clip in found.clips] == ["  x  ", "", "", "", "5", ""]
    assert codes(found) == [
        (1, "warning", "caption-empty"),
        (2, "warning", "caption-empty"),
        (3, "warning", "caption-empty"),
        (5, "error", "caption-type"),
    ]


def test_references_and_sounds_are_found_beside_the_dataset(dataset, tmp_path):
    rows = [
        {"media_path": "a.mp4", "caption": "c", "ref": "b.mp4", "audio": "a.mp4"},
        {"media_path": "b.mp4", "caption": "c", "ref": "", "audio": ""},
        {"media_path": "c.mp4", "caption": "c", "ref": "gone.mp4", "audio": None},
    ]
    found = dataset(rows, reference="ref")
    assert found.clips[0].reference == tmp_path / "data" / "b.mp4"
    assert found.clips[0].audio == tmp_path / "data" / "a.mp4"
    assert found.clips[1].audio is None
    assert codes(found) == [(1, "error", "reference-empty"), (2, "error", "missing-file")]
    assert found.problems[0].column == "ref"


def test_another_root(dataset, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.mp4").touch()
    found = dataset(clips_of("a.mp4"), touch=False, root=tmp_path / "media")
    assert found.problems == ()
    assert found.clips[0].media == tmp_path / "media" / "a.mp4"


def test_names_are_safe_to_show(dataset):
    found = dataset(clips_of("evil\u202e4pm.mp4"))
    assert found.clips[0].name == "evil\\u202e4pm.mp4"
    assert found.clips[0].output == PurePosixPath("evil\u202e4pm.pt")


def test_an_empty_dataset_has_no_clips(dataset):
    assert dataset([]) == dataset([])
    assert dataset([]).clips == ()


paths = st.one_of(
    st.text(max_size=20),
    st.lists(
        st.sampled_from(["..", ".", "a", "a.mp4", "a.mov", "a.pt", "~", "external", "", "x" * 300]),
        max_size=5,
    ).map("/".join),
    st.sampled_from(
        ["/data/set/a.mp4", "/data/a.mp4", "/", "//a", "a~2.mp4", "a.mov.mp4", "..mp4"]
    ),
)


@given(st.lists(paths, max_size=8), st.sampled_from(["refuse", "rename"]))
@settings(deadline=None, max_examples=200)
def test_outputs_are_unique_and_inside_whatever_the_paths(media, on_collision):
    data = json.dumps([{"video": path, "caption": "c"} for path in media]).encode()
    manifest = Manifest(Path("/data/set/d.json"), data)
    found = load_clips(manifest, resolve_columns(manifest), on_collision=on_collision)
    names = [clip.output for clip in found.clips]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.suffix == ".pt"
        target = Path(os.path.normpath(inside(Path("/out"), name)))
        assert target == Path("/out") / name
        assert len(name.name.encode()) < 255
    accounted = {clip.row for clip in found.clips} | found.blocked
    assert accounted == set(range(len(media)))


@given(st.lists(st.sampled_from(["a.mp4", "a.mov", "b.mp4", "a.mov.mp4", "a~2.mp4"]), max_size=8))
@settings(deadline=None, max_examples=100)
def test_a_row_without_a_rival_has_the_plain_name(media):
    folder = Path("/d")
    wanted = {row: output_path(name, folder) for row, name in enumerate(media)}
    claims = claim_outputs(wanted, dict(enumerate(media)))
    assert len(set(claims.names.values())) == len(media)
    for row, name in wanted.items():
        if row not in claims.collisions or claims.collisions[row][0] == row:
            assert claims.names[row] == name

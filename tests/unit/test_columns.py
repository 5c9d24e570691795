from pathlib import Path

import pytest

from engine.dataset.columns import ColumnMap, resolve_columns
from engine.dataset.manifest import Manifest
from engine.errors import DatasetError


def table(*columns):
    return Manifest(Path("d.csv"), ",".join(columns).encode() + b"\n")


@pytest.mark.parametrize(
    ("columns", "video"),
    [
        (["caption", "media_path"], "media_path"),
        (["video", "media_path", "caption"], "video"),
        (["caption", "image"], "image"),
        (["image_path", "media_path", "caption"], "media_path"),
    ],
)
def test_the_media_column_of_either_generation_is_found(columns, video):
    assert resolve_columns(table(*columns)).video == video


def test_all_current_names_are_found():
    columns = resolve_columns(
        table("video", "audio", "caption", "reference_video", "reference_audio")
    )
    assert columns == ColumnMap(
        video="video",
        caption="caption",
        audio="audio",
        reference_audio="reference_audio",
        detected_reference="reference_video",
    )
    masks = resolve_columns(table("video", "caption", "video_mask", "audio_mask"))
    assert (masks.video_mask, masks.audio_mask) == ("video_mask", "audio_mask")


@pytest.mark.parametrize("name", ["reference_video", "ref_media_path", "reference_path"])
def test_references_are_only_used_when_named(name):
    manifest = table("media_path", "caption", name)
    assert resolve_columns(manifest).reference == ""
    assert resolve_columns(manifest).detected_reference == name
    asked = resolve_columns(manifest, reference=name)
    assert asked.reference == asked.detected_reference == name


def test_a_named_column_wins_over_the_convention():
    manifest = table("media_path", "clip", "caption", "text")
    columns = resolve_columns(manifest, video="clip", caption="text")
    assert (columns.video, columns.caption) == ("clip", "text")


def test_a_column_that_is_not_there_is_refused_with_a_guess():
    with pytest.raises(DatasetError) as caught:
        resolve_columns(table("media_path", "captions"), caption="caption")
    for words in ["d.csv", "column 'caption'", "did you mean 'captions'?", "media_path, captions"]:
        assert words in str(caught.value)


def test_a_dataset_without_media_or_captions_is_refused():
    with pytest.raises(DatasetError, match=r"no column of media paths.*is it 'Video'\?"):
        resolve_columns(table("Video", "caption"))
    with pytest.raises(DatasetError, match=r"no column of captions.*caption_column"):
        resolve_columns(table("media_path", "text"))
    assert resolve_columns(table("media_path", "x"), need_caption=False).caption == ""


def test_an_empty_dataset_has_no_columns_and_is_no_error():
    assert resolve_columns(Manifest(Path("d.json"), b"[]")).video == ""

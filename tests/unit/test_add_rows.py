"""Rows for new media: at the end, without a caption, once; all else stays byte for byte."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.dataset import add_rows as module
from engine.dataset.add_rows import Added, add_rows
from engine.dataset.manifest import load_manifest
from engine.errors import DatasetError, EnvironmentFaultError

JSON = (
    '[\n  {"caption": "A \\u00e9clair.", "media_path": "a.mp4",   "stars": 5},\n'
    '  {"caption": "B", "media_path": "clips/../b.mp4"}\n]\n'
)
TEXTS = {
    "dataset.json": JSON,
    "dataset.jsonl": '{"media_path": "a.mp4", "caption": "A"}\n\n'
    '{"media_path": "b.mp4", "caption": "B"}\n',
    "dataset.csv": 'caption;media_path;stars\r\n"A; or";a.mp4;5\r\nB;b.mp4;\r\n',
    "dataset.tsv": "media_path\tcaption\na.mp4\tA\nb.mp4\tB\n",
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_rows_are_added_and_nothing_else_changes(tmp_path: Path, name: str) -> None:
    dataset = tmp_path / name
    dataset.write_bytes(TEXTS[name].encode())
    media = [tmp_path / "b.mp4", tmp_path / "clips" / "c.mp4", tmp_path / "clips" / "c.mp4"]
    added = add_rows(dataset, media)
    assert added == Added(names=("clips/c.mp4",), there=2)
    rows = load_manifest(dataset).rows
    assert len(rows) == 3
    assert (rows[2]["media_path"], rows[2]["caption"]) == ("clips/c.mp4", "")
    end = "\n]\n" if name.endswith("json") else ""
    assert dataset.read_bytes().startswith(TEXTS[name].removesuffix(end).encode())
    before = dataset.read_bytes()
    assert add_rows(dataset, media) == Added(there=3)
    assert dataset.read_bytes() == before


@pytest.mark.parametrize("name", ["new.json", "new.jsonl", "new.csv", "new.tsv"])
def test_a_dataset_that_is_not_there_is_made(tmp_path: Path, name: str) -> None:
    dataset = tmp_path / name
    add_rows(dataset, [tmp_path / "clips" / "a.mp4", Path("/elsewhere/b.mp4")])
    rows = load_manifest(dataset).rows
    assert [dict(row) for row in rows] == [
        {"caption": "", "media_path": "clips/a.mp4"},
        {"caption": "", "media_path": "/elsewhere/b.mp4"},
    ]


def test_an_empty_list_gets_the_columns_that_the_project_names(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset.json"
    dataset.write_text("[]\n")
    add_rows(dataset, [tmp_path / "a.mp4"], video_column="file", caption_column="text")
    assert json.loads(dataset.read_text()) == [{"text": "", "file": "a.mp4"}]


def test_rows_of_files_that_are_gone_are_told_and_stay(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset.json"
    dataset.write_text(JSON)
    added = add_rows(dataset, [], gone=[tmp_path / "b.mp4", tmp_path / "c.mp4"])
    assert added == Added(gone=("b.mp4",))
    assert dataset.read_text() == JSON


def test_what_another_program_writes_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tmp_path / "dataset.json"
    dataset.write_text(JSON)
    plain, seen = module._append, []

    def append(manifest: object, *rest: object) -> Added:
        made = plain(manifest, *rest)  # type: ignore[arg-type]
        if not seen:
            seen.append(made)
            rows = json.loads(dataset.read_text())
            rows[0]["caption"] = "mended"
            rows.append({"caption": "mine", "media_path": "c.mp4"})
            dataset.write_text(json.dumps(rows))
        return made

    monkeypatch.setattr(module, "_append", append)
    assert add_rows(dataset, [tmp_path / "c.mp4"]) == Added(there=1)
    rows = json.loads(dataset.read_text())
    assert [row["caption"] for row in rows] == ["mended", "B", "mine"]


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset.json"
    dataset.write_text(JSON)
    with pytest.raises(DatasetError, match="UTF-8"):
        add_rows(dataset, [tmp_path / os.fsdecode(b"\xff.mp4")])
    dataset.chmod(0o444)
    with pytest.raises(DatasetError, match="read-only"):
        add_rows(dataset, [tmp_path / "c.mp4"])
    dataset.chmod(0o644)
    dataset.write_text("[1]")
    with pytest.raises(DatasetError):
        add_rows(dataset, [tmp_path / "c.mp4"])
    dataset.write_text('[{"x": 1}]')
    with pytest.raises(DatasetError, match="no column of media"):
        add_rows(dataset, [tmp_path / "c.mp4"])


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = tmp_path / "dataset.json"
    dataset.write_text(JSON)

    def full(_self: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EnvironmentFaultError, match="No space left"):
        add_rows(dataset, [tmp_path / "c.mp4"])
    assert dataset.read_text() == JSON

"""Previews, the page that shows them, and the record that spares a second run its work."""

from __future__ import annotations

import html.parser
import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.files.identity import stat_identity
from engine.media.scene_options import Cutting, Finding
from engine.media.scene_report import (
    REPORT,
    Section,
    Shown,
    check_report,
    check_stats_file,
    clock,
    preview_frames,
    write_report,
)
from engine.media.scene_types import Found, Piece, Range
from engine.worker.scene_record import (
    RECORDS,
    Made,
    Record,
    Search,
    image_key,
    name_videos,
    piece_key,
    records,
)

NASTY = "<img src=x onerror=alert(1)> & \"q\" 'a' #1?%.mp4"


class Page(html.parser.HTMLParser):
    """Gathers what a page links to, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


def shown(name: str, *images: str) -> Shown:
    return Shown(Path(name), Range(10, 34), 10 / 24, 1.0, [Path(image) for image in images])


def test_names_are_text_and_links_lead_to_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / NASTY).write_bytes(b"x")
    page = write_report(folder, [Section(NASTY, [shown(NASTY, f"scene_images/{NASTY}.jpg")])])
    read = Page(page.read_text())
    assert NASTY in read.words
    assert read.tags.count("img") == 1
    assert [unquote(link) for link in read.links] == [NASTY, f"scene_images/{NASTY}.jpg"]
    assert all(not link.startswith(("/", "http", "javascript")) for link in read.links)
    assert "10 to 33" in read.words
    assert "1 scene of 1 video" in read.words


def test_a_name_of_other_bytes_and_control_characters(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\x1b[2J.mp4")
    page = write_report(tmp_path, [Section(odd, [shown(odd)])]).read_text()
    assert "\x1b" not in page
    assert Page(page).links == ["%FF%1B%5B2J.mp4"]


def test_a_page_of_someone_else_is_not_replaced(tmp_path: Path) -> None:
    check_report(tmp_path)
    write_report(tmp_path, [])
    check_report(tmp_path)
    (tmp_path / REPORT).write_text("<p>mine</p>")
    with pytest.raises(UsageError, match="not written by this command"):
        check_report(tmp_path)
    elsewhere = tmp_path / "elsewhere.html"
    elsewhere.write_text("keep")
    (tmp_path / REPORT).unlink()
    (tmp_path / REPORT).symlink_to(elsewhere)
    with pytest.raises(UsageError):
        check_report(tmp_path)
    write_report(tmp_path, [])
    assert elsewhere.read_text() == "keep"


def test_a_csv_is_not_written_over_something_else(tmp_path: Path) -> None:
    check_stats_file(tmp_path / "new.csv")
    (tmp_path / "old.csv").write_text("Frame Number,Timecode,content_val\n")
    check_stats_file(tmp_path / "old.csv")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0 ftyp")
    for wrong in (tmp_path / "film.mp4", tmp_path, tmp_path / "no" / "a.csv"):
        with pytest.raises(UsageError):
            check_stats_file(wrong)


@given(st.integers(0, 500), st.integers(0, 60), st.integers(0, 12))
def test_previews_are_frames_of_the_piece_and_rise(first: int, length: int, count: int) -> None:
    numbers = preview_frames(Range(first, first + length), count)
    assert len(numbers) == min(count, length)
    assert numbers == sorted(set(numbers))
    assert all(first <= number < first + length for number in numbers)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00.000"),
        (59.9996, "00:01:00.000"),
        (3725.5, "01:02:05.500"),
        (1e6, "277:46:40.000"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


FOUND = Found(frames=50, rate=(24, 1), vfr=False, time_base=(1, 24), span=Range(0, 50), cuts=(20,))
PIECE = Piece(number=1, kept=Range(0, 19), scene=Range(0, 20), start=0.0, seconds=19 / 24)


def begun(folder: Path, source: Path, name: str = "film") -> Record:
    record = Record(folder, name)
    record.begin(source)
    return record


def made(folder: Path, file: str, key: str = "k") -> Made:
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"piece")
    return Made(
        file=Path(file), identity=stat_identity(path), key=key, piece=PIECE, kept=PIECE.kept
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"video")
    return path


def test_what_was_made_is_known_again(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    record = begun(out, source)
    record.add(Search(finding=Finding(threshold=20), found=FOUND))
    record.add(made(out, "film-Scene-001.mp4"))
    again = begun(out, source)
    assert again.found(Finding(threshold=20)) == FOUND
    assert again.found(Finding()) is None
    file = Path("film-Scene-001.mp4")
    assert again.is_ours(file)
    assert again.fresh(file, "k") is not None
    assert again.fresh(file, "other") is None
    assert not again.has_other_frames(file, Range(0, 19))
    assert again.has_other_frames(file, Range(0, 18))
    assert [one.file for one in again.pieces()] == [file]
    assert [one.file for one in records(out)[0].files()] == [file]


def test_files_that_changed_or_are_links_are_not_ours(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    record = begun(out, source)
    record.add(made(out, "a.mp4"))
    record.add(made(out, "b.mp4"))
    (out / "a.mp4").write_bytes(b"edited by hand")
    (out / "b.mp4").rename(tmp_path / "b.mp4")
    (out / "b.mp4").symlink_to(tmp_path / "b.mp4")
    assert not record.is_ours(Path("a.mp4"))
    assert not record.is_ours(Path("b.mp4"))
    assert not record.is_ours(Path("never.mp4"))
    assert begun(out, source).files() == []


def test_a_video_that_changed_is_looked_at_again(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    record = begun(out, source)
    record.add(Search(finding=Finding(), found=FOUND))
    record.add(made(out, "a.mp4"))
    source.write_bytes(b"another video")
    again = begun(out, source)
    assert again.found(Finding()) is None
    assert again.is_ours(Path("a.mp4"))
    assert again.has_other_frames(Path("a.mp4"), PIECE.kept)


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    record = begun(out, source)
    record.add(made(out, "a.mp4"))
    with record.file.open("ab") as file:
        file.write(b'{"line":"made","file":"b')
    again = Record(out, "film")
    assert [one.file for one in again.files()] == [Path("a.mp4")]
    again.begin(source)
    again.add(made(out, "c.mp4"))
    assert {one.file.name for one in Record(out, "film").files()} == {"a.mp4", "c.mp4"}


def test_keys_tell_what_matters(source: Path) -> None:
    identity = stat_identity(source)
    base = piece_key(identity, PIECE, Cutting())
    other = Piece(number=7, kept=PIECE.kept, scene=Range(0, 25), start=0.0, seconds=1.0)
    assert piece_key(identity, other, Cutting()) == base
    assert piece_key(identity, PIECE, Cutting(crf=20)) != base
    assert piece_key(identity, PIECE, Cutting(copy=True)) == piece_key(
        identity, PIECE, Cutting(copy=True, crf=20)
    )
    assert image_key(identity, 3) != image_key(identity, 4)


def test_two_videos_of_one_name_do_not_collide(tmp_path: Path) -> None:
    names = ("a.mp4", "a.mov", "A.mkv", "b.mp4", "a-mp4.webm")
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.write_bytes(path.name.encode())
    named = name_videos(paths, None)
    assert named == ["a-mp4", "a-mov", "A-mkv", "b", "a-mp4-webm"]
    assert len({name.casefold() for name in named}) == len(paths)


def test_a_name_stays_with_its_video(tmp_path: Path) -> None:
    out, one, two = tmp_path / "out", tmp_path / "a.mp4", tmp_path / "a.mov"
    for path in (one, two):
        path.write_bytes(path.name.encode())
    assert name_videos([one], out) == ["a"]
    begun(out, one, "a")
    assert name_videos([two], out) == ["a-mov"]
    assert name_videos([one], out) == ["a"]
    moved = tmp_path / "moved"
    moved.mkdir()
    assert name_videos([one.rename(moved / "a.mp4")], out) == ["a"]


def test_a_long_name_fits_a_file_system(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120 + ".mp4")
    path.write_bytes(b"x")
    (name,) = name_videos([path], None)
    assert len(f"{name}-Scene-001.mp4".encode()) < 230
    assert (tmp_path / "out" / RECORDS).exists() is False

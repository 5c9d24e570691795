import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.client import Engine
from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.errors import DatasetError
from engine.events import ClipFailed
from engine.files.identity import stat_identity
from engine.overview.file import FILE, folded, open_overview, table_of, write_overview
from engine.overview.identity import identity_of
from engine.overview.scan import Scan
from engine.overview.types import CaptionState, OutputState, Overview, Row, StageState
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger, OutputRecord
from engine.project import load_project
from engine.worker.journal import Journal, StepKey
from engine.worker.spec import encode
from tests.small_set import CAPTIONS, write_clip, write_dataset


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(CAPTIONS):
        write_clip(root / name, count=10 + number, sound=name != "mute.mp4", seed=number)
    return root


@pytest.fixture
def project(source, tmp_path):
    """Return a project with four clips, one that is missing and one without a path."""
    for name in CAPTIONS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(source / name)
    rows = [{"caption": caption, "media_path": name} for name, caption in CAPTIONS.items()]
    rows += [{"caption": " ", "media_path": "gone.mp4"}, {"caption": "x", "media_path": ""}]
    write_dataset(tmp_path, rows)
    (tmp_path / "project.toml").write_text('[video]\nbuckets = "64x64x9"\n')
    return load_project(tmp_path / "project.toml")


def made(project, *, first=False, before=None):
    with Ledger(project.state_dir) as ledger:
        scan = Scan(project, ledger)
        return scan.first(before) if first else scan.whole()


def test_the_dataset_alone_gives_names_and_captions(project):
    overview = made(project, first=True)
    assert not overview.whole
    assert [(row.row, row.name) for row in overview.rows] == [
        (0, "wide.mp4"),
        (1, "square.mp4"),
        (2, "sub/long.mp4"),
        (3, "mute.mp4"),
        (4, "gone.mp4"),
        (5, "row 6"),
    ]
    assert [row.caption_state for row in overview.rows] == [*["auto"] * 4, "none", "auto"]
    assert overview.rows[2].media == str(project.root / "sub" / "long.mp4")
    assert overview.rows[0].stages == ()


def test_all_of_it(project):
    seen = []
    with Ledger(project.state_dir) as ledger:
        overview = Scan(project, ledger).whole(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)
    assert overview.stages == ("conditions", "latents")
    wide, mute, gone, nameless = (overview.rows[number] for number in (0, 3, 4, 5))
    assert (wide.size, wide.frames, wide.fps, wide.audio) == ((96, 96), 10, 24.0, True)
    assert (wide.bucket, wide.kept, wide.output) == ("64x64x9", (0.0, 9 / 24), "wide.pt")
    assert wide.codec == "h264 · aac 48 kHz stereo"
    assert [one.state for one in wide.stages] == [OutputState.MISSING] * 2
    assert (mute.audio, mute.codec) == (False, "h264 · no sound")
    assert gone.worst == StageState(
        "conditions",
        OutputState.BLOCKED,
        "cannot be read: No such file or directory",
        "check the path",
    )
    assert nameless.worst.reason == "no media path"
    assert nameless.worst.remedy == "fill the cell in"
    codes = [(one.row, one.code) for one in overview.remarks]
    assert (4, "missing-file") in codes
    assert overview.remark_count == len(codes)
    assert overview.coverage == {"64x64x9": 4}


def test_remarks_on_a_row_are_among_its_warnings(project):
    rows = [{"caption": "I'm sorry, I cannot see it.", "media_path": "wide.mp4"}]
    write_dataset(project.root, rows)
    (warning,) = made(project).rows[0].warnings
    assert "refusal" in warning
    assert "write one" in warning


def test_what_was_known_of_media_is_shown_until_they_are_looked_at_again(project):
    before = table_of(made(project))
    write_dataset(
        project.root,
        [
            {"caption": "new words", "media_path": "mute.mp4"},
            {"caption": "a new clip", "media_path": "new.mp4"},
        ],
    )
    mute, new = made(project, first=True, before=before).rows
    assert (mute.row, mute.caption, mute.bucket, mute.frames) == (0, "new words", "64x64x9", 13)
    assert (new.row, new.bucket, new.frames) == (1, "", 0)


def test_how_outputs_were_made_and_why_others_failed(project):
    folders = Engine(project).folders
    with Ledger(project.state_dir) as ledger:
        journal = Journal(ledger.database)
        old, new = (journal.add(Engine(project).encoding()) for _ in range(2))
        failure = ClipFailed(stage="latents", clip="wide.mp4", row=0, reason="old", remedy="")
        journal.fail(old, StepKey(Stage.LATENTS, "wide.pt"), failure)
        failure = msgspec.structs.replace(failure, reason="cut short", remedy="copy it again")
        journal.fail(new, StepKey(Stage.LATENTS, "wide.pt"), failure)
        # It failed once, and was made by the job after that.
        journal.fail(old, StepKey(Stage.LATENTS, "square.pt"), failure)
        key = StepKey(Stage.LATENTS, "square.pt")
        attempt = journal.start(new, key, device="cuda:0", rung="one-shot")
        journal.settle(attempt, "done", rung="stream 16", seconds=2.0, peak=1 << 30)
        journal.fail(new, key, failure)
        journal.finish(new, key)
        output = folders[Stage.LATENTS] / "square.pt"
        output.parent.mkdir(parents=True)
        output.write_bytes(b"tensors")
        record = OutputRecord(
            fingerprint=Fingerprint({}),
            identity=stat_identity(output),
            seconds=2.5,
            detail="stream 8",
        )
        ledger.record(folders[Stage.LATENTS], "square.pt", record)
    wide, square = made(project).rows[:2]
    assert wide.stages[1] == StageState("latents", OutputState.FAILED, "cut short", "copy it again")
    assert square.stages[1].state is OutputState.STALE
    assert msgspec.structs.astuple(square.made[0]) == (
        "latents",
        2.5,
        "stream 8",
        "cuda:0",
        1 << 30,
        False,
    )


def test_drafts_and_marks_of_captions_are_shown(project):
    database = CaptionDatabase(project.state_dir)
    marks = Marks(database)
    marks.set(Key("wide.mp4"), "reviewed", CAPTIONS["wide.mp4"])
    marks.set(Key("square.mp4"), "edited", CAPTIONS["square.mp4"])
    marks.set(Key("mute.mp4"), "reviewed", "another text")
    session = Session(project.state_dir)
    draft = Draft(key=Key("sub/long.mp4"), base=CAPTIONS["sub/long.mp4"], text="typed", typed=1.0)
    DraftJournal(database, session).put([draft])
    session.close()
    database.close()
    rows = made(project, first=True).rows
    assert [row.caption_state for row in rows[:4]] == ["reviewed", "edited", "draft", "auto"]
    assert rows[2].caption == "typed"


def test_a_damaged_file_of_captions_hides_no_clips(project):
    project.state_dir.mkdir(exist_ok=True)
    (project.state_dir / "captions.db").write_bytes(b"no database" * 100)
    assert len(made(project, first=True).rows) == 6


def test_a_dataset_that_cannot_be_read(project):
    project.dataset_path.write_text("[{]")
    with pytest.raises(DatasetError):
        made(project, first=True)


def test_the_identity_changes_with_what_an_overview_is_made_from(project):
    seen = [identity_of(project)]
    assert identity_of(project) == seen[0]
    project.dataset_path.write_text(project.dataset_path.read_text() + "\n")
    seen.append(identity_of(project))
    project.file.write_text(project.file.read_text() + "\n[text]\ntrigger = 'x'\n")
    seen.append(identity_of(project))
    seen.append(identity_of(load_project(project.file)))
    with Ledger(project.state_dir) as ledger:
        seen.append(identity_of(project))
        Journal(ledger.database).add(Engine(project).encoding())
    seen.append(identity_of(project))
    del seen[4]  # an empty journal says no more than none
    assert len(set(seen)) == len(seen)


# The child process


def child(project_json, *, hang_up=False):
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.worker.make_overview"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(project_json + b"\n")
    process.stdin.flush()
    if hang_up:
        process.stdin.close()
        process.stdin = None
    lines = [json.loads(line) for line in process.stdout]
    if process.stdin is not None:
        process.stdin.close()
        process.stdin = None
    errors = process.communicate()[1]
    return lines, process.returncode, errors


def test_the_child_writes_the_dataset_first_and_tells_of_it(project):
    lines, code, errors = child(encode(project))
    assert (code, errors) == (0, b"")
    written = [line for line in lines if line["tell"] == "written"]
    assert [(line["rows"], line["whole"]) for line in written] == [(6, False), (6, True)]
    assert {"tell": "scanning", "done": 5, "total": 5} in lines
    table = open_overview(project.state_dir / FILE)
    assert table.overview.whole
    assert table.overview.identity == identity_of(project)
    again, _, _ = child(encode(project))
    assert [line["whole"] for line in again if line["tell"] == "written"] == [True]


def test_the_child_says_what_is_wrong(project):
    project.dataset_path.unlink()
    (line,), code, errors = child(encode(project))
    assert (code, errors) == (0, b"")
    assert line["tell"] == "failed"
    assert line["fault"]["kind"] == "DatasetError"
    assert line["fault"]["file"] == str(project.dataset_path)


def test_the_child_ends_when_nobody_listens(project):
    _, code, _ = child(encode(project), hang_up=True)
    assert code in (0, 1)  # it may have been done already


# The file


SENTENCES = st.text(max_size=30)
ROWS = st.lists(
    st.builds(
        Row,
        row=st.just(0),
        name=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20),
        media=SENTENCES.filter(lambda text: text.isprintable()),
        caption=SENTENCES,
        caption_state=st.sampled_from(CaptionState),
        seconds=st.floats(0, 1e5),
        size=st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)),
        frames=st.integers(0, 10**6),
        fps=st.floats(0, 240),
        audio=st.booleans(),
        bucket=st.sampled_from(["", "64x64x9", "960x544x49"]),
        warnings=st.lists(SENTENCES, max_size=2).map(tuple),
        stages=st.sampled_from(
            [(), (StageState("latents", OutputState.STALE, "caption edited", "run it"),)]
        ),
    ),
    max_size=12,
).map(lambda rows: tuple(msgspec.structs.replace(row, row=at) for at, row in enumerate(rows)))


@settings(deadline=None)
@given(ROWS)
def test_rows_come_back_as_they_were(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("o") / FILE
    overview = Overview(rows=rows, stages=("conditions", "latents"), coverage={"64x64x9": 3})
    write_overview(path, overview)
    table = open_overview(path)
    assert [table.row(number) for number in range(len(table))] == list(rows)
    assert table.names == [row.name for row in rows]
    assert list(table.seconds) == [row.seconds for row in rows]
    assert [table.bucket_names[number] for number in table.buckets] == [row.bucket for row in rows]
    assert table.overview == msgspec.structs.replace(overview, rows=())
    for row in rows:
        words = folded(row.caption).split()
        assert not words or row.row in table.search("captions", words[0])


def test_an_open_overview_stays_as_it_was(tmp_path):
    path = tmp_path / FILE
    row = Row(0, "a.mp4", "/a.mp4", "first", CaptionState.AUTO)
    write_overview(path, Overview(rows=(row,)))
    table = open_overview(path)
    write_overview(path, Overview(rows=(msgspec.structs.replace(row, caption="second"),)))
    assert table.row(0).caption == "first"
    assert open_overview(path).row(0).caption == "second"


def test_half_a_surrogate_does_not_keep_an_overview_from_being_written(tmp_path):
    row = Row(0, "a.mp4", "/a.mp4", "a \ud800 b", CaptionState.AUTO)
    write_overview(tmp_path / FILE, Overview(rows=(row,)))
    assert open_overview(tmp_path / FILE).row(0).caption == "a ? b"


def test_what_is_no_overview(tmp_path):
    assert open_overview(tmp_path / "nowhere") is None
    path: Path = tmp_path / FILE
    for data in (b"", b"x" * 100, b"ltx-view" + b"\xff" * 30):
        path.write_bytes(data)
        assert open_overview(path) is None

"""The ledger: caches that know when a file changed, and records that survive a reopen."""

import os
import sqlite3
from pathlib import Path

import pytest

from engine.errors import EnvironmentFaultError, LtxError
from engine.files.identity import FileIdentity
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.ledger import Ledger, OutputRecord, run_lock


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".ltx-tui"


def record(prompt: str = "a") -> OutputRecord:
    return OutputRecord(
        fingerprint=Fingerprint({"prompt": prompt}),
        identity=FileIdentity(size=3, mtime_ns=5),
        seconds=1.5,
        detail="one-shot",
    )


def test_records_survive_a_reopen(state: Path) -> None:
    folder = state.parent / ".precomputed" / "latents"
    with Ledger(state) as ledger:
        ledger.record(folder, "a/b.pt", record())
    with Ledger(state) as ledger:
        assert ledger.outputs(folder) == {"a/b.pt": record()}
        assert ledger.outputs(folder.with_name("conditions")) == {}
        assert ledger.output(folder, "a/b.pt") == record()
        assert ledger.output(folder, "b.pt") is None


def test_a_project_can_be_moved_as_a_whole(state: Path, tmp_path: Path) -> None:
    with Ledger(state) as ledger:
        ledger.record(state.parent / "out", "a.pt", record())
    moved = tmp_path / "elsewhere"
    state.parent.rename(moved)
    with Ledger(moved / ".ltx-tui") as ledger:
        assert "a.pt" in ledger.outputs(moved / "out")


def test_a_digest_is_taken_again_only_when_the_file_changed(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"one")
    taken: list[str] = []

    def take() -> str:
        taken.append(file.read_text())
        return taken[-1]

    with Ledger(state) as ledger:
        assert ledger.digest(file, "part", take) == "one"
        assert ledger.digest(file, "part", take) == "one"
        assert taken == ["one"]
        file.write_bytes(b"two")
        os.utime(file, ns=(7, 7))
        assert ledger.digest(file, "part", take) == "two"


def test_a_folder_is_another_one_when_two_of_its_files_change_places(
    state: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gemma"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_bytes(name.encode())
    numbers = iter(range(9))
    with Ledger(state) as ledger:

        def digest() -> str:
            return ledger.digest(folder, "text", lambda: str(next(numbers)))

        assert digest() == digest() == "0"
        (folder / "a").rename(folder / "c")
        assert digest() == "1"


def test_a_probe_is_kept_for_one_version_of_the_prober(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"x")
    with Ledger(state) as ledger:
        assert ledger.probe_bytes(file, 1, lambda _: b"old") == (b"old", False)
        assert ledger.probe_bytes(file, 1, lambda _: b"new") == (b"old", True)
        assert ledger.probe_bytes(file, 2, lambda _: b"new") == (b"new", False)


def test_names_that_are_no_utf8_are_kept(state: Path) -> None:
    with Ledger(state) as ledger:
        ledger.record(state.parent, "bad\udc80.pt", record())
        assert list(ledger.outputs(state.parent)) == ["bad\\udc80.pt"]


def test_a_damaged_or_newer_file_is_refused_with_a_remedy(state: Path) -> None:
    Ledger(state).close()
    with sqlite3.connect(state / "journal.db") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(EnvironmentFaultError, match=r"journal\.db: .*version 99.*upgrade"):
        Ledger(state)
    (state / "journal.db").write_bytes(b"this is no database at all, of any kind" * 100)
    for extra in ("-wal", "-shm"):
        (state / f"journal.db{extra}").unlink(missing_ok=True)
    with pytest.raises(EnvironmentFaultError, match="delete it"):
        Ledger(state)


def test_two_runs_in_one_project_are_refused(state: Path) -> None:
    with run_lock(state), pytest.raises(LtxError, match=f"process {os.getpid()}"), run_lock(state):
        pass
    with run_lock(state):
        pass


def test_what_is_known_of_many_files_is_asked_for_together(state: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.mp4" for number in range(1203)]  # more than one query takes
    for file in files:
        file.write_text(file.name)
    with Ledger(state) as ledger:
        with ledger.database.transaction(durable=False):
            for file in files:
                ledger.probe_bytes(file, 1, lambda path: path.name.encode())
                ledger.digest(file)
        assert dict(ledger.known_probes(files, 1)) == {file: file.name.encode() for file in files}
        assert dict(ledger.known_digests(files)) == {file: ledger.digest(file) for file in files}
        assert dict(ledger.known_probes(files, 2)) == {}


def test_what_is_known_of_a_file_that_changed_or_went_is_not_told(
    state: Path, tmp_path: Path
) -> None:
    kept, changed, gone, new = (tmp_path / name for name in ("kept", "changed", "gone", "new"))
    with Ledger(state) as ledger:
        for file in (kept, changed, gone):
            file.write_text("one")
            ledger.digest(file)
        changed.write_text("longer")
        gone.unlink()
        new.write_text("new")
        assert [path for path, _ in ledger.known_digests([kept, changed, gone, new])] == [kept]


def test_whether_a_stage_has_made_anything(state: Path, tmp_path: Path) -> None:
    with Ledger(state) as ledger:
        ledger.record(tmp_path / "latents", "a.pt", record())
        assert ledger.has_outputs(tmp_path / "latents")
        assert not ledger.has_outputs(tmp_path / "conditions")

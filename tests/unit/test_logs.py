"""The logs: what never gets into them, and reading them while they rotate."""

import asyncio
import faulthandler
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.worker import logs
from engine.worker.logs import EncoderLog, LogLine, follow, redact, setup_worker_log, tail

# --- secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk-abcdefghijklmnop1234 sent", "key … sent"),
        ("?key=AIzaSyA0123456789abcdefghijklmnopqrstu&x=1", "?key=…&x=1"),
        ("login hf_AbCdEfGhIjKlMnOpQr", "login …"),
        ("Authorization: Bearer eyJ0.abc-def", "Authorization: Bearer …"),
        ("risk-assessment-of-the-disk", "risk-assessment-of-the-disk"),
        ("half_AbCdEfGhIjKlMnOpQr", "half_AbCdEfGhIjKlMnOpQr"),
        ("sk-short", "sk-short"),
    ],
)
def test_keys_are_not_shown(text: str, shown: str) -> None:
    assert redact(text, {}) == shown


def test_secrets_of_the_environment_are_not_shown() -> None:
    environ = {
        "GEMINI_API_KEY": "long-secret",
        "HF_TOKEN": "long-secret-and-longer",
        "db_password": "correct horse",
        "AWS_SECRET_ACCESS_KEY": "abcd/efgh",
        "APP_SECRET": "first line\nlast line",
        "API_TOKEN": "short",
        "HOME": "/srv/somebody",
        "TOKENIZERS_PARALLELISM": "certainly",
    }
    text = "a long-secret-and-longer b long-secret c correct horse d abcd/efgh e short"
    assert redact(text, environ) == "a … b … c … d … e short"
    assert redact("first line, last line", environ) == "…, …"
    assert redact("/srv/somebody certainly", environ) == "/srv/somebody certainly"


@given(st.text(), st.text(min_size=8).filter(lambda s: len(s.strip()) >= 8 and "…" not in s))
def test_no_secret_is_left_whatever_stands_around_it(text: str, secret: str) -> None:
    environ = {"X_API_KEY": secret}
    shown = redact(f"{text} {secret} {text}", environ)
    assert all(line.strip() not in shown for line in secret.splitlines() if len(line.strip()) >= 8)


# --- the worker's log


@pytest.fixture
def worker_log(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    level = root.level
    handler = setup_worker_log(tmp_path / "logs")
    yield tmp_path / "logs" / "worker.log"
    root.removeHandler(handler)
    handler.close()
    root.setLevel(level)
    logging.captureWarnings(False)


def test_the_worker_logs_without_secrets_or_control_characters(
    worker_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "my-own-secret")
    log = logging.getLogger("engine.worker")
    log.info("clip %s sent with %s", "b\x1b[2Jad", "my-own-secret")
    try:
        raise ValueError("refused: my-own-secret")
    except ValueError:
        log.exception("it failed")
    log.debug("not this")
    text = worker_log.read_text()
    first, *rest = text.splitlines()
    assert first.endswith("INFO engine.worker: clip b\\x1b[2Jad sent with …")
    assert rest[0].endswith("ERROR engine.worker: it failed")
    assert rest[-1] == "ValueError: refused: …"
    assert len(rest) > 2
    assert "not this" not in text


def test_a_crash_of_the_worker_leaves_its_stack(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from engine.worker.logs import *\n"
        "setup_worker_log(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGSEGV)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode < 0
    assert "Segmentation fault" in done.stderr
    assert 'File "<string>", line 2' in done.stderr


def test_a_stderr_without_a_file_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object) -> None:
        raise ValueError("no fileno")

    monkeypatch.setattr(faulthandler, "enable", refuse)
    handler = setup_worker_log(tmp_path)
    logging.getLogger().removeHandler(handler)
    handler.close()
    logging.captureWarnings(False)
    assert (tmp_path / "worker.log").exists()


# --- an encoder's log


def files(folder: Path) -> dict[str, list[str]]:
    return {path.name: path.read_text().splitlines() for path in sorted(folder.iterdir())}


def test_an_encoders_log_keeps_the_newest_files(tmp_path: Path) -> None:
    log = EncoderLog(tmp_path / "logs" / "encoder-cuda-0.log", limit=20, files=3)
    for number in range(10):
        log.write(f"line {number}")  # 7 bytes: two a file
    log.close()
    assert files(tmp_path / "logs") == {
        "encoder-cuda-0.log": ["line 8", "line 9"],
        "encoder-cuda-0.log.1": ["line 6", "line 7"],
        "encoder-cuda-0.log.2": ["line 4", "line 5"],
    }


def test_a_log_is_gone_on_with_and_a_long_line_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "e.log"
    for line in ("one", "x" * 100, "two", "three"):
        log = EncoderLog(path, limit=20)
        log.write(line)
        log.close()
    assert files(tmp_path) == {
        "e.log": ["two", "three"],
        "e.log.1": ["x" * 100],
        "e.log.2": ["one"],
    }


def test_a_log_that_cannot_be_written_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EncoderLog(tmp_path / "e.log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "full")))
        log.write("lost")
    monkeypatch.setenv("HF_TOKEN", "my-own-secret")
    log.write("kept: my-own-secret \udc80")
    log.close()
    assert tail(tmp_path / "e.log", 5) == ["kept: … \\udc80"]


# --- reading


def test_tail_reads_from_the_end_and_over_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "e.log"
    assert tail(path, 5) == []
    path.write_text("".join(f"line {n}\n" for n in range(50_000)) + "unfinished\x1b[2J")
    assert tail(path, 3) == ["line 49998", "line 49999", "unfinished\\x1b[2J"]
    path.rename(tmp_path / "e.log.1")
    path.write_text("new\n")
    assert tail(path, 3) == ["line 49999", "unfinished\\x1b[2J", "new"]
    assert tail(path, 0) == []
    assert len(tail(path, 100_000)) == 50_002


@given(
    lines=st.lists(st.text(st.characters(exclude_categories=("C", "Z")), max_size=50)),
    limit=st.integers(1, 200),
    count=st.integers(0, 20),
)
def test_tail_gives_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], limit: int, count: int
) -> None:
    path = tmp_path_factory.mktemp("tail") / "e.log"
    log = EncoderLog(path, limit=limit)
    for line in lines:
        log.write(line)
    log.close()
    kept = tail(path, 1000)
    shown = [redact(line) for line in lines]
    assert kept == shown[len(shown) - len(kept) :]
    assert tail(path, count) == kept[max(0, len(kept) - count) :]
    if sum(len(line.encode()) + 1 for line in shown) <= limit:
        assert kept == shown


class Reader:
    """Follows logs, and gives the next lines that are not empty looks."""

    def __init__(self, folder: Path, lines: int = 10) -> None:
        self._lines: AsyncIterator[LogLine] = follow(
            lambda: folder.glob("*.log"), lines=lines, interval=0.001
        )

    async def next(self, count: int) -> list[str]:
        return [str(await anext(self._lines)) for _ in range(count)]

    async def at_the_end(self) -> None:
        """Wait in the reader's stead until it has nothing more to read."""
        waiting = asyncio.ensure_future(anext(self._lines))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        self._waiting = waiting

    async def waited(self) -> str:
        return str(await self._waiting)


def test_follow_begins_with_the_last_lines_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("a\nb\nc\nhal")

    async def run() -> list[str]:
        reader = Reader(tmp_path, lines=2)
        seen = await reader.next(2)
        with path.open("a") as file:
            file.write("f\nd\n")
        seen += await reader.next(2)
        (tmp_path / "encoder-cpu.log").write_text("of another\n")
        return seen + await reader.next(1)

    assert asyncio.run(run()) == [
        "worker: b",
        "worker: c",
        "worker: half",
        "worker: d",
        "encoder-cpu: of another",
    ]


def test_follow_loses_nothing_when_a_log_rotates(tmp_path: Path) -> None:
    log = EncoderLog(tmp_path / "e.log", limit=40)

    async def run() -> list[str]:
        reader = Reader(tmp_path)
        log.write("start")
        seen = await reader.next(1)
        for number in range(60):
            log.write(f"line {number}")
            seen += await reader.next(1)
        # Two at once: one in the old file, one in the new.
        for number in range(60, 120, 2):
            log.write(f"line {number}")
            log.write(f"line {number + 1}")
            seen += await reader.next(2)
        return seen

    assert asyncio.run(run()) == ["e: start", *(f"e: line {n}" for n in range(120))]
    log.close()


def test_follow_survives_a_cut_and_a_removal(tmp_path: Path) -> None:
    path = tmp_path / "e.log"
    path.write_text("one\ntwo\n")

    async def run() -> list[str]:
        reader = Reader(tmp_path)
        seen = await reader.next(2)
        await reader.at_the_end()
        path.write_text("cut\n")
        seen.append(await reader.waited())
        await reader.at_the_end()
        path.unlink()
        await asyncio.sleep(0.01)
        path.write_text("made anew, and longer than before\n")
        seen.append(await reader.waited())
        return seen

    assert asyncio.run(run()) == [
        "e: one",
        "e: two",
        "e: cut",
        "e: made anew, and longer than before",
    ]


def test_a_line_without_an_end_is_shown_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LONGEST_LINE", 100)
    monkeypatch.setattr(logs, "_BLOCK", 64)

    async def run() -> list[str]:
        reader = Reader(tmp_path)
        (tmp_path / "e.log").write_bytes(b"")
        await reader.at_the_end()
        with (tmp_path / "e.log").open("ab") as file:
            file.write(b"\x00" * 200 + b"end\n")
        return [await reader.waited(), *await reader.next(1)]

    first, last = asyncio.run(run())
    assert first == "e: " + "\\x00" * 128
    assert last == "e: " + "\\x00" * 72 + "end"

"""A project whose captioner is a local server, for tests that name this module as a plugin."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.client import Engine
from engine.dataset.caption_db import CaptionDatabase
from engine.events import AnyEvent
from engine.project import Project, apply_overrides
from engine.worker.spec import JobSpec
from tests.caption_server import CaptionServer
from tests.small_set import write_clip
from tests.workers import end_worker

KEY = "sk-never-to-be-written-down"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, size=(64, 64), count=8)
    return path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    one = CaptionServer()
    yield one
    one.close()


@pytest.fixture
def project(tmp_path: Path, server: CaptionServer) -> Iterator[Project]:
    made = apply_overrides(
        Project.defaults(tmp_path),
        {
            "captions.captioner": "openai",
            "captions.base_url": server.url,
            "captions.model": "toy",
            "captions.num_workers": 1,
        },
    )
    yield made
    end_worker(made)


def put(folder: Path, clip: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder / name)


def run(project: Project, spec: JobSpec | None = None) -> list[AnyEvent]:
    async def collect() -> list[AnyEvent]:
        engine = Engine(project)
        job = engine.foreground(spec or engine.captioning(project.root))
        return [event async for event in job.events()]

    return asyncio.run(collect())


def rows(project: Project) -> list[dict[str, object]]:
    found = json.loads(project.dataset_path.read_text())
    assert isinstance(found, list)
    return found


def captions(project: Project) -> dict[str, str]:
    return {str(row["media_path"]): str(row.get("caption", "")) for row in rows(project)}


class CaptionDatabaseOf:
    def __init__(self, project: Project) -> None:
        self._database = CaptionDatabase(project.state_dir)

    def __enter__(self) -> CaptionDatabase:
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()

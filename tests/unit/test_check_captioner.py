"""Whether a captioner can be begun with, as the child process tells the workbench."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from engine.captioners import check
from engine.captioners.keys import VARIABLES
from engine.project import Project, apply_overrides
from engine.worker.captioner_types import Wanted
from engine.worker.check_captioner import look
from ltx_tui.captions.captioning import check as ask
from ltx_tui.captions.captioning import who_words
from tests.workers import ROOT


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", *(one for group in VARIABLES.values() for one in group)):
        monkeypatch.delenv(name, raising=False)


def project_with(root: Path, **values: object) -> Project:
    named = {f"captions.{name}": value for name, value in values.items()}
    return apply_overrides(Project.defaults(root), named)


def wanted(root: Path, **values: object) -> Wanted:
    return Wanted(project_with(root, **values).captions, root)


def test_a_key_that_is_missing_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = look(wanted(tmp_path, captioner="gemini_flash"))
    assert (ready.lacks_key, ready.fault, ready.at_once) == (True, None, 4)
    monkeypatch.setattr(check, "_is_installed", lambda _: False)
    ready = look(wanted(tmp_path, captioner="gemini_flash"))
    assert ready.fault is not None
    assert "google.genai" in ready.fault.message
    assert ready.fault.remedy == 'pip install "ltx-tui[gemini]"'


@pytest.mark.parametrize("variable", VARIABLES["gemini_flash"])
def test_a_key_of_the_environment_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "k")
    assert not look(wanted(tmp_path, captioner="gemini_flash")).lacks_key


def test_a_server_of_ones_own_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"captioner": "openai", "num_workers": 7}
    assert look(wanted(tmp_path, **values)).lacks_key
    ready = look(wanted(tmp_path, **values, base_url="http://localhost:1/v1"))
    assert (ready.lacks_key, ready.fault, ready.at_once) == (False, None, 7)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert not look(wanted(tmp_path, **values)).lacks_key
    bad = look(wanted(tmp_path, **values, base_url="localhost"))
    assert bad.fault is not None
    assert "no address of a server" in bad.fault.message


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    ready = look(wanted(tmp_path, model="./qwen"))
    assert ready.fault is not None
    assert ready.fault.message == "there is no such folder"
    assert ready.model == "./qwen"


def test_the_workbench_asks_a_child(tmp_path: Path) -> None:
    project = project_with(tmp_path, captioner="openai", model="toy", base_url="http://[::1]:9/v1")
    ready = asyncio.run(ask(project))
    assert (ready.model, ready.fault, ready.lacks_key) == ("toy", None, False)
    assert who_words(project, ready) == [
        "openai: toy at [::1]:9",
        "frames and sound of the clips are sent there",
    ]
    assert who_words(project_with(tmp_path), None) == ["qwen_omni: the usual model, on auto"]


def test_looking_loads_no_model_library(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from engine.worker.check_captioner import look\n"
        "from engine.worker.captioner_types import Wanted\n"
        "from engine.settings import CaptionsSection\n"
        "look(Wanted(CaptionsSection(), Path('.')))\n"
        "assert not {'torch', 'transformers', 'openai'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

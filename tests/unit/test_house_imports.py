"""What may be imported where: the contracts, and what a real interpreter loads."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "torchaudio", "transformers"}
TERMINAL = {"textual", "rich", "click"}
# What a plan, a client and the worker need: they run where no model is loaded.
PLANNING = (
    "engine.buckets",
    "engine.client",
    "engine.database",
    "engine.dataset",
    "engine.events",
    "engine.media.probe",
    "engine.memory.calibration",
    "engine.memory.forecast",
    "engine.memory.monitor",
    "engine.memory.rungs",
    "engine.models.checkpoint",
    "engine.precompute.fingerprint",
    "engine.precompute.outlook",
    "engine.precompute.plan",
    "engine.progress",
    "engine.project",
    "engine.worker.link",
    "engine.worker.server",
)

IMPORT_ALL = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules(package: str) -> list[str]:
    """Name every module of a package, from its files."""
    names = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def loaded_after(code: str, *arguments: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `code`."""
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return set(json.loads(child.stdout.splitlines()[-1]))


def loaded_by(names: Iterable[str]) -> set[str]:
    """Return the top-level modules that importing `names` loads."""
    return loaded_after(IMPORT_ALL, json.dumps(list(names)))


def test_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_module_of_the_user_interface_loads_torch() -> None:
    names = modules("ltx_tui")
    assert "ltx_tui.__main__" in names
    assert loaded_by(names) & HEAVY == set()


def test_no_module_of_the_engine_loads_a_terminal_library() -> None:
    assert loaded_by(modules("engine")) & TERMINAL == set()


@pytest.mark.parametrize("prefix", PLANNING)
def test_planning_modules_exist(prefix: str) -> None:
    assert any(name == prefix or name.startswith(prefix + ".") for name in modules("engine"))


def test_planning_loads_no_torch() -> None:
    names = [n for n in modules("engine") if n.startswith(PLANNING)]
    assert loaded_by(names) & HEAVY == set()


def test_help_loads_neither_torch_nor_textual() -> None:
    code = """
import contextlib, json, sys
from ltx_tui.__main__ import main
sys.argv = ["ltx-tui", "--help"]
with contextlib.suppress(SystemExit):
    main()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    assert loaded_after(code) & (HEAVY | {"textual", "av", "numpy"}) == set()

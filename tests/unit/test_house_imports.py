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
# Loaded in the one process that talks to it, and there only when it runs.
CLUSTER = {"ray"}
# What a plan, a client and the worker need: they run where no model is loaded.
PLANNING = (
    "engine.buckets",
    "engine.client",
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
    "engine.state",
    "engine.worker.link",
    "engine.worker.server",
)

# A line for each group of modules: what is loaded once it is imported, and those before it.
IMPORT_ALL = """
import importlib, json, sys
for names in json.loads(sys.argv[1]):
    for name in names:
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


def loaded_after(code: str, *arguments: str) -> list[set[str]]:
    """Return the top-level modules that a fresh interpreter has loaded, as often as it tells."""
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return [set(json.loads(line)) for line in child.stdout.splitlines() if line.startswith("[")]


def loaded_by(*groups: Iterable[str]) -> list[set[str]]:
    """Return the top-level modules that are loaded after each of some groups is imported."""
    return loaded_after(IMPORT_ALL, json.dumps([list(names) for names in groups]))


@pytest.fixture(scope="module")
def engine_loads() -> list[set[str]]:
    """Return what planning loads, and what all of the engine does: torch is imported once."""
    planning = [name for name in modules("engine") if name.startswith(PLANNING)]
    return loaded_by(planning, modules("engine"))


def test_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_module_of_the_user_interface_loads_torch() -> None:
    names = modules("ltx_tui")
    assert "ltx_tui.__main__" in names
    [loaded] = loaded_by(names)
    assert loaded & (HEAVY | CLUSTER) == set()


def test_no_module_of_the_engine_loads_a_terminal_library(engine_loads: list[set[str]]) -> None:
    assert "transformers" in engine_loads[1]
    assert engine_loads[1] & (TERMINAL | CLUSTER) == set()


@pytest.mark.parametrize("prefix", PLANNING)
def test_planning_modules_exist(prefix: str) -> None:
    assert any(name == prefix or name.startswith(prefix + ".") for name in modules("engine"))


def test_planning_loads_no_torch(engine_loads: list[set[str]]) -> None:
    assert "msgspec" in engine_loads[0]
    assert engine_loads[0] & HEAVY == set()


def test_help_loads_neither_torch_nor_textual() -> None:
    code = """
import contextlib, json, sys
from ltx_tui.__main__ import main
sys.argv = ["ltx-tui", "--help"]
with contextlib.suppress(SystemExit):
    main()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    [loaded] = loaded_after(code)
    assert loaded & (HEAVY | {"textual", "av", "numpy"}) == set()

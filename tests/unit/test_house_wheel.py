"""The built wheel is complete: it runs from another folder, without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Run a command, fail with what it printed, return its output."""
    child = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return child.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive, and the wheel from that."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    assert len(list(out.glob("*.tar.gz"))) == 1
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, alone, into a folder of its own."""
    target = tmp_path_factory.mktemp("installed")
    uv = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline")
    run(*uv, "--no-deps", "--python", sys.executable, "--target", target, wheel, cwd=target)
    return target


def test_wheel_holds_every_source_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("engine", "ltx_tui"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in names
        assert f"{package}/py.typed" in names
    for theme in (ROOT / "themes").glob("*.toml"):
        assert f"ltx_tui/data/themes/{theme.name}" in names
    assert not [name for name in names if name.startswith(("tests/", "themes/", "scripts/"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    where = "import engine, ltx_tui; print(engine.__file__); print(ltx_tui.__file__)"
    files = run(sys.executable, "-c", where, cwd=tmp_path, PYTHONPATH=str(installed))
    assert [Path(line).is_relative_to(installed) for line in files.split()] == [True, True]

    help_text = run(
        sys.executable, "-m", "ltx_tui", "--help", cwd=tmp_path, PYTHONPATH=str(installed)
    )
    assert "process-dataset" in help_text
    script = installed / "bin" / "ltx-tui"
    assert run(script, "--help", cwd=tmp_path, PYTHONPATH=str(installed)).strip()


def test_installed_themes_are_the_repositorys(installed: Path, tmp_path: Path) -> None:
    code = "from ltx_tui.themes import load_theme, theme_names; "
    code += "print(*(load_theme(name).name for name in theme_names()))"
    names = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed)).split()
    assert names == sorted(path.stem for path in (ROOT / "themes").glob("*.toml"))

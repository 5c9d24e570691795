"""The repository's own promises: pins, README commands, file sizes, nothing of one machine."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]

# Joined here so that this file passes its own test.
HOSTS = (
    ".".join(("pypi", "org")),
    ".".join(("python" + "hosted", "org")),
    ".".join(("download", "pytorch", "org")),
    ".".join(("deb", "debian", "org")),
    ".".join(("registry", "npmjs", "org")),
)
MACHINE_PATH = re.compile(
    r"(?<![\w.~*}-])/(?:" + "|".join(("work", "root", "home", "Users")) + ")/"
)
UNFINISHED = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")


def tracked(*patterns: str) -> list[Path]:
    """List the files that git tracks."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def lines_that(files: list[Path], found: re.Pattern[str]) -> list[str]:
    """Name each line in which the pattern is found."""
    hits = []
    for path in files:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if found.search(line):
                hits.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return hits


def constraint_lines() -> list[str]:
    """Return constraints.txt without its comments."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def declared() -> list[Requirement]:
    """Return what pyproject.toml asks for, extras and build backend included."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [*config["project"]["dependencies"], *config["build-system"]["requires"]]
    for extra in config["project"]["optional-dependencies"].values():
        wanted += extra
    return [Requirement(text) for text in wanted]


def marked(name: str) -> str:
    """Return the single command between README.md's markers."""
    readme = (ROOT / "README.md").read_text("utf-8")
    match = re.search(rf"<!-- {name} -->\n+```\w*\n(.*?)\n```\n+<!-- end -->", readme, re.DOTALL)
    assert match, f"README.md has no <!-- {name} --> block"
    command = match[1]
    assert "\n" not in command, "a command is one line that can be pasted"
    return command


def test_tracked_files_name_no_registry_host() -> None:
    assert lines_that(tracked(), re.compile("|".join(map(re.escape, HOSTS)))) == []


def test_tracked_files_name_no_folder_of_one_machine() -> None:
    assert lines_that(tracked(), MACHINE_PATH) == []


def test_nothing_is_left_unfinished() -> None:
    assert lines_that(tracked("*.py", "*.toml", "*.md", "scripts", ".ci"), UNFINISHED) == []


def test_python_files_stay_under_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked("*.py")
        if (count := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    for line in constraint_lines():
        requirement = Requirement(line)
        assert requirement.url is None, line
        assert not requirement.extras, line
        assert [s.operator for s in requirement.specifier] == ["=="], line
    assert len(constraint_lines()) == len({Requirement(line).name for line in constraint_lines()})


def test_constraints_pin_all_that_pyproject_asks_for() -> None:
    pins = {canonicalize_name(Requirement(line).name): line for line in constraint_lines()}
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not pinned; run scripts/refresh-pins"
        version = next(iter(Requirement(pins[name]).specifier)).version
        assert requirement.specifier.contains(version), f"{requirement} against {pins[name]}"


def test_torch_and_torchaudio_are_one_pair() -> None:
    pins = dict(line.split(" ")[0].split("==") for line in constraint_lines())
    assert pins["torch"] == pins["torchaudio"]


@pytest.mark.parametrize("name", ["demo-command", "test-command"])
def test_readme_commands_name_scripts_that_exist(name: str) -> None:
    steps = [step.split() for step in marked(name).split(" && ")]
    assert len(steps) > 1
    for program, *_ in steps:
        path = ROOT / program
        assert program.startswith(".venv/") or path.is_file(), program


def test_ci_runs_the_readme_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    finder = re.search(r"command=\$\((sed .*README\.md)\)", script)
    assert finder
    found = subprocess.run(
        ["bash", "-c", finder[1]], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == marked("test-command")


@pytest.mark.parametrize("name", ["setup", "check", "refresh-pins", "../.ci/run"])
def test_scripts_parse_and_can_be_run(name: str) -> None:
    path = ROOT / "scripts" / name
    subprocess.run(["bash", "-n", path], check=True)
    assert path.stat().st_mode & 0o111, f"{name} is not executable"

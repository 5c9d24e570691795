"""The doctor: each fault is found, said with its remedy, and counted into the exit code."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from PIL import Image

from engine.errors import EnvironmentFaultError
from engine.health import doctor, machine
from engine.health.doctor import Check, Verdict, diagnose
from engine.health.machine import Gpu, Machine
from engine.project import Project, apply_overrides
from ltx_tui.cli.main import cli

CPU = Machine(
    packages={"torch": "2.11.0", "torchaudio": "2.11.0", "transformers": "5"},
    faults={},
    cuda="",
    gpus=(),
    threads=2,
)


def safetensors(path: Path, tensors: dict[str, tuple[int, ...]], config: str = "") -> None:
    """Write a safetensors file of zeros."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    if config:
        header["__metadata__"] = {"config": config}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project in which all is well."""
    monkeypatch.setattr(doctor, "examine", lambda: CPU)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    rows = [{"media_path": "a.png", "caption": "a black square"}]
    (tmp_path / "dataset.json").write_text(json.dumps(rows))
    projection = "text_embedding_projection.aggregate_embed.weight"
    parts = {"vae.encoder.x": (4,), "audio_vae.encoder.x": (4,), projection: (8, 4 * 3)}
    safetensors(tmp_path / "ltx.safetensors", parts, config="{}")
    gemma = tmp_path / "gemma"
    gemma.mkdir()
    safetensors(gemma / "model.safetensors", {"x": (4,)})
    (gemma / "tokenizer.json").write_text("{}")
    (gemma / "config.json").write_text('{"hidden_size": 4, "num_hidden_layers": 2}')
    values = {"models.checkpoint": "ltx.safetensors", "models.text_encoder": "gemma"}
    return apply_overrides(Project.defaults(tmp_path), values)


def bad(project: Project | None, **options: bool) -> list[Check]:
    """Return the checks that are not well, but for the missing GPU."""
    checks = diagnose(project, **options)
    return [c for c in checks if c.verdict is not Verdict.OK and c.name != "GPU"]


def test_all_is_well(project: Project) -> None:
    assert bad(project) == []
    groups = [check.group for check in diagnose(project)]
    assert list(dict.fromkeys(groups)) == [
        "software", "device", "models", "disk", "dataset", "media",
    ]  # fmt: skip
    text = " ".join(check.text for check in diagnose(project))
    assert "LTX-2.0" in text
    assert "has video VAE, audio VAE, text projection" in text


def test_faults_of_the_models(project: Project) -> None:
    root = project.root
    (root / "gemma" / "config.json").write_text(
        '{"text_config": {"hidden_size": 8, "num_hidden_layers": 2}}'
    )
    (root / "gemma" / "tokenizer.json").unlink()
    found = bad(project)
    assert [check.verdict for check in found] == [Verdict.FAULT, Verdict.FAULT]
    assert "no tokenizer.json" in found[0].text
    assert found[1].text == "it gives 24 features a token, and the checkpoint takes 12"
    (root / "ltx.safetensors").write_bytes(b"no model")
    shutil.rmtree(root / "gemma")
    found = bad(project)
    assert [check.name for check in found] == ["checkpoint", "text encoder"]
    assert all(check.verdict is Verdict.FAULT and check.remedy for check in found)


def test_models_that_are_not_set_are_warnings(project: Project) -> None:
    found = bad(Project.defaults(project.root))
    assert [(c.name, c.text, c.verdict) for c in found] == [
        ("checkpoint", "not set", Verdict.WARNING),
        ("text encoder", "not set", Verdict.WARNING),
    ]


def test_problems_of_the_dataset_are_grouped_by_what_they_are(project: Project) -> None:
    rows = [{"media_path": f"gone-{n}.mp4", "caption": "x"} for n in range(7)]
    project.dataset_path.write_text(json.dumps(rows))
    found = bad(project)
    missing = [check for check in found if check.verdict is Verdict.PROBLEM]
    assert missing
    assert any("(row 1)" in check.text for check in missing) or "and 2 more" in missing[0].text
    project.dataset_path.write_text("[")
    (found_one,) = bad(project)
    assert (found_one.group, found_one.verdict) == ("dataset", Verdict.PROBLEM)


def test_broken_media_are_found_only_when_asked_to_look(project: Project) -> None:
    (project.root / "a.mp4").write_bytes(b"no picture")
    project.dataset_path.write_text('[{"media_path": "a.mp4", "caption": "x"}]')
    (found,) = bad(project)
    assert (found.group, found.name, found.verdict) == ("media", "a.mp4", Verdict.PROBLEM)
    assert bad(project, media=False) == []


def test_gpus_and_their_memory(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Gpu(name="T4", total=16 << 30, free=1, bf16=False)
    gpus = Machine(packages=CPU.packages, faults={}, cuda="13.0", gpus=(old,), threads=2)
    monkeypatch.setattr(doctor, "examine", lambda: gpus)
    found = bad(project)
    assert [check.name for check in found] == ["GPU 0", "memory"]
    assert "no bfloat16" in found[0].text
    (missing,) = [
        c for c in bad(apply_overrides(project, {"run.device": "cuda:3"})) if c.name == "cuda:3"
    ]
    assert "torch sees 1 GPU" in missing.text


def test_broken_torch_is_a_fault(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Machine:
        raise EnvironmentFaultError("importing torch ends with status 1", remedy="install it again")

    monkeypatch.setattr(doctor, "examine", fail)
    (found,) = bad(project)
    assert (found.group, found.verdict) == ("device", Verdict.FAULT)


def test_a_child_that_says_nothing_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "executable", "/bin/false")
    with pytest.raises(EnvironmentFaultError, match="ends with status 1"):
        machine.examine()


def test_the_real_child_answers() -> None:
    found = machine.examine()
    assert set(found.packages) == {"torch", "torchaudio", "transformers"}
    assert found.threads >= 1


def test_what_only_a_captioner_needs_may_be_missing() -> None:
    code = (
        "import importlib.util as util; find = util.find_spec; "
        "util.find_spec = lambda name, *more: None if name == 'transformers' else find(name, *more)"
        "\nfrom engine.worker.examine import main; main()"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    found = msgspec.json.decode(child.stdout, type=Machine)
    assert set(found.packages) == {"torch", "torchaudio"}
    assert found.faults == {}


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [(("ok", "warning"), 0), (("ok", "problem"), 1), (("problem", "fault"), 3)],
)
def test_exit_codes_and_json(
    verdicts: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    checks = [
        Check(group="disk", name="outputs", verdict=Verdict(one), text="a\x1b[2Jb", remedy="r")
        for one in verdicts
    ]
    monkeypatch.setattr(doctor, "diagnose", lambda *_, **__: iter(checks))
    shown = CliRunner().invoke(cli, ("doctor",))
    assert shown.exit_code == code
    assert r"a\x1b[2Jb" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert f"{verdicts[1]}: a" in shown.stdout
    told = CliRunner().invoke(cli, ("doctor", "--json"))
    assert told.exit_code == code
    answer = json.loads(told.stdout)
    assert answer["exit_code"] == code
    assert [check["verdict"] for check in answer["checks"]] == list(verdicts)

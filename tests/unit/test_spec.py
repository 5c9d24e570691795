"""What travels between clients and worker, and lies in the journal, comes back as it was."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EnvironmentFaultError, LtxError, MediaError, ProjectError
from engine.precompute.layout import Stage
from engine.project import Project, apply_overrides
from engine.worker.protocol import REQUESTS, Start
from engine.worker.spec import Fault, JobSpec, clips_of, decoder, encode
from engine.worker.stage_work import FullDiskError

NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20)
BYTES = st.binary(min_size=1, max_size=12).filter(lambda b: b"/" not in b and b"\0" not in b)


@given(
    root=st.one_of(NAMES.map(lambda n: n.encode("utf-8", "replace")), BYTES),
    trigger=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    stages=st.lists(st.sampled_from(list(Stage)), max_size=3, unique=True),
    clips=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=4),
    overwrite=st.booleans(),
)
def test_a_spec_comes_back(
    root: bytes, trigger: str, stages: list[Stage], clips: list[str], overwrite: bool
) -> None:
    folder = Path("/tmp") / os.fsdecode(root)
    project = apply_overrides(Project.defaults(folder), {"text.trigger": trigger})
    spec = JobSpec(
        kind="encode",
        project=project,
        stages=tuple(stages),
        folders=dict.fromkeys(stages, folder / "x"),
        only=clips_of(clips),
        overwrite=overwrite,
        latents=folder,
    )
    assert decoder(JobSpec).decode(encode(spec)) == spec
    request = REQUESTS.decode(encode(Start(id=3, spec=spec)))
    assert request == Start(id=3, spec=spec)
    assert encode(spec) == encode(decoder(JobSpec).decode(encode(spec)))
    assert b"\n" not in encode(spec)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MediaError("cut short", remedy="cut again", file="a.mp4", row=3), MediaError),
        (ProjectError("unknown key", column="x.y"), ProjectError),
        (FullDiskError("no space", remedy="make space"), EnvironmentFaultError),
        (LtxError("plain"), LtxError),
    ],
)
def test_an_error_comes_back_as_the_same_error(error: LtxError, kind: type[LtxError]) -> None:
    back = decoder(Fault).decode(encode(Fault.of(error))).to_error()
    assert type(back) is kind
    assert str(back) == str(error)


def test_an_error_that_is_not_ours_says_so() -> None:
    error = Fault.of(KeyError("boom")).to_error()
    assert "unexpected KeyError" in error.message
    assert "ltx-tui logs" in error.remedy
    strange = msgspec.structs.replace(Fault.of(error), kind="Path")
    assert type(strange.to_error()) is LtxError

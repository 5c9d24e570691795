"""`--foreground`, with the real encoder: no process is left behind, and a rerun goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.jobs import outputs
from tests.small_set import BUCKETS, CAPTIONS, make_small_set
from tests.terminal.terminal import ltx_tui, started
from tests.workers import still_alive

HERE = ("process-dataset", "--foreground")


@pytest.fixture
def project(tmp_path: Path, models: tuple[Path, Path]) -> Path:
    root = make_small_set(tmp_path / "clips")
    (root / "project.toml").write_text(
        f'[models]\ncheckpoint = "{models[0]}"\ntext_encoder = "{models[1]}"\n'
        f'[video]\nbuckets = "{BUCKETS}"\n[run]\ndevice = "cpu"\n'
    )
    return root


@pytest.mark.slow
def test_a_run_that_is_hung_up_or_killed_leaves_no_process(project: Path) -> None:
    for number in (signal.SIGHUP, signal.SIGKILL):
        with started(project, *HERE, "--overwrite") as terminal:
            terminal.wait_for(r"conditions +\S+ +[1-4]/4")
            encoders = psutil.Process(terminal.process.pid).children(recursive=True)
            assert encoders
            if number is signal.SIGHUP:
                code = terminal.hang_up()
            else:
                os.kill(terminal.process.pid, number)
                code = terminal.end()
            assert code == (-9 if number is signal.SIGKILL else 130), terminal.text
            assert "Traceback" not in terminal.text
            assert "\x1b[?" not in terminal.raw
        assert not still_alive(encoders, 30), "an encoder outlived its run"
        names = outputs(project / ".precomputed")
        assert all(n.endswith(".pt") or n.rpartition("/")[2].startswith(".") for n in names)
    last = ltx_tui(project, *HERE)
    assert last.returncode == 0, last.stderr
    for stage in ("conditions", "latents"):
        assert len(outputs(project / ".precomputed" / stage)) == len(CAPTIONS)
    assert not list((project / ".precomputed").rglob(".*"))
    # No worker was started by any of this.
    assert not (project / ".ltx-tui" / "worker.lock").exists()

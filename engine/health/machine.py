"""What this machine has for the models, asked of a child process: torch is not imported here."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from engine.errors import EnvironmentFaultError

# Importing torch from a cold disk, and waking a GPU, take long.
_PATIENCE = 180


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A CUDA device; memory in bytes."""

    name: str
    total: int
    free: int
    bf16: bool


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What `python -m engine.worker.examine` prints.

    Attributes:
        packages: Versions of the libraries that the models run on.
        faults: What cannot be imported, by package, in the words of Python.
        cuda: CUDA version that torch was built for; empty for a CPU build.
        gpus: In torch's order.
        threads: CPU threads that torch uses.
    """

    packages: dict[str, str]
    faults: dict[str, str]
    cuda: str
    gpus: tuple[Gpu, ...]
    threads: int


def examine() -> Machine:
    """Start a child that imports the model libraries and looks for GPUs.

    Raises:
        EnvironmentFaultError: It does not come back with an answer.
    """
    command = [sys.executable, "-P", "-m", "engine.worker.examine"]
    try:
        child = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFaultError(
            f"importing torch takes longer than {_PATIENCE} s",
            remedy="check the disk and the GPU driver (`nvidia-smi`)",
        ) from error
    try:
        return msgspec.json.decode(child.stdout.splitlines()[-1], type=Machine)
    except (IndexError, msgspec.DecodeError) as error:
        words = child.stderr.decode("utf-8", "replace").strip().splitlines()
        raise EnvironmentFaultError(
            f"importing torch ends with status {child.returncode}"
            + (f" ({words[-1]})" if words else ""),
            remedy="install ltx-tui again in a fresh environment",
        ) from error

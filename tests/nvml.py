"""A stand-in for NVIDIA's driver, and a monitor that asks it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

from engine.memory.monitor import Monitor

GIB = 1 << 30


class FakeGpu:
    """A GPU, or a MIG instance, and what its driver says of it."""

    def __init__(self, uuid: str, *, title: str = "NVIDIA H200", slices: Any = None) -> None:
        self.uuid = uuid
        self.title = title
        self.slices: list[FakeGpu] | None = slices
        self.memory = SimpleNamespace(total=80 * GIB, used=10 * GIB, free=70 * GIB)
        self.running: list[SimpleNamespace] = []
        self.errors: dict[str, int] = {}
        # Joules since the driver was loaded: some more at each look.
        self.energy = 5000.0


class FakeNvml:
    """Stands in for the module pynvml, with its own classes of errors."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = list(gpus)
        self.errors: dict[str, int] = {}
        self.inits = 0
        self.open = False

    def nvmlInit(self) -> None:
        self._fail("nvmlInit", self.errors)
        self.inits += 1
        self.open = True

    def nvmlShutdown(self) -> None:
        self._check()
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        self._check()
        self._fail("nvmlDeviceGetCount", self.errors)
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        self._check("nvmlDeviceGetHandleByIndex", self.gpus[index])
        return self.gpus[index]

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> SimpleNamespace:
        self._check("nvmlDeviceGetMemoryInfo", gpu)
        return gpu.memory

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:
        self._check("nvmlDeviceGetName", gpu)
        if gpu.title == "undecodable":
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        return gpu.title

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:
        self._check("nvmlDeviceGetUUID", gpu)
        return gpu.uuid

    def nvmlDeviceGetUtilizationRates(self, gpu: FakeGpu) -> SimpleNamespace:
        self._check("nvmlDeviceGetUtilizationRates", gpu)
        return SimpleNamespace(gpu=97, memory=12)

    def nvmlDeviceGetTemperature(self, gpu: FakeGpu, sensor: int) -> int:
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        self._check("nvmlDeviceGetTemperature", gpu)
        return 61

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> int:
        self._check("nvmlDeviceGetPowerUsage", gpu)
        return 412_500

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: FakeGpu) -> int:
        self._check("nvmlDeviceGetTotalEnergyConsumption", gpu)
        gpu.energy += 41.25
        return int(1000 * gpu.energy)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> list[SimpleNamespace]:
        self._check("nvmlDeviceGetComputeRunningProcesses", gpu)
        return gpu.running

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> list[int]:
        self._check("nvmlDeviceGetMigMode", gpu)
        return [int(gpu.slices is not None)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: FakeGpu) -> int:
        self._check()
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: FakeGpu, index: int) -> FakeGpu:
        self._check()
        assert gpu.slices is not None
        if index >= len(gpu.slices):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return gpu.slices[index]

    def _check(self, name: str = "", gpu: FakeGpu | None = None) -> None:
        if not self.open:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        if gpu is not None:
            self._fail(name, gpu.errors)

    @staticmethod
    def _fail(name: str, errors: dict[str, int]) -> None:
        code = errors.get(name, errors.get("*"))
        if code is not None:
            raise pynvml.NVMLError(code)


class Clock:
    """A clock that the test winds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def system(tmp_path: Path, *, whole_machine: bool = True) -> Path:
    """Make a root folder without control groups."""
    namespace = tmp_path / "proc" / "self" / "ns"
    namespace.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (namespace / "pid").symlink_to(f"pid:[{4026531836 if whole_machine else 4026532555}]")
    return tmp_path


def watching(nvml: Any, tmp_path: Path, visible: str | None = None, **options: Any) -> Monitor:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    options.setdefault("pids", lambda: [os.getpid()])
    options.setdefault("root", system(tmp_path))
    return Monitor(nvml=nvml, environ=environ, **options)

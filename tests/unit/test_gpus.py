"""What the driver tells of GPUs: figures that miss, a driver that goes away, CUDA's numbering."""

import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from engine.memory import monitor as monitor_module
from tests.nvml import GIB, Clock, FakeGpu, FakeNvml, system, watching


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_gpu_is_told_of_in_full(tmp_path: Path) -> None:
    gpu = FakeGpu("GPU-aa-bb")
    gpu.running = [
        SimpleNamespace(pid=os.getpid(), usedGpuMemory=3 * GIB),
        SimpleNamespace(pid=1, usedGpuMemory=5 * GIB),
    ]
    sample = watching(FakeNvml(gpu), tmp_path).sample()
    (told,) = sample.gpus
    assert (told.index, told.title, told.uuid) == (0, "NVIDIA H200", "aa-bb")
    assert (told.total, told.used, told.free) == (80 * GIB, 10 * GIB, 70 * GIB)
    assert told.ours == 3 * GIB
    assert (told.utilisation, told.temperature, told.power) == (97, 61, 412.5)
    assert (told.unified, told.fault, sample.fault) == (False, "", "")
    assert sample.by_uuid("GPU-AA-bb") is sample.by_uuid("aa-bb") is told
    assert sample.by_uuid("") is None


@pytest.mark.parametrize("code", [3, 4, 13, 21, 999])
def test_every_figure_may_be_missing(code: int, tmp_path: Path) -> None:
    gpu = FakeGpu("GPU-a", title="undecodable")
    gpu.errors = {
        name: code
        for name in dir(FakeNvml)
        if name.startswith("nvmlDevice") and name != "nvmlDeviceGetHandleByIndex"
    }
    (told,) = watching(FakeNvml(gpu), tmp_path).sample().gpus
    assert (told.title, told.uuid, told.fault) == ("", "", "")
    figures = (told.total, told.used, told.free, told.ours)
    assert figures == (None, None, None, None)
    assert (told.utilisation, told.temperature, told.power) == (None, None, None)
    assert told.unified == (code == 3)


@pytest.mark.parametrize("error", [9, 12])
def test_no_driver_is_no_gpu_and_no_fault(error: int, tmp_path: Path) -> None:
    nvml = FakeNvml(FakeGpu("GPU-a"))
    nvml.errors = {"nvmlInit": error}
    sample = watching(nvml, tmp_path).sample()
    assert (sample.gpus, sample.fault) == ((), "")
    assert sample.free_on("auto") == sample.host.available
    assert sample.free_on("cuda:0") is None


def test_a_driver_that_does_not_fit_its_library_is_a_fault(tmp_path: Path, clock: Clock) -> None:
    nvml = FakeNvml(FakeGpu("GPU-a"))
    nvml.errors = {"nvmlInit": 18}
    monitor = watching(nvml, tmp_path, clock=clock)
    assert "mismatch" in monitor.sample().fault
    nvml.errors = {}
    assert monitor.sample().gpus == ()  # it is not asked at every look
    clock.now += 60
    sample = monitor.sample()
    assert [gpu.uuid for gpu in sample.gpus] == ["a"]
    assert sample.fault == ""


def test_without_the_module_there_are_no_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    sample = watching(None, tmp_path).sample()
    assert (sample.gpus, sample.fault) == ((), "")


def test_a_lost_gpu_keeps_its_place_and_comes_back(tmp_path: Path, clock: Clock) -> None:
    first, second = FakeGpu("GPU-a"), FakeGpu("GPU-b")
    nvml = FakeNvml(first, second)
    monitor = watching(nvml, tmp_path, clock=clock)
    assert [gpu.fault for gpu in monitor.sample().gpus] == ["", ""]
    first.errors = {"*": 15}
    for wait in (0, 40, 40):  # at once, and after the driver has been asked again
        clock.now += wait
        sample = monitor.sample()
        lost, kept = sample.gpus
        assert (lost.uuid, lost.total, lost.fault) == ("a", None, "GPU is lost")
        assert (kept.uuid, kept.index, kept.total, kept.fault) == ("b", 1, 80 * GIB, "")
        assert sample.free_on("cuda:0") is None
        assert sample.free_on("auto") == 70 * GIB
    first.errors = {}
    clock.now += 40
    assert [(g.uuid, g.fault) for g in monitor.sample().gpus] == [("a", ""), ("b", "")]


def test_a_gpu_that_the_driver_no_longer_lists(tmp_path: Path, clock: Clock) -> None:
    first, second = FakeGpu("GPU-a"), FakeGpu("GPU-b")
    nvml = FakeNvml(first, second)
    monitor = watching(nvml, tmp_path, clock=clock)
    monitor.sample()
    first.errors = {"*": 16}
    monitor.sample()
    nvml.gpus = [second]
    clock.now += 40
    lost, kept = monitor.sample().gpus
    assert "no more" in lost.fault or "restart" in lost.fault
    assert (kept.uuid, kept.index, kept.fault) == ("b", 1, "")


def test_a_driver_that_was_reset_is_opened_again(tmp_path: Path, clock: Clock) -> None:
    nvml = FakeNvml(FakeGpu("GPU-a"))
    monitor = watching(nvml, tmp_path, clock=clock)
    monitor.sample()
    nvml.open = False
    clock.now += 40
    assert monitor.sample().gpus[0].fault == "Uninitialized"
    assert monitor.sample().gpus[0].total == 80 * GIB
    assert nvml.inits == 2
    monitor.close()
    assert not nvml.open


def test_a_gpu_of_another_container_is_not_counted(tmp_path: Path) -> None:
    nvml = FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b"))
    nvml.gpus[0].errors["nvmlDeviceGetHandleByIndex"] = pynvml.NVML_ERROR_NO_PERMISSION
    assert [(g.index, g.uuid) for g in watching(nvml, tmp_path).sample().gpus] == [(0, "b")]


def test_a_driver_that_fails_half_way_is_asked_again(tmp_path: Path, clock: Clock) -> None:
    nvml = FakeNvml(FakeGpu("GPU-a"))
    nvml.errors = {"nvmlDeviceGetCount": pynvml.NVML_ERROR_UNKNOWN}
    monitor = watching(nvml, tmp_path, clock=clock)
    sample = monitor.sample()
    assert (sample.gpus, sample.fault) == ((), "Unknown Error")
    assert not nvml.open
    nvml.errors = {}
    clock.now += 40
    sample = monitor.sample()
    assert ([gpu.total for gpu in sample.gpus], sample.fault) == ([80 * GIB], "")


def test_a_gpu_that_shares_the_hosts_memory(tmp_path: Path) -> None:
    gpu = FakeGpu("GPU-a", title="NVIDIA GB10")
    gpu.errors = {"nvmlDeviceGetMemoryInfo": pynvml.NVML_ERROR_NOT_SUPPORTED}
    sample = watching(FakeNvml(gpu), tmp_path).sample()
    assert sample.gpus[0].unified
    assert sample.gpus[0].total is None
    assert sample.free_on("cuda:0") == sample.free_on("auto") == sample.host.available


def test_in_a_container_what_is_ours_is_not_known(tmp_path: Path) -> None:
    gpu = FakeGpu("GPU-a")
    nvml = FakeNvml(gpu)
    inside = watching(nvml, tmp_path, root=system(tmp_path / "in", whole_machine=False))
    assert inside.sample().gpus[0].ours is None
    gpu.running = [SimpleNamespace(pid=os.getpid(), usedGpuMemory=GIB)]
    assert inside.sample().gpus[0].ours == GIB
    gpu.running[0].usedGpuMemory = None
    assert inside.sample().gpus[0].ours is None
    gpu.running = []
    assert watching(nvml, tmp_path).sample().gpus[0].ours == 0


def test_a_driver_that_hangs_does_not_hide_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = FakeNvml(FakeGpu("GPU-a"))
    monitor = watching(nvml, tmp_path)
    monitor.sample()
    inside, go_on = threading.Event(), threading.Event()

    def hang(gpu: FakeGpu) -> SimpleNamespace:
        inside.set()
        go_on.wait(60)
        return gpu.memory

    monkeypatch.setattr(nvml, "nvmlDeviceGetMemoryInfo", hang)
    monkeypatch.setattr(monitor_module, "_PATIENCE", 0.01)
    held = threading.Thread(target=monitor.sample)
    held.start()
    try:
        assert inside.wait(60)
        sample = monitor.sample()
        assert "does not answer" in sample.fault
        assert sample.gpus[0].fault == sample.fault
        assert sample.host.available > 0
        monitor.close()
        assert nvml.open  # nobody waits for it
    finally:
        go_on.set()
        held.join()


def divided() -> FakeNvml:
    """Return a whole GPU, one in two instances, and another whole one."""
    parts = [FakeGpu("MIG-p1", title="H200 MIG 1g"), FakeGpu("MIG-p2", title="H200 MIG 1g")]
    for part in parts:
        part.errors = dict.fromkeys(
            ("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetTemperature", "nvmlDeviceGetMigMode"), 3
        )
        part.memory = SimpleNamespace(total=10 * GIB, used=GIB, free=9 * GIB)
    return FakeNvml(FakeGpu("GPU-aa1"), FakeGpu("GPU-bb", slices=parts), FakeGpu("GPU-aa2"))


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        (None, ["MIG-p1"]),
        ("", []),
        ("-1", []),
        ("0", ["aa1"]),
        ("2,0", ["aa2", "aa1"]),
        (" 2 , 0x", ["aa2", "aa1"]),
        ("0,7,2", ["aa1"]),
        ("0,two,2", ["aa1"]),
        ("0,0", []),
        ("1", ["MIG-p1"]),
        ("GPU-aa2,GPU-aa1", ["aa2", "aa1"]),
        ("GPU-aa", []),  # not one, but two
        ("GPU-aa1,0", ["aa1"]),
        ("GPU-aa1,GPU-x,GPU-aa2", ["aa1"]),
        ("GPU-bb", ["MIG-p1"]),
        ("MIG-p2", ["MIG-p2"]),
        ("MIG-p2,MIG-p1", ["MIG-p2"]),
        ("MIG-p", []),
    ],
)
def test_the_gpus_are_those_that_cuda_shows(
    visible: str | None, uuids: list[str], tmp_path: Path
) -> None:
    sample = watching(divided(), tmp_path, visible).sample()
    assert [gpu.uuid for gpu in sample.gpus] == uuids
    assert [gpu.index for gpu in sample.gpus] == list(range(len(uuids)))


def test_an_instance_has_the_temperature_of_its_board(tmp_path: Path) -> None:
    sample = watching(divided(), tmp_path, "MIG-p2").sample()
    (part,) = sample.gpus
    assert (part.total, part.utilisation, part.temperature, part.power) == (
        10 * GIB,
        None,
        61,
        412.5,
    )
    assert sample.by_uuid("p2") is part
    assert sample.free_on("cuda:0") == 9 * GIB


def test_an_instance_that_was_taken_down_is_missing(tmp_path: Path, clock: Clock) -> None:
    nvml = divided()
    monitor = watching(nvml, tmp_path, "MIG-p2", clock=clock)
    monitor.sample()
    parts = nvml.gpus[1].slices
    assert parts is not None
    parts[1].errors["nvmlDeviceGetMemoryInfo"] = pynvml.NVML_ERROR_INVALID_ARGUMENT
    assert monitor.sample().gpus[0].fault == "Invalid Argument"
    parts.pop()
    clock.now += 40
    assert "no more" in monitor.sample().gpus[0].fault


def test_free_on_takes_a_device_by_its_name(tmp_path: Path) -> None:
    nvml = FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b"))
    nvml.gpus[1].memory = SimpleNamespace(total=24 * GIB, used=4 * GIB, free=20 * GIB)
    monitor = watching(nvml, tmp_path)
    free = {device: monitor.free_on(device) for device in ("cuda", "cuda:0", "cuda:1", "auto")}
    assert free == {
        "cuda": 70 * GIB,
        "cuda:0": 70 * GIB,
        "cuda:1": 20 * GIB,
        "auto": 20 * GIB,
    }
    assert monitor.free_on("cuda:2") is None
    assert (monitor.free_on("cpu") or 0) > 0
    nvml.gpus[0].errors["nvmlDeviceGetMemoryInfo"] = pynvml.NVML_ERROR_NO_PERMISSION
    assert monitor.free_on("auto") is None

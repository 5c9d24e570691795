"""The memory monitor: the host, control groups, and watching without holding anything up."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.files.mounts import mounts
from engine.memory import monitor as monitor_module
from engine.memory.cgroup import memory_limit
from tests.nvml import GIB, FakeGpu, FakeNvml, system, watching


def test_ours_is_what_our_processes_hold(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "held = bytearray(64 << 20); input()"], stdin=subprocess.PIPE
    )
    try:
        process = psutil.Process(child.pid)
        while process.memory_info().rss < 64 << 20:
            assert child.poll() is None
        sample = watching(FakeNvml(), tmp_path, pids=lambda: [os.getpid(), child.pid]).sample()
        assert sample.host.ours >= 64 << 20
        assert monitor_module.family().count(child.pid) == 1
    finally:
        child.communicate(b"\n")
    gone = watching(FakeNvml(), tmp_path, pids=lambda: [child.pid]).sample()
    assert gone.host.ours == 0


def grouped(root: Path, *, version: int, group: str, mounted: str = "/") -> Path:
    """Write what the kernel says of a process in a control group; return the groups' folder."""
    system(root)
    at = "/sys/fs/cgroup" if version == 2 else "/sys/fs/cgroup/memory"
    name, kind, options = (
        ("0::", "cgroup2", "rw") if version == 2 else ("4:cpu,memory:", "cgroup", "rw,cpu,memory")
    )
    (root / "proc/self/cgroup").write_text(f"9:name=systemd:/elsewhere\n{name}{group}\n")
    (root / "proc/self/mountinfo").write_text(
        f"22 1 0:20 / /proc rw - proc proc rw\n31 23 0:28 {mounted} {at} rw - {kind} x {options}\n"
    )
    folder = root / at[1:]
    folder.mkdir(parents=True)
    return folder


def write(folder: Path, **values: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{value}\n")


def test_the_tightest_group_of_version_2_counts(tmp_path: Path) -> None:
    top = grouped(tmp_path, version=2, group="/slurm/job/step")
    stat = f"anon {GIB}\nactive_file {GIB}\ninactive_file {GIB}\nfile_mapped {GIB // 2}"
    write(top / "slurm", memory_max=64 * GIB, memory_current=63 * GIB)
    write(top / "slurm/job", memory_max=8 * GIB, memory_current=4 * GIB, memory_stat=stat)
    write(top / "slurm/job/step", memory_max="max", memory_current=4 * GIB)
    limit = memory_limit(tmp_path)
    assert limit is not None
    assert (limit.limit, limit.available, limit.group) == (8 * GIB, GIB, "/slurm")
    write(top / "slurm", memory_max="max")
    limit = memory_limit(tmp_path)
    assert limit is not None
    # 4 GiB taken, of which 1.5 GiB are files that nobody maps.
    assert (limit.available, limit.used, limit.group) == (5.5 * GIB, 2.5 * GIB, "/slurm/job")
    write(top / "slurm/job", memory_high=3 * GIB)
    limit = memory_limit(tmp_path)
    assert limit is not None
    assert (limit.limit, limit.available) == (3 * GIB, GIB // 2)


def test_a_container_sees_its_own_group_at_the_top(tmp_path: Path) -> None:
    top = grouped(tmp_path, version=2, group="/../../docker/abc", mounted="/")
    write(top, memory_max=2 * GIB, memory_current=3 * GIB)
    limit = memory_limit(tmp_path)
    assert limit is not None
    assert (limit.limit, limit.available) == (2 * GIB, 0)


@pytest.mark.parametrize(("group", "mounted"), [("/docker/abc", "/docker/abc"), ("/x", "/y")])
def test_version_1_with_a_mount_that_begins_lower(group: str, mounted: str, tmp_path: Path) -> None:
    top = grouped(tmp_path, version=1, group=group, mounted=mounted)
    (top / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (top / "memory.usage_in_bytes").write_text(f"{GIB}\n")
    assert memory_limit(tmp_path) is None
    (top / "memory.stat").write_text(
        f"mapped_file 0\nhierarchical_memory_limit {4 * GIB}\ntotal_inactive_file {GIB // 2}\n"
    )
    limit = memory_limit(tmp_path)
    assert limit is not None
    assert (limit.limit, limit.available, limit.group) == (4 * GIB, 3.5 * GIB, mounted)


def test_no_groups_no_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None
    assert memory_limit(system(tmp_path)) is None
    top = grouped(tmp_path, version=2, group="/a")
    assert memory_limit(tmp_path) is None
    write(top / "a", memory_max="a lot", memory_current="\udcff".encode("utf-8", "replace"))
    assert memory_limit(tmp_path) is None


def test_the_limit_is_folded_into_the_hosts_memory(tmp_path: Path) -> None:
    plain = watching(FakeNvml(), tmp_path).sample().host
    assert (plain.total, plain.limited_by) == (psutil.virtual_memory().total, "")
    assert plain.used == plain.total - plain.available
    root = tmp_path / "limited"
    top = grouped(root, version=2, group="/small")
    write(top / "small", memory_max=GIB // 2, memory_current=GIB // 4)
    host = watching(FakeNvml(), tmp_path, root=root).sample().host
    assert (host.total, host.available, host.limited_by) == (GIB // 2, GIB // 4, "/small")
    write(top / "small", memory_max=1 << 50)  # more than there is
    host = watching(FakeNvml(), tmp_path, root=root).sample().host
    assert (host.total, host.limited_by) == (plain.total, "")


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20))
def test_a_mount_point_of_any_name_is_read_back(name: str) -> None:
    name = name.replace("/", "_").replace("\0", "_")
    if name in (".", ".."):
        name = "dots"
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in name)
    # The kernel ends lines with a newline and knows no other ends.
    table = mounts(f"31 23 0:28 / /mnt/{escaped} rw shared:1 - nfs4 host:/x rw,vers=4\n")
    assert [(str(m.point), m.kind, m.options) for m in table] == [
        (f"/mnt/{name}", "nfs4", ("rw", "vers=4"))
    ]


# --- watching


def test_watch_samples_without_holding_the_loop(tmp_path: Path) -> None:
    loop_thread = threading.get_ident()
    threads: list[int] = []

    def pids() -> Iterator[int]:
        threads.append(threading.get_ident())
        yield os.getpid()

    async def follow() -> list[float]:
        monitor = watching(FakeNvml(FakeGpu("GPU-a")), tmp_path, pids=pids)
        times = []
        async for sample in monitor.watch(interval=0.001):
            times.append(sample.time)
            if len(times) == 3:
                return times
        raise AssertionError

    times = asyncio.run(follow())
    assert times == sorted(times)
    assert loop_thread not in threads


def test_an_error_reaches_whoever_watches(tmp_path: Path) -> None:
    def pids() -> Iterator[int]:
        raise LookupError("no pids")
        yield

    async def follow() -> None:
        async for _ in watching(FakeNvml(), tmp_path, pids=pids).watch():
            pass

    with pytest.raises(LookupError, match="no pids"):
        asyncio.run(follow())


def test_a_hanging_driver_does_not_keep_the_process() -> None:
    code = """
import asyncio, threading
from engine.memory.monitor import Monitor
class Hangs:
    NVMLError = OSError
    def nvmlInit(self): threading.Event().wait()
async def main():
    try:
        await asyncio.wait_for(anext(Monitor(nvml=Hangs()).watch()), 0.2)
    except TimeoutError:
        print("gave up")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"gave up\n")

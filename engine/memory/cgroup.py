"""The memory limit of the control group that we run in: containers, batch systems, systemd."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from engine.files.mounts import Mount, mounts, read_mountinfo

# Version 1 writes the largest multiple of a page for "no limit", version 2 the word "max".
_NO_LIMIT = 1 << 60


class CgroupMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What a control group and those above it leave us; bytes.

    Attributes:
        limit: The smallest limit of them all; swap is not counted.
        available: What can still be taken before one of them is reached, counting file caches
            that nobody maps as free.
        group: The group whose limit comes first, as the kernel names it.
    """

    limit: int
    available: int
    group: str

    @property
    def used(self) -> int:
        """What is taken of the limit."""
        return self.limit - self.available


def memory_limit(root: Path = Path("/")) -> CgroupMemory | None:
    """Return the memory limit of our control group, versions 1 and 2; None without a limit.

    Args:
        root: Where the system's own files lie.
    """
    levels = [
        level for folder, group, old in _groups(root) if (level := _level(folder, group, old))
    ]
    if not levels:
        return None
    first = min(levels, key=lambda level: level.available)
    limit = min(level.limit for level in levels)
    return CgroupMemory(limit=limit, available=min(first.available, limit), group=first.group)


def _groups(root: Path) -> list[tuple[Path, str, bool]]:
    """Return folder, name and "is version 1" of our groups and all above them."""
    try:
        text = (root / "proc" / "self" / "cgroup").read_text("utf-8", "surrogateescape")
    except OSError:
        return []
    return _mounted(root, text, read_mountinfo(root))


@functools.lru_cache(maxsize=4)  # both texts are read for every clip, and hardly ever change
def _mounted(root: Path, groups: str, mountinfo: str) -> list[tuple[Path, str, bool]]:
    table = mounts(mountinfo)
    found = []
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        old = "memory" in controllers.split(",")
        if not group or (controllers and not old):
            continue
        for mount in table:
            if mount.kind == ("cgroup" if old else "cgroup2") and (
                not old or "memory" in mount.options
            ):
                found += [(path, name, old) for path, name in _upwards(root, mount, group)]
    return found


def _upwards(root: Path, mount: Mount, group: str) -> list[tuple[Path, str]]:
    # In a container the mount may begin at our own group, or the name may belong to a tree that
    # is not seen from here: what is mounted is then the group that counts.
    try:
        below = PurePosixPath(group).relative_to(mount.root)
    except ValueError:
        below = PurePosixPath()
    if ".." in below.parts:
        below = PurePosixPath()
    top = root / mount.point.relative_to("/")
    chain = (below, *below.parents)
    return [(top / part, str(mount.root / part)) for part in chain]


def _level(folder: Path, group: str, old: bool) -> CgroupMemory | None:
    stat = _statistics(folder / "memory.stat")
    if old:
        limits = [_number(folder / "memory.limit_in_bytes"), stat.get("hierarchical_memory_limit")]
        used = _number(folder / "memory.usage_in_bytes")
    else:
        # Above `high` processes are slowed until they stand still: to us it is as good as `max`.
        limits = [_number(folder / "memory.max"), _number(folder / "memory.high")]
        used = _number(folder / "memory.current")
    known = [limit for limit in limits if limit is not None and limit < _NO_LIMIT]
    if not known:
        return None
    limit = min(known)
    taken = max(0, (used or 0) - _reclaimable(stat, "total_" if old else ""))
    return CgroupMemory(limit=limit, available=max(0, limit - taken), group=group)


def _reclaimable(stat: Mapping[str, int], prefix: str) -> int:
    # Files that are mapped, such as weights, are in use: giving them up means reading them again.
    cached = sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
    mapped = stat.get("file_mapped", stat.get(f"{prefix}mapped_file", 0))
    return max(0, cached - mapped) + stat.get("slab_reclaimable", 0)


def _statistics(path: Path) -> dict[str, int]:
    found = {}
    try:
        for line in path.read_text("ascii").splitlines():
            name, _, value = line.partition(" ")
            if value.isdecimal():
                found[name] = int(value)
    except (OSError, ValueError):
        return {}
    return found


def _number(path: Path) -> int | None:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() else None

"""What the child that plans is asked and tells: data, without what it takes to plan."""

from __future__ import annotations

import msgspec

from engine.precompute.digest import Digest
from engine.project import Project
from engine.worker.scan_types import Failed, Scanning


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Attributes:
        only: Names of the clips to look at; empty for all.
    """

    project: Project
    only: tuple[str, ...] = ()


class Planned(msgspec.Struct, frozen=True, tag="planned", tag_field="tell"):
    """The plan is made."""

    digest: Digest


Tell = Scanning | Planned | Failed

"""What the child tells that makes an overview: data, without what it takes to make one."""

from __future__ import annotations

import msgspec

from engine.worker.spec import Fault


class Scanning(msgspec.Struct, frozen=True, tag="scanning", tag_field="tell"):
    """Media are being probed."""

    done: int
    total: int


class Written(msgspec.Struct, frozen=True, tag="written", tag_field="tell"):
    """The overview's file is there.

    Attributes:
        whole: False after the dataset alone was read: more is to come.
    """

    rows: int
    whole: bool


class Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="tell"):
    """It cannot be made."""

    fault: Fault


Tell = Scanning | Written | Failed

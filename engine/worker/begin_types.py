"""What the child that begins projects says: messages, without what it takes to make them."""

from __future__ import annotations

import msgspec

from engine.worker.spec import Fault


class Seen(msgspec.Struct, frozen=True, tag="seen", tag_field="tell", kw_only=True):
    """What there is to begin with; see `engine.init.Found`.

    Attributes:
        dataset: Name of the dataset file.
        is_new: Whether it has to be written.
        buckets: As project.toml has them; empty where no media could be read.
    """

    folder: str
    dataset: str
    is_new: bool
    clips: int
    reference_column: str = ""
    buckets: str = ""
    audio: bool = False
    notes: tuple[str, ...] = ()


class Begun(msgspec.Struct, frozen=True, tag="begun", tag_field="tell"):
    """The project is made.

    Attributes:
        file: Its project.toml.
    """

    file: str


class Unable(msgspec.Struct, frozen=True, tag="unable", tag_field="tell"):
    """It cannot be done."""

    fault: Fault


Tell = Seen | Begun | Unable

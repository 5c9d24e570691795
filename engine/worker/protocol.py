"""The protocol between clients and a project's worker: JSON lines over a Unix socket.

A client says `Hello` and hears `Welcome`; then it asks, each question with a number that the
answer repeats. After `Watch` it also hears what happens, beginning with a `Snapshot`.

`Hello`, `Welcome` and `Stop` keep their form in every version, so that two versions can tell that
they differ, and a new client can always stop an old worker.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.events import AnyEvent, Standing
from engine.memory.monitor import MemorySample
from engine.worker.spec import Fault, JobInfo, JobSpec, decoder

VERSION = 1

# Longer than any line; a job's spec with all its clips by name is the longest.
LINE_LIMIT = 1 << 26


class _Ask(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask"):
    """A question.

    Attributes:
        id: Chosen by the client; the answer has the same.
    """

    id: int = 0


class Secret(msgspec.Struct, frozen=True):
    """A service's key on its way to whoever needs it; nobody prints it by mistake."""

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"


Keys = dict[str, Secret]
"""Keys of services by their environment variables; kept in memory alone."""


class Hello(_Ask, frozen=True, tag="hello"):
    """The first line of a client.

    Attributes:
        protocol: Its `VERSION`.
        version: Of ltx-tui.
    """

    protocol: int
    version: str


class Start(_Ask, frozen=True, tag="start"):
    """Do a job: answered by its `JobInfo`.

    A job that is asked for while the very same one is queued, paused or running is that one. A
    job that was interrupted, and that nobody asked to go on with, gives way to a new one.
    """

    spec: JobSpec
    keys: Keys = {}


class Pause(_Ask, frozen=True, tag="pause"):
    """Hold a job after the clips in hand; 0 for the one that runs. Answered by its `JobInfo`."""

    job: int = 0


class Resume(_Ask, frozen=True, tag="resume"):
    """Go on with a paused, failed or cancelled job; 0 for the latest. Answered by `JobInfo`."""

    job: int = 0
    keys: Keys = {}


class CancelJob(_Ask, frozen=True, tag="cancel"):
    """End a job after the clips in hand, at once if asked twice; 0 for the one that runs."""

    job: int = 0


class Retry(_Ask, frozen=True, tag="retry"):
    """Try again what a job gave up; answered by the `JobInfo` of the new job.

    Attributes:
        job: Which; 0 for the latest with failures.
        clips: Names of clips; empty for all that failed.
    """

    job: int = 0
    clips: tuple[str, ...] = ()
    keys: Keys = {}


class ListJobs(_Ask, frozen=True, tag="jobs"):
    """Answered by a list of `JobInfo`, the oldest first."""


class AskMemory(_Ask, frozen=True, tag="memory"):
    """Answered by a `MemorySample`."""


class Watch(_Ask, frozen=True, tag="watch"):
    """Tell what happens from now on, beginning with a `Snapshot`."""


class Stop(_Ask, frozen=True, tag="stop"):
    """End the worker; a job that runs goes on when a worker is started again.

    Attributes:
        now: Without waiting for the clips in hand.
    """

    now: bool = False


Request = Hello | Start | Pause | Resume | CancelJob | Retry | ListJobs | AskMemory | Watch | Stop


class _Tell(msgspec.Struct, frozen=True, kw_only=True, tag_field="tell"):
    """What a worker says."""


class Welcome(_Tell, frozen=True, tag="welcome"):
    """The answer to `Hello`, in every version; after it, one of another protocol hangs up."""

    protocol: int
    version: str
    pid: int


class Answer(_Tell, frozen=True, tag="answer"):
    """What was asked for."""

    id: int
    value: msgspec.Raw = msgspec.Raw(b"null")


class Refusal(_Tell, frozen=True, tag="refusal"):
    """What was asked for cannot be done."""

    id: int
    fault: Fault


class Snapshot(_Tell, frozen=True, tag="snapshot"):
    """How things stand; what follows are changes to it.

    It comes first, and again whenever a client was too slow to be told every change.

    Attributes:
        active: The job that `standing` is about; 0 where none runs.
    """

    jobs: tuple[JobInfo, ...]
    active: int = 0
    standing: Standing = Standing()
    memory: MemorySample | None = None


class Changed(_Tell, frozen=True, tag="changed"):
    """A job is new, or stands differently."""

    job: JobInfo


class Told(_Tell, frozen=True, tag="told"):
    """What a job told."""

    job: int
    event: AnyEvent


class Telemetry(_Tell, frozen=True, tag="telemetry"):
    """The memory now; of several that wait for a slow client only the latest is sent."""

    memory: MemorySample


class Goodbye(_Tell, frozen=True, tag="goodbye"):
    """The worker ends.

    Attributes:
        reason: Why, in words.
        resumes: A job waits to be gone on with by the next worker.
    """

    reason: str
    resumes: bool = False


News = Snapshot | Changed | Told | Telemetry | Goodbye
Line = Welcome | Answer | Refusal | News

REQUESTS: msgspec.json.Decoder[Any] = decoder(Request)
LINES: msgspec.json.Decoder[Any] = decoder(Line)

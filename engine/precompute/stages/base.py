"""The shape that all stages share, and the devices they run on."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import torch
from torch import nn

from engine.errors import EnvironmentFaultError, LtxError, UsageError
from engine.memory.devices import AnyMemory, memory_of
from engine.memory.guard import Guard
from engine.memory.peaks import Peak
from engine.memory.ways import CancelledError, Meter, Report, Way
from engine.models.checkpoint import Checkpoint
from engine.precompute.outputs import Expected, Payload, check, load, relative_error, save
from engine.precompute.steps import StageSetup, Step

# How far a comparison may be off: bf16 kernels of another device or library version.
_TOLERANCE = 0.02

Loading = Callable[[str, str], None]
Cancelled = Callable[[], bool]


class Made(msgspec.Struct, kw_only=True):
    """A finished step, before it is written.

    Attributes:
        payload: What `torch.save` writes.
        detail: How it was made; empty where there is no choice.
        warnings: What the user should know.
        rung: How the memory guard did it in the end; empty where there is no choice.
        peak: Most bytes of device memory beside the weights; 0 where that is not known.
        approximate: What makes it approximate although the settings ask for the exact way, such
            as "8-bit"; else empty.
    """

    payload: Payload
    detail: str = ""
    warnings: tuple[str, ...] = ()
    rung: str = ""
    peak: int = 0
    approximate: str = ""


StepT = TypeVar("StepT", bound=Step)
PreparedT = TypeVar("PreparedT")
ModelT = TypeVar("ModelT")
R = TypeVar("R")


class Home(Generic[ModelT]):
    """A place where a stage's models can be.

    Attributes:
        device: Where.
        memory: Of that device.
        spare: Not the device that was asked for: used when nothing fits that one.
        form: "" as the settings say, or "8-bit".
        model: The models, once they are loaded.
    """

    def __init__(
        self, device: torch.device, memory: AnyMemory, *, spare: bool = False, form: str = ""
    ) -> None:
        """Load nothing yet."""
        self.device = device
        self.memory = memory
        self.spare = spare
        self.form = form
        self.model: ModelT | None = None

    @property
    def name(self) -> str:
        """For display and for the journal: "on GPU", "8-bit on GPU", "on CPU"."""
        where = {"cuda": "on GPU", "cpu": "on CPU"}.get(self.device.type, f"on {self.device}")
        return f"{self.form} {where}".strip()

    def empty(self) -> None:
        """Free the models."""
        if self.model is not None:
            self.model = None
            self.memory.drop(self)
            self.memory.release()


class StageRunner(abc.ABC, Generic[StepT, PreparedT, ModelT]):
    """A stage with its models, in the process that holds them.

    Attributes:
        setup: The stage's settings.
        homes: Where the models are or can be; the first one is used as long as the memory allows.
        guard: Chooses between them, and between the ways to use them.
    """

    # How many steps `run` can take at once.
    batch: int = 1

    def __init__(
        self,
        setup: StageSetup,
        loading: Loading,
        *,
        report: Report | None = None,
        peaks: Iterable[Peak] = (),
    ) -> None:
        """Keep the settings and look at the model files' headers.

        Args:
            setup: The stage's settings.
            loading: Told (model, device) before a model is loaded.
            report: Told what the memory guard does.
            peaks: What is known of this device and model from before.

        Raises:
            LtxError: The device does not exist, or the checkpoint is unusable.
        """
        self.setup = setup
        self.loading = loading
        self.report = report or Report()
        self.peaks = tuple(peaks)
        self.guard = Guard(wait=setup.wait, report=self.report, peaks=self.peaks)
        self.homes = self.make_homes()
        self.checkpoint = Checkpoint.open(setup.checkpoint_path)
        self.read_headers()

    def read_headers(self) -> None:
        """Read what the stage needs to know before its models are loaded.

        Raises:
            LtxError: A model file is unusable.
        """

    def make_homes(self) -> list[Home[ModelT]]:
        """Return where the models can be: the device that was asked for, then the CPU."""
        setup, tick = self.setup, self.report.tick
        device = resolve_device(setup.device)
        memory = memory_of(
            device,
            limit=setup.limit,
            reserve=setup.reserve,
            host_reserve=setup.host_reserve,
            tick=tick,
        )
        homes: list[Home[ModelT]] = [Home(device, memory)]
        if device.type != "cpu" and setup.cpu_fallback:
            cpu = torch.device("cpu")
            host = memory_of(cpu, host_reserve=setup.host_reserve, tick=tick)
            homes.append(Home(cpu, host, spare=True))
        return homes

    @property
    def device(self) -> torch.device:
        """Where the models are, as long as the memory allows."""
        return self.homes[0].device

    @abc.abstractmethod
    def load(self, home: Home[ModelT]) -> ModelT:
        """Load the models, after telling `loading`.

        Raises:
            ModelError: A model file is unusable.
            EnvironmentFaultError: A package is missing.
            torch.OutOfMemoryError: The device lacks memory.
        """

    def weights(self, home: Home[ModelT]) -> int:  # noqa: ARG002 (not known by all stages)
        """Return the bytes of the models' weights; 0 where that is not known."""
        return 0

    def open(self, cancelled: Cancelled = lambda: False) -> None:
        """Load the models where they fit: what comes before in `homes` is then given up.

        Raises:
            LtxError: A model file is unusable, or the models fit nowhere.
            CancelledError: `cancelled` said so while waiting for memory.
        """
        ways = [self.way(home, home.name, lambda *_: None) for home in self.homes]
        done = self.guard.run("the models", ways, cancelled=cancelled)
        # Where a model fits depends on what else is there now, so that is not remembered.
        self.guard.take_learned()
        self.homes = self.homes[done.at :]

    def fill(self, home: Home[ModelT]) -> ModelT:
        """Return the models of a home, loaded when they are first needed."""
        if home.model is None:
            home.model = self.load(home)
            home.memory.hold(home, _tensors(home.model))
        return home.model

    @property
    def model(self) -> ModelT:
        """The models; loaded when they are first needed."""
        if self.homes[0].model is None:
            self.open()
        return self.fill(self.homes[0])

    def close(self) -> None:
        """Free the models."""
        for home in self.homes:
            home.empty()

    @abc.abstractmethod
    def prepare(self, step: StepT) -> PreparedT:
        """Read what the step needs; runs in a thread, ahead of `make`."""

    def host_bytes(self, step: StepT) -> int:  # noqa: ARG002 (next to nothing by default)
        """Return the bytes of host memory that `prepare` takes, about."""
        return 0

    def begins_with(self, steps: Sequence[StepT], lower: int = 0) -> str:  # noqa: ARG002
        """Return the rung that `make` would begin with now; empty where there is no choice."""
        return ""

    @abc.abstractmethod
    def make(
        self,
        steps: Sequence[StepT],
        prepared: Sequence[PreparedT],
        cancelled: Cancelled,
        lower: int = 0,
    ) -> list[Made]:
        """Encode at most `batch` prepared steps.

        Args:
            steps: What to do.
            prepared: What `prepare` returned for each.
            cancelled: Asked between two pieces of work.
            lower: Begin this many rungs lower than the memory guard would.

        Raises:
            CancelledError: `cancelled` said so.
            MemoryShortError: There is too little memory in any way.
        """

    def way(
        self,
        home: Home[ModelT],
        name: str,
        run: Callable[[ModelT, torch.device, Meter], R],
        *,
        need: int = 0,
        learn: Callable[[int, bool], object] = lambda _size, _fits: None,
    ) -> Way[R]:
        """Return a way to do work with the models of a home.

        Args:
            home: Its models are loaded if they are not.
            name: Of the rung.
            run: Gets the models, their device and what measures the work.
            need: Bytes beside the weights by the forecast; 0 where that is not known.
            learn: As in `Way`.
        """
        if home.model is None and (weights := self.weights(home)):
            # Homes that share a device's memory take one another's place there.
            need = max(1, need + weights - home.memory.weight_bytes)
        return Way(
            name=name,
            memory=home.memory,
            ready=lambda: self.fill(home),
            run=lambda meter: run(self.fill(home), home.device, meter),
            need=need,
            learn=learn,
            fallback=home.memory is not self.homes[0].memory,
        )

    def take_learned(self) -> tuple[Peak, ...]:
        """Return what the memory guard has learned since the last call."""
        return self.guard.take_learned()

    def guarded(
        self,
        shape: str,
        run: Callable[[ModelT, torch.device], Payload],
        step: StepT,
        cancelled: Cancelled,
        lower: int,
    ) -> Made:
        """Do a step on the device, or on the CPU when that runs out of memory.

        Args:
            shape: What steps that take the same memory have in common.
            run: Gets the models and their device; returns what is written.
            step: What it is done for.
            cancelled: As in `make`.
            lower: As in `make`.
        """
        if cancelled():
            raise CancelledError
        ways = [
            self.way(home, home.name, lambda model, device, _: run(model, device))
            for home in self.homes
        ]
        done = self.guard.run(shape, ways, step=step.id, lower=lower, cancelled=cancelled)
        return Made(
            payload=done.result,
            detail=self.homes[done.at].name if self.homes[done.at].spare else "",
            rung=done.rung,
            peak=done.peak,
        )

    def expected(self, step: StepT) -> Expected:
        """Return what the step's output must look like, without any encoding.

        Raises:
            LtxError: The stage writes no tensors.
        """
        raise LtxError(f"{step.clip}: the outputs of {self.setup.stage} cannot be checked")

    def write(self, step: StepT, made: Made) -> Path:
        """Write and verify the output; return where it is. Runs in a thread, behind `make`."""
        path = Path(step.output)
        save(path, made.payload, self.expected(step))
        return path

    def verify(self, step: StepT) -> None:
        """Check an existing output without encoding; runs in a thread.

        Raises:
            LtxError: It is not what the step would write.
        """
        check(load(Path(step.output)), self.expected(step))

    def compare(self, step: StepT, made: Made) -> tuple[float, bool]:
        """Return the relative error of an existing output, and whether that is near enough."""
        error = relative_error(load(Path(step.output)), made.payload, self.setup.stage)
        return error, error <= _TOLERANCE


def _tensors(model: object) -> list[torch.Tensor]:
    """Return the weights and buffers of a module, of several, or of what has `modules`."""
    if isinstance(model, nn.Module):
        return [*model.parameters(), *model.buffers()]
    parts = model if isinstance(model, tuple) else getattr(model, "parts", ())
    return [tensor for part in parts for tensor in _tensors(part)]


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is the first GPU, else the CPU.

    Raises:
        UsageError: The name is no device.
        EnvironmentFaultError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(
            f"unknown device {name!r}", remedy="use auto, cpu, cuda or cuda:N"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EnvironmentFaultError(
            "torch sees no GPU here", remedy="use --device cpu, or run `ltx-tui doctor`"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EnvironmentFaultError(
            f"there is no GPU {device.index}: torch sees {torch.cuda.device_count()}",
            remedy="use cuda:0 or the next one up",
        )
    # Always with a number, as torch's memory functions want it.
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def resolve_dtype(name: str) -> torch.dtype:
    """Return the dtype of a name in project.toml."""
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]

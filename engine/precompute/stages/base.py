"""The shape that all stages share, and the device they run on."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import torch

from engine.errors import EnvironmentFaultError, LtxError, UsageError
from engine.models.checkpoint import Checkpoint
from engine.precompute.outputs import Expected, Payload, check, load, relative_error, save
from engine.precompute.steps import StageSetup, Step

# How far a comparison may be off: bf16 kernels of another device or library version.
_TOLERANCE = 0.02

Loading = Callable[[str, str], None]
Cancelled = Callable[[], bool]


class CancelledError(Exception):
    """The step was given up because the user stopped the job."""


class Made(msgspec.Struct, kw_only=True):
    """A finished step, before it is written.

    Attributes:
        payload: What `torch.save` writes.
        detail: How it was made; empty where there is no choice.
        warnings: What the user should know.
    """

    payload: Payload
    detail: str = ""
    warnings: tuple[str, ...] = ()


StepT = TypeVar("StepT", bound=Step)
PreparedT = TypeVar("PreparedT")
ModelT = TypeVar("ModelT")


class StageRunner(abc.ABC, Generic[StepT, PreparedT, ModelT]):
    """A stage with its models, in the process that holds them."""

    # How many steps `run` can take at once.
    batch: int = 1

    def __init__(self, setup: StageSetup, loading: Loading) -> None:
        """Keep the settings and look at the model files' headers.

        Args:
            setup: The stage's settings.
            loading: Told (model, device) before a model is loaded.

        Raises:
            LtxError: The device does not exist, or the checkpoint is unusable.
        """
        self.setup = setup
        self.loading = loading
        self.device = resolve_device(setup.device)
        self.checkpoint = Checkpoint.open(setup.checkpoint_path)
        self._model: ModelT | None = None

    @abc.abstractmethod
    def load(self) -> ModelT:
        """Load the models, after telling `loading`.

        Raises:
            ModelError: A model file is unusable.
            EnvironmentFaultError: The device lacks memory, or a package is missing.
        """

    @property
    def model(self) -> ModelT:
        """The models; loaded when they are first needed."""
        if self._model is None:
            self._model = self.load()
        return self._model

    def close(self) -> None:
        """Free the models."""
        self._model = None

    @abc.abstractmethod
    def prepare(self, step: StepT) -> PreparedT:
        """Read what the step needs; runs in a thread, ahead of `make`."""

    @abc.abstractmethod
    def make(
        self, steps: Sequence[StepT], prepared: Sequence[PreparedT], cancelled: Cancelled
    ) -> list[Made]:
        """Encode at most `batch` prepared steps.

        Raises:
            CancelledError: `cancelled` said so between two pieces of work.
        """

    def expected(self, step: StepT) -> Expected:
        """Return what the step's output must look like, without any encoding.

        Raises:
            LtxError: The stage writes no tensors.
        """
        raise LtxError(f"{step.clip}: the outputs of {self.setup.stage} cannot be checked")

    def write(self, step: StepT, made: Made) -> Path:
        """Write and verify the output; return where it is."""
        path = Path(step.output)
        save(path, made.payload, self.expected(step))
        return path

    def verify(self, step: StepT) -> None:
        """Check an existing output without encoding.

        Raises:
            LtxError: It is not what the step would write.
        """
        check(load(Path(step.output)), self.expected(step))

    def compare(self, step: StepT, made: Made) -> tuple[float, bool]:
        """Return the relative error of an existing output, and whether that is near enough."""
        error = relative_error(load(Path(step.output)), made.payload, self.setup.stage)
        return error, error <= _TOLERANCE


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is the first GPU, else the CPU.

    Raises:
        UsageError: The name is no device.
        EnvironmentFaultError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
    return device


def resolve_dtype(name: str) -> torch.dtype:
    """Return the dtype of a name in project.toml."""
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]

"""The encoder process: holds the models of one stage at a time and does the steps it is sent.

Run as `python -m engine.worker.encoder`. It speaks `engine.worker.messages` over stdin and
stdout, logs to stderr, and ends when its stdin closes: no encoder outlives its scheduler.
"""

from __future__ import annotations

import logging
import os
import sys
import time

import torch

from engine.child import serving
from engine.errors import EnvironmentFaultError, LtxError, ModelError
from engine.memory.allocator import keep_freed_memory
from engine.memory.ways import CancelledError
from engine.precompute.stages import open_stage
from engine.worker.encoder_pipe import Heart, Pipe, PipeReport, Pulse
from engine.worker.messages import (
    VERSION,
    Device,
    Hello,
    Loading,
    OpenStage,
    StageClosed,
    StageOpened,
    StageRefused,
)
from engine.worker.stage_loop import StageLoop, failure, free_memory

log = logging.getLogger("ltx_tui.encoder")


def gpus() -> tuple[Device, ...]:
    """Return the GPUs that torch sees, without making a CUDA context on any of them."""
    try:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return tuple(_describe(number) for number in range(count))
    except RuntimeError:
        # A driver that is half there; whoever asks for a GPU is told when the stage opens.
        log.exception("the GPUs cannot be read")
        return ()


def _describe(number: int) -> Device:
    about = torch.cuda.get_device_properties(number)
    return Device(
        name=f"cuda:{number}",
        title=about.name,
        uuid=str(getattr(about, "uuid", "")),
        total=about.total_memory,
    )


def serve(pipe: Pipe) -> None:
    """Open stages one after another until the input ends."""
    pulse = Pulse()
    pipe.send(Hello(VERSION, os.getpid(), gpus()))
    with Heart(pipe, pulse) as heart:
        while (request := pipe.take()) is not None:
            if isinstance(request, OpenStage):
                _serve_stage(pipe, request, pulse, heart)
            pulse.rest()


def _serve_stage(pipe: Pipe, request: OpenStage, pulse: Pulse, heart: Heart) -> None:
    started = time.monotonic()
    pulse.tick()
    try:
        runner = open_stage(
            request.setup,
            lambda model, device: pipe.send(Loading(model, device)),
            report=PipeReport(pipe, pulse),
            peaks=request.peaks,
        )
        heart.device = runner.device
        if request.load:
            runner.open(pipe.cancelled)
    except Exception as error:
        log.exception("%s: cannot be opened", request.setup.stage)
        refusal = _refusal(error.with_traceback(None))
    else:
        pipe.send(StageOpened(time.monotonic() - started, str(runner.device)))
        StageLoop(pipe, runner, pulse=pulse).run()
        runner.close()
        free_memory()
        pipe.send(StageClosed())
        return
    # What was loaded is given back, now that nothing refers to it.
    free_memory()
    pipe.send(refusal)


def _refusal(error: Exception) -> StageRefused:
    if isinstance(error, CancelledError):
        return StageRefused("stopped while waiting for memory", "", environment=True)
    if isinstance(error, LtxError):
        return StageRefused(
            error.headline, error.remedy, isinstance(error, (EnvironmentFaultError, ModelError))
        )
    words = failure(0, error)
    return StageRefused(words.reason, words.remedy, environment=True)


def main() -> None:
    """Speak the protocol over stdin and stdout; everything that libraries print goes to stderr."""
    keep_freed_memory()
    serve(Pipe(sys.stdin.buffer, serving()))


if __name__ == "__main__":
    main()

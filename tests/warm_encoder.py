"""The real encoder, its libraries loaded already: torch takes seconds each time.

A process that has imported them waits, and is forked for each encoder: a process of its own, with
its own pipes, that runs the real `main`. `python -m tests.warm_encoder` stands in for
`python -m engine.worker.encoder` where LTX_TUI_ENCODER names it: it hands over its pipes, and ends
as the encoder does; the encoder does not outlive it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

ADDRESS = "LTX_TUI_WARM_ENCODER"
_STAGES = ("audio", "decode", "text", "video")
_ROOT = Path(__file__).parents[1]
_LOADED = ("engine.worker.encoder", *(f"engine.precompute.stages.{one}" for one in _STAGES))
_PIPES = 3
_LONGEST = 1 << 20


@contextlib.contextmanager
def waiting() -> Iterator[dict[str, str]]:
    """Start the process that waits; give the variables with which its encoders are used."""
    environment = {"LTX_TUI_ENCODER": "tests.warm_encoder", "PYTHONPATH": str(_ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/encoder"
        with socket.socket(socket.AF_UNIX) as listener:
            # Whoever comes before the libraries are loaded waits until they are.
            listener.bind(address)
            listener.listen()
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.warm_encoder", str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **environment},
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        with process:
            yield {**environment, ADDRESS: address}


# The process that waits


def wait(listener: socket.socket) -> None:
    """Fork an encoder for each that asks, until stdin ends."""
    if os.fork():
        return  # a child of nobody's: no test that ends all its children ends it
    for module in _LOADED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([0, listener], [], [])
        if 0 in ready:
            return
        asking, _ = listener.accept()
        with asking:
            if os.fork() == 0:
                os._exit(_keep(asking))


def _keep(asking: socket.socket) -> int:
    """Fork an encoder, tell how it ended, and end it where nobody waits for that any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, pipes, _, _ = socket.recv_fds(asking, _LONGEST, _PIPES)
    if len(pipes) != _PIPES:
        return 1
    pid = os.fork()
    if pid == 0:
        os._exit(_encode(json.loads(message), pipes))
    for pipe in pipes:
        os.close(pipe)
    ended = os.pidfd_open(pid)
    ready, _, _ = select.select([ended, asking], [], [])
    if ended not in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        asking.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    return 0


def _encode(environment: dict[str, str], pipes: list[int]) -> int:
    from engine.worker import encoder

    os.environ.clear()
    os.environ.update(environment)
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    try:
        encoder.main()
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


# The process that stands in for an encoder


def stand_in() -> int:
    """Have an encoder use our pipes; return how it ended."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(os.environ[ADDRESS])
        message = json.dumps(dict(os.environ)).encode()
        socket.send_fds(asked, [message], list(range(_PIPES)))
        # The pipes are the encoder's now: whoever reads from them is to see its end.
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(_PIPES):
            os.dup2(nothing, number)
        return int(asked.recv(16) or 1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        wait(socket.socket(fileno=int(sys.argv[1])))
    else:
        code = stand_in()
        if code < 0:
            os.kill(os.getpid(), -code)
        os._exit(code)

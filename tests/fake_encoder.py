"""An encoder without models: it does what its prompts say, and starts at once.

Run by a lane in place of the real one where LTX_TUI_ENCODER names it. A prompt is a command:

ok          writes the prompt as the output
slow N      does so after N seconds, unless it is cancelled
die         kills this process
die-once    kills this process the first time (a file beside the output remembers)
stop        stops without a sign of life, as a hung driver does
bad         fails
full        fails because the disk is full
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from engine.memory.peaks import Peak
from engine.worker.messages import (
    VERSION,
    Beat,
    Cancel,
    CloseStage,
    Device,
    Guarded,
    Hello,
    Loading,
    OpenStage,
    Request,
    StageClosed,
    StageOpened,
    StageRefused,
    StepDone,
    StepDropped,
    StepFailed,
    StepStarted,
    Work,
)

lock = threading.Lock()
requests: queue.Queue = queue.Queue()
stopped = threading.Event()
# Where the open stage runs; FAKE_SLOW names one on which each step takes so many seconds more.
device = ""


def send(answer: object) -> None:
    with lock:
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def read() -> None:
    decoder = msgspec.json.Decoder(Request)
    for line in sys.stdin.buffer:
        request = decoder.decode(line)
        if isinstance(request, Cancel):
            stopped.set()
        requests.put(request)
    stopped.set()
    requests.put(None)


def beat() -> None:
    while True:
        time.sleep(0.05)
        send(Beat(still=0.0))


def work(request: Work) -> None:
    step = request.step
    if stopped.is_set():
        send(StepDropped(step.id))
        return
    send(StepStarted(step.id, rung=f"rung {request.lower}"))
    command, _, rest = step.prompt.partition(" ")
    marker = Path(step.output + ".died")
    if command == "die" or (command == "die-once" and not marker.exists()):
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        print("a last word", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL if rest == "silently" else signal.SIGABRT)
    slow, _, seconds = os.environ.get("FAKE_SLOW", "").partition(" ")
    if slow and slow == device:
        time.sleep(float(seconds))
    if command == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if command == "slow" and stopped.wait(float(rest)):
        send(StepDropped(step.id))
        return
    if command == "bad":
        send(StepFailed(step.id, "it is bad", "take it out"))
        return
    if command == "full" and not Path(rest).exists():
        send(StepFailed(step.id, "cannot write: no space", "make space", fatal=True))
        return
    if command == "guard":
        send(Guarded(step.id, rung="stream 8", text="stepped down to stream 8"))
    path = Path(step.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(step.prompt)
    part.replace(path)
    with Path(os.environ.get("FAKE_LOG", os.devnull)).open("a") as log:
        log.write(f"{os.getpid()} {path.name}\n")
    stat = path.stat()
    peak = Peak(shape="x", rung="whole", bytes=1000 + step.id)
    send(
        StepDone(
            step.id,
            str(path),
            stat.st_size,
            stat.st_mtime_ns,
            0.01,
            detail=f"rung {request.lower}",
            learned=(peak,),
            peak=1000 + step.id,
        )
    )


def main() -> None:
    global device
    if os.environ.get("FAKE_START") == "die":
        sys.exit("cannot start today")
    threading.Thread(target=read, daemon=True).start()
    threading.Thread(target=beat, daemon=True).start()
    gpus = int(os.environ.get("FAKE_GPUS", "0"))
    send(
        Hello(
            VERSION,
            os.getpid(),
            tuple(
                Device(name=f"cuda:{n}", title="Fake 9000", uuid=f"{n}", total=1 << 30)
                for n in range(gpus)
            ),
        )
    )
    while (request := requests.get()) is not None:
        if isinstance(request, OpenStage):
            refused = os.environ.get("FAKE_REFUSE", "")
            if refused and refused == request.setup.device:
                send(StageRefused("no driver", "mend it", environment=True))
                continue
            device = request.setup.device
            send(Loading("fake model", device))
            send(StageOpened(0.0, device=request.setup.device))
        elif isinstance(request, Work):
            work(request)
        elif isinstance(request, CloseStage):
            send(StageClosed())


if __name__ == "__main__":
    main()

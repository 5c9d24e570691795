"""Run as `python -m engine.worker.scene_lane`: finds and cuts the scenes of one video at a time.

Takes asks as JSON lines from stdin and tells in JSON lines; `find_scenes` runs several of these.
It ends when stdin does or at SIGTERM, at the next frame, and leaves no half file. A video that
brings a codec down takes only this process with it. Loads no torch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import cv2
import msgspec

from engine.child import answer
from engine.worker.scene_messages import Ask, VideoFailed, fault_of
from engine.worker.scene_work import SceneWork
from engine.worker.spec import decoder, encode


class EndedError(BaseException):
    """Nobody waits any more: unwinds like KeyboardInterrupt, so that no handler takes it."""


_ended = threading.Event()


def main() -> None:
    """Work on the videos that are named on stdin, one after the other."""
    cv2.setNumThreads(1)  # several videos are worked on side by side
    signal.signal(signal.SIGTERM, lambda *_: _ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the process that started this one
    kind: msgspec.json.Decoder[Ask] = decoder(Ask)
    for line in _Asks():
        ask = kind.decode(line)
        try:
            SceneWork(ask.wanted, ask.video, tell, check).run()
        except EndedError:
            return
        except Exception as error:  # any fault is one of this video
            tell(VideoFailed(video=ask.video.id, fault=fault_of(error)))


class _Asks:
    """Lines from stdin, read in a thread: its end is noticed while a video is being worked on."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            with self._news:
                self._lines.append(line)
                self._news.notify()
        _ended.set()
        with self._news:
            self._news.notify()

    def __iter__(self) -> _Asks:
        return self

    def __next__(self) -> bytes:
        with self._news:
            while not self._lines and not _ended.is_set():
                self._news.wait(0.2)
            if not self._lines or _ended.is_set():
                raise StopIteration
            return self._lines.pop(0)


def tell(value: Any) -> None:
    """Tell something; where nobody listens, the work ends."""
    try:
        answer(msgspec.Raw(encode(value)))
    except OSError as error:
        raise EndedError from error


def check() -> None:
    """End the work where nobody waits for it."""
    if _ended.is_set():
        raise EndedError


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the thread that reads stdin waits in a system call

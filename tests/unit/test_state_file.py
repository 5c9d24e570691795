"""SQLite files that several processes open."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.state.kept import Kept


def test_several_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    def opened(folder: Path, start: threading.Barrier) -> None:
        start.wait()
        Kept(folder).close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(100):
            start = threading.Barrier(4)
            folder = tmp_path / str(number)
            for one in [pool.submit(opened, folder, start) for _ in range(4)]:
                one.result()

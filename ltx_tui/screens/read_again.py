"""The dataset read again after we have written into it."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from textual.dom import DOMNode

from engine.errors import LtxError
from engine.project import load_project
from ltx_tui.desk import Desk
from ltx_tui.host import workbench_of


async def read_rows_again(node: DOMNode, desk: Desk) -> None:
    """Read the dataset again, with the clips' own buckets where their names changed."""
    project, file = desk.project, desk.project.file
    if file is not None and project.clips:
        with contextlib.suppress(LtxError):
            clips = (await asyncio.to_thread(load_project, file)).clips
            if clips != project.clips:
                workbench_of(node).use_project(msgspec.structs.replace(project, clips=clips))
    await desk.store.load()

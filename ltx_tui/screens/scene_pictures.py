"""Two frames of a video side by side: the ends of a scene, or those around the cursor."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from textual.timer import Timer

from engine.errors import LtxError
from engine.text import visible
from engine.worker.thumbnail_types import Ask, Failed, Shot
from ltx_tui.children.frames import FramesChild
from ltx_tui.drawing.signs import plain
from ltx_tui.scenes.state import VideoScenes
from ltx_tui.screens.scene_asking import SceneAsking
from ltx_tui.widgets.frame_strip import FrameStrip, Place

# Frames are read when keys rest for so long, in seconds.
_REST = 0.08
_ASPECT = 16 / 9


class Pair(NamedTuple):
    """Two frames, and what is said below each, from long to short."""

    frames: tuple[int, int]
    labels: tuple[tuple[str, ...], tuple[str, ...]]


class ScenePictures(SceneAsking):
    """The part of the scenes' screen that has frames read, lazily and by a child.

    Attributes:
        video: The video.
        strip: Gets the pictures.
    """

    video: VideoScenes

    def __init__(self, strip: FrameStrip) -> None:
        """Read nothing yet."""
        super().__init__()
        self.strip = strip
        self._child = FramesChild()
        self._aspect = _ASPECT
        self._rest: Timer | None = None
        self._read: tuple[object, ...] = ()

    def pair(self) -> Pair | None:
        """Return which two frames are shown; None for none."""
        raise NotImplementedError

    def show_pictures(self, *, anew: bool = False) -> None:
        """Show the frames that are due, once keys rest; words at once."""
        pair = self.pair()
        if not self.is_mounted or not self.strip.size.width:
            return
        if anew or pair is None or not self.strip.grid.across:
            self._stop_reading()
            self.strip.clear()
            self.strip.lay_out(2, self._aspect)
            self._read = ()
        if pair is None:
            return
        self.strip.expect(pair.frames)
        labels = [tuple(plain(one, self.strip.how) for one in each) for each in pair.labels]
        self.strip.label([Place(each) for each in labels])
        wanted = (self.video.path, pair.frames, self.strip.grid)
        if wanted != self._read:
            self._stop_reading()
            self._rest = self.set_timer(_REST, self._begin)

    def _stop_reading(self) -> None:
        if self._rest is not None:
            self._rest.stop()
        self.workers.cancel_group(self, "frames")

    def _begin(self) -> None:
        # Not begun yet: a request that is replaced at once would leave a coroutine behind.
        self.run_worker(self._show, group="frames", exclusive=True)  # type: ignore[arg-type]

    async def _show(self) -> None:
        pair = self.pair()
        if pair is None:
            return
        wanted = (self.video.path, pair.frames, self.strip.grid)
        try:
            for place, frame in enumerate(pair.frames):
                async for tell in self._child.show(self._ask(frame)):
                    if isinstance(tell, Failed):
                        raise tell.fault.to_error()
                    if isinstance(tell, Shot) and self._fits(tell):
                        self.strip.put(msgspec.structs.replace(tell, place=place, number=frame))
        except LtxError as error:
            self.strip.say(visible(error.message), visible(error.remedy))
        self._read = wanted

    def _fits(self, shot: Shot) -> bool:
        """Whether pictures have the shape that was thought; where not, they are laid out anew."""
        aspect = shot.size[0] / max(1, shot.size[1])
        # A pixel more or less is no other shape.
        wide, high = self.strip.pixels()
        if shot.size[0] >= wide - 1 and shot.size[1] >= high - 2:
            return True
        if abs(aspect - self._aspect) < 0.02 * self._aspect:
            return True
        self._aspect = aspect
        self.call_after_refresh(self.show_pictures, anew=True)
        return False

    def _ask(self, frame: int) -> Ask:
        project = self.book.project
        return Ask(
            media=self.video.path,
            state_dir=project.state_dir,
            tonemap=project.video.hdr == "tonemap",
            count=1,
            size=self.strip.pixels(),
            at=frame,
        )

    async def close_pictures(self) -> None:
        """End the child."""
        await self._child.close()

"""The fastest way for this GPU to do the encoder's convolutions, found out on the user's clips.

Which layout of memory is fastest, and whether cuDNN's own search pays, depends on the GPU, the
library and the size of the clips. So the first clips of a size are encoded plainly, the last of
them in the other layout as well: a form whose latents are further off than rounding is given up.
The next clip is encoded in it by the clock, and the rest in the faster one. A search takes as long
as many encodes, so it is left to sizes of many clips. What lost on one size is not tried on others.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from engine.memory.ways import Meter
from engine.models.video_vae import VideoEncoder

log = logging.getLogger("ltx_tui.encoder")

# Encoded plainly before anything is tried: the first of them loads kernels, and is not timed.
_PLAINLY = 3
# The clip of a size with which cuDNN's search is tried: it runs some ten kernels for each one.
_MANY = 100
# A form has to be so many times as fast to be used.
_WORTH = 1.02
# How far latents may be off: twice what bf16 costs against float32; a GPU's float32 is TF32.
_NEAR = {torch.bfloat16: 0.016, torch.float32: 0.002}

Work = Callable[[], Tensor]
Timed = Callable[[Work], tuple[Tensor, float]]
Release = Callable[[], object]


class Form(NamedTuple):
    """A way to do the same convolutions.

    Attributes:
        name: For display.
        channels_last: Weights and pixels lie channels-last in memory.
        search: cuDNN tries its kernels and takes the fastest, instead of guessing it.
    """

    name: str
    channels_last: bool = False
    search: bool = False


PLAIN = Form("plain")
FORMS = (
    Form("channels-last", channels_last=True),
    Form("cuDNN's search", search=True),
    Form("channels-last with cuDNN's search", channels_last=True, search=True),
)


class _Trial(msgspec.Struct):
    """What is known of one size.

    Attributes:
        clips: That were encoded.
        peak: Most bytes that the plain way took, as the meter has it.
        seconds: The least that each form took.
        tried: Forms that were compared last.
        left: Those of them that gave the same latents and are still to be timed.
        form: What is used; None while that is not known.
    """

    clips: int = 0
    peak: int = 0
    seconds: dict[Form, float] = {}
    tried: list[Form] = []
    left: list[Form] = []
    form: Form | None = None


class Tuner:
    """Encodes whole clips in the fastest form; for one stage, from one thread."""

    def __init__(
        self,
        tell: Callable[[str], object] = lambda _: None,
        *,
        forms: Iterable[Form] = FORMS,
        timed: Timed | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            tell: Told which form is used, whenever that is another one.
            forms: Tried beside the plain one.
            timed: Does work and tells its seconds; by CUDA's events unless given.
        """
        self._tell = tell
        self._forms = list(forms)
        self._timed = timed or by_events
        self._trials: dict[torch.Size, _Trial] = {}
        self._told = PLAIN
        # Torch keeps cuDNN's choice of kernel for each thread, whether searched for or guessed: a
        # search in a thread that has guessed would only find that guess.
        self._searching: ThreadPoolExecutor | None = None

    def encode(
        self,
        encoder: VideoEncoder,
        pixels: Tensor,
        meter: Meter,
        release: Release = lambda: None,
    ) -> Tensor:
        """Encode clips, and learn from it.

        The meter always tells the plain encode's peak: that is what is known to be needed, and
        another form that finds too little memory is not used again for that size.

        Args:
            encoder: Its weights are laid out anew, in place, where the form wants it.
            pixels: [B, 3, F, H, W] on its device.
            meter: Measures this piece of work.
            release: Gives back memory that is not in use, after a form that found too little.

        Returns:
            What `encoder.encode` returns, contiguous.

        Raises:
            RuntimeError: As `encoder.encode`, torch.OutOfMemoryError among them.
        """
        trial = self._trials.setdefault(pixels.shape, _Trial())
        trial.clips += 1
        if trial.form is None and not self._forms:
            trial.form = PLAIN
        if trial.left:
            latents = self._by_the_clock(encoder, pixels, trial, release)
        elif trial.form is None:
            return self._at_first(encoder, pixels, trial, meter, release)
        elif trial.clips == _MANY and (searches := self._searches(trial.form)):
            latents = self.run(encoder, pixels, PLAIN)
            self._compare(encoder, pixels, trial, searches, latents, release)
        elif trial.form is PLAIN:
            return self.run(encoder, pixels, PLAIN)
        else:
            latents = self._as_chosen(encoder, pixels, trial, trial.form, release)
        meter.instead(trial.peak)
        return latents

    def run(self, encoder: VideoEncoder, pixels: Tensor, form: Form) -> Tensor:
        """Encode in a form, and learn nothing from it; arguments as those of `encode`."""
        _lay_out(encoder, channels_last=form.channels_last)
        if form.channels_last:
            pixels = pixels.to(memory_format=torch.channels_last_3d)
        if not form.search:
            return encoder.encode(pixels).contiguous()
        stream = torch.cuda.current_stream(pixels.device) if pixels.is_cuda else None
        if self._searching is None:
            self._searching = ThreadPoolExecutor(1, thread_name_prefix="search")
        return self._searching.submit(_search, encoder, pixels, stream).result()

    def restore(self, encoder: VideoEncoder) -> None:
        """Lay the weights out as they were, for work that is not to be tuned."""
        _lay_out(encoder, channels_last=False)

    def close(self) -> None:
        """End the thread that searched."""
        if self._searching is not None:
            self._searching.shutdown()
            self._searching = None

    def _at_first(
        self, encoder: VideoEncoder, pixels: Tensor, trial: _Trial, meter: Meter, release: Release
    ) -> Tensor:
        """Encode one of a size's first clips, and the last of them in the other layout too."""
        _lay_out(encoder, channels_last=False)
        latents, seconds = self._timed(lambda: self.run(encoder, pixels, PLAIN))
        trial.peak = max(trial.peak, meter.peak)
        if trial.clips > 1:
            trial.seconds[PLAIN] = min(seconds, trial.seconds.get(PLAIN, seconds))
        if trial.clips >= _PLAINLY:
            meter.instead(trial.peak)
            quick = [form for form in self._forms if not form.search]
            self._compare(encoder, pixels, trial, quick, latents, release)
        return latents

    def _searches(self, form: Form) -> list[Form]:
        """Return the forms that search in the layout of a form that does not."""
        alike = [one for one in self._forms if one.channels_last is form.channels_last]
        return [one for one in alike if one.search and not form.search]

    def _compare(
        self,
        encoder: VideoEncoder,
        pixels: Tensor,
        trial: _Trial,
        forms: list[Form],
        expected: Tensor,
        release: Release,
    ) -> None:
        """Encode a clip in other forms too, and keep those that give the same latents."""
        near = _NEAR.get(expected.dtype, _NEAR[torch.bfloat16])
        trial.tried = forms
        for form in forms:
            found = self._attempt(
                encoder, form, functools.partial(self.run, encoder, pixels, form), release
            )
            error = math.inf
            if found is not None:
                error = float((found.float() - expected.float()).norm() / expected.float().norm())
            log.info("%s: %s is off by %.1e", tuple(pixels.shape), form.name, error)
            # What is no number is not near, either.
            if error <= near:
                trial.left.append(form)
        if not trial.left:
            self._settle(trial, pixels.shape)

    def _by_the_clock(
        self, encoder: VideoEncoder, pixels: Tensor, trial: _Trial, release: Release
    ) -> Tensor:
        """Encode in the next form that is to be timed; plainly if that fails."""
        form = trial.left.pop(0)

        def work() -> Tensor:
            _lay_out(encoder, channels_last=form.channels_last)
            latents, trial.seconds[form] = self._timed(lambda: self.run(encoder, pixels, form))
            return latents

        latents = self._attempt(encoder, form, work, release)
        if not trial.left:
            self._settle(trial, pixels.shape)
        return self.run(encoder, pixels, PLAIN) if latents is None else latents

    def _as_chosen(
        self, encoder: VideoEncoder, pixels: Tensor, trial: _Trial, form: Form, release: Release
    ) -> Tensor:
        """Encode in a size's fastest form; plainly, now and from now on, if that fails."""
        latents = self._attempt(encoder, form, lambda: self.run(encoder, pixels, form), release)
        if latents is not None:
            return latents
        trial.form = PLAIN
        del trial.seconds[form]
        self._say(PLAIN, f"{form.name} failed and is not used any more; see the log")
        return self.run(encoder, pixels, PLAIN)

    def _attempt(
        self, encoder: VideoEncoder, form: Form, work: Work, release: Release
    ) -> Tensor | None:
        """Do work in a form; None if memory runs out, or the libraries cannot do it."""
        try:
            return work()
        except RuntimeError as error:
            # An error that is not the form's own comes back with the plain encode that follows.
            log.warning("%s failed: %s", form.name, error)
        # Not before the error is gone, and what it holds of the work.
        release()
        _lay_out(encoder, channels_last=False, anew=True)
        return None

    def _settle(self, trial: _Trial, shape: torch.Size) -> None:
        """Choose the fastest form of a size."""
        plain = trial.seconds[PLAIN]
        best = min(trial.seconds, key=lambda form: trial.seconds[form])
        gain = plain / max(1e-9, trial.seconds[best])
        trial.form = best if gain >= _WORTH else PLAIN
        for form, seconds in trial.seconds.items():
            log.info("%s: %s took %.4f s", tuple(shape), form.name, seconds)
        # What lost is not tried on other sizes.
        lost = [form for form in trial.tried if form is not trial.form]
        self._forms = [form for form in self._forms if form not in lost]
        _, _, frames, height, width = shape
        words = f"{gain:.2f} × as fast" if trial.form is not PLAIN else "the fastest"
        self._say(trial.form, f"{trial.form.name}: {words} ({width}x{height}x{frames})")

    def _say(self, form: Form, text: str) -> None:
        if form is not self._told:
            self._told = form
            self._tell(text)


def can_tune(device: torch.device) -> bool:
    """Whether a device has other forms than the plain one."""
    return device.type == "cuda"


def by_events(work: Work) -> tuple[Tensor, float]:
    """Do work on the current GPU; return its result and how many seconds the GPU took."""
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    begin.record()
    result = work()
    end.record()
    end.synchronize()
    return result, begin.elapsed_time(end) / 1000


def _search(encoder: VideoEncoder, pixels: Tensor, stream: torch.cuda.Stream | None) -> Tensor:
    """Encode with cuDNN's search switched on; in a thread that does nothing else."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        # The same stream, and with it the same device, as the thread that waits for this.
        with torch.cuda.stream(stream):
            return encoder.encode(pixels).contiguous()
    finally:
        torch.backends.cudnn.benchmark = before


def _lay_out(encoder: VideoEncoder, *, channels_last: bool, anew: bool = False) -> None:
    """Lay the weights out, one after another in place; with `anew` whatever the first one says."""
    weight = encoder.encoder.conv_in.conv.weight
    now = weight.is_contiguous(memory_format=torch.channels_last_3d)
    if anew or now is not channels_last:
        wanted = torch.channels_last_3d if channels_last else torch.contiguous_format
        encoder.to(memory_format=wanted)  # type: ignore[call-overload]

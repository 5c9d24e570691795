"""A clip as Qwen2.5-Omni takes it: frames and sound by PyAV, patches by its own processor.

Neither torchvision nor a decoder beside PyAV is needed: frames go through the real image
processor's arithmetic one by one, and are put together in pairs as the video processor does it.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torchaudio
from transformers import (
    AutoTokenizer,
    Qwen2_5OmniProcessor,
    Qwen2VLImageProcessorPil,
    WhisperFeatureExtractor,
)
from transformers.image_utils import SizeDict

from engine.captioners.base import CaptionMedia, CaptionRequest
from engine.errors import MediaError, ModelError
from engine.media.audio import read_audio
from engine.media.frames import FrameRequest, iter_frames
from engine.media.images import read_image
from engine.media.probe import Probe, probe
from engine.media.selection import selection_count
from engine.text import visible

Pixels = npt.NDArray[np.uint8]
Sound = npt.NDArray[np.float32]
# What the model takes, by name.
Encoded = dict[str, torch.Tensor]

# The processor's own bounds on the frames of a video.
LEAST_FRAMES, MOST_FRAMES = 4, 768
# Of the model's context a video gets this much; the rest is for the sound, the words, the answer.
_VIDEO_SHARE = 0.9
# A frame is not made smaller than this much above the processor's least size.
_LEAST_SIZE = 1.05


class Clip(NamedTuple):
    """What the processor is given.

    Attributes:
        frames: uint8 [F, 3, H, W] of a video, already at the size that the processor wants.
        fps: How many of them a second, exactly.
        image: uint8 [H, W, 3] of an image.
        sound: float32 [N] at the processor's rate, or None where it is not heard.
    """

    frames: Pixels | None = None
    fps: float = 0.0
    image: Pixels | None = None
    sound: Sound | None = None


class PairedFrames:
    """The video half of the processor, made of its image half.

    The image processor repeats a picture to fill a patch in time; here the second of two frames
    takes the place of the repetition, as in the video processor. An odd last frame is repeated.
    """

    model_input_names = ("pixel_values_videos", "video_grid_thw")

    def __init__(self, images: Any) -> None:
        """Use the settings of an image processor."""
        self._images = images
        self.patch_size: int = images.patch_size
        self.merge_size: int = images.merge_size
        self.temporal_patch_size: int = images.temporal_patch_size

    def __call__(self, videos: Any, *, size: Any = None, **_: Any) -> dict[str, Any]:
        """Return patches and grid of each video, uint8 [F, 3, H, W]."""
        made = [self._patches(video, size) for video in videos]
        return {
            "pixel_values_videos": torch.cat([patches for patches, _ in made]),
            "video_grid_thw": torch.tensor([grid for _, grid in made]),
        }

    def _patches(self, video: Pixels, size: Any) -> tuple[torch.Tensor, tuple[int, int, int]]:
        """Return float32 [patches, 3 · T · P · P], and how many there are in time, down, across."""
        single = self._images(
            images=list(video), size=size, input_data_format="channels_first", return_tensors="pt"
        )
        _, down, across = single["image_grid_thw"][0].tolist()
        depth = self.temporal_patch_size
        patches = single["pixel_values"].unflatten(0, (len(video), down * across))
        patches = patches.unflatten(-1, (3, depth, self.patch_size**2))[:, :, :, 0]
        if missing := -len(video) % depth:
            patches = torch.cat([patches, patches[-1:].expand(missing, -1, -1, -1)])
        # [T, depth, patches, 3, P · P] -> [T · patches, 3, depth, P · P]
        paired = patches.unflatten(0, (-1, depth)).permute(0, 2, 3, 1, 4)
        return paired.flatten(0, 1).flatten(1), (len(patches) // depth, down, across)


class _Processor(Qwen2_5OmniProcessor):  # type: ignore[misc]
    """The real processor, which asks for a video processor of torchvision's and takes ours."""

    def check_argument_for_proper_class(self, argument_name: str, argument: object) -> object:
        """Check all parts but ours."""
        if isinstance(argument, PairedFrames):
            return PairedFrames
        return super().check_argument_for_proper_class(argument_name, argument)


class Reader:
    """Reads clips, and turns them into what the model takes.

    Attributes:
        processor: The real one, of the model's folder.
        context: Tokens that the model can hold.
    """

    def __init__(self, folder: Path, context: int) -> None:
        """Load the processor.

        Args:
            folder: Of the model.
            context: Tokens that the model can hold.

        Raises:
            ModelError: A file of it is missing or damaged.
        """
        self.context = context
        # Threads read ahead, and a tokenizer serves one at a time.
        self._lock = threading.Lock()
        try:
            images = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
            settings, _ = Qwen2_5OmniProcessor.get_processor_dict(folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.processor: Any = _Processor(
                image_processor=images,
                video_processor=PairedFrames(images),
                feature_extractor=WhisperFeatureExtractor.from_pretrained(
                    folder, local_files_only=True
                ),
                tokenizer=tokenizer,
                chat_template=settings.get("chat_template") or tokenizer.chat_template,
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                f"its processor cannot be loaded: {visible(str(error).splitlines()[0])}",
                file=folder,
                remedy="download the folder of Qwen2.5-Omni again",
            ) from error
        if not self.processor.chat_template:
            raise ModelError(
                "the folder has no chat template",
                file=folder,
                remedy="download the folder of Qwen2.5-Omni again",
            )

    @property
    def rate(self) -> int:
        """Samples a second that the model hears."""
        return int(self.processor.feature_extractor.sampling_rate)

    @property
    def _bounds(self) -> tuple[int, int]:
        """Pixels of a frame, at least and at most."""
        size = self.processor.videos_kwargs["size"]
        return int(size["shortest_edge"]), int(size["longest_edge"])

    @property
    def _unit(self) -> int:
        """Pixels on a side that become one token."""
        video = self.processor.video_processor
        return int(video.patch_size * video.merge_size)

    def frame_count(self, seconds: float, fps: float, offered: int) -> int:
        """Return how many frames are looked at, as the processor itself counts them.

        Args:
            seconds: Of the clip.
            fps: That were asked for.
            offered: Frames that there are.
        """
        depth: int = self.processor.video_processor.temporal_patch_size
        wanted: float = min(max(seconds * fps, LEAST_FRAMES), self._most_frames, offered)
        return max(1, math.floor(wanted / depth) * depth)

    @property
    def _most_frames(self) -> int:
        """Frames of which the model's context can hold as many at their least size."""
        depth: int = self.processor.video_processor.temporal_patch_size
        each = self._bounds[0] * _LEAST_SIZE / self._unit**2
        return min(MOST_FRAMES, depth * int(self.context * _VIDEO_SHARE / each))

    def frame_bounds(self, frames: int) -> tuple[int, int]:
        """Return the least and the most pixels of a frame, when so many are looked at.

        A video of many frames gets smaller ones, so that all of them fit the model's context.
        """
        least, most = self._bounds
        depth: int = self.processor.video_processor.temporal_patch_size
        budget = int(self.context * self._unit**2 * _VIDEO_SHARE)
        return least, max(min(most, budget * depth // frames), int(least * _LEAST_SIZE))

    def read(
        self, media: CaptionMedia, request: CaptionRequest, known: Probe | None = None
    ) -> Clip:
        """Read a clip.

        Args:
            media: Which.
            request: What is asked about it.
            known: What `probe` says about it, where that was asked already.

        Raises:
            MediaError: It cannot be read.
        """
        if media.kind == "image":
            return Clip(image=read_image(media.path))
        about = known or probe(media.path)
        frames, fps = self._frames(media, about, request.fps)
        sound = self._sound(media, about) if request.with_audio else None
        return Clip(frames=frames, fps=fps, sound=sound)

    def _frames(self, media: CaptionMedia, about: Probe, fps: float) -> tuple[Pixels, float]:
        path, span = media.path, media.span
        seconds = span.seconds_of(about.duration)
        offered = selection_count(about, start=span.start, end=span.end)
        count = self.frame_count(seconds, fps, offered)
        # Evenly over the whole part: the nearest to the rate that was asked for.
        rate = Fraction(count) / Fraction(seconds)
        request = FrameRequest(
            width=about.width,
            height=about.height,
            frames=count,
            start=span.start,
            fps=rate,
            hdr="tonemap",
        )
        seen: list[Pixels] = []
        last: torch.Tensor | None = None
        with contextlib.closing(iter_frames(path, about, request)) as frames:
            for frame in frames:
                if frame is last:
                    seen.append(seen[-1])
                    continue
                last = frame
                whole = frame.add(1).mul_(127.5).round_().to(torch.uint8).numpy()
                seen.append(self._smaller(whole, self.frame_bounds(count), path))
        return np.stack(seen), float(rate)

    def _smaller(self, frame: Pixels, bounds: tuple[int, int], path: Path) -> Pixels:
        """Return a frame [3, H, W] at the size that the model sees, by the processor itself."""
        images = self.processor.image_processor
        size = SizeDict(shortest_edge=bounds[0], longest_edge=bounds[1])
        try:
            smaller = images.resize(
                image=frame, size=size, resample=images.resample, factor=self._unit
            )
        except ValueError as error:
            raise MediaError(
                f"its shape is too far from a square: {visible(error)}",
                remedy="crop it, or write its caption by hand",
                file=path,
            ) from error
        return np.asarray(smaller, dtype=np.uint8)

    def _sound(self, media: CaptionMedia, about: Probe) -> Sound | None:
        span = media.span
        seconds = span.seconds_of(about.duration)
        heard = read_audio(media.path, about, start=span.start, duration=seconds)
        if heard is None or not heard.heard:
            return None
        mono = heard.samples.mean(0)
        return np.asarray(
            torchaudio.functional.resample(mono, heard.rate, self.rate), dtype=np.float32
        )

    def encode(self, clip: Clip, instruction: str) -> Encoded:
        """Return what the model takes: the prompt with the clip in it.

        Without a word of ours before it, so that the processor's own system prompt stands there.
        """
        kind = "image" if clip.image is not None else "video"
        content = [{"type": kind}, {"type": "text", "text": instruction}]
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        more: dict[str, Any] = {}
        if clip.image is not None:
            more["images"] = [clip.image]
        if clip.frames is not None:
            more["videos"] = [clip.frames]
            # They have their size already.
            size = {"shortest_edge": 1, "longest_edge": 1 << 40}
            more["videos_kwargs"] = {"fps": clip.fps, "size": size}
        if clip.sound is not None:
            more |= {
                "audio": [clip.sound],
                "audio_from_video_indices": [0],
                "load_audio_from_video": True,
                "audio_kwargs": {"sampling_rate": self.rate},
            }
        with self._lock:
            made = self.processor(text=[prompt], return_tensors="pt", **more)
        return {name: torch.as_tensor(value) for name, value in made.items()}


def together(clips: Sequence[Encoded], pad: int) -> Encoded:
    """Put clips into one batch: words padded on the left, all else one after another.

    Args:
        clips: From `Reader.encode`; either all with sound or all without.
        pad: Token that fills up.
    """
    if len(clips) == 1:
        return clips[0]
    longest = max(clip["input_ids"].shape[1] for clip in clips)
    batch: Encoded = {}
    for name in dict.fromkeys(name for clip in clips for name in clip):
        parts = [clip[name] for clip in clips if name in clip]
        if name in ("input_ids", "attention_mask"):
            value = pad if name == "input_ids" else 0
            parts = [
                torch.nn.functional.pad(one, (longest - one.shape[1], 0), value=value)
                for one in parts
            ]
        batch[name] = torch.cat(parts)
    return batch

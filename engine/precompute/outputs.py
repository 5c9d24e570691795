"""The files that a trainer reads: their keys, shapes and dtypes, written atomically and verified.

The schemas are those of REFERENCE section 3. A trainer loads the files with
`torch.load(weights_only=True)`, so a file holds tensors and plain Python numbers only.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import msgspec
import torch

from engine.errors import LtxError
from engine.files.safe import atomic_path
from engine.precompute.layout import Stage

Payload = dict[str, torch.Tensor | int | float]

PROMPT_LENGTH = 1024


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a payload must look like.

    Attributes:
        tensors: Shape and dtype by key.
        numbers: Exact numbers by key; floats within 1e-6 relative.
    """

    tensors: dict[str, tuple[tuple[int, ...], torch.dtype]]
    numbers: dict[str, int | float]


def latents_payload(latents: torch.Tensor, fps: float) -> Payload:
    """Return the file of video latents.

    Args:
        latents: [C, F', H', W'] on any device.
        fps: Frames a second of the kept frames; images 1.0.
    """
    _, frames, height, width = latents.shape
    return {
        "latents": _own(latents),
        "num_frames": int(frames),
        "height": int(height),
        "width": int(width),
        "fps": float(fps),
    }


def audio_payload(latents: torch.Tensor, duration: float) -> Payload:
    """Return the file of audio latents.

    Args:
        latents: Float32 [C, T, B] on any device.
        duration: Seconds of the sound that was encoded: samples / rate.
    """
    return {
        "latents": _own(latents),
        "num_time_steps": int(latents.shape[1]),
        "frequency_bins": int(latents.shape[2]),
        "duration": float(duration),
    }


def conditions_payload(
    video: torch.Tensor, mask: torch.Tensor, audio: torch.Tensor | None, schema: str
) -> Payload:
    """Return the file of a prompt.

    Args:
        video: [1024, D] embeddings.
        mask: int64 [1024], 1 at real tokens.
        audio: [1024, D'] embeddings; `video` itself where the model has one projection for both,
            which then share one storage in the file.
        schema: "current", or "2026-01" for trainers before March 2026.
    """
    kept = _own(video)
    if schema == "2026-01":
        return {"prompt_embeds": kept, "prompt_attention_mask": _own(mask)}
    payload: Payload = {"video_prompt_embeds": kept, "prompt_attention_mask": _own(mask)}
    if audio is not None:
        same = audio.data_ptr() == video.data_ptr() and audio.shape == video.shape
        payload["audio_prompt_embeds"] = kept if same else _own(audio)
    return payload


def tensor(payload: Payload, key: str) -> torch.Tensor:
    """Return a tensor of a payload.

    Raises:
        LtxError: There is none under that key.
    """
    found = payload.get(key)
    if not isinstance(found, torch.Tensor):
        raise LtxError(f"has no tensor {key!r}")
    return found


def _own(tensor: torch.Tensor) -> torch.Tensor:
    # A view would take the whole storage behind it into the file.
    return tensor.detach().cpu().contiguous().clone()


def expect_latents(shape: tuple[int, ...], fps: float, dtype: torch.dtype) -> Expected:
    """Return what a file of video latents of [C, F', H', W'] must look like."""
    return Expected(
        tensors={"latents": (shape, dtype)},
        numbers={
            "num_frames": shape[1],
            "height": shape[2],
            "width": shape[3],
            "fps": fps,
        },
    )


def expect_audio(shape: tuple[int, ...], duration: float) -> Expected:
    """Return what a file of audio latents of [C, T, B] must look like."""
    return Expected(
        tensors={"latents": (shape, torch.float32)},
        numbers={"num_time_steps": shape[1], "frequency_bins": shape[2], "duration": duration},
    )


def expect_conditions(widths: tuple[int, int], schema: str, dtype: torch.dtype) -> Expected:
    """Return what a file of a prompt must look like.

    Args:
        widths: Width of the video and of the audio embeddings; 0 where there are none.
        schema: As in `conditions_payload`.
        dtype: Of the embeddings.
    """
    video, audio = widths
    mask = ((PROMPT_LENGTH,), torch.int64)
    if schema == "2026-01":
        tensors = {
            "prompt_embeds": ((PROMPT_LENGTH, video), dtype),
            "prompt_attention_mask": mask,
        }
    else:
        tensors = {
            "video_prompt_embeds": ((PROMPT_LENGTH, video), dtype),
            "prompt_attention_mask": mask,
        }
        if audio:
            tensors["audio_prompt_embeds"] = ((PROMPT_LENGTH, audio), dtype)
    return Expected(tensors=tensors, numbers={})


def save(path: Path, payload: Payload, expected: Expected) -> None:
    """Write a payload; it appears under its name only once it was read back and found right.

    Raises:
        LtxError: The payload, or what was read back, is not what is expected.
        OSError: The disk is full or not writable.
    """
    check(payload, expected)
    with atomic_path(path) as part:
        # Through memory, so that a full disk is an OSError and the archive has a neutral name.
        buffer = io.BytesIO()
        torch.save(payload, buffer)
        part.write_bytes(buffer.getbuffer())
        check(load(part), expected)


def load(path: Path) -> Payload:
    """Read a file of ours or of another tool, running no code that it may hold.

    Raises:
        LtxError: It is not a file that a trainer could read.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
        ValueError,
    ) as error:
        raise LtxError(
            "not a readable output file",
            file=path,
            remedy="delete it, or let a run encode it again",
        ) from error
    if not isinstance(payload, dict):
        raise LtxError(f"holds a {type(payload).__name__} instead of a dictionary", file=path)
    return payload


def check(payload: Payload, expected: Expected) -> None:
    """Hold a payload against what it must look like.

    Raises:
        LtxError: A key is missing or too many, a shape, a dtype or a number differs, or a value
            is not finite.
    """
    keys = {*expected.tensors, *expected.numbers}
    if set(payload) != keys:
        raise LtxError(f"has the keys {sorted(payload)} instead of {sorted(keys)}")
    for key, (shape, dtype) in expected.tensors.items():
        _check_tensor(key, payload[key], shape, dtype)
    for key, number in expected.numbers.items():
        found = payload[key]
        if type(found) is not type(number):
            raise LtxError(f"{key} is a {type(found).__name__}, not a {type(number).__name__}")
        if abs(float(found) - float(number)) > 1e-6 * abs(float(number)):
            raise LtxError(f"{key} is {found}, not {number}")


def _check_tensor(key: str, found: object, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if not isinstance(found, torch.Tensor):
        raise LtxError(f"{key} is a {type(found).__name__}, not a tensor")
    if tuple(found.shape) != shape:
        raise LtxError(f"{key} has the shape {list(found.shape)}, not {list(shape)}")
    if found.dtype != dtype:
        raise LtxError(f"{key} is {found.dtype}, not {dtype}")
    if not bool(torch.isfinite(found).all()):
        raise LtxError(
            f"{key} holds values that are not finite",
            remedy="check the checkpoint; on old GPUs try dtype float32",
        )


def relative_error(payload: Payload, other: Payload, stage: Stage) -> float:
    """Return the largest relative L2 distance over the tensors of two files of one stage."""
    worst = 0.0
    for key, mine in payload.items():
        theirs = other[key]
        if not isinstance(mine, torch.Tensor) or not isinstance(theirs, torch.Tensor):
            continue
        if mine.shape != theirs.shape:
            return float("inf")
        if stage is Stage.CONDITIONS and key.endswith("mask"):
            worst = worst if torch.equal(mine, theirs) else float("inf")
            continue
        norm = theirs.float().norm()
        worst = max(worst, float((mine.float() - theirs.float()).norm() / norm.clamp(min=1e-12)))
    return worst

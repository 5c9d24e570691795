"""The header of a safetensors file: read, and checked before any of it is believed."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from engine.errors import ModelError
from engine.text import visible

_MOST_HEADER = 100_000_000
_BLOCK = 1 << 22
_LEAST = struct.calcsize("<Q") + len(b"{}")

# Bits an element; a dtype that is not here is left to safetensors, which refuses it by name.
_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
    "C64": 64,
}

_PICKLE_SUFFIXES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"}
_WANTED = "give the .safetensors file"
_AGAIN = "download it again"


class TensorInfo(msgspec.Struct, frozen=True):
    """Where a tensor lies in its file.

    Attributes:
        dtype: Its name in safetensors, such as "BF16".
        shape: Sizes.
        start: First byte, counted from the start of the file.
        end: One past the last byte.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class Header(msgspec.Struct, frozen=True):
    """What a safetensors file says of itself: text metadata, and its tensors in name order."""

    metadata: dict[str, str]
    tensors: dict[str, TensorInfo]


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def read_header(path: Path) -> Header:
    """Read a safetensors header; no tensor is read.

    The format is a length (8 bytes, little-endian), that many bytes of JSON, then the data. The
    data must be covered from end to end, without a hole or an overlap, and be all there.

    Raises:
        ModelError: The file is missing, no safetensors file (it is said what it is instead),
            truncated, or its header contradicts itself.
    """
    try:
        if path.is_dir():
            raise _folder(path)
        if path.exists() and not path.is_file():
            raise ModelError("this is a device or a pipe", file=path, remedy=_WANTED)
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            raw = _header_bytes(path, file, size)
    except FileNotFoundError:
        raise ModelError("there is no such file", file=path, remedy="check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(
            f"it cannot be read ({reason})", file=path, remedy="check the path and its permissions"
        ) from error
    return _parse(path, raw, data_start=8 + len(raw), size=size)


def tensor_blocks(path: Path, info: TensorInfo) -> Iterator[bytes]:
    """Yield a tensor's bytes as they lie in the file, in blocks of a few megabytes."""
    with path.open("rb") as file:
        file.seek(info.start)
        left = info.end - info.start
        while left:
            block = file.read(min(_BLOCK, left))
            if not block:
                raise ModelError("the file became shorter while it was read", file=path)
            left -= len(block)
            yield block


def _header_bytes(path: Path, file: BinaryIO, size: int) -> bytes:
    head = file.read(512)
    if size < _LEAST or head[8:9] != b"{":
        raise _other_kind(path, head)
    length: int = struct.unpack("<Q", head[:8])[0]
    if length > _MOST_HEADER:
        raise ModelError(
            f"its header claims {length:,} bytes, more than the format allows",
            file=path,
            remedy=_AGAIN,
        )
    if 8 + length > size:
        raise _truncated(path, 8 + length - size, "at least ")
    file.seek(8)
    return file.read(length)


def _parse(path: Path, raw: bytes, *, data_start: int, size: int) -> Header:
    try:
        table: dict[str, msgspec.Raw] = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(
            table.pop("__metadata__", msgspec.Raw(b"{}")), type=dict[str, str]
        )
        entries = {name: msgspec.json.decode(value, type=_Entry) for name, value in table.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(
            f"its header cannot be read: {visible(error)}", file=path, remedy=_AGAIN
        ) from error
    _check_layout(path, entries, size - data_start)
    return Header(
        metadata=metadata,
        tensors={
            name: TensorInfo(
                entry.dtype,
                entry.shape,
                data_start + entry.data_offsets[0],
                data_start + entry.data_offsets[1],
            )
            for name, entry in sorted(entries.items())
        },
    )


def _check_layout(path: Path, entries: Mapping[str, _Entry], data: int) -> None:
    reached = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        start, end = entry.data_offsets
        if start != reached or end < start or not _has_size(entry, end - start):
            raise ModelError(
                f"its header is not consistent at tensor {visible(name)!r}",
                file=path,
                remedy=_AGAIN,
            )
        reached = end
    if reached > data:
        raise _truncated(path, reached - data)
    if reached < data:
        raise ModelError(
            f"{data - reached:,} bytes follow the last tensor", file=path, remedy=_AGAIN
        )


def _has_size(entry: _Entry, length: int) -> bool:
    if any(n < 0 for n in entry.shape):
        return False
    bits = _BITS.get(entry.dtype)
    return bits is None or math.prod(entry.shape) * bits == length * 8


def _truncated(path: Path, missing: int, about: str = "") -> ModelError:
    return ModelError(
        f"it is truncated: {about}{missing:,} bytes are missing from its end",
        file=path,
        remedy="finish or repeat the download",
    )


def _folder(path: Path) -> ModelError:
    if (path / "model_index.json").is_file():
        what = "this is a folder in the diffusers layout"
        return ModelError(what, file=path, remedy="give the original single .safetensors file")
    return ModelError("this is a folder", file=path, remedy="give the .safetensors file in it")


def _other_kind(path: Path, head: bytes) -> ModelError:
    """Say what a file is that is no safetensors file, from its first bytes."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        what, remedy = "the file is empty", _AGAIN
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        what = "this is a zip archive, as torch.save writes it (a pickle), not safetensors"
        remedy = f"pickles can run code and are never opened; {_WANTED}"
    elif head[0] == 0x80 and head[1:2] <= b"\x05":
        what = "this is a pickle, not safetensors"
        remedy = f"pickles can run code and are never opened; {_WANTED}"
    elif head.startswith(b"GGUF"):
        what, remedy = "this is a GGUF file, not safetensors", _WANTED
    elif text.startswith((b"<!doctype", b"<html", b"<?xml")):
        what = "this is a web page that was saved in place of the model"
        remedy = "download it again; the site may want you to sign in and accept a licence"
    elif text.startswith(b"version https://git-lfs"):
        what, remedy = "this is a git-lfs pointer, not the model itself", "run `git lfs pull`"
    elif text.startswith((b"{", b"[")):
        what, remedy = "this is a text file (JSON), not safetensors", _WANTED
    elif path.suffix.lower() in _PICKLE_SUFFIXES:
        what = f"a {path.suffix} file is not safetensors"
        remedy = f"pickles can run code and are never opened; {_WANTED}"
    else:
        what, remedy = "this is not a safetensors file", _WANTED
    return ModelError(what, file=path, remedy=remedy)


def folder_config(folder: Path, remedy: str) -> tuple[Path, dict[str, Any]]:
    """Return a model folder's config.json and what it holds.

    Args:
        folder: The model's folder.
        remedy: What to do where it is missing or damaged.

    Raises:
        ModelError: It is.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise ModelError("there is no config.json", file=folder, remedy=remedy)
    table = json_object(file.read_bytes())
    if table is None:
        raise ModelError("it cannot be read", file=file, remedy=remedy)
    return file, table


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object in `text`, or None where it holds none."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

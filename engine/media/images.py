"""Still images: what their headers say, their pixels upright in sRGB, and new ones."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from engine.errors import MediaError
from engine.files.safe import atomic_path
from engine.media.containers import MOST_PIXELS, check_file

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"}
)
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF")
_HEIF_SUFFIXES = frozenset({".heic", ".heif"})
# EXIF orientation -> (degrees clockwise to turn, mirrored left to right afterwards).
_TURNS = {
    2: (0, True),
    3: (180, False),
    4: (180, True),
    5: (90, True),
    6: (90, False),
    7: (270, True),
    8: (270, False),
}


class ImageHeader(NamedTuple):
    """What an image's header says; sizes in pixels, as stored and before any turn."""

    width: int
    height: int
    codec: str
    mode: str
    rotation: int
    mirrored: bool
    frames: int
    alpha: bool
    profile: bool


def is_image(path: Path) -> bool:
    """Whether a file is taken for a still image, by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def read_header(path: Path) -> ImageHeader:
    """Read an image's header, not its pixels.

    Raises:
        MediaError: It is missing, empty, too large or no image.
    """
    with _opened(path) as image:
        rotation, mirrored = _TURNS.get(
            image.getexif().get(ExifTags.Base.Orientation, 1), (0, False)
        )
        return ImageHeader(
            width=image.width,
            height=image.height,
            codec=(image.format or "").lower(),
            mode=image.mode,
            rotation=rotation,
            mirrored=mirrored,
            frames=int(getattr(image, "n_frames", 1)),
            alpha=image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info,
            profile="icc_profile" in image.info,
        )


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image's first frame, upright and in sRGB.

    Transparency is dropped, a colour profile is converted, 16-bit grey becomes 8-bit.

    Returns:
        uint8 [H, W, 3].

    Raises:
        MediaError: It is missing, empty, too large, no image, or damaged.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        return np.array(_to_srgb(upright, image.info.get("icc_profile")))


def write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write uint8 [H, W, 3] as a PNG, whole or not at all."""
    with atomic_path(path) as part:
        Image.fromarray(pixels).save(part, format="PNG")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow clips 16-bit grey at 255 when it converts; scale it.
        grey = np.asarray(image, dtype=np.float32) / 257
        image = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if profile:
        if image.mode not in {"RGB", "L", "CMYK"}:
            image = image.convert("RGB")
        # A profile that is broken, or made for another kind of image, is not worth a clip.
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            return converted or image.convert("RGB")
    return image.convert("RGB")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    check_file(path)
    formats: tuple[str, ...] = _FORMATS
    if path.suffix.lower() in _HEIF_SUFFIXES:
        _register_heif(path)
        formats = ("HEIF",)
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; the limit below decides.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats) as image:
                _check_size(path, image)
                yield image
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        raise MediaError(
            "is not an image that can be read", remedy="export it again as PNG", file=path
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise MediaError(
            f"is a damaged image ({error})", remedy="copy or export it again", file=path
        ) from error


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(path)


def _too_large(path: Path) -> MediaError:
    return MediaError(
        f"has more than {MOST_PIXELS:,} pixels", remedy="scale it down first", file=path
    )


def _register_heif(path: Path) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise MediaError(
            "HEIC images need the extra package pillow-heif",
            remedy="install ltx-tui[heic], or export the image as JPEG or PNG",
            file=path,
        ) from error
    pillow_heif.register_heif_opener()

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from engine.errors import MediaError
from engine.media import images
from engine.media.frames import FrameRequest, read_frames
from engine.media.images import read_image
from engine.media.probe import probe


def picture(width=64, height=48):
    """A bright top left corner on dark grey."""
    pixels = np.full((height, width, 3), 40, dtype=np.uint8)
    pixels[: height // 3, : width // 4] = (200, 150, 100)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp", ".jpg"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    picture().save(path, **({"lossless": True} if suffix == ".webp" else {}))
    found = probe(path)
    assert (found.kind, found.width, found.height, found.frames) == ("image", 64, 48, 1)
    assert not found.warnings
    pixels = read_image(path)
    assert (pixels.shape, pixels.dtype) == ((48, 64, 3), np.uint8)
    tolerance = 12 if suffix == ".jpg" else 0
    assert np.abs(pixels[5, 5].astype(int) - (200, 150, 100)).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    picture().save(path, exif=exif)
    found = probe(path)
    pixels = read_image(path)
    assert (found.height, found.width) == pixels.shape[:2]
    assert (found.width, found.height) == ((64, 48) if orientation < 5 else (48, 64))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0)}
    corner |= {5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert pixels[corner[orientation]][0] == 200


def test_a_still_becomes_a_clip_of_one_frame(tmp_path):
    path = tmp_path / "a.png"
    picture().save(path)
    clip = read_frames(path, probe(path), FrameRequest(width=64, height=48, frames=1))
    expected = torch.from_numpy(np.asarray(picture()).copy()).permute(2, 0, 1).float() / 255 * 2 - 1
    assert torch.equal(clip[:, 0], expected)
    with pytest.raises(MediaError, match="1 frame decodes"):
        read_frames(path, probe(path), FrameRequest(width=64, height=48, frames=9))


def test_transparency_and_animation_are_told(tmp_path):
    picture().convert("RGBA").save(tmp_path / "a.png")
    assert [w.code for w in probe(tmp_path / "a.png").warnings] == ["alpha"]
    frames = [Image.new("RGB", (64, 48), (60 * k, 0, 0)) for k in range(3)]
    frames[2].save(tmp_path / "a.gif", save_all=True, append_images=frames[:2])
    found = probe(tmp_path / "a.gif")
    assert [w.code for w in found.warnings] == ["animated"]
    assert "3 frames" in found.warnings[0].text
    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [120, 0, 0]


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    grey = np.full((48, 64), 32896, dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert np.unique(read_image(tmp_path / "a.png")).tolist() == [128]


def test_a_colour_profile_is_converted(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture().save(tmp_path / "a.png", icc_profile=lab)
    assert np.abs(read_image(tmp_path / "a.png")[5, 5].astype(int) - (200, 150, 100)).max() <= 1
    picture().save(tmp_path / "b.png", icc_profile=b"no profile at all")
    assert read_image(tmp_path / "b.png")[5, 5].tolist() == [200, 150, 100]


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    picture().save(path)
    monkeypatch.setattr(images, "MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(MediaError, match="more than 3,071 pixels"):
        probe(path)


def test_pillows_own_bomb_limit_is_a_clear_error(tmp_path):
    path = tmp_path / "a.png"
    buffer = io.BytesIO()
    picture(1, 1).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(MediaError, match="pixels"):
        probe(path)


def test_a_cut_off_image(tmp_path):
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(MediaError, match="damaged image") as caught:
        read_image(path)
    assert caught.value.file == path


def test_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    pillow_heif.from_pillow(picture()).save(path)
    assert (probe(path).width, probe(path).codec) == (64, "heif")
    assert read_image(path).shape == (48, 64, 3)


def test_heic_without_its_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"something")
    with pytest.raises(MediaError, match="pillow-heif") as caught:
        probe(path)
    assert "heic" in caught.value.remedy

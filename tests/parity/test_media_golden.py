"""What reaches the VAE, against what the official preprocessing gives it."""

import ctypes
import hashlib
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from engine.errors import MediaError
from engine.media.audio import read_audio
from engine.media.frames import FrameRequest, iter_frames, read_frames
from engine.media.probe import probe
from engine.media.selection import effective_fps, selection_count

CLEAN = (
    "landscape_24.mp4",
    "portrait_30.mp4",
    "square_25.mp4",
    "film_23976.mp4",
    "audio_shorter.mp4",
    "nested/deep/er/clip.mp4",
)
WITH_SOUND = ("landscape_24.mp4", "portrait_30.mp4", "film_23976.mp4", "audio_shorter.mp4")

# FFmpeg's float AAC decoder rounds differently with AVX2 and FMA3; the golden waveforms were made
# without. With these instructions masked the same bits must come out.
_AVX, _AVX2, _FMA3, _AVX512, _AVX512_ICL = 0x4000, 0x8000, 0x10000, 0x100000, 0x200000
_MASK = _AVX | _AVX2 | _FMA3 | _AVX512 | _AVX512_ICL


@pytest.fixture(scope="session")
def stage(golden: Path):
    """Return what the official preprocessing hands to the VAE, by clip."""
    return json.loads((golden / "expected" / "media_stage.json").read_text())


def request_for(expected):
    return FrameRequest(
        width=expected["width"], height=expected["height"], frames=expected["num_frames"]
    )


def digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


@pytest.mark.parametrize("name", CLEAN)
def test_pixels_are_equal_to_the_bit(golden, stage, name):
    path = golden / "clips" / name
    clip = read_frames(path, probe(path), request_for(stage[name]))
    assert list(clip.shape) == stage[name]["shape"]
    assert digest(clip) == stage[name]["sha256_f32"]


@pytest.mark.parametrize("name", CLEAN)
def test_frame_rates_are_equal_to_the_bit(golden, stage, name):
    path = golden / "clips" / name
    found = probe(path)
    assert float(effective_fps(found)) == stage[name]["fps"]
    assert not found.warnings


@pytest.mark.parametrize("name", WITH_SOUND)
def test_waveforms_have_the_length_and_the_sound(golden, stage, name):
    expected = stage[name]["audio"]
    path = golden / "clips" / name
    found = probe(path)
    window = read_audio(path, found, duration=stage[name]["num_frames"] / found.fps)
    assert window.rate == expected["sample_rate"]
    assert list(window.samples.shape) == expected["shape"]
    rms = window.samples.double().square().mean(1).sqrt()
    assert torch.allclose(rms, torch.tensor(expected["rms"], dtype=torch.float64), rtol=1e-7)
    with np.load(golden / "expected" / "media_stage_frames.npz") as arrays:
        if f"{name}::audio_i16" in arrays:
            official = arrays[f"{name}::audio_i16"]
            assert np.abs(window.samples.numpy() * 32767 - official).max() <= 0.51


@pytest.mark.parametrize("name", ["square_25.mp4", "nested/deep/er/clip.mp4"])
def test_clips_without_sound(golden, name):
    path = golden / "clips" / name
    assert read_audio(path, probe(path), duration=1) is None


_MASKED = """
import ctypes, hashlib, json, sys
from pathlib import Path
import av
from engine.media.audio import read_audio
from engine.media.probe import probe
avutil = ctypes.CDLL(sys.argv[1])
avutil.av_force_cpu_flags(avutil.av_get_cpu_flags() & ~int(sys.argv[2]))
clips, names = Path(sys.argv[3]), json.loads(sys.argv[4])
digests = {}
for name, frames in names.items():
    found = probe(clips / name)
    window = read_audio(clips / name, found, duration=frames / found.fps)
    digests[name] = hashlib.sha256(window.samples.numpy().tobytes()).hexdigest()
print(json.dumps(digests))
"""


def test_waveforms_are_equal_to_the_bit_with_the_same_instructions(golden, stage):
    library = _avutil()
    if library is None or _cpu_flags(library) & _MASK == _cpu_flags(library):
        pytest.skip("no x86 FFmpeg library beside PyAV whose instructions can be masked")
    frames = {name: stage[name]["num_frames"] for name in WITH_SOUND}
    child = subprocess.run(
        [sys.executable, "-c", _MASKED, str(library), str(_MASK), str(golden / "clips"),
         json.dumps(frames)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )  # fmt: skip
    expected = {name: stage[name]["audio"]["sha256_f32"] for name in WITH_SOUND}
    assert json.loads(child.stdout) == expected


def _avutil() -> Path | None:
    bundled = Path(av.__file__).parent.parent / "av.libs"
    return next(iter(sorted(bundled.glob("libavutil*.so*"))), None)


def _cpu_flags(library: Path) -> int:
    return ctypes.CDLL(str(library)).av_get_cpu_flags()


def test_a_rotated_clip_stands_upright(golden):
    path = golden / "clips" / "rotated_90.mp4"
    found = probe(path)
    assert (found.rotation, found.width, found.height) == (90, 270, 480)
    wanted = FrameRequest(width=270, height=480, frames=1)
    clip = read_frames(path, found, wanted)
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    # Clockwise: the stored left column, read upwards, becomes the top row.
    upright = torch.from_numpy(np.rot90(stored, -1).copy()).permute(2, 0, 1).float() / 255 * 2 - 1
    assert torch.equal(clip[:, 0], upright)


def test_a_variable_rate_is_read_by_time(golden):
    path = golden / "clips" / "vfr.mp4"
    found = probe(path)
    assert found.vfr
    assert found.fps == Fraction(80, 3)
    assert [warning.code for warning in found.warnings] == ["vfr"]
    count = selection_count(found)
    with av.open(str(path)) as container:
        tick = container.streams.video[0].time_base
        times = [frame.pts * tick for frame in container.decode(video=0)]
    expected = [
        max(i for i, t in enumerate(times) if t - times[0] <= k / found.fps + tick)
        for k in range(count)
    ]
    assert expected != list(range(count))
    in_order = FrameRequest(width=96, height=64, frames=1)
    with av.open(str(path)) as container:
        stills = [frame.to_image() for frame in container.decode(video=0)]
    assert (stills[0].width, stills[0].height) == (found.width, found.height)
    wanted = FrameRequest(width=426, height=240, frames=count)
    for index, got in zip(expected, iter_frames(path, found, wanted), strict=True):
        still = torch.from_numpy(np.asarray(stills[index]).copy()).permute(2, 0, 1)
        assert torch.equal(got, still.float() / 255 * 2 - 1)
    assert read_frames(path, found, in_order).shape == (3, 1, 64, 96)


def test_sound_of_a_late_picture_is_cut_by_time(golden):
    """The picture of this clip starts at 16 ms, its sound at 0."""
    path = golden / "clips" / "vfr.mp4"
    found = probe(path)
    assert found.start_time == 0.016
    assert found.audio[0].start == -0.016
    window = read_audio(path, found, duration=17 / found.fps)
    with av.open(str(path)) as container:
        whole = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    assert np.array_equal(window.samples.numpy(), whole[:, 768 : 768 + window.samples.shape[1]])


def test_hdr_is_refused_or_converted(golden):
    path = golden / "clips" / "hdr10.mp4"
    found = probe(path)
    assert (found.hdr, found.matrix, found.range) == ("pq", "bt2020nc", "limited")
    wanted = FrameRequest(width=256, height=160, frames=17)
    with pytest.raises(MediaError, match="HDR") as caught:
        read_frames(path, found, wanted)
    assert caught.value.remedy
    converted = FrameRequest(width=256, height=160, frames=17, hdr="tonemap")
    clip = read_frames(path, found, converted)
    assert clip.isfinite().all()
    assert clip.min() >= -1
    assert clip.max() <= 1
    assert clip.std() > 0.05


def test_a_cut_off_clip_counts_what_decodes(golden):
    path = golden / "clips" / "bad" / "truncated_data.mp4"
    found = probe(path)
    assert (found.frames, found.declared_frames, found.damaged) == (8, 60, True)
    assert "8 of 60 frames decode" in found.warnings[0].text
    with pytest.raises(MediaError, match="8 of 60 frames decode") as caught:
        read_frames(path, found, FrameRequest(width=256, height=160, frames=17))
    assert caught.value.file == path


@pytest.mark.parametrize(
    ("name", "words"), [("empty.mp4", "is empty"), ("text.mp4", "is not a video")]
)
def test_what_is_no_video(golden, name, words):
    path = golden / "clips" / "bad" / name
    with pytest.raises(MediaError, match=words) as caught:
        probe(path)
    assert caught.value.file == path
    assert caught.value.remedy


def test_a_short_clip_offers_what_it_has(golden):
    path = golden / "clips" / "bad" / "too_short.mp4"
    found = probe(path)
    assert selection_count(found) == 9
    with pytest.raises(MediaError, match="too short: 9 frames"):
        read_frames(path, found, FrameRequest(width=256, height=160, frames=17))


def test_mono_becomes_two_equal_channels(golden):
    path = golden / "clips" / "picky" / "mono_44k.mp4"
    found = probe(path)
    assert found.audio[0].channels == 1
    window = read_audio(path, found, duration=17 / found.fps)
    assert window.samples.shape == (2, 31237)
    assert torch.equal(window.samples[0], window.samples[1])
    assert window.samples.any()


def test_a_still_is_a_clip_of_one_frame(golden):
    path = golden / "clips" / "stills" / "still.png"
    found = probe(path)
    assert (found.kind, selection_count(found), effective_fps(found)) == ("image", 1, 1)
    clip = read_frames(path, found, FrameRequest(width=256, height=160, frames=1))
    assert clip.shape == (3, 1, 160, 256)
    assert clip.std() > 0.05

"""What Qwen2.5-Omni is given of a clip: frames, sound and prompt, against its own processor."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
import torch
from av.audio.resampler import AudioResampler
from torch import Tensor

from engine.captioners.qwen_media import Clip, Reader
from engine.dataset.windows import Span
from engine.errors import MediaError
from engine.media.probe import probe
from tests.media_clips import Sound, Video, flat, grey, index_of, make_video, tone
from tests.qwen_models import SYSTEM
from tests.small_set import write_clip
from tests.unit.qwen.conftest import asked, encoded, media

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


@pytest.mark.parametrize(
    ("frames", "fps", "wanted"),
    [(48, 3.0, 6), (48, 2.0, 4), (7, 3.0, 4), (1, 3.0, 1), (72, 5.0, 14)],
)
def test_frames_are_those_that_the_processor_would_take(
    reader: Reader, tmp_path: Path, frames: int, fps: float, wanted: int
) -> None:
    path = make_video(tmp_path / "a.mp4", (grey(n) for n in range(frames)))
    clip = reader.read(media(path), asked(fps=fps))
    assert clip.frames is not None
    # The rule of its video processor: evenly spread indices, rounded down.
    step = frames / wanted
    found = [index_of(frame.mean() / 127.5 - 1) for frame in clip.frames]
    assert found == [int(k * step) for k in range(wanted)]
    assert clip.fps == pytest.approx(wanted / (frames / 24))


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        (Span(0.5, 1.5), [12, 18, 24, 30]),
        (Span(1.0), [24, 30, 36, 42]),
        (Span(1.75, 99.0), [42, 43, 45, 46]),
        (Span(1.0, 1.02), [24]),
    ],
)
def test_of_a_window_only_that_part_is_seen_and_heard(
    reader: Reader, tmp_path: Path, span: Span, wanted: list[int]
) -> None:
    samples = tone(2.0)
    samples[:, :48000] = 0
    path = make_video(
        tmp_path / "a.mov",
        (grey(n) for n in range(48)),
        sound=Sound(samples=samples, codec="pcm_s16le"),
    )
    clip = reader.read(msgspec.structs.replace(media(path), span=span), asked(fps=2.0))
    assert clip.frames is not None
    assert [index_of(frame.mean() / 127.5 - 1) for frame in clip.frames] == wanted
    seconds = span.seconds_of(2.0)
    assert clip.fps == pytest.approx(len(wanted) / seconds)
    assert clip.sound is not None
    assert len(clip.sound) == pytest.approx(16000 * seconds, abs=1)
    silent = round(16000 * max(0.0, 1.0 - span.start))
    assert np.abs(clip.sound[: max(0, silent - 100)]).max(initial=0) < 1e-3
    assert np.abs(clip.sound[silent:]).max() > 0.1


def test_a_rate_that_varies_is_read_by_time(reader: Reader, tmp_path: Path) -> None:
    # A second of 24 frames, then three seconds of one frame each.
    pts = [*range(24), 24, 48, 72]
    path = make_video(
        tmp_path / "a.mkv",
        (grey(n) for n in range(27)),
        Video(pts=pts, time_base=Fraction(1, 24), b_frames=0),
    )
    clip = reader.read(media(path), asked(fps=1.0))
    assert clip.frames is not None
    times = [24 * k * probe(path).duration / 4 for k in range(4)]
    shown = [max(n for n, at in enumerate(pts) if at <= time) for time in times]
    assert [index_of(frame.mean() / 127.5 - 1) for frame in clip.frames] == shown
    assert shown[1:] != [8, 16, 24]  # every eighth of 27, as an average rate would have it


def pixels(video: Tensor, height: int, width: int) -> Tensor:
    """Return patches of uint8 frames [F, 3, H, W] as the video processor makes them."""
    small = torch.nn.functional.interpolate(video, (height, width), mode="bicubic", antialias=True)
    scaled = (small.float() / 255 - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1)
    if len(scaled) % 2:
        scaled = torch.cat([scaled, scaled[-1:]])
    grid = scaled.view(-1, 2, 3, height // 28, 2, 14, width // 28, 2, 14)
    return grid.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, 3 * 2 * 14 * 14)


@pytest.mark.parametrize("count", [2, 5])
def test_patches_are_those_of_the_video_processor(reader: Reader, count: int) -> None:
    random = np.random.default_rng(0)
    video = random.integers(0, 256, (count, 3, 252, 448), dtype=np.uint8)
    made = reader.encode(Clip(frames=video, fps=3.0), "Say it.")
    wanted = pixels(torch.from_numpy(video), 252, 448)
    assert made["video_grid_thw"].tolist() == [[(count + 1) // 2, 18, 32]]
    torch.testing.assert_close(made["pixel_values_videos"], wanted, rtol=0, atol=1e-5)
    tokens = made["input_ids"][0].tolist()
    assert tokens.count(reader.processor.video_token_id) == len(wanted) // 4


def test_frames_are_scaled_as_the_video_processor_does_it(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    write_clip(path, size=(1280, 960), count=24, sound=False)
    with av.open(str(path)) as container:
        whole = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    made = encoded(reader, path)
    _, down, across = made["video_grid_thw"][0].tolist()
    # 768 · 28² pixels at most, both sides multiples of 28, rounded down.
    assert (down * 14, across * 14) == (672, 896)
    kept = torch.from_numpy(np.stack([whole[n] for n in (0, 6, 12, 18)])).permute(0, 3, 1, 2)
    wanted = pixels(kept.contiguous(), 672, 896)
    # Pillow and torch round another way: two steps of 255 at most, and hardly ever one.
    step = 1.01 / 255 / float(STD.min())
    torch.testing.assert_close(made["pixel_values_videos"], wanted, rtol=0, atol=2 * step)
    assert (made["pixel_values_videos"] - wanted).abs().mean() < step / 100


def test_the_same_as_the_processor_with_torchvision(
    reader: Reader, folder: Path, clips: Path
) -> None:
    pytest.importorskip("torchvision")
    from transformers import Qwen2_5OmniProcessor
    from transformers.video_utils import VideoMetadata

    real = Qwen2_5OmniProcessor.from_pretrained(folder)
    made = encoded(reader, clips / "wide.mp4")
    with av.open(str(clips / "wide.mp4")) as container:
        whole = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    about = VideoMetadata(total_num_frames=48, fps=24.0, duration=2.0)
    content = [{"type": "video"}, {"type": "text", "text": "Say it."}]
    prompt = real.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    wanted = real(
        text=[prompt],
        videos=[whole],
        audio=[reader.read(media(clips / "wide.mp4"), asked()).sound],
        audio_from_video_indices=[0],
        load_audio_from_video=True,
        audio_kwargs={"sampling_rate": 16000},
        return_tensors="pt",
        videos_kwargs={
            "fps": 3.0,
            "do_sample_frames": True,
            "cap_pixels_per_frame": True,
            "video_metadata": [about],
        },
    )
    assert sorted(made) == sorted(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(made[name].float(), value.float(), rtol=0, atol=1e-5)


def test_sound_is_resampled_and_in_its_place(reader: Reader, tmp_path: Path) -> None:
    samples = tone(2.0, rate=44100)
    path = make_video(
        tmp_path / "late.mov",
        (grey(n) for n in range(48)),
        sound=Sound(samples=samples, rate=44100, start=0.5, codec="pcm_s16le"),
    )
    clip = reader.read(media(path), asked())
    assert clip.sound is not None
    assert clip.sound.shape == (2 * 16000,)
    assert np.abs(clip.sound[: 16000 // 2 - 100]).max() < 1e-3
    # What FFmpeg's own resampler makes of the same sound, both channels in one.
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples.mean(0, keepdims=True)), format="fltp", layout="mono"
    )
    frame.sample_rate = 44100
    to = AudioResampler(format="fltp", layout="mono", rate=16000)
    parts = [part.to_ndarray()[0] for part in [*to.resample(frame), *to.resample(None)]]
    other = np.concatenate(parts)[: 16000 + 7000]
    ours = clip.sound[8000 : 8000 + len(other)]
    error = np.linalg.norm(ours - other) / np.linalg.norm(other)
    assert error < 0.02
    made = reader.encode(clip, "Say it.")
    assert int(made["feature_attention_mask"].sum()) == 200  # a hundred a second
    assert made["input_features"].shape == (1, 128, 30000)
    assert reader.read(media(path), asked(sound=False)).sound is None


def test_the_prompt_has_the_processors_own_system_prompt(reader: Reader, clips: Path) -> None:
    made = encoded(reader, clips / "wide.mp4")
    text = reader.processor.tokenizer.decode(made["input_ids"][0])
    assert text.startswith(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n")
    assert text.endswith("<|vision_eos|>Say it.<|im_end|>\n<|im_start|>assistant\n")
    assert "<|vision_bos|><|audio_bos|><|VIDEO|>" in text
    mute = reader.processor.tokenizer.decode(encoded(reader, clips / "mute.mp4")["input_ids"][0])
    assert "audio" not in mute


def test_an_image_is_one_picture(reader: Reader, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (300, 200), (200, 30, 30)).save(tmp_path / "a.png")
    made = reader.encode(reader.read(media(tmp_path / "a.png", "image"), asked()), "Say it.")
    assert made["image_grid_thw"].tolist() == [[1, 14, 22]]
    assert "pixel_values_videos" not in made


def test_a_long_clip_fits_the_context(reader: Reader) -> None:
    short = Reader.__new__(Reader)
    short.processor, short.context = reader.processor, 4096
    count = short.frame_count(3600.0, 3.0, 10**6)
    _least, most = short.frame_bounds(count)
    tokens = count // 2 * most // 28**2
    assert count % 2 == 0
    assert tokens <= 4096
    assert reader.frame_count(3600.0, 3.0, 10**6) <= 768
    # Up to half a minute at the processor's own size.
    assert reader.frame_bounds(6) == (128 * 784, 768 * 784)


def test_a_stripe_is_refused(reader: Reader, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [flat((90, 128, 128), 4096, 16)] * 2)
    with pytest.raises(MediaError, match="too far from a square"):
        reader.read(media(path), asked())

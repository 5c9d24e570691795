"""Streaming gives the latents of a whole encode, in memory that does not grow with the clip."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.stream_state import StreamState
from engine.models.streaming import stream_encode
from engine.models.video_config import encoder_config
from engine.models.video_vae import VideoEncoder
from tests.memory import peak_live_bytes
from tests.video_models import (
    CONFIGS,
    FULL_20,
    FULL_23,
    SHALLOW,
    random_clip,
    random_encoder,
    relative_error,
)

ENCODERS = {
    dtype: {
        "2.0": random_encoder(CONFIGS["2.0"], dtype),
        "2.3": random_encoder(CONFIGS["2.3"], dtype),
        "shallow": random_encoder(SHALLOW, dtype),
    }
    for dtype in (torch.float32, torch.bfloat16)
}


def parts(clip: torch.Tensor, lengths: Iterator[int]) -> Iterator[torch.Tensor]:
    """Deliver a clip in parts of any length, as a decoder would."""
    start = 0
    while start < clip.shape[2]:
        stop = start + next(lengths)
        yield clip[:, :, start:stop].clone()
        start = stop


# The same examples each time: f32 sums in another order are rounded to bf16, so equality to the
# bit is as good as certain for a given input, but not a theorem.
@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    name=st.sampled_from(["2.0", "2.3", "shallow", "shallow"]),
    latent_frames=st.integers(1, 15),
    chunks=st.integers(1, 16),
    batch=st.integers(1, 2),
    size=st.sampled_from([(32, 32), (32, 64), (96, 32)]),
    seed=st.integers(0, 1000),
)
def test_streaming_equals_one_shot(
    name: str, latent_frames: int, chunks: int, batch: int, size: tuple[int, int], seed: int
) -> None:
    clip = random_clip(batch, 3, 1 + 8 * latent_frames, *size, seed=seed)
    whole = ENCODERS[torch.bfloat16][name].encode(clip)
    assert torch.equal(stream_encode(ENCODERS[torch.bfloat16][name], clip, 8 * chunks), whole)
    whole = ENCODERS[torch.float32][name].encode(clip)
    streamed = stream_encode(ENCODERS[torch.float32][name], clip, 8 * chunks)
    assert relative_error(streamed, whole) <= 1e-5


@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    latent_frames=st.integers(0, 6),
    chunk=st.sampled_from([8, 16, 24]),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
def test_frames_may_arrive_in_parts_of_any_length(
    latent_frames: int, chunk: int, lengths: list[int]
) -> None:
    encoder = ENCODERS[torch.bfloat16]["shallow"]
    frames = 1 + 8 * latent_frames
    clip = random_clip(1, 3, frames, 32, 32)
    endless = (n for _ in iter(int, 1) for n in lengths)
    found = stream_encode(encoder, parts(clip, endless), chunk, frames=frames)
    assert torch.equal(found, encoder.encode(clip))


def test_the_first_frame_may_come_alone() -> None:
    encoder = ENCODERS[torch.bfloat16]["2.0"]
    clip, state = random_clip(1, 3, 17, 32, 32), StreamState()
    latents = [encoder.encode(clip[:, :, a:b], state) for a, b in ((0, 1), (1, 9), (9, 17))]
    assert torch.equal(torch.cat(latents, dim=2), encoder.encode(clip))


def test_a_state_is_cleared_and_serves_again() -> None:
    encoder, state = ENCODERS[torch.bfloat16]["shallow"], StreamState()
    for seed in (1, 2):
        clip = random_clip(1, 3, 25, 32, 32, seed=seed)
        assert torch.equal(stream_encode(encoder, clip, 8, state=state), encoder.encode(clip))
        assert state.kept_bytes == 0
        assert not state.started
    clip[:, :, 20:] = 0

    def failing() -> Iterator[torch.Tensor]:
        yield clip[:, :, :9]
        raise OSError("the file ends here")

    with pytest.raises(OSError, match="the file ends here"):
        stream_encode(encoder, failing(), 8, frames=25, state=state)
    assert state.kept_bytes == 0


def test_wrong_sizes_are_refused() -> None:
    encoder, clip = ENCODERS[torch.float32]["shallow"], random_clip(1, 3, 17, 32, 32)
    for chunk in (0, 4, 12):
        with pytest.raises(ValueError, match="multiple of 8"):
            stream_encode(encoder, clip, chunk)
    with pytest.raises(ValueError, match="must be given"):
        stream_encode(encoder, iter([clip]))
    with pytest.raises(ValueError, match="fewer than the 25 frames"):
        stream_encode(encoder, iter([clip]), 8, frames=25)
    with pytest.raises(ValueError, match="more than the 9 frames"):
        stream_encode(encoder, iter([clip]), 8, frames=9)
    with pytest.raises(ValueError, match="fewer than the 9 frames"):
        stream_encode(encoder, iter([]), 8, frames=9)
    with pytest.raises(ValueError, match="do not fit"):
        stream_encode(encoder, clip[:, :, :16], 8)
    with pytest.raises(ValueError, match="do not fit"):
        stream_encode(encoder, iter([clip[:, :, :16]]), 8, frames=17)


@pytest.fixture(scope="module")
def encoder() -> VideoEncoder:
    """LTX-2.0's encoder at full width, without memory."""
    with torch.device("meta"):
        return VideoEncoder(encoder_config(FULL_20)).to(torch.bfloat16)


class TestMemory:
    """The real LTX-2.0 at 960 × 544 against the table of the design, on shapes alone.

    The unit is T, one frame of features at full rate: 8 · W · H · bytes.
    """

    width, height = 960, 544
    unit = 8 * width * height * 2

    def clip(self, frames: int) -> torch.Tensor:
        shape = (1, 3, frames, self.height, self.width)
        return torch.empty(shape, dtype=torch.bfloat16, device="meta")

    def stream(self, encoder: VideoEncoder, frames: int, chunk: int) -> float:
        def arriving() -> Iterator[torch.Tensor]:
            for start in range(0, frames, 8):
                yield self.clip(min(8, frames - start))

        def run() -> object:
            return stream_encode(encoder, arriving(), chunk, frames=frames)

        return peak_live_bytes(run) / self.unit

    @pytest.mark.parametrize(("config", "table"), [(FULL_20, 65.25), (FULL_23, 56)])
    def test_the_state_is_what_the_table_says(self, config: dict, table: float) -> None:
        with torch.device("meta"):
            encoder = VideoEncoder(encoder_config(config)).to(torch.bfloat16)
        state = StreamState()
        encoder.encode(self.clip(9), state)
        assert state.kept_bytes == table * self.unit

    @pytest.mark.parametrize("frames", [25, 121])
    def test_one_shot_follows_the_table(self, encoder: VideoEncoder, frames: int) -> None:
        found = peak_live_bytes(lambda: encoder.encode(self.clip(frames))) / self.unit
        table = 5.375 * frames + 4
        print(f"{frames} frames at once: {found:.1f} T, table {table:.1f} T")
        assert 0.9 * table <= found <= 1.02 * table

    @pytest.mark.parametrize("chunk", [8, 16, 24])
    def test_streaming_follows_the_table(self, encoder: VideoEncoder, chunk: int) -> None:
        found, table = self.stream(encoder, 121, chunk), 65.25 + 5.375 * chunk + 4
        print(f"chunks of {chunk}: {found:.1f} T, table {table:.1f} T")
        assert 0.9 * table <= found <= 1.02 * table

    def test_the_peak_of_streaming_does_not_grow(self, encoder: VideoEncoder) -> None:
        latent = 128 * (self.width // 32) * (self.height // 32) * 2 / self.unit
        short, long = self.stream(encoder, 49, 16), self.stream(encoder, 481, 16)
        assert long - short <= (481 - 49) / 8 * latent + 1e-6

    def test_nor_does_it_on_a_real_device(self) -> None:
        encoder = ENCODERS[torch.bfloat16]["shallow"]
        clips = {n: random_clip(1, 3, n, 64, 64, dtype=torch.bfloat16) for n in (41, 121)}
        peaks = {
            n: peak_live_bytes(lambda clip=clip: stream_encode(encoder, clip, 8), [clip])
            for n, clip in clips.items()
        }
        latents = (121 - 41) // 8 * 8 * 2 * 2 * 2
        assert peaks[121] <= peaks[41] + latents
        whole = peak_live_bytes(lambda: encoder.encode(clips[121]), [clips[121]])
        assert peaks[121] < whole / 4

"""The lean forms of streaming give the latents of a whole encode, in the memory of the table."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.memory.budget import LiveBytes
from engine.models import stream_state
from engine.models.stream_state import StreamState
from engine.models.streaming import stream_encode
from engine.models.video_blocks import ResidualBlock, TimeConv3d, activate
from engine.models.video_config import encoder_config
from engine.models.video_vae import VideoEncoder
from tests.memory import peak_live_bytes
from tests.video_models import (
    CONFIGS,
    FULL_20,
    FULL_23,
    ODD,
    SHALLOW,
    random_clip,
    random_encoder,
    randomise,
    relative_error,
)

ENCODERS = {
    dtype: {
        name: random_encoder(config, dtype)
        for name, config in {**CONFIGS, "shallow": SHALLOW, "odd": ODD}.items()
    }
    for dtype in (torch.float32, torch.bfloat16)
}
FORMS = [{"lean": True}, {"offload": True}]


# The same examples each time, as in test_streaming.
@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    name=st.sampled_from(["2.0", "2.3", "shallow", "odd"]),
    latent_frames=st.integers(0, 15),
    chunk=st.sampled_from([8, 16, 24]),
    batch=st.integers(1, 2),
    size=st.sampled_from([(32, 32), (32, 64), (96, 32)]),
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 1000),
)
def test_lean_forms_equal_one_shot(
    name: str,
    latent_frames: int,
    chunk: int,
    batch: int,
    size: tuple[int, int],
    form: dict[str, bool],
    seed: int,
) -> None:
    clip = random_clip(batch, 3, 1 + 8 * latent_frames, *size, seed=seed)
    for dtype, encoders in ENCODERS.items():
        before = clip.clone()
        whole = encoders[name].encode(clip)
        found = stream_encode(encoders[name], clip, chunk, **form)
        assert torch.equal(clip, before)
        if dtype == torch.bfloat16:
            assert torch.equal(found, whole)
        assert relative_error(found, whole) <= 1e-5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lengths", [(9, 8, 8, 8), (1, 7, 20, 5), (33,)])
def test_frames_may_arrive_in_parts(form: dict[str, bool], lengths: tuple[int, ...]) -> None:
    encoder, clip = ENCODERS[torch.bfloat16]["2.0"], random_clip(1, 3, 33, 32, 64)
    arriving = iter(clip.split(lengths, dim=2))
    found = stream_encode(encoder, arriving, 8, frames=33, **form)
    assert torch.equal(found, encoder.encode(clip))


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    channels=st.sampled_from([8, 24, 64]),
    frames=st.integers(1, 5),
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_norm_and_silu_behind_the_history_round_as_always(
    channels: int, frames: int, size: tuple[int, int], dtype: torch.dtype
) -> None:
    conv = TimeConv3d(channels, channels, padding="zeros", causal=True).to(dtype)
    state, x = StreamState(lean=True), random_clip(1, channels, 2 + frames, *size, dtype=dtype)
    first, second = x[:, :, :2].contiguous(), x[:, :, 2:].contiguous()
    begin, rest = activate(first), activate(second)
    same(conv.active_behind_history(first, state)[:, :, 2:], begin)
    same(conv.active_behind_history(second, state), torch.cat((begin, rest), dim=2))
    assert torch.equal(torch.cat((first, second), dim=2), x)
    again = conv.active_behind_history(first, StreamState(lean=True))
    assert torch.equal(again[:, :, :2], again[:, :, 2:3].expand(-1, -1, 2, -1, -1))


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Compare to the bit; SiLU in float32 rounds otherwise at the ends of a piece of memory."""
    if found.dtype == torch.bfloat16:
        assert torch.equal(found, expected)
    assert relative_error(found, expected) <= 1e-6


def test_a_lean_block_adds_to_its_input_in_place() -> None:
    block = randomise(ResidualBlock(8, padding="zeros", causal=True))
    x = random_clip(1, 8, 3, 4, 4)
    expected = block(x)
    assert not torch.equal(expected, x)
    found = block(x, StreamState(lean=True))
    assert found.data_ptr() == x.data_ptr()
    assert relative_error(found, expected) <= 1e-6


def test_one_state_serves_all_forms_in_turn() -> None:
    encoder, state = ENCODERS[torch.bfloat16]["shallow"], StreamState()
    clip = random_clip(1, 3, 33, 32, 32)
    for form in ({}, *FORMS, {}):
        assert torch.equal(
            stream_encode(encoder, clip, 8, state=state, **form), encoder.encode(clip)
        )
        assert (state.kept_bytes, state.host_bytes, state.started) == (0, 0, False)

    def failing() -> Iterator[torch.Tensor]:
        yield clip[:, :, :9]
        assert state.host_bytes
        raise OSError("the file ends here")

    with pytest.raises(OSError, match="the file ends here"):
        stream_encode(encoder, failing(), 8, frames=33, state=state, offload=True)
    assert state.host_bytes == 0


@pytest.mark.parametrize("form", [{}, *FORMS])
def test_nothing_is_kept_of_the_last_chunk(form: dict[str, bool]) -> None:
    encoder, state = ENCODERS[torch.bfloat16]["2.0"], StreamState(**form)
    clip = random_clip(1, 3, 9, 32, 32)
    encoder.encode(clip[:, :, :1], state)
    assert state.kept_bytes + state.host_bytes > 0
    state.last = True
    encoder.encode(clip[:, :, 1:], state)
    assert state.kept_bytes == 0


def test_what_is_kept_in_host_memory_is_not_the_devices() -> None:
    encoder = ENCODERS[torch.bfloat16]["2.0"]
    kept = {}
    for offload in (False, True):
        state = StreamState(lean=True, offload=offload)
        with LiveBytes(encoder.parameters()) as counter:
            encoder.encode(random_clip(1, 3, 9, 64, 64), state)
        kept[offload] = (state.kept_bytes, state.host_bytes)
        # Of the latents nothing is held any more.
        assert counter.live >= state.kept_bytes
        assert (counter.live < state.host_bytes) == offload
    assert kept[False] == (kept[True][1], 0)
    assert kept[True][0] == 0


def test_without_pinned_memory_other_memory_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    empty_like = torch.empty_like

    class OnDevice:
        """Says that it is on a GPU, where there is none."""

        is_cuda = True

    def scarce(like: object, *, device: str, pin_memory: bool = False) -> torch.Tensor:
        assert isinstance(like, OnDevice)
        asked.append(pin_memory)
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return empty_like(torch.zeros(3), device=device)

    monkeypatch.setattr(torch, "empty_like", scarce)
    assert stream_state._host_memory(OnDevice()).shape == (3,)
    assert asked == [True, False]


@pytest.mark.parametrize(("config", "kept"), [(FULL_20, 65.25), (FULL_23, 56)], ids=["2.0", "2.3"])
@pytest.mark.parametrize(("width", "height"), [(960, 544), (1920, 1088)])
class TestMemory:
    """The real models against the table of the design, on shapes alone.

    The unit is T, one frame of features at full rate: 8 · W · H · bytes.
    """

    def measured(
        self, config: dict, width: int, height: int, chunk: int, form: dict[str, bool], frames: int
    ) -> float:
        with torch.device("meta"):
            encoder = VideoEncoder(encoder_config(config)).to(torch.bfloat16)

        def arriving() -> Iterator[torch.Tensor]:
            for start in range(0, frames - 1, chunk):
                count = min(chunk, frames - 1 - start) + (start == 0)
                yield torch.empty((1, 3, count, height, width), dtype=torch.bfloat16, device="meta")

        def run() -> object:
            return stream_encode(encoder, arriving(), chunk, frames=frames, **form)

        return peak_live_bytes(run) / (8 * width * height * 2)

    @pytest.mark.parametrize("chunk", [8, 16])
    def test_lean(self, config: dict, kept: float, width: int, height: int, chunk: int) -> None:
        found = self.measured(config, width, height, chunk, {"lean": True}, 121)
        table = kept + 3.375 * chunk + 4
        print(f"lean {chunk} at {width}x{height}: {found:.1f} T, table {table:.1f} T")
        assert 0.9 * table <= found <= table

    def test_offload(self, config: dict, kept: float, width: int, height: int) -> None:
        found = self.measured(config, width, height, 8, {"offload": True}, 121)
        print(f"offload 8 at {width}x{height}: {found:.1f} T, table 24.4 T")
        assert found <= 24.4

    def test_it_does_not_grow(self, config: dict, kept: float, width: int, height: int) -> None:
        latent = 128 / (32 * 32) / 8
        for form in FORMS:
            short, long = (self.measured(config, width, height, 8, form, n) for n in (41, 121))
            assert long - short <= (121 - 41) / 8 * latent + 1e-6

"""Feathered tiles: the trainer's arithmetic, and never without being asked for."""

import pytest
import torch
from ltx_core.model.video_vae import SpatialTilingConfig, TemporalTilingConfig, TilingConfig
from ltx_core.model.video_vae.model_configurator import VideoDecoderConfigurator

from engine.models.tiling import Tiling, _in_space, _in_time, tiled_decode, tiled_encode
from engine.models.video_config import encoder_config
from engine.models.video_vae import VideoEncoder
from tests.video_models import (
    SHALLOW,
    random_clip,
    random_decoder,
    random_encoder,
    relative_error,
)

SMALL = Tiling(size=128, overlap=64, frames=16, frame_overlap=8)


@pytest.mark.parametrize("cells", [1, 4, 5, 17, 34])
def test_weights_add_up_to_one(cells: int) -> None:
    for zoom in (1, 32):
        total = torch.zeros(cells * zoom)
        for tile in _in_space(cells, 4, 2, zoom=zoom):
            total[tile.target] += tile.weight
        assert torch.allclose(total, torch.ones(cells * zoom))
    total = torch.zeros(1 + (cells - 1) * 8)
    for tile in _in_time(cells, 2, 1, 8):
        total[tile.target] += tile.weight
    assert torch.allclose(total, torch.ones(1 + (cells - 1) * 8))


def test_the_cuts_are_the_trainers() -> None:
    # 1920 pixels are 60 cells: tiles of 16 that overlap by 4.
    spans = [(tile.start, tile.stop) for tile in _in_space(60, 16, 4, zoom=1)]
    assert spans == [(0, 16), (12, 28), (24, 40), (36, 52), (48, 60)]
    # 257 frames are 33 cells: tiles of 16 that overlap by 3, one more in front.
    spans = [(tile.start, tile.stop) for tile in _in_time(33, 16, 3, 8)]
    assert spans == [(0, 16), (12, 29), (25, 33)]


def test_what_fits_in_one_tile_is_exact() -> None:
    encoder, decoder = random_encoder(SHALLOW), random_decoder(SHALLOW)
    pixels = random_clip(1, 3, 9, 96, 128)
    latents = encoder.encode(pixels)
    assert torch.equal(tiled_encode(encoder, pixels), latents)
    assert torch.equal(tiled_decode(decoder, latents), decoder.decode(latents))


class LocalEncoder(VideoEncoder):
    """Each latent cell is made of its own pixels alone, so no seam can show."""

    def encode(self, pixels, state=None):
        shape = self.latent_shape(pixels.shape)
        means = torch.nn.functional.avg_pool3d(pixels[:, :, :1], (1, 32, 32))
        return means[:, :1].expand(shape).clone()


def test_tiles_land_where_they_belong() -> None:
    encoder = LocalEncoder(encoder_config(SHALLOW))
    pixels = random_clip(2, 3, 9, 256, 320)
    tiled = tiled_encode(encoder, pixels, SMALL)
    assert torch.allclose(tiled, encoder.encode(pixels), rtol=1e-5, atol=1e-7)


def test_encoding_in_tiles_is_near_but_not_exact() -> None:
    encoder = random_encoder(SHALLOW)
    pixels = random_clip(1, 3, 9, 256, 320)
    assert 1e-4 < relative_error(tiled_encode(encoder, pixels, SMALL), encoder.encode(pixels)) < 0.5


def test_decoding_in_tiles_equals_ltx_core() -> None:
    decoder = random_decoder(SHALLOW)
    other = VideoDecoderConfigurator.from_config(
        {"vae": {**SHALLOW, "timestep_conditioning": False}}
    )
    state = {n.removeprefix("decoder."): v for n, v in decoder.state_dict().items()}
    other.load_state_dict(state)
    latents = random_clip(1, 8, 5, 6, 5)
    config = TilingConfig(SpatialTilingConfig(128, 64), TemporalTilingConfig(16, 8))
    with torch.no_grad():
        expected = torch.cat(list(other.tiled_decode(latents, config)), dim=2)
    assert relative_error(tiled_decode(decoder, latents, SMALL), expected) < 1e-5


@pytest.mark.parametrize(
    "tiling", [Tiling(size=500), Tiling(size=128, overlap=128), Tiling(overlap=0)]
)
def test_sizes_that_do_not_fit(tiling: Tiling) -> None:
    with pytest.raises(ValueError, match=r"multiple|overlap"):
        tiled_encode(random_encoder(SHALLOW), random_clip(1, 3, 1, 64, 64), tiling)

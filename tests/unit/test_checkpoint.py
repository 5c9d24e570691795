"""Headers are believed only after a check, and wrong files are called by their name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from engine.errors import ModelError
from engine.models.checkpoint import Checkpoint, model_folder_digest, model_folder_shards
from engine.models.header import read_header
from engine.models.video_config import decoder_config, encoder_config
from engine.models.weights import load_into

ENCODER_BLOCKS = [
    ["res_x", {"num_layers": 1}],
    ["compress_space_res", {"multiplier": 2}],
    ["compress_time_res", {"multiplier": 2}],
    ["compress_all_res", {"multiplier": 2}],
    ["compress_all_res", {"multiplier": 2}],
]
CONFIG = {"vae": {"encoder_blocks": ENCODER_BLOCKS}, "audio_vae": {"a": 1}}
TENSORS = {
    "vae.encoder.conv_in.conv.weight": torch.arange(6.0).reshape(2, 3),
    "vae.per_channel_statistics.mean-of-means": torch.zeros(2, dtype=torch.bfloat16),
    "audio_vae.encoder.x": torch.ones(3),
    "text_embedding_projection.aggregate_embed.weight": torch.ones(2, 2),
}


def write(path: Path, tensors=TENSORS, config=CONFIG) -> Path:
    metadata = None if config is None else {"config": json.dumps(config)}
    save_file(tensors, path, metadata=metadata)
    return path


def raw(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_open_reads_names_shapes_and_config(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write(tmp_path / "m.safetensors"))
    assert checkpoint.generation == "2.0"
    assert checkpoint.config == CONFIG
    assert checkpoint.scale_factors == (32, 8)
    assert checkpoint.video_vae_prefix == "vae."
    assert checkpoint.audio_vae_prefix == "audio_vae."
    info = checkpoint.tensors["vae.encoder.conv_in.conv.weight"]
    assert (info.dtype, info.shape, info.end - info.start) == ("F32", (2, 3), 24)
    data = checkpoint.path.read_bytes()[info.start : info.end]
    assert torch.frombuffer(bytearray(data), dtype=torch.float32).tolist() == list(range(6))
    assert set(checkpoint.select("vae.")) == {
        "encoder.conv_in.conv.weight",
        "per_channel_statistics.mean-of-means",
    }
    with pytest.raises(ModelError, match="no vocoder"):
        _ = checkpoint.vocoder_prefix


def test_planning_needs_no_torch() -> None:
    code = "import sys, engine.models.checkpoint; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("names", "generation"),
    [
        (["text_embedding_projection.aggregate_embed.weight", "vae.encoder.x"], "2.0"),
        (["text_embedding_projection.video_aggregate_embed.weight", "vae.encoder.x"], "2.3"),
        (["vae.encoder.x", "vae.decoder.up_blocks.8.res_blocks.0.conv1.conv.bias"], "2.3"),
        (["vae.encoder.x", "vae.decoder.up_blocks.6.res_blocks.0.conv1.conv.bias"], "2.0"),
        (["audio_vae.encoder.x", "vocoder.conv_pre.weight"], "2.0"),
        (["audio_vae.encoder.x", "vocoder.vocoder.act.alpha"], "2.3"),
        (["encoder.x", "per_channel_statistics.mean-of-means"], "2.5"),
        (["tokenizer_json", "model.x"], "2.5"),
    ],
)
def test_generation_follows_from_the_keys(
    tmp_path: Path, names: list[str], generation: str
) -> None:
    path = write(tmp_path / "m.safetensors", {name: torch.ones(1) for name in names}, {"vae": {}})
    assert Checkpoint.open(path).generation == generation


def test_digest_is_the_same_in_a_split_file_and_follows_bytes_and_config(tmp_path: Path) -> None:
    vae = {name: value for name, value in TENSORS.items() if name.startswith("vae.")}
    split = {name.removeprefix("vae."): value for name, value in vae.items()}
    changed = {**TENSORS, "vae.encoder.conv_in.conv.weight": torch.ones(2, 3)}
    elsewhere = {**TENSORS, "audio_vae.encoder.x": torch.zeros(3)}
    config = {**CONFIG, "vae": {**CONFIG["vae"], "patch_size": 2}}

    def digest(name: str, tensors, config=CONFIG, prefix="vae.") -> str:
        return Checkpoint.open(write(tmp_path / name, tensors, config)).digest([prefix])

    whole = digest("a.safetensors", TENSORS)
    assert digest("b.safetensors", vae, {"vae": CONFIG["vae"]}) == whole
    assert digest("c.safetensors", split, {"vae": CONFIG["vae"]}, "") == whole
    assert digest("d.safetensors", elsewhere) == whole
    assert digest("e.safetensors", changed) != whole
    assert digest("f.safetensors", TENSORS, config) != whole
    with pytest.raises(ModelError, match=r"no tensors under 'vocoder\.'"):
        digest("g.safetensors", TENSORS, prefix="vocoder.")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.safetensors", b"", "empty"),
        ("m.safetensors", b"PK\x03\x04" + bytes(40), "zip archive"),
        ("m.safetensors", b"\x80\x02}q\x00." + bytes(40), "pickle"),
        ("m.gguf", b"GGUF\x03" + bytes(40), "GGUF"),
        ("m.safetensors", b"\n<!DOCTYPE html><html>" + bytes(40), "web page"),
        ("m.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("m.safetensors", b'{"error": "Access denied"}', "JSON"),
        ("m.ckpt", b"something else, and long enough", "never opened"),
        ("m.safetensors", b"something else, and long enough", "not a safetensors file"),
        ("m.safetensors", b"\xff" * 8 + b"{}", "more than the format allows"),
        ("m.safetensors", (500).to_bytes(8, "little") + b"{}", "at least 498 bytes are missing"),
        ("m.safetensors", (9).to_bytes(8, "little") + b'{"a": nul', "header cannot be read"),
    ],
)
def test_files_of_another_kind_are_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        Checkpoint.open(path)
    assert caught.value.file == path
    assert caught.value.remedy


def test_missing_folder_and_diffusers_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        Checkpoint.open(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="this is a folder"):
        Checkpoint.open(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelError, match="diffusers layout"):
        Checkpoint.open(tmp_path)


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelError, match="truncated: 5 bytes are missing"):
        Checkpoint.open(path)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),  # a hole
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),  # wrong size
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(5)),  # a tail
        (
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            },
            bytes(4),
        ),
        ({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": "text"}, b""),
        ({"__metadata__": {"config": 3}}, b""),
        (b'{"a": ' + b"[" * 100_000, b""),
    ],
)
def test_headers_that_contradict_themselves(tmp_path: Path, header: object, data: bytes) -> None:
    with pytest.raises(ModelError):
        read_header(raw(tmp_path / "m.safetensors", header, data))


@settings(deadline=None, max_examples=60)
@given(content=st.binary(max_size=200), framed=st.booleans())
def test_any_bytes_give_a_model_error_or_a_header(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, framed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    if framed:
        raw(path, b"{" + content)
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError):
        Checkpoint.open(path)


@pytest.mark.parametrize(
    ("names", "config", "message"),
    [
        (["diffusion_model.blocks.0.attn1.to_q.lora_A.weight"], None, "this is a LoRA"),
        (["lora_unet_blocks_0.lora_down.weight"], CONFIG, "this is a LoRA"),
        (["model.diffusion_model.blocks.0.w"], CONFIG, "only the transformer"),
        (["encoder.down_blocks.0.resnets.0.conv1.conv.weight"], None, "diffusers layout"),
        (["unet.x"], CONFIG, "no LTX-2 checkpoint"),
        (["vae.encoder.x"], None, "has no `config`"),
        (["vae.encoder.x"], "text", "unreadable `config`"),
    ],
)
def test_safetensors_files_that_do_not_serve(
    tmp_path: Path, names: list[str], config: object, message: str
) -> None:
    path = write(tmp_path / "m.safetensors", {name: torch.ones(1) for name in names}, config)
    with pytest.raises(ModelError, match=message):
        Checkpoint.open(path)


def test_the_model_folder_digest_ignores_sharding_and_readme(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "tokenizer.json").write_text("[]")
    a, b = torch.ones(2), torch.zeros(3)
    save_file({"a": a, "b": b}, one / "model.safetensors")
    save_file({"b": b}, two / "model-1.safetensors")
    save_file({"a": a}, two / "model-2.safetensors")
    index = {"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors"}}
    (two / "model.safetensors.index.json").write_text(json.dumps(index))
    (two / "README.md").write_text("hello")
    digest = model_folder_digest(one)
    assert model_folder_digest(two) == digest
    (two / "tokenizer.json").write_text("[1]")
    assert model_folder_digest(two) != digest
    (two / "model-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-1\.safetensors missing"):
        model_folder_digest(two)


def test_model_folders_that_do_not_serve(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        model_folder_shards(tmp_path / "none")
    with pytest.raises(ModelError, match=r"no config\.json"):
        model_folder_shards(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(ModelError, match="pickled weights are never opened"):
        model_folder_shards(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../x"}}')
    with pytest.raises(ModelError, match="weight_map"):
        model_folder_shards(tmp_path)


@pytest.mark.parametrize(
    ("vae", "message"),
    [
        ({}, "no block list 'encoder_blocks'"),
        ({"encoder_blocks": []}, "no block list"),
        ({"encoder_blocks": [["attn_res_x", {}]]}, "unknown block 'attn_res_x'"),
        ({"encoder_blocks": [["compress_all", {}]]}, "unknown block 'compress_all'"),
        ({"encoder_blocks": [["res_x", {"num_layers": 10**9}]]}, "0 to 64"),
        ({"encoder_blocks": [["res_x", {}]]}, "without num_layers"),
        ({"encoder_blocks": ["res_x"]}, "a pair"),
        ({"encoder_blocks": ENCODER_BLOCKS, "norm_layer": "group_norm"}, "only 'pixel_norm'"),
        ({"encoder_blocks": ENCODER_BLOCKS, "patch_size": "4"}, "patch_size"),
    ],
)
def test_video_configs_that_are_refused(vae: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        encoder_config(vae)


def test_the_nested_config_of_the_diffusion_vae() -> None:
    encoder = {"blocks": ENCODER_BLOCKS, "out_channels": 64, "latent_log_var": "constant"}
    vae = {"_class_name": "CausalDiffusionVAE", "encoder": encoder, "decoder": {}}
    config = encoder_config(vae)
    assert (config.latent_channels, config.out_channels, config.scale_factors) == (64, 65, (32, 8))
    with pytest.raises(ModelError, match="not supported yet"):
        decoder_config(vae)


def test_the_decoder_list_is_turned_around() -> None:
    blocks = [["res_x", 2], ["compress_all", {"multiplier": 2, "residual": True}], ["res_x", 3]]
    config = decoder_config({"decoder_blocks": blocks})
    assert [block.layers for block in config.blocks] == [3, 0, 2]
    assert config.padding == "reflect"
    assert config.scale_factors == (8, 2)
    with pytest.raises(ModelError, match="timestep_conditioning"):
        decoder_config({"decoder_blocks": blocks, "timestep_conditioning": True})


class TestLoadInto:
    def checkpoint(self, tmp_path: Path, **tensors: torch.Tensor) -> Checkpoint:
        named = {f"vae.{name}": value for name, value in tensors.items()}
        return Checkpoint.open(write(tmp_path / "w.safetensors", named))

    def linear(self) -> nn.Linear:
        with torch.device("meta"):
            return nn.Linear(2, 3)

    def test_assigns_casts_and_freezes(self, tmp_path: Path) -> None:
        weight, bias = torch.randn(3, 2), torch.randn(3)
        module = self.linear()
        load_into(
            module,
            self.checkpoint(tmp_path, weight=weight, b=bias, extra=torch.ones(1)),
            "vae.",
            device="cpu",
            dtype=torch.bfloat16,
            rename=lambda name: {"b": "bias", "extra": None}.get(name, name),
        )
        assert torch.equal(module.weight, weight.bfloat16())
        assert torch.equal(module.bias, bias.bfloat16())
        assert not module.weight.requires_grad
        assert not module.training

    @pytest.mark.parametrize(
        ("tensors", "message"),
        [
            ({"weight": torch.ones(3, 2)}, "missing: bias"),
            (
                {"weight": torch.ones(3, 2), "bias": torch.ones(3), "c": torch.ones(1)},
                r"unexpected: vae\.c",
            ),
            ({"weight": torch.ones(2, 3), "bias": torch.ones(3)}, "another shape"),
        ],
    )
    def test_whatever_does_not_fit_is_named(
        self, tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
    ) -> None:
        checkpoint = self.checkpoint(tmp_path, **tensors)
        with pytest.raises(ModelError, match=message):
            load_into(self.linear(), checkpoint, "vae.", device="cpu", dtype=torch.float32)

    def test_a_buffer_that_no_file_fills_is_refused(self, tmp_path: Path) -> None:
        with torch.device("meta"):
            module = nn.Linear(2, 3)
            module.register_buffer("table", torch.zeros(2), persistent=False)
        checkpoint = self.checkpoint(tmp_path, weight=torch.ones(3, 2), bias=torch.ones(3))
        with pytest.raises(ModelError, match="no value for: table"):
            load_into(module, checkpoint, "vae.", device="cpu", dtype=torch.float32)

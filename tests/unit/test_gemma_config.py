"""What is read of a Gemma 3 folder's config.json, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import Gemma3TextConfig

from engine.errors import ModelError
from engine.models.gemma_config import USUAL, gemma_config, text_tower_config

# The 12B's text part, as it was published and as transformers 5 saves it.
OLDER: dict[str, Any] = {
    "model_type": "gemma3_text",
    "hidden_size": 3840,
    "intermediate_size": 15_360,
    "num_attention_heads": 16,
    "num_hidden_layers": 48,
    "num_key_value_heads": 8,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "sliding_window": 1024,
}
NEWER = json.loads(Gemma3TextConfig.from_dict(json.loads(json.dumps(OLDER))).to_json_string())


def test_both_spellings_say_the_same() -> None:
    assert "rope_scaling" not in NEWER
    assert "rope_parameters" not in OLDER
    older, newer = gemma_config(OLDER), gemma_config(NEWER)
    assert older == newer
    assert (older.vocab_size, older.head_dim, older.query_pre_attn_scalar) == (262_208, 256, 256)
    assert older.layer_types.count("full_attention") == 8
    assert older.layer_types[5::6] == ("full_attention",) * 8
    assert (older.full_attention.rope_theta, older.full_attention.divisor) == (1e6, 8)
    assert (older.sliding_attention.rope_theta, older.sliding_attention.divisor) == (1e4, 1)


def test_what_is_left_out_has_the_value_that_transformers_gives_it() -> None:
    theirs = Gemma3TextConfig()
    assert {name: getattr(theirs, name) for name in USUAL} == USUAL
    ours = gemma_config({})
    assert list(ours.layer_types) == theirs.layer_types
    for kind, rope in theirs.rope_parameters.items():
        assert ours.rotary(kind).rope_theta == rope["rope_theta"]
        assert ours.rotary(kind).divisor == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0}}},
        {"rope_parameters": {"full_attention": {"type": "linear", "factor": 4}}, "rope_theta": 9.0},
        {"rope_parameters": {"sliding_attention": None}, "rope_local_base_freq": 77},
        {"rope_parameters": {"full_attention": {"rope_theta": 5}}, "rope_theta": 6},
        {
            "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0}},
            "rope_scaling": {"factor": 2.0},
        },
        {"rope_scaling": None, "rope_parameters": None, "layer_types": None},
        {"sliding_window_pattern": 1},
        {"sliding_window_pattern": 2, "num_hidden_layers": 5},
    ],
)
def test_where_names_are_mixed_transformers_decides(changes: dict[str, Any]) -> None:
    theirs = Gemma3TextConfig.from_dict(json.loads(json.dumps(changes)))
    ours = gemma_config(changes)
    assert list(ours.layer_types) == theirs.layer_types
    for kind, rope in theirs.rope_parameters.items():
        found = ours.rotary(kind)
        assert found.rope_theta == rope["rope_theta"]
        assert found.rope_type == rope["rope_type"]
        assert found.divisor == (rope["factor"] if rope["rope_type"] == "linear" else 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": "wide"}, r"got `str` - at `\$\.hidden_size`"),
        ({"hidden_size": 0}, r"hidden_size"),
        ({"vocab_size": True}, r"vocab_size"),
        ({"num_hidden_layers": 513}, r"<= 512 - at `\$\.num_hidden_layers`"),
        ({"num_hidden_layers": None}, r"num_hidden_layers"),
        ({"head_dim": None}, r"head_dim"),
        ({"head_dim": 15}, r"head_dim is 15, which is odd"),
        ({"num_key_value_heads": 3}, r"num_key_value_heads \(3\) does not divide"),
        ({"query_pre_attn_scalar": -1}, r"query_pre_attn_scalar"),
        ({"rms_norm_eps": 0}, r"rms_norm_eps"),
        ({"hidden_activation": "silu"}, r"'silu' - at `\$\.hidden_activation`"),
        ({"sliding_window": None}, r"sliding_window"),
        ({"sliding_window_pattern": 0}, r"sliding_window_pattern is 0"),
        ({"sliding_window_pattern": "six"}, r"sliding_window_pattern is 'six'"),
        ({"layer_types": ["full_attention"]}, r"layer_types has 1 entries.*is 48"),
        ({"layer_types": ["chunked_attention"] * 48}, r"layer_types\[0\]"),
        ({"layer_types": 6}, r"layer_types"),
        ({"attention_bias": "no"}, r"attention_bias"),
        ({"pad_token_id": 262_208}, r"pad_token_id is 262208"),
        ({"pad_token_id": "<pad>"}, r"pad_token_id"),
        ({"attn_logit_softcapping": 50.0}, r"attn_logit_softcapping"),
        ({"use_bidirectional_attention": True}, r"use_bidirectional_attention"),
        ({"rope_theta": 0}, r"rope_theta` in the positions of full_attention"),
        ({"rope_local_base_freq": "low"}, r"rope_theta` in the positions of sliding_attention"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 8.0}}, r"'yarn' - at `\$\.rope_type`"),
        ({"rope_scaling": {"rope_type": "linear"}}, r"there is no factor"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, r"factor"),
        ({"rope_scaling": {"type": "linear", "factor": 8.0}}, r"rope_scaling has `type`"),
        ({"rope_scaling": 8}, r"rope_scaling is 8, no table"),
        ({"rope_parameters": {"rope_type": "linear"}}, r"rope_parameters does not say which"),
        ({"rope_parameters": {"full_attention": 8}}, r"full_attention is 8, no table"),
        (
            {"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.5}}},
            r"partial_rotary_factor` in the positions of full_attention",
        ),
    ],
)
def test_what_makes_no_sense_is_told_by_its_name(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "gemma3", "text_config": OLDER | changes}))
    with pytest.raises(ModelError, match=words) as caught:
        text_tower_config(tmp_path)
    assert caught.value.file == file
    assert caught.value.remedy


def test_reading_a_config_loads_no_torch() -> None:
    code = "import sys, engine.models.gemma_config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

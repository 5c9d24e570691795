"""Prompt embeddings: our way against one padded forward of 1,024 tokens for each caption.

A Gemma 3 with the 12B's 48 layers and the proportions between its widths, all of them divided, with
random weights in float32. The captions have 20 to 300 tokens. Both ways take the same model, in
turns, on one core.

python -m tests.benchmarks.bench_text [--quick]
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Gemma3TextConfig, Gemma3TextModel

from engine.models.text_encoder import PromptEmbeds, TextEncoder
from engine.models.text_projection import ProjectionV1
from engine.models.tokens import TokenCounter
from engine.models.toy_tokenizer import write_tokenizer
from tests.benchmarks.rows import Row, in_turns, main, ratio_of, spread
from tests.video_models import relative_error

GOAL, EXACT = 5.0, 1e-5
SHORTEST, LONGEST = 20, 300
LAYERS, OUTPUTS = 48, 3840
# Of the 12B's widths: a padded forward then takes seconds on a core.
DIVISOR = 16
BATCH = 8  # the default of text.batch_size
WORDS = ("a man", "in dark coat", "walks slowly", "across the street", "at night", "camera follows")


def gemma_config() -> dict[str, Any]:
    """Return the 12B's config with narrower layers: an eighth of the heads, of half the size."""
    return {
        "model_type": "gemma3_text",
        "vocab_size": 1024,
        "hidden_size": 3840 // DIVISOR,
        "intermediate_size": 15_360 // DIVISOR,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 128,
        "query_pre_attn_scalar": 128,
        "sliding_window": 1024,
        "sliding_window_pattern": 6,
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "max_position_embeddings": 131_072,
    }


def make_encoder(folder: Path) -> TextEncoder:
    """Return a text encoder of random weights."""
    table = gemma_config()
    write_tokenizer(folder, table["vocab_size"])
    config = Gemma3TextConfig.from_dict(table)
    config.use_cache = False
    torch.manual_seed(0)
    tower = Gemma3TextModel(config).eval().requires_grad_(False)
    for name, tensor in tower.named_parameters():
        if name.endswith("proj.weight"):
            # Large enough for words to matter to one another.
            tensor.normal_(std=tensor.shape[1] ** -0.5)
    projection = ProjectionV1(table["hidden_size"] * (LAYERS + 1), OUTPUTS)
    return TextEncoder(tower, projection.eval().requires_grad_(False), TokenCounter(folder))


def captions(count: int, tokenizer: TokenCounter) -> list[str]:
    """Return captions of lengths spread evenly over the range, in no order."""
    choose = random.Random(0)
    step = (LONGEST - SHORTEST) / max(1, count - 1)
    found = []
    for number in range(count):
        words: list[str] = []
        while tokenizer.count(" ".join(words)) < SHORTEST + round(step * number):
            words.append(choose.choice(WORDS))
        found.append(" ".join(words))
    choose.shuffle(found)
    return found


def cpu_seconds() -> float:
    """Return the seconds of all cores that this process has used."""
    times = os.times()
    return times.user + times.system


def measure(quick: bool) -> Sequence[Row]:
    """Encode the same captions both ways."""
    torch.set_num_threads(1)  # more would measure how busy the machine is
    count, rounds = (10, 1) if quick else (20, 2)
    with tempfile.TemporaryDirectory() as name:
        encoder = make_encoder(Path(name))
        prompts = captions(count, TokenCounter(Path(name)))
        lengths = [TokenCounter(Path(name)).count(prompt) for prompt in prompts]
    results: dict[str, list[PromptEmbeds]] = {}
    spent: dict[str, list[float]] = {"padded": [], "ours": []}

    def way(name: str, **options: Any) -> float:
        began, before = time.perf_counter(), cpu_seconds()
        results[name] = encoder.encode(prompts, **options)
        spent[name].append(cpu_seconds() - before)
        return time.perf_counter() - began

    way("ours", padding="trimmed", batch_size=BATCH)  # warm: pages, thread pools
    spent["ours"].clear()
    seconds = in_turns(
        {
            "padded": lambda: way("padded", padding="full"),
            "ours": lambda: way("ours", padding="trimmed", batch_size=BATCH),
        },
        rounds,
    )
    pairs = zip(results["ours"], results["padded"], strict=True)
    worst = max(relative_error(ours.video, padded.video) for ours, padded in pairs)
    return [
        Row(
            what="text embeddings",
            against="one padded forward of 1,024 tokens for each caption",
            goal=GOAL,
            ratio=ratio_of(spent["padded"], spent["ours"]),
            equal=worst <= EXACT,
            detail=f"{count} captions of {min(lengths)}–{max(lengths)} tokens "
            f"(mean {sum(lengths) / count:.0f}), {LAYERS} layers, widths of the 12B / {DIVISOR}, "
            f"float32, seconds of one core: {spread(spent['padded'])} against "
            f"{spread(spent['ours'])}, on the wall "
            f"{ratio_of(seconds['padded'], seconds['ours']):.2f} ×; "
            f"relative difference at most {worst:.1e} (goal ≤ {EXACT:g})",
        )
    ]


if __name__ == "__main__":
    main("text", __doc__, measure)

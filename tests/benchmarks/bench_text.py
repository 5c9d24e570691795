"""Prompt embeddings: our way against one padded forward of 1,024 tokens for each caption.

A Gemma 3 with the 12B's 48 layers and the proportions between its widths, all of them divided, with
random weights in float32. The captions have 20 to 300 tokens. All ways take the same weights, in
turns, on one core. Beside that, our own text tower against transformers', in the encoder and in
what each has to import before it begins.

python -m tests.benchmarks.bench_text [--quick]
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Gemma3TextConfig, Gemma3TextModel

from engine.models.gemma_config import gemma_config as read_gemma_config
from engine.models.gemma_tower import GemmaTower
from engine.models.text_encoder import PromptEmbeds, TextEncoder
from engine.models.text_projection import ProjectionV1
from engine.models.tokens import TokenCounter
from engine.models.toy_tokenizer import write_tokenizer
from tests.benchmarks.rows import Row, Usage, in_turns, main, ratio_of, spread, timed
from tests.video_models import relative_error

GOAL, EXACT = 5.0, 1e-5
TOWER, STARTED = 1.05, 2.0
SHORTEST, LONGEST = 20, 300
LAYERS, OUTPUTS = 48, 3840
# Of the 12B's widths: a padded forward then takes seconds on a core.
DIVISOR = 16
BATCH = 8  # the default of text.batch_size
IMPORTS = {
    "ours": "import engine.precompute.stages.text",
    "theirs": "import torch; from transformers import Gemma3TextModel",
    "torch": "import torch",
}
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


def make_encoders(folder: Path) -> tuple[TextEncoder, TextEncoder]:
    """Return two text encoders of the same random weights: with our tower and transformers'."""
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
    ours = GemmaTower(read_gemma_config(table)).eval().requires_grad_(False)
    ours.load_state_dict(tower.state_dict(), assign=True)
    projection = ProjectionV1(table["hidden_size"] * (LAYERS + 1), OUTPUTS)
    projection.eval().requires_grad_(False)
    first, second = (TextEncoder(one, projection, TokenCounter(folder)) for one in (ours, tower))
    return first, second


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


def imports(rounds: int) -> Row:
    """Start Python with what the text stage imports, and with what it would with transformers."""
    found: dict[str, list[Usage]] = {name: [] for name in IMPORTS}

    def way(name: str) -> float:
        found[name].append(timed([sys.executable, "-c", IMPORTS[name]]))
        return found[name][-1].wall

    seconds = in_turns({name: lambda name=name: way(name) for name in IMPORTS}, rounds)
    spent = {name: [one.cpu for one in usages] for name, usages in found.items()}
    return Row(
        what="start of the text stage: imports",
        against="torch and transformers' Gemma3TextModel",
        goal=STARTED,
        ratio=ratio_of(spent["theirs"], spent["ours"]),
        detail=f"seconds of processor time: {spread(spent['theirs'])} against "
        f"{spread(spent['ours'])}, torch alone {spread(spent['torch'])}; on the wall "
        f"{spread(seconds['theirs'])} against {spread(seconds['ours'])} "
        f"({ratio_of(seconds['theirs'], seconds['ours']):.2f} ×)",
    )


class Measured:
    """Encodes the same captions in several ways, and keeps what each gave and took."""

    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = prompts
        self.results: dict[str, list[PromptEmbeds]] = {}
        self.spent: dict[str, list[float]] = {}

    def run(self, name: str, encoder: TextEncoder, **options: Any) -> float:
        """Return the seconds on the wall."""
        began, before = time.perf_counter(), cpu_seconds()
        self.results[name] = encoder.encode(self.prompts, **options)
        self.spent.setdefault(name, []).append(cpu_seconds() - before)
        return time.perf_counter() - began

    def pairs(self, one: str, other: str) -> Iterator[tuple[PromptEmbeds, PromptEmbeds]]:
        """Pair what two ways gave."""
        return zip(self.results[one], self.results[other], strict=True)


def measure(quick: bool) -> Sequence[Row]:
    """Encode the same captions in all ways."""
    torch.set_num_threads(1)  # more would measure how busy the machine is
    count, rounds = (10, 1) if quick else (20, 2)
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = make_encoders(Path(name))
        prompts = captions(count, TokenCounter(Path(name)))
        lengths = [TokenCounter(Path(name)).count(prompt) for prompt in prompts]
    measured = Measured(prompts)
    options: dict[str, Any] = {"padding": "trimmed", "batch_size": BATCH}
    for encoder in (ours, theirs):
        encoder.encode(prompts, **options)  # warm: pages, thread pools
    seconds = in_turns(
        {
            "padded": lambda: measured.run("padded", ours, padding="full"),
            "ours": lambda: measured.run("ours", ours, **options),
            "theirs": lambda: measured.run("theirs", theirs, **options),
        },
        rounds,
    )
    spent = measured.spent
    worst = max(relative_error(a.video, b.video) for a, b in measured.pairs("ours", "padded"))
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
        ),
        Row(
            what="text embeddings by our own tower",
            against="transformers' Gemma3TextModel in its place",
            goal=TOWER,
            ratio=ratio_of(spent["ours"], spent["theirs"]),
            most=True,
            equal=all(torch.equal(a.video, b.video) for a, b in measured.pairs("ours", "theirs")),
            detail=f"the captions above, in the same batches, seconds of one core: "
            f"{spread(spent['theirs'])} against {spread(spent['ours'])}, on the wall "
            f"{ratio_of(seconds['ours'], seconds['theirs']):.2f} ×; embeddings held to the bit",
        ),
        imports(1 if quick else 3),
    ]


if __name__ == "__main__":
    main("text", __doc__, measure)

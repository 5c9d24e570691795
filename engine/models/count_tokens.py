"""Run as `python -P -m engine.models.count_tokens FOLDER`: counts tokens, line by line.

The tokenizer takes seconds and hundreds of MB to load: too much for the process that draws. Every
line of stdin is a JSON string, its answer a number, or an object with `problem` and `remedy`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine.errors import ModelError
from engine.models.tokens import TokenCounter


def main(folder: Path) -> None:
    """Answer until stdin ends."""
    try:
        counter: TokenCounter | None = TokenCounter(folder)
        told: object = 0
    except ModelError as error:
        counter = None
        told = {"problem": error.headline, "remedy": error.remedy}
    for line in sys.stdin.buffer:
        if counter is not None:
            # Half surrogates are no text for a tokenizer; it counts their replacement instead.
            text = json.loads(line).encode("utf-8", "replace").decode()
            told = counter.count(text)
        sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

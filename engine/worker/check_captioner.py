"""Run as `python -P -m engine.worker.check_captioner`: whether the captioner can be begun with.

Takes a `Wanted` on stdin and prints a `Ready`. In a process of its own, for what it looks at is
slow to import.
"""

from __future__ import annotations

import os
import sys

from engine.captioners.check import at_once, check_captioner, lacks_key, model_of
from engine.captioners.keys import VARIABLES
from engine.child import answer
from engine.errors import LtxError
from engine.worker.captioner_types import Ready, Wanted
from engine.worker.spec import Fault, decoder

# Stands in for a key that is still to be typed.
_SOME_KEY = "?"


def main() -> None:
    """Answer one request."""
    wanted: Wanted = decoder(Wanted).decode(sys.stdin.buffer.read())
    answer(look(wanted))


def look(wanted: Wanted) -> Ready:
    """Return whether a captioner can be begun with, as far as that is known without it."""
    section, lacks = wanted.section, lacks_key(wanted.section)
    environment = dict(os.environ)
    if lacks:
        environment[VARIABLES[section.captioner][0]] = _SOME_KEY
    notes: tuple[str, ...] = ()
    fault = None
    try:
        notes = check_captioner(section, wanted.root, environment)
    except LtxError as error:
        fault = Fault.of(error)
    return Ready(
        model=model_of(section, wanted.root),
        at_once=at_once(section),
        lacks_key=lacks,
        notes=notes,
        fault=fault,
    )


if __name__ == "__main__":
    main()

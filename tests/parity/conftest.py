"""The golden data lies beside the checkout, in `shared/golden`; it is not part of the repo."""

import os
from pathlib import Path

import pytest

GOLDEN = Path(
    os.environ.get("LTX_TUI_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")
).resolve()


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of golden models, clips and expected outputs."""
    if not (GOLDEN / "README.md").is_file():
        pytest.skip(f"no golden data at {GOLDEN}; set LTX_TUI_GOLDEN to its folder")
    return GOLDEN

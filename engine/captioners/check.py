"""What can be known of a captioner before any model is loaded or any service is asked."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from engine.captioners.keys import NETWORK, VARIABLES, key_of
from engine.errors import EnvironmentFaultError, ModelError, UsageError
from engine.models.checkpoint import model_folder_shards
from engine.models.header import json_object
from engine.settings import CaptionsSection
from engine.text import visible

QWEN = "Qwen/Qwen2.5-Omni-7B"
# Calls to a service at once, where nothing else is asked for.
CALLS = 4

KINDS = {"qwen2_5_omni", "qwen2_5_omni_thinker"}
_PACKAGES = {"gemini_flash": "google.genai", "openai": "openai"}


def at_once(section: CaptionsSection) -> int:
    """Return how many clips are captioned at once."""
    if section.num_workers:
        return section.num_workers
    return CALLS if section.captioner in NETWORK else 1


def model_of(section: CaptionsSection, root: Path) -> str:
    """Return the model: a folder's whole path, a name, or empty for the service's own choice."""
    if section.captioner in NETWORK:
        return section.model
    folder = root / Path(section.model).expanduser()
    return str(folder) if section.model and folder.is_dir() else section.model or QWEN


def check_captioner(
    section: CaptionsSection,
    root: Path,
    environment: Mapping[str, str] | None = None,
    *,
    has: Callable[[str], bool] | None = None,
) -> tuple[str, ...]:
    """Say what is wrong before anything is begun, or return what the user should know.

    Args:
        section: Who captions.
        root: Where relative folders start from.
        environment: Where keys are looked for; by default this process's.
        has: Whether a package is installed.

    Raises:
        UsageError: A key or an address is missing or makes no sense.
        EnvironmentFaultError: A package is missing.
        ModelError: The model's folder is not there, or is of another model.
    """
    installed = has or _is_installed
    _check_address(section.base_url)
    if section.captioner in NETWORK:
        _check_service(section, environment, installed)
        return ()
    return _check_model(section, root, installed)


def _check_service(
    section: CaptionsSection,
    environment: Mapping[str, str] | None,
    installed: Callable[[str], bool],
) -> None:
    name, package = section.captioner, _PACKAGES[section.captioner]
    if not installed(package):
        raise EnvironmentFaultError(
            f"captioning with {name} needs the package {package}",
            remedy=f'pip install "ltx-tui[{NETWORK[name]}]"',
        )
    if lacks_key(section, environment):
        raise UsageError(
            f"{name} needs a key",
            remedy=f"set {' or '.join(VARIABLES[name])}, or give --api-key"
            + ("; a server of your own is named with --base-url" if name == "openai" else ""),
        )


def lacks_key(section: CaptionsSection, environment: Mapping[str, str] | None = None) -> bool:
    """Return whether a service is to caption that wants a key, and there is none.

    Args:
        section: Who captions.
        environment: Where keys are looked for; by default this process's.
    """
    known = os.environ if environment is None else environment
    name = section.captioner
    if name not in NETWORK or key_of(name, environment):
        return False
    return not (name == "openai" and (section.base_url or known.get("OPENAI_BASE_URL")))


def _check_address(address: str) -> None:
    if not address:
        return
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(
            f"{visible(address)!r} is no address of a server",
            remedy="write it as http://localhost:8000/v1",
        )
    if parts.username or parts.password:
        raise UsageError(
            "the server's address has a password in it",
            remedy="leave it out, and give the key in the environment or with --api-key",
        )


def _check_model(
    section: CaptionsSection, root: Path, installed: Callable[[str], bool]
) -> tuple[str, ...]:
    if section.use_8bit and not (installed("bitsandbytes") and installed("accelerate")):
        raise EnvironmentFaultError(
            "loading the captioner in 8 bits needs bitsandbytes and accelerate",
            remedy='pip install "ltx-tui[quantize]"',
        )
    missing = [name for name in ("accelerate", "transformers") if not installed(name)]
    if missing:
        raise EnvironmentFaultError(
            f"captioning with qwen_omni needs {' and '.join(missing)}",
            remedy='pip install "ltx-tui[captions]"',
        )
    model = model_of(section, root)
    if not Path(model).is_dir():
        return _check_name(model)
    config = Path(model) / "config.json"
    model_folder_shards(Path(model))
    table = json_object(config.read_bytes()) or {}
    kind = str(table.get("model_type"))
    if kind not in KINDS:
        raise other_model(kind, config)
    return ()


def other_model(kind: str, config: Path) -> ModelError:
    """Return that a config is of another model."""
    return ModelError(
        f"this is a {visible(kind)!r} model, not Qwen2.5-Omni",
        file=config,
        remedy="give the folder of Qwen2.5-Omni, or choose another captioner",
    )


def _check_name(model: str) -> tuple[str, ...]:
    """Check a name of the Hugging Face hub."""
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ModelError(
            "there is no such folder",
            file=Path(model),
            remedy=f"give the folder of Qwen2.5-Omni, or its name on the hub, such as {QWEN}",
        )
    if _is_downloaded(model):
        return ()
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise EnvironmentFaultError(
            f"{model} is not here, and HF_HUB_OFFLINE forbids to download it",
            remedy="give a folder that is here with --model",
        )
    return (f"{model} is not here yet and is downloaded first (22 GB for the 7B model)",)


def _is_downloaded(model: str) -> bool:
    from huggingface_hub import try_to_load_from_cache  # only for whoever names a model

    return isinstance(try_to_load_from_cache(model, "config.json"), str)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package around it is not there
        return False

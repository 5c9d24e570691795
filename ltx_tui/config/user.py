"""The user's own settings: `ltx-tui/config.toml` in the configuration folder, read strictly."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import UsageError
from engine.files.safe import atomic_write
from engine.text import guessed

# Variables of the environment that name the models, for projects that are begun.
CHECKPOINT, TEXT_ENCODER = "LTX_TUI_CHECKPOINT", "LTX_TUI_TEXT_ENCODER"

Graphics = Literal["blocks", "kitty", "sixel"]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants in every project.

    Attributes:
        theme: Name of a theme; empty for the default. LTX_TUI_THEME wins over it.
        mouse: Whether the mouse is used.
        graphics: How frames are drawn.
        keys: Keys of commands, such as {"clips.mark": "m"}; several with commas.
        file: Where it was read from, or would be; None as `config_file` says.
    """

    theme: str = ""
    mouse: bool = True
    graphics: Graphics = "blocks"
    keys: dict[str, str] = {}
    file: Path | None = None


_NAMES = tuple(name for name in Config.__struct_fields__ if name != "file")


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the user's configuration is looked for."""
    base = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".config"
    return folder / "ltx-tui" / "config.toml"


def load_config(file: Path | None = None) -> Config:
    """Read the configuration; a file that is not there gives the defaults.

    Args:
        file: By default that of `config_file`.

    Raises:
        UsageError: It is no TOML, or has a key that is unknown or a value that is wrong.
    """
    file = file or config_file()
    data = _read(file)
    for name in data:
        if name not in _NAMES:
            raise UsageError(
                "unknown key",
                file=file,
                column=name,
                remedy=guessed(name, _NAMES, otherwise="keys:"),
            )
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        raise UsageError(
            str(error).replace("`", "").replace("Expected", "expected", 1),
            file=file,
            remedy="mend the value, or remove its line",
        ) from error
    if config.keys:
        from ltx_tui.keymap import check_keys  # it knows Textual's keys

        check_keys(config.keys, file)
    return msgspec.structs.replace(config, file=file)


def save_theme(name: str, file: Path | None = None) -> None:
    """Keep the theme for the next start; comments and other keys stay.

    Raises:
        UsageError: The file is no TOML.
        OSError: It cannot be written.
    """
    import tomlkit  # only writing needs it

    file = file or config_file()
    _read(file)
    document = tomlkit.parse(file.read_text("utf-8") if file.exists() else "")
    document["theme"] = name
    atomic_write(file, tomlkit.dumps(document).encode())


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", file=file, remedy="check its permissions"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"is not valid TOML: {error}", file=file, remedy="mend that line"
        ) from error

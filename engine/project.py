"""project.toml: read strictly, changed key by key, with its comments kept."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.errors import ProjectError
from engine.files.safe import BOM, atomic_write, read_text
from engine.settings import (
    CLIPS,
    CLIPS_LINES,
    KEYS,
    SECTIONS,
    AudioSection,
    CaptionsSection,
    DatasetSection,
    Key,
    MemorySection,
    ModelsSection,
    ReferenceSection,
    RunSection,
    ScaleSection,
    ScenesSection,
    TextSection,
    VideoSection,
)
from engine.text import visible

PROJECT_FILE = "project.toml"
STATE_FOLDER = ".ltx-tui"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one project.

    Attributes:
        root: The project's folder, absolute; relative paths are taken from it.
        file: The project.toml that was read, or None.
        clips: Buckets of single clips, "WxHxF" by media path; they go before `video.buckets`.
    """

    root: Path
    file: Path | None = None
    dataset: DatasetSection = DatasetSection()
    models: ModelsSection = ModelsSection()
    video: VideoSection = VideoSection()
    audio: AudioSection = AudioSection()
    text: TextSection = TextSection()
    scenes: ScenesSection = ScenesSection()
    captions: CaptionsSection = CaptionsSection()
    reference: ReferenceSection = ReferenceSection()
    run: RunSection = RunSection()
    memory: MemorySection = MemorySection()
    scale: ScaleSection = ScaleSection()
    clips: dict[str, str] = {}

    @classmethod
    def defaults(cls, root: Path) -> Project:
        """Return the settings of a folder without a project.toml."""
        return cls(root=root.absolute())

    @property
    def dataset_path(self) -> Path:
        """The dataset file, absolute."""
        return self.root / Path(self.dataset.path).expanduser()

    @property
    def output_dir(self) -> Path:
        """The folder that gets one folder a stage, absolute."""
        return self._path(self.dataset.output_dir) or self.dataset_path.parent / ".precomputed"

    @property
    def own_buckets(self) -> dict[str, str]:
        """`clips` by the names that are shown, with control characters as escapes."""
        return {visible(name): bucket for name, bucket in self.clips.items()}

    @property
    def checkpoint_path(self) -> Path | None:
        """The LTX-2 checkpoint, or None when it is not set."""
        return self._path(self.models.checkpoint)

    @property
    def text_encoder_path(self) -> Path | None:
        """The Gemma folder, or None when it is not set."""
        return self._path(self.models.text_encoder)

    @property
    def video_vae_path(self) -> Path | None:
        """The video VAE's own file, or None when the checkpoint holds it."""
        return self._path(self.models.video_vae)

    @property
    def audio_vae_path(self) -> Path | None:
        """The audio VAE's own file, or None when the checkpoint holds it."""
        return self._path(self.models.audio_vae)

    @property
    def scenes_dir(self) -> Path:
        """The folder of the pieces that videos are cut into, absolute."""
        return self._path(self.scenes.output_dir) or self.root / "clips"

    @property
    def state_dir(self) -> Path:
        """The folder of what ltx-tui itself keeps: the journal, logs, set-aside outputs.

        It lies in the project, or beside the outputs where the project is read-only.
        """
        own = self.root / STATE_FOLDER
        if not own.exists() and self.root.is_dir() and not os.access(self.root, os.W_OK):
            return self.output_dir / STATE_FOLDER
        return own

    def _path(self, value: str) -> Path | None:
        return self.root / Path(value).expanduser() if value else None


def find_project(start: Path) -> Path | None:
    """Return the nearest project.toml in `start` (a folder, or a file in one) or above it."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
    return None


def load_project(path: Path) -> Project:
    """Read a project.toml.

    Raises:
        ProjectError: It cannot be read, is no TOML, or has a key that is unknown or of the wrong
            type.
    """
    path = path.absolute()
    return _from_text(_read(path), path)


def apply_overrides(project: Project, values: Mapping[str, object]) -> Project:
    """Return the project with keys replaced, such as `{"video.buckets": "960x544x49"}`.

    A value of None means "not given" and changes nothing. A `Path` is taken from the current
    folder, as on a command line; a string is taken from the project's.

    Raises:
        ProjectError: A key is unknown, or a value of the wrong type.
    """
    changed: dict[str, dict[str, object]] = {}
    for full_name, value in values.items():
        key = _key(full_name, None)
        if value is not None:
            changed.setdefault(key.section, {})[key.name] = _convert(key, value, None)
    sections = {
        name: msgspec.structs.replace(getattr(project, name), **keys)
        for name, keys in changed.items()
    }
    return msgspec.structs.replace(project, **sections)


def update_project(
    path: Path, values: Mapping[str, object], *, clips: Mapping[str, str | None] | None = None
) -> Project:
    """Set keys in a project.toml; comments, order and all other bytes stay. None is skipped.

    A file that does not exist is made, with every key and its line of explanation.

    Args:
        path: The file.
        values: By full name, such as "video.buckets".
        clips: Buckets of single clips by media path; None takes a clip's own bucket away.

    Raises:
        ProjectError: The file is not usable as it is, a key is unknown or a value wrong; nothing
            is written then.
    """
    import tomlkit  # only writing needs it; reading is the standard library's

    path = path.absolute()
    exists = path.exists()
    text = _read(path) if exists else example_toml()
    _from_text(text, path)
    document = tomlkit.parse(text)
    for full_name, value in values.items():
        key = _key(full_name, path)
        if value is not None:
            section = document.setdefault(key.section, tomlkit.table())
            section[key.name] = _convert(key, value, path)
    for name, bucket in (clips or {}).items():
        if bucket is not None:
            table = document.setdefault(CLIPS, tomlkit.table())
            table[name] = _clip_bucket(name, bucket, path)
        elif name in document.get(CLIPS, {}):
            del document[CLIPS][name]
    text = tomlkit.dumps(document)
    project = _from_text(text, path)
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ProjectError(
            "a value is not UTF-8, so TOML cannot hold it", remedy="rename that file", file=path
        ) from error
    with_bom = exists and path.read_bytes().startswith(BOM)
    atomic_write(path, (BOM if with_bom else b"") + data)
    return project


def write_project(path: Path, values: Mapping[str, object]) -> Project:
    """Make a new project.toml with every key, its line of explanation, and these values.

    Raises:
        ProjectError: The file exists already, a key is unknown or a value wrong.
    """
    if path.exists():
        raise ProjectError("the file exists already", remedy="change its keys instead", file=path)
    return update_project(path, values)


def example_toml() -> str:
    """Return the text of project.toml.example: every key with its default and one line on it."""
    import tomlkit

    lines = [
        "# Every key of project.toml with its default; leave out what you do not change.",
        "# Relative paths are taken from the folder of this file.",
    ]
    section = ""
    for key in KEYS.values():
        if key.section != section:
            section = key.section
            lines += ["", f"[{section}]"]
        choices = f" ({', '.join(key.choices)})" if key.choices else ""
        lines += [
            f"# {key.description}{choices}",
            f"{key.name} = {tomlkit.item(key.default).as_string()}",
        ]
    lines += ["", f"[{CLIPS}]", *CLIPS_LINES]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> str:
    return read_text(path, ProjectError, "check the path and its permissions")


def _from_text(text: str, file: Path) -> Project:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(
            f"is not valid TOML: {error}", remedy="mend that line", file=file
        ) from error
    sections: dict[str, object] = {}
    for name, keys in data.items():
        if name == CLIPS and isinstance(keys, dict):
            sections[name] = {clip: _clip_bucket(clip, value, file) for clip, value in keys.items()}
            continue
        struct = SECTIONS.get(name)
        if struct is None or not isinstance(keys, dict):
            raise _unknown(name, file, section=struct is not None or name == CLIPS)
        sections[name] = struct(
            **{
                key: _convert(_key(f"{name}.{key}", file), value, file)
                for key, value in keys.items()
            }
        )
    return msgspec.structs.replace(Project(root=file.parent, file=file), **sections)


def _key(full_name: str, file: Path | None) -> Key:
    key = KEYS.get(full_name)
    if key is None:
        raise _unknown(full_name, file)
    return key


def _clip_bucket(clip: str, value: object, file: Path) -> str:
    """Return the bucket of one clip as text; whether it can be used the plan says of that clip."""
    if not isinstance(value, str):
        raise ProjectError(
            f"expected a text such as '960x544x49', got {type(value).__name__}",
            remedy="write WxHxF in quotes, and a path with dots or spaces as well",
            file=file,
            column=f"{CLIPS}.{visible(clip)}",
        )
    return value


def _convert(key: Key, value: object, file: Path | None) -> object:
    """Return the value as the key's type; a whole number will do for a fraction."""
    if isinstance(value, Path):
        value = str(value.expanduser().absolute())
    if isinstance(value, str) and "\0" in value:
        raise ProjectError(
            "has a NUL character", remedy="remove it", file=file, column=key.full_name
        )
    try:
        return msgspec.convert(value, key.type)
    except msgspec.ValidationError as error:
        if key.choices:
            message = f"{value!r} is not one of its values"
            remedy = f"use {' or '.join(repr(choice) for choice in key.choices)}"
        else:
            message = str(error).replace("`", "").replace("Expected", "expected", 1)
            remedy = f"the default is {key.default!r}"
        raise ProjectError(message, remedy=remedy, file=file, column=key.full_name) from error


def _unknown(name: str, file: Path | None, *, section: bool = False) -> ProjectError:
    """Return the error for an unknown key or section, with what may have been meant."""
    if section:
        return ProjectError(
            f"{name!r} is a section, not a key", remedy=f"write [{name}]", file=file, column=name
        )
    short = name.rpartition(".")[2]
    elsewhere = [key.full_name for key in KEYS.values() if key.name == short]
    close = difflib.get_close_matches(name, KEYS, n=1) or [
        key.full_name
        for near in difflib.get_close_matches(short, [key.name for key in KEYS.values()], n=1)
        for key in KEYS.values()
        if key.name == near
    ]
    tables = [*SECTIONS, CLIPS]
    sections = [f"[{near}]" for near in difflib.get_close_matches(name, tables, n=1)]
    guesses = elsewhere or sections or close
    remedy = f"did you mean {' or '.join(guesses)}?" if guesses else f"keys: {', '.join(KEYS)}"
    return ProjectError("unknown key", remedy=remedy, file=file, column=name)

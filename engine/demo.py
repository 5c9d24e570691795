"""The demo project: made from nothing, without a download, and scored at the end.

The folder gets clips with sound, references, captions, tiny models with random weights, a
dataset and a project.toml: everything that a real project has, in small.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.child import ask
from engine.errors import EnvironmentFaultError, UsageError
from engine.files.safe import atomic_write
from engine.project import PROJECT_FILE, Project, load_project, update_project

# Tells a demo of ours from a folder of somebody's files.
MARKER = ".ltx-demo"
CLIPS, MODELS = "clips", "models"
BUCKETS = "192x128x17;128x192x17;160x160x25;160x160x1"
TRIGGER = "DEMOTOK"


class DemoClip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip to draw.

    Attributes:
        name: File name; `.png` for a still image.
        size: (width, height) in pixels.
        fps: Frames a second, as (numerator, denominator).
        seconds: How long.
        pitch: Of its sound in hertz; 0 for a clip without a sound track.
        hue: Of its sky, in turns.
        visual: The caption's first section.
        sounds: The caption's third section.
    """

    name: str
    size: tuple[int, int]
    fps: tuple[int, int] = (24, 1)
    seconds: float = 1.25
    pitch: float = 0.0
    hue: float = 0.0
    visual: str
    sounds: str = "None"

    @property
    def caption(self) -> str:
        """Four sections, as captioners write them."""
        return f"[VISUAL]: {self.visual}\n[SPEECH]: None\n[SOUNDS]: {self.sounds}\n[TEXT]: None"

    @property
    def reference(self) -> str:
        """File name of its reference."""
        stem, _, suffix = self.name.rpartition(".")
        return f"{stem}_reference.{suffix}"


SCRIPT = (
    DemoClip(
        name="meadow.mp4",
        size=(320, 192),
        pitch=220,
        hue=0.3,
        visual="A pale ball rolls through a green meadow from left to right.",
        sounds="A low, steady hum.",
    ),
    DemoClip(
        name="harbour.mp4",
        size=(320, 192),
        fps=(30000, 1001),
        pitch=330,
        hue=0.55,
        visual="A pale ball floats over blue water; the camera does not move.",
        sounds="A clear tone that swells and fades.",
    ),
    DemoClip(
        name="tower.mp4",
        size=(192, 320),
        fps=(25, 1),
        pitch=440,
        hue=0.08,
        visual="A pale ball climbs past an orange tower, seen upright.",
        sounds="A bright tone.",
    ),
    DemoClip(
        name="courtyard.mp4",
        size=(224, 224),
        fps=(25, 1),
        pitch=275,
        hue=0.8,
        visual="A pale ball circles in a square violet courtyard.",
        sounds="A tone with a slow beat.",
    ),
    DemoClip(
        name="night.mp4",
        size=(320, 192),
        fps=(24000, 1001),
        hue=0.68,
        visual="A pale ball crosses a dark blue sky, without a sound track.",
    ),
    DemoClip(
        name="poster.png",
        size=(224, 224),
        hue=0.95,
        visual="A still image: a pale ball before a red wall.",
    ),
)


class Made(msgspec.Struct, frozen=True):
    """A file or folder that is there now; `key` names the project key that points to it."""

    file: str
    key: str = ""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a clip on its way to latents and back.

    Attributes:
        latent_shape: Channels, frames, height, width.
        tokens: Latent cells, as the trainer counts them.
        bytes: Of all files that a trainer reads for it.
        psnr: Decoded file against the encoder's input, in dB of 8-bit values; None where there is
            no decoded file.
        audio_seconds: Length of the decoded sound; None where there is none.
    """

    clip: str
    bucket: str
    latent_shape: tuple[int, ...]
    tokens: int
    bytes: int
    psnr: float | None
    audio_seconds: float | None


def check_folder(folder: Path) -> bool:
    """Return whether a finished demo is there already; False where one can be made.

    Raises:
        UsageError: The folder holds something else, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError("this is a file", remedy="name a new folder", file=folder)
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not (folder / MARKER).is_file():
        raise UsageError(
            "the folder has files that are not a demo's",
            remedy="name a new folder: ltx-tui demo DIR",
            file=folder,
        )
    return (folder / PROJECT_FILE).is_file()


def make(folder: Path) -> Iterator[Made]:
    """Make the demo's files, and tell of each; project.toml comes last.

    Raises:
        UsageError: As `check_folder`.
        EnvironmentFaultError: The folder cannot be written, or torch does not work.
    """
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text("Made by `ltx-tui demo`; delete the whole folder at will.\n")
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot be written: {error.strerror}", remedy="name another folder", file=folder
        ) from error
    models: dict[str, object] = {}
    for line in ask("engine.worker.make_demo", str(folder)):
        made = msgspec.json.decode(line, type=Made)
        models |= {made.key: made.file} if made.key else {}
        yield made
    rows = [
        {
            "caption": clip.caption,
            "media_path": f"{CLIPS}/{clip.name}",
            "reference_path": f"{CLIPS}/{clip.reference}",
        }
        for clip in SCRIPT
    ]
    atomic_write(folder / "dataset.json", (json.dumps(rows, indent=2) + "\n").encode())
    yield Made("dataset.json")
    values = {
        "dataset.reference_column": "reference_path",
        "video.buckets": BUCKETS,
        "audio.enabled": True,
        "audio.silent": "silence",
        "text.trigger": TRIGGER,
        "run.decode": True,
    }
    update_project(folder / PROJECT_FILE, models | values)
    yield Made(PROJECT_FILE)


def open_demo(folder: Path) -> Project:
    """Return the demo's project.

    Raises:
        ProjectError: Its project.toml was changed into something unusable.
    """
    return load_project(folder / PROJECT_FILE)


def scores(project: Project) -> Iterator[Score]:
    """Compare, in a child, what was decoded with what had been encoded.

    Raises:
        EnvironmentFaultError: The child fails.
    """
    for line in ask("engine.precompute.roundtrip", str(project.root / PROJECT_FILE)):
        yield msgspec.json.decode(line, type=Score)

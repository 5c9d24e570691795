"""The sections and keys of project.toml: types, defaults, and a line about each."""

from __future__ import annotations

from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]


class _Section(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all sections; a field's description is its line in project.toml.example."""


class DatasetSection(_Section, frozen=True):
    """What is prepared, and where the outputs go."""

    path: Annotated[str, Meta(description="The dataset file: .json, .jsonl or .csv.")] = (
        "dataset.json"
    )
    output_dir: Annotated[
        str, Meta(description="Folder of the outputs; empty: .precomputed beside the dataset.")
    ] = ""
    video_column: Annotated[
        str, Meta(description="Column of the media paths; empty: found by its name.")
    ] = ""
    caption_column: Annotated[
        str, Meta(description="Column of the captions; empty: found by its name.")
    ] = ""
    reference_column: Annotated[
        str, Meta(description="Column of the reference videos; empty: no references.")
    ] = ""
    audio_column: Annotated[
        str, Meta(description="Column of separate sound files; empty: found by its name.")
    ] = ""
    on_collision: Annotated[
        Literal["refuse", "rename"],
        Meta(description="When two rows would write one output: refuse both, or rename one."),
    ] = "refuse"


class ModelsSection(_Section, frozen=True):
    """The model files."""

    checkpoint: Annotated[str, Meta(description="The LTX-2 checkpoint, a .safetensors file.")] = ""
    text_encoder: Annotated[str, Meta(description="The Gemma folder.")] = ""
    video_vae: Annotated[
        str, Meta(description="Video VAE of a split pack; empty: taken from the checkpoint.")
    ] = ""
    audio_vae: Annotated[
        str, Meta(description="Audio VAE of a split pack; empty: taken from the checkpoint.")
    ] = ""


class VideoSection(_Section, frozen=True):
    """From clips to video latents."""

    buckets: Annotated[
        str,
        Meta(
            description="WxHxF;WxHxF…: sides in multiples of 32, frames in multiples of 8, plus 1."
        ),
    ] = "960x544x49"
    fps: Annotated[
        float,
        Meta(ge=0, le=1000, description="Frames a second to resample to; 0: the source's own."),
    ] = 0.0
    reshape: Annotated[
        Literal["center", "random"], Meta(description="Where the crop is taken.")
    ] = "center"
    seed: Annotated[int, Meta(ge=0, description="Seed of random crops.")] = 42
    hdr: Annotated[
        Literal["refuse", "tonemap"],
        Meta(description="HDR clips (PQ, HLG): report them, or map them to SDR."),
    ] = "refuse"
    vae_tiling: Annotated[
        bool, Meta(description="Encode in feathered tiles: less memory, but approximate.")
    ] = False
    dtype: Annotated[
        Literal["bfloat16", "float32"], Meta(description="Arithmetic of the video VAE.")
    ] = "bfloat16"
    chunk: Annotated[
        int,
        Meta(ge=0, multiple_of=8, description="Frames encoded at a time; 0: decided from memory."),
    ] = 0


class AudioSection(_Section, frozen=True):
    """From sound to audio latents."""

    enabled: Annotated[bool, Meta(description="Whether to encode the clips' sound.")] = False
    silent: Annotated[
        Literal["skip", "silence", "fail"],
        Meta(
            description="A clip without sound: write nothing, write silence, or report it failed."
        ),
    ] = "skip"
    durations: Annotated[
        str,
        Meta(description="Lengths for sounds without a picture, in seconds: 2.0;4.0; empty: none."),
    ] = ""


class TextSection(_Section, frozen=True):
    """From captions to text embeddings."""

    trigger: Annotated[
        str, Meta(description="Trigger word put before every caption when it is encoded.")
    ] = ""
    strip_prefixes: Annotated[
        bool, Meta(description='Drop openings such as "The video shows" when encoding.')
    ] = False
    padding: Annotated[
        Literal["trimmed", "full"],
        Meta(description="Run the real tokens alone, or all 1,024 (equal to the bit, far slower)."),
    ] = "trimmed"
    eight_bit: Annotated[
        bool, Meta(description="Load the text encoder in 8 bits (needs bitsandbytes).")
    ] = False
    conditions_schema: Annotated[
        Literal["current", "2026-01"],
        Meta(description="Keys of the conditions; 2026-01 for trainers before March 2026."),
    ] = "current"
    batch_size: Annotated[Count, Meta(description="Captions encoded at a time.")] = 8


class ScenesSection(_Section, frozen=True):
    """How long videos are cut into scenes."""

    output_dir: Annotated[
        str, Meta(description="Folder of the pieces that videos are cut into.")
    ] = "clips"
    detector: Annotated[
        Literal["content", "adaptive", "threshold", "histogram", "hash"],
        Meta(description="How cuts are told; docs/scenes.md says what each looks at."),
    ] = "content"
    threshold: Annotated[
        float,
        Meta(ge=0, le=255, description="Score from which a frame begins a scene; 0: the usual."),
    ] = 0.0
    min_scene_length: Annotated[
        int, Meta(ge=0, description="Frames that the detector holds a scene for at least.")
    ] = 15
    trim: Annotated[
        int,
        Meta(ge=0, description="Frames left out at each cut: a guard against a stray frame."),
    ] = 1
    filter_shorter_than: Annotated[
        str,
        Meta(description="Leave out scenes of less than 123 (frames) or 5s; empty: none."),
    ] = ""
    copy: Annotated[
        bool, Meta(description="Copy from key frame to key frame instead of encoding: inexact.")
    ] = False
    crf: Annotated[int, Meta(ge=0, le=51, description="Quality of H.264: 0 is lossless.")] = 18
    preset: Annotated[
        Literal[
            "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
            "veryslow",
        ],
        Meta(description="Speed of x264, from quick and large to slow and small."),
    ] = "veryfast"  # fmt: skip
    audio: Annotated[bool, Meta(description="Cut the sound too.")] = True
    save_images: Annotated[
        int, Meta(ge=0, description="Previews of each piece, with a page to look at them.")
    ] = 0


class CaptionsSection(_Section, frozen=True):
    """Who captions clips, and how; a service's key is never written down."""

    captioner: Annotated[
        Literal["qwen_omni", "gemini_flash", "openai"],
        Meta(description="The model here, Google's service, or a server that speaks OpenAI's way."),
    ] = "qwen_omni"
    model: Annotated[
        str,
        Meta(description="Folder or name of the model; empty: the captioner's own choice."),
    ] = ""
    base_url: Annotated[
        str, Meta(description="Address of the server, such as http://localhost:8000/v1.")
    ] = ""
    instruction: Annotated[
        str, Meta(description="What is asked about a clip; empty: for the four sections.")
    ] = ""
    fps: Annotated[float, Meta(gt=0, le=60, description="Frames a second that are looked at.")] = (
        3.0
    )
    audio: Annotated[bool, Meta(description="Listen to the sound too.")] = True
    clean: Annotated[
        bool, Meta(description='Drop openings such as "The video shows" from new captions.')
    ] = True
    num_workers: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Clips captioned at once; 0: four by a service, one on a device.",
        ),
    ] = 0
    use_8bit: Annotated[
        bool, Meta(description="Load qwen_omni in 8 bits (needs bitsandbytes).")
    ] = False


class ReferenceSection(_Section, frozen=True):
    """Reference videos, used when dataset.reference_column is set."""

    downscale: Annotated[
        Count, Meta(description="Reference size divided by this; above 1 with one bucket only.")
    ] = 1
    temporal_scale: Annotated[Count, Meta(description="Reference frame rate divided by this.")] = 1


class RunSection(_Section, frozen=True):
    """How a job runs."""

    device: Annotated[
        str,
        Meta(description="auto (all GPUs), cpu, cuda:1, mps, or several: cuda:0,cuda:2."),
    ] = "auto"
    decode: Annotated[
        bool, Meta(description="Decode the latents again afterwards, to look at.")
    ] = False
    batch_size: Annotated[Count, Meta(description="Clips of one bucket encoded at a time.")] = 1
    hardware_decoding: Annotated[
        Literal["off", "cuda"],
        Meta(description="Decode clips on the GPU where that proves equal to the bit."),
    ] = "off"
    scale_on: Annotated[
        Literal["cpu", "device"],
        Meta(description="Scale frames on the CPU, or where they are encoded: equal to the bit."),
    ] = "cpu"
    tune: Annotated[
        bool,
        Meta(description="Find out on an NVIDIA GPU which layout of memory encodes fastest."),
    ] = False
    patience: Annotated[
        float,
        Meta(gt=0, description="Seconds without a sign of life before an encoder is replaced."),
    ] = 300.0


class MemorySection(_Section, frozen=True):
    """What the out-of-memory guard may use, in GiB, and what it does when memory is short."""

    limit: Annotated[
        float, Meta(ge=0, description="GiB that a job may use on a device; 0: all there is.")
    ] = 0.0
    reserve: Annotated[
        float, Meta(ge=0, description="GiB of a device's memory to leave free for others.")
    ] = 0.5
    host_reserve: Annotated[
        float, Meta(ge=0, description="GiB of the machine's own memory to leave free.")
    ] = 2.0
    wait: Annotated[
        float,
        Meta(ge=0, description="Seconds to wait for memory that other programs hold."),
    ] = 600.0
    cpu: Annotated[
        bool, Meta(description="Encode on the CPU what does not fit the GPU in any way.")
    ] = True
    eight_bit: Annotated[
        bool,
        Meta(description="Let a text encoder that does not fit be loaded in 8 bits (approximate)."),
    ] = False


class ScaleSection(_Section, frozen=True):
    """Where encoders run: on this machine, or on the nodes of a Ray cluster."""

    engine: Annotated[
        Literal["local", "ray"],
        Meta(
            description="Encode on this machine, or on the nodes of a Ray cluster (docs/scale.md)."
        ),
    ] = "local"
    address: Annotated[
        str,
        Meta(
            description="Ray: auto (the cluster of this machine), host:6379, ray://host:10001, or "
            "local (started here)."
        ),
    ] = "auto"


SECTIONS: dict[str, type[_Section]] = {
    "dataset": DatasetSection,
    "models": ModelsSection,
    "video": VideoSection,
    "audio": AudioSection,
    "text": TextSection,
    "scenes": ScenesSection,
    "captions": CaptionsSection,
    "reference": ReferenceSection,
    "run": RunSection,
    "memory": MemorySection,
    "scale": ScaleSection,
}

# A table whose keys are media paths instead: the buckets of single clips.
CLIPS = "clips"
CLIPS_LINES = (
    "# The bucket of single clips instead of the nearest one of video.buckets: the media path as",
    "# the dataset has it, and WxHxF.",
    '# "takes/harbour 3.mp4" = "960x544x121"',
)


class Key(msgspec.Struct, frozen=True):
    """One key: its section, name, type (with its limits), default, description and choices."""

    section: str
    name: str
    type: object
    default: str | int | float | bool
    description: str
    choices: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """Return "section.name"."""
        return f"{self.section}.{self.name}"


def _read_keys() -> dict[str, Key]:
    keys = {}
    for section, struct in SECTIONS.items():
        defaults = struct()
        for name, hint in get_type_hints(struct, include_extras=True).items():
            plain, *metas = get_args(hint)
            key = Key(
                section=section,
                name=name,
                type=hint,
                default=getattr(defaults, name),
                description=next(meta.description for meta in metas if meta.description),
                choices=get_args(plain) if get_origin(plain) is Literal else (),
            )
            keys[key.full_name] = key
    return keys


KEYS: dict[str, Key] = _read_keys()

"""Which facts each output depends on: the only place where fingerprints are put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.captions import prompt
from engine.errors import LtxError, ModelError, ProjectError
from engine.files.identity import hash_text
from engine.models.checkpoint import Checkpoint, model_folder_digest
from engine.precompute.fingerprint import UNKNOWN, VERSIONS, Fingerprint
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger
from engine.precompute.steps import Window
from engine.precompute.survey import ClipPlan
from engine.project import Project

# The file that holds each component (a key of [models]), its prefix in that file, and what of it
# the component needs.
_COMPONENTS = {
    "video_vae": ("video_vae", "video_vae_prefix", ("encoder.", "per_channel_statistics.")),
    "video_decoder": ("video_vae", "video_vae_prefix", ("decoder.", "per_channel_statistics.")),
    "audio_vae": ("audio_vae", "audio_vae_prefix", ("encoder.", "per_channel_statistics.")),
    "audio_decoder": ("audio_vae", "audio_vae_prefix", ("decoder.", "per_channel_statistics.")),
    "vocoder": ("audio_vae", "vocoder_prefix", ("",)),
    "text_projection": ("checkpoint", "text_projection_prefix", ("",)),
}


_NEEDED = {
    Stage.CONDITIONS: ("text_projection",),
    Stage.LATENTS: ("video_vae",),
    Stage.REFERENCE_LATENTS: ("video_vae",),
    Stage.AUDIO_LATENTS: ("audio_vae",),
    Stage.DECODED_VIDEOS: ("video_decoder",),
    Stage.DECODED_REFERENCE_VIDEOS: ("video_decoder",),
    Stage.DECODED_AUDIO: ("audio_decoder", "vocoder"),
}


def is_set(project: Project, name: str) -> bool:
    """Whether the project names a file for a component."""
    own = {"video_vae": project.video_vae_path, "audio_vae": project.audio_vae_path}
    return (own.get(_COMPONENTS[name][0]) or project.checkpoint_path) is not None


def component_path(project: Project, name: str) -> Path:
    """Return the file that holds a component: its own in a split pack, else the checkpoint.

    Raises:
        ProjectError: No such file is set.
    """
    holder = _COMPONENTS[name][0]
    own = {"video_vae": project.video_vae_path, "audio_vae": project.audio_vae_path}.get(holder)
    path = own or project.checkpoint_path
    if path is None:
        raise ProjectError(
            "no LTX-2 checkpoint is set",
            remedy="set models.checkpoint in project.toml, or give --model-path",
            file=project.file,
        )
    if not path.exists():
        raise ModelError("no such file", file=path, remedy="check the path of the checkpoint")
    return path


def stage_weights(project: Project, stage: Stage) -> Path:
    """Return the file that holds a stage's weights; raises as `component_path`."""
    return component_path(project, _NEEDED[stage][0])


def text_encoder_folder(project: Project) -> Path:
    """Return the language model's folder.

    Raises:
        ProjectError: It is not set.
    """
    folder = project.text_encoder_path
    if folder is None:
        raise ProjectError(
            "no text encoder is set",
            remedy="set models.text_encoder in project.toml, or give --text-encoder-path",
            file=project.file,
        )
    if not folder.exists():
        raise ModelError("no such folder", file=folder, remedy="check the text encoder's path")
    return folder


def _component_digest(path: Path, name: str) -> str:
    _, prefix, parts = _COMPONENTS[name]
    checkpoint = Checkpoint.open(path)
    head = getattr(checkpoint, prefix)
    return checkpoint.digest([head + part for part in parts])


class Facts:
    """Gives the fingerprint of any output; digests of files and models come from the ledger."""

    def __init__(self, project: Project, ledger: Ledger) -> None:
        """Keep what the fingerprints are made from."""
        self._project = project
        self._ledger = ledger

    def of(self, stage: Stage, plan: ClipPlan) -> Fingerprint:
        """Return the fingerprint that an output of `stage` would get now.

        Reads a media or model file only where the ledger does not know its digest. Facts about a
        model that the project does not name are `UNKNOWN`.

        Raises:
            ModelError: A model file is missing or unreadable.
            OSError: A media file cannot be read.
        """
        facts = {"version": str(VERSIONS[stage])}
        if stage is Stage.CONDITIONS:
            facts |= self._conditions(plan)
        elif stage is Stage.LATENTS:
            facts |= self._latents(plan)
        elif stage is Stage.REFERENCE_LATENTS:
            facts |= self._reference_latents(plan)
        elif stage is Stage.AUDIO_LATENTS:
            facts |= self._audio_latents(plan)
        else:
            facts |= self._decoded(stage, plan)
        return Fingerprint(facts)

    def read_models(self, stage: Stage) -> None:
        """Take the digests of the models that a stage depends on, where they are not known yet.

        Raises:
            ModelError: A model file is missing or unreadable.
        """
        for name in _NEEDED[stage]:
            self._component(name)
        if stage is Stage.CONDITIONS:
            self._text_encoder()

    def model(self, stage: Stage) -> str:
        """Return what tells the models of a stage from others, for what is learned of them.

        Raises:
            ModelError: A model file is missing or unreadable.
        """
        names = [self._component(name) for name in _NEEDED[stage]]
        if stage is Stage.CONDITIONS:
            names += [self._text_encoder(), self._project.text.padding]
        else:
            names.append(self._project.video.dtype)
        return hash_text("\0".join(names))

    def approximated(self, fingerprint: Fingerprint, how: str) -> Fingerprint:
        """Return the fingerprint of an output that the memory guard made in an approximate way.

        It only does so where `memory.eight_bit` allows it. The output stays fresh while that is
        allowed, and becomes stale when it no longer is.
        """
        return Fingerprint(fingerprint.facts | {"eight_bit": f"no, but {how} for lack of memory"})

    def accepts(self, made: Fingerprint, now: Fingerprint) -> Fingerprint:
        """Return `made` with what the settings allow instead of the exact way set to `now`."""
        how = made.facts.get("eight_bit", "")
        if self._project.memory.eight_bit and how.startswith("no, but "):
            return Fingerprint(made.facts | {"eight_bit": now.facts.get("eight_bit", "")})
        return made

    def _conditions(self, plan: ClipPlan) -> dict[str, str]:
        text = self._project.text
        words = prompt(plan.clip.caption, text.trigger, text.strip_prefixes)
        return {
            "prompt": hash_text(words),
            "caption": hash_text(plan.clip.caption),
            "trigger": text.trigger,
            "padding": text.padding,
            "eight_bit": "yes" if text.eight_bit else "no",
            "schema": text.conditions_schema,
            "text_encoder": self._text_encoder(),
            "text_projection": self._component("text_projection"),
        }

    def _latents(self, plan: ClipPlan) -> dict[str, str]:
        kept = plan.require()
        facts = self._video("media", plan.clip.media, plan, kept.window)
        facts["bucket"] = str(kept.bucket)
        if kept.probe.hdr:
            facts["hdr"] = self._project.video.hdr
        return facts

    def _reference_latents(self, plan: ClipPlan) -> dict[str, str]:
        reference = plan.require().reference
        if reference is None:
            raise LtxError("has no reference", file=plan.clip.media)
        facts = self._video("reference", reference.path, plan, reference.window)
        width, height = reference.size
        facts["bucket"] = f"{width}x{height}x{reference.window.frames}"
        if reference.probe.hdr:
            facts["hdr"] = self._project.video.hdr
        return facts

    def _video(self, name: str, path: Path, plan: ClipPlan, window: Window) -> dict[str, str]:
        video = self._project.video
        facts = {
            name: self._media(path),
            "start": f"{window.start:.6f} s",
            "fps": f"{window.rate} by time" if window.resample else str(window.rate),
            "reshape": video.reshape,
            "dtype": video.dtype,
            "tiling": self._tiling(),
            "video_vae": self._component("video_vae"),
        }
        if video.reshape == "random":
            facts["crop"] = f"seed {video.seed}, {plan.clip.output}"
        return facts

    def _tiling(self) -> str:
        return "feathered tiles" if self._project.video.vae_tiling else "none"

    def _audio_latents(self, plan: ClipPlan) -> dict[str, str]:
        kept = plan.require()
        facts = {
            "start": f"{kept.window.start:.6f} s",
            "duration": f"{kept.window.duration} s",
            "audio_vae": self._component("audio_vae"),
        }
        if kept.audio is None:
            facts["sound"] = "silence"
        else:
            facts["audio"] = self._media(plan.clip.audio or plan.clip.media)
        return facts

    def _media(self, path: Path) -> str:
        return self._ledger.digest(path)

    def _text_encoder(self) -> str:
        if self._project.text_encoder_path is None:
            return UNKNOWN
        folder = text_encoder_folder(self._project)
        return self._ledger.digest(folder, "text_encoder", lambda: model_folder_digest(folder))

    def _component(self, name: str) -> str:
        if not is_set(self._project, name):
            return UNKNOWN
        path = component_path(self._project, name)
        return self._ledger.digest(path, name, lambda: _component_digest(path, name))

    def _decoded(self, stage: Stage, plan: ClipPlan) -> dict[str, str]:
        if stage is Stage.DECODED_AUDIO:
            return {
                "source": self.of(Stage.AUDIO_LATENTS, plan).digest,
                "audio_decoder": self._component("audio_decoder"),
                "vocoder": self._component("vocoder"),
            }
        source = Stage.LATENTS if stage is Stage.DECODED_VIDEOS else Stage.REFERENCE_LATENTS
        return {
            "source": self.of(source, plan).digest,
            "video_decoder": self._component("video_decoder"),
            "tiling": self._tiling(),
        }


class PlanFacts(Facts):
    """The facts of one plan: models are looked at once, and media together."""

    def __init__(self, project: Project, ledger: Ledger, media: Sequence[Path] = ()) -> None:
        """Look at media.

        Args:
            project: As for `Facts`.
            ledger: As for `Facts`.
            media: All that the plan may ask for.
        """
        super().__init__(project, ledger)
        self._known = dict(ledger.known_digests(media))
        self._models: dict[str, str] = {}

    def _media(self, path: Path) -> str:
        found = self._known.get(path)
        if found is None:
            found = self._known[path] = super()._media(path)
        return found

    def _text_encoder(self) -> str:
        if "" not in self._models:
            self._models[""] = super()._text_encoder()
        return self._models[""]

    def _component(self, name: str) -> str:
        if name not in self._models:
            self._models[name] = super()._component(name)
        return self._models[name]

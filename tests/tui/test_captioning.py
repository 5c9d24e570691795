"""Having clips captioned from the workbench: what is asked before, and what the worker is told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from engine.captioners.keys import VARIABLES
from engine.errors import EnvironmentFaultError
from engine.overview.types import CaptionState
from engine.project import Project, load_project
from engine.worker.captioner_types import Ready
from engine.worker.spec import Fault
from ltx_tui.captions.captioning import Counts, choices
from ltx_tui.screens.workbench import WorkbenchScreen
from tests.tui.captioner import READY, Bench, answer_with, caption_with, use_captioner
from tests.tui.captioning import caption_project, keep_quiet
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, screen_of

KEY = "sk-never-to-be-written-down"
PLAIN = {"override": False, "keep_edited": False, "instruction": None}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)
    answer_with(monkeypatch, READY)
    for name in [name for group in VARIABLES.values() for name in group]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Captions of clips 0, 1, 3, 4 and 5; clip 2 has none."""
    return use_captioner(caption_project(tmp_path / "bunny-lora"))


async def review(bench: Bench, *numbers: int) -> None:
    keys = [bench.captions.key_of(number) for number in numbers]
    await bench.captions.review(keys, reviewed=True)


def test_a_clip_without_a_caption_is_captioned(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        seen = await bench.open("j", "j", "c")
        assert "Caption clip-2.mp4" in seen
        assert "1 clip without a caption" in seen
        assert "openai: toy at 127.0.0.1:8000" in seen
        assert "frames and sound of the clips are sent there" in seen
        assert "✓ it can begin" in seen
        assert "stays among the versions" not in seen
        assert await bench.begin() == {**PLAIN, "only": ("clip-2.mp4",)}
        await bench.until(lambda: bench.toasts == ["job 9 begins to caption clip-2.mp4"])

    caption_with(project, steps)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_of_marked_clips_only_those_without_are_captioned_unless_others_are_chosen(
    project: Project, size: tuple[int, int]
) -> None:
    async def steps(bench: Bench) -> None:
        await review(bench, 3)
        seen = await bench.open("space", "space", "space", "space", "c")
        assert "Caption 4 marked clips" in seen
        assert "(•) 1 clip without a caption" in seen
        assert "( ) these, and 2 captions of a captioner or another tool anew" in seen
        assert "( ) all, also 1 caption that a person wrote, edited or reviewed" in seen
        assert "what is there stays among the versions" in seen
        assert_snapshot(bench.app, f"caption-dialog-{size[0]}x{size[1]}")
        names = tuple(f"clip-{number}.mp4" for number in range(4))
        assert await bench.begin() == {**PLAIN, "only": names}

    caption_with(project, steps, size=size)


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        (("j",), {"override": True, "keep_edited": True}),
        (("down", "down", "down"), {"override": True, "keep_edited": False}),
        (("down", "down", "k"), {"override": True, "keep_edited": True}),
        (("j", "up", "up"), {"override": False, "keep_edited": False}),
    ],
)
def test_captions_that_are_there_are_written_anew_only_when_chosen(
    project: Project, keys: tuple[str, ...], asked: dict[str, bool]
) -> None:
    async def steps(bench: Bench) -> None:
        await review(bench, 3)
        await bench.open("a", "c", *keys)
        told = await bench.begin()
        assert {name: told[name] for name in asked} == asked
        assert len(told["only"]) == 6

    caption_with(project, steps)


def test_what_a_person_wrote_is_kept_by_whoever_only_presses_enter(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await review(bench, 0)
        seen = await bench.open("c")
        assert "(•) leave 1 caption that a person wrote, edited or reviewed" in seen
        await bench.press("enter")
        await bench.until(lambda: isinstance(bench.app.screen, WorkbenchScreen))
        assert bench.stand.engine.asked == []
        await bench.open("c")
        await bench.press("down")
        assert (await bench.begin())["override"] is True

    caption_with(project, steps)


def test_escape_asks_for_nothing(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        for key in ("c", "C"):
            await bench.open(key)
            await bench.press("escape")
            await bench.until(lambda: isinstance(bench.app.screen, WorkbenchScreen))
        assert bench.stand.engine.asked == []

    caption_with(project, steps)


def test_all_that_have_no_caption(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        bench.store.update_row("clip-4.mp4", caption="", caption_state=CaptionState.NONE)
        await bench.press("slash", *"name:clip-0*", "enter")  # the filter does not matter
        seen = await bench.open("C")
        assert "2 clips without a caption" in seen
        assert await bench.begin() == {**PLAIN, "only": ()}
        await bench.until(lambda: bench.toasts == ["job 9 begins to caption all without a caption"])

    caption_with(project, steps)


def test_where_every_clip_has_a_caption_nothing_is_asked(tmp_path: Path) -> None:
    project = use_captioner(caption_project(tmp_path / "p", ["One.", "Two."]))

    async def steps(bench: Bench) -> None:
        await bench.press("C")
        await bench.until(lambda: bench.toasts)
        assert bench.toasts[0].startswith("no clip is without a caption; c captions")
        assert isinstance(bench.app.screen, WorkbenchScreen)

    caption_with(project, steps)


def test_what_is_typed_is_saved_before(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await bench.press("x")
        await bench.app.run_command("clips.caption")
        await bench.until(lambda: bench.app.screen is not screen_of(bench.app))
        await bench.press("down")
        await bench.begin()
        assert bench.dataset()[0].startswith("[VISUAL]: xA red fox")

    caption_with(project, steps, pane="caption")


# The captioner


def test_what_is_asked_is_what_the_project_says(project: Project) -> None:
    project = use_captioner(project, instruction="Say it\nin one line.", audio=False)

    async def steps(bench: Bench) -> None:
        seen = await bench.open("c")
        assert "asked: Say it in one line." in seen
        assert "  frames of the clips are sent there" in seen

    caption_with(project, steps)


def test_a_model_here_and_what_is_to_be_known(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = "Qwen/Qwen2.5-Omni-7B is not here yet and is downloaded first"
    answer_with(monkeypatch, Ready(model="Qwen/Qwen2.5-Omni-7B", at_once=1, notes=(note,)))
    values = {"captioner": "qwen_omni", "model": "", "base_url": "", "use_8bit": True}
    project = use_captioner(project, **values)

    async def steps(bench: Bench) -> None:
        seen = await bench.open("j", "j", "c")
        assert "qwen_omni: Qwen/Qwen2.5-Omni-7B in 8 bits, on auto" in seen
        assert "⚠ Qwen/Qwen2.5-Omni-7B is not here yet" in seen
        assert "f3 key" not in seen
        await bench.press("f3")  # there is no key to give
        assert (await bench.begin())["only"] == ("clip-2.mp4",)

    caption_with(project, steps)


@pytest.mark.parametrize("is_child", [False, True])
def test_a_captioner_that_cannot_begin_does_not(
    project: Project, monkeypatch: pytest.MonkeyPatch, is_child: bool
) -> None:
    words, remedy = "captioning with openai needs the package openai", "pip install it"
    fault = Fault(kind="EnvironmentFaultError", message=words, remedy=remedy)
    ready = Ready(model="", at_once=4, fault=fault, lacks_key=True)
    answer_with(monkeypatch, EnvironmentFaultError(words, remedy=remedy) if is_child else ready)

    async def steps(bench: Bench) -> None:
        seen = await bench.open("C")
        assert f"✗ {words}" in seen
        assert "→ pip install it; [captions] is changed in the settings (f2)" in seen
        assert "enter" not in seen.partition("Caption all")[2].partition("esc back")[0]
        await bench.press("enter")
        assert bench.stand.engine.asked == []
        await bench.press("escape")

    caption_with(project, steps)


def test_a_disk_without_room_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, OSError(28, "No space left on device"))

    async def steps(bench: Bench) -> None:
        assert "cannot be looked at: No space left on device" in await bench.open("C")

    caption_with(project, steps)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_a_key_that_is_missing_is_typed_unseen_and_written_nowhere(
    project: Project, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    answer_with(monkeypatch, Ready(model="gemini-flash-latest", at_once=4, lacks_key=True))
    # What `use_key` sets is taken back after the test.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    project = use_captioner(project, captioner="gemini_flash", model="", base_url="")

    async def steps(bench: Bench) -> None:
        seen = await bench.open("C")
        assert "gemini_flash: gemini-flash-latest at Google" in seen
        assert "it wants a key, and the environment has none" in seen
        assert_snapshot(bench.app, f"caption-key-{size[0]}x{size[1]}")
        await bench.press("enter")
        await bench.until(lambda: bench.toasts)
        assert bench.toasts[0].startswith("type the key of gemini_flash")
        await bench.press(*KEY)
        await bench.still()
        assert KEY not in bench.screen_text
        assert "•" * 9 in bench.screen_text
        await bench.begin()
        assert os.environ["GOOGLE_API_KEY"] == KEY

    caption_with(project, steps, size=size)
    kept = [file.read_bytes() for file in project.root.rglob("*") if file.is_file()]
    assert kept
    assert not any(KEY.encode() in data for data in kept)


def test_a_key_may_be_given_to_a_server_of_ones_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))

    async def steps(bench: Bench) -> None:
        assert "f3 key" in await bench.open("C")
        await bench.press("f3", *KEY)
        await bench.begin()
        assert os.environ["OPENAI_API_KEY"] == KEY

    caption_with(project, steps)


def test_who_presses_enter_early_begins_when_it_is_known_that_it_can(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def check(_project: Project) -> Ready:
        await gate.wait()
        return READY

    monkeypatch.setattr("ltx_tui.screens.captioner_dialog.check", check)

    async def steps(bench: Bench) -> None:
        await bench.press("C", "enter")
        await bench.still()
        assert "○ looking whether it can" in bench.screen_text
        assert bench.stand.engine.asked == []
        gate.set()
        await bench.until(lambda: bench.stand.engine.asked)

    caption_with(project, steps)


def test_an_instruction_that_is_being_typed_is_not_typed_into_the_key(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, Ready(model="", at_once=4, lacks_key=True))
    monkeypatch.setattr(os, "environ", dict(os.environ))

    async def steps(bench: Bench) -> None:
        assert "OPENAI_API_KEY: kept in memory alone" in await bench.open("ctrl+l")
        await bench.press(*"Short.", "enter")
        await bench.until(lambda: bench.toasts)
        assert "Short." in bench.screen_text
        await bench.press(*KEY)
        assert (await bench.begin())["instruction"] == "Short."
        assert os.environ["OPENAI_API_KEY"] == KEY

    caption_with(project, steps, pane="caption")


# Words


def test_choices_in_words() -> None:
    def words(**counts: int) -> list[str]:
        return [line for _, line in choices(Counts(**counts))]

    assert words(missing=1) == ["1 clip without a caption"]
    assert words(found=1) == ["1 caption of a captioner or another tool is written anew"]
    assert words(found=2, by_hand=1) == [
        "2 captions of a captioner or another tool are written anew",
        "all, also 1 caption that a person wrote, edited or reviewed",
    ]
    assert words(by_hand=2) == [
        "leave 2 captions that a person wrote, edited or reviewed",
        "caption anew all the same",
    ]
    assert words(missing=1, by_hand=1)[1].startswith("all, also 1 caption")


def test_settings_are_as_they_were(project: Project) -> None:
    before = (project.root / "project.toml").read_bytes()

    async def steps(bench: Bench) -> None:
        await bench.open("C")
        await bench.begin()

    caption_with(project, steps)
    assert (project.root / "project.toml").read_bytes() == before
    assert load_project(project.root / "project.toml").captions == project.captions

"""What becomes of a caption that a captioner wrote: rejected, asked for again, or kept aside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.captioners.keys import VARIABLES
from engine.dataset.caption_origins import Origin
from engine.dataset.caption_store import NewCaption, open_store
from engine.dataset.versions import Kind
from engine.errors import EnvironmentFaultError
from engine.overview.types import CaptionState
from engine.project import Project, load_project
from ltx_tui.captions.captioning import count
from ltx_tui.captions.editing import Captions
from ltx_tui.captions.shelf import Shelf
from ltx_tui.state import load_state
from tests.tui import fake_worker as fake
from tests.tui.captioner import (
    READY,
    Bench,
    answer_with,
    caption_with,
    captions_job,
    use_captioner,
    watcher_of,
)
from tests.tui.captioning import CAPTIONS, SECTIONED, caption_project, keep_quiet
from tests.tui.conftest import SMALL, WIDE, assert_snapshot

NEW = "[VISUAL]: A fox.\n[SPEECH]: None\n[SOUNDS]: Wind.\n[TEXT]: None"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)
    answer_with(monkeypatch, READY)
    for name in [name for group in VARIABLES.values() for name in group]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return use_captioner(caption_project(tmp_path / "bunny-lora"))


async def come(bench: Bench, project: Project, number: int, text: str) -> None:
    """Have a job caption a clip, as the worker does, and wait until it is looked at."""
    watcher_of(bench).jobs = (captions_job(),)
    store = open_store(project.dataset_path, project.state_dir)
    row = store.rows()[number]
    new = NewCaption(
        key=row.key, base=row.caption, text=text, is_new=False, origin=Origin(captioner="toy")
    )
    assert store.write([new]) == frozenset()
    bench.captions._has_to_look = True
    await bench.captions.save()
    await bench.still()


async def kinds(bench: Bench) -> list[tuple[str, str]]:
    found = await bench.captions.versions(bench.doc.key)
    return [(one.kind.value, one.text) for one in found]


# What comes


def test_a_new_caption_is_in_list_and_editor(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await bench.go_to("clip-2.mp4")
        await come(bench, project, 2, NEW)
        assert bench.doc.text == NEW
        assert "SOUNDS  Wind." in bench.screen_text
        assert "1 new caption came in" in bench.screen_text
        row = bench.store.get(2)
        assert (row.caption, row.caption_state) == (NEW, CaptionState.AUTO)
        # Those that are not in hand are in the list as well.
        await come(bench, project, 5, "Thick fog.")
        assert bench.store.get(5).caption == "Thick fog."
        assert "2 new captions came in" in bench.screen_text

    caption_with(project, steps, pane="caption")


def test_what_is_typed_meanwhile_stays_and_the_new_one_is_a_version(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await bench.go_to("clip-2.mp4")
        await bench.press("f6", *"Mine.")
        await come(bench, project, 2, NEW)
        await bench.until(lambda: bench.dataset()[2] == "Mine.")
        assert bench.doc.text == "Mine."
        assert bench.doc.clash is None
        assert bench.toasts == [
            "clip-2.mp4: what you typed stays; the new caption is among its versions"
        ]
        assert ("auto", NEW) in await kinds(bench)
        assert bench.store.get(2).caption_state is CaptionState.EDITED

    caption_with(project, steps, pane="caption")


def test_what_was_saved_before_the_new_one_came_stays_ones_own_version(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await bench.go_to("clip-2.mp4")
        store = open_store(project.dataset_path, project.state_dir)
        asked = store.rows()[2]
        await bench.press("f6", *"Mine.")
        await bench.save()
        new = NewCaption(
            key=asked.key, base="", text=NEW, is_new=False, origin=Origin(captioner="toy")
        )
        assert store.write([new]) == {asked.key}
        await bench.press(*" More.")
        await bench.save()
        assert bench.dataset()[2] == "Mine. More."
        assert await kinds(bench) == [
            ("edited", "Mine. More."),
            ("edited", "Mine."),
            ("auto", NEW),
            ("edited", "Mine."),
        ]

    caption_with(project, steps, pane="caption")


def test_what_another_program_wrote_meanwhile_is_still_asked_about(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        watcher_of(bench).jobs = (captions_job(),)
        await bench.go_to("clip-2.mp4")
        await bench.press("f6", *"Mine.")
        bench.change_outside(2, "Theirs.")
        await bench.save()
        assert bench.doc.clash is not None
        for key in ("f3", "ctrl+l"):
            await bench.press(key)
            await bench.until(lambda: bench.toasts)
            assert bench.toasts == ["first decide what becomes of the conflict: ctrl+g"]
            bench.app.clear_notifications()

    caption_with(project, steps, pane="caption")


def test_captions_of_a_job_that_ended_long_ago_are_others(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await come(bench, project, 2, NEW)
        watcher_of(bench).jobs = (captions_job("done", ended=1.0), fake.job(8))
        bench.change_outside(3, "A bird.")
        await bench.save()
        assert "merged 1 caption changed outside" not in bench.screen_text  # new ones go first
        await bench.go_to("clip-4.mp4")
        bench.change_outside(3, "Three birds.")
        await bench.save()
        await bench.until(lambda: "merged 1 caption changed outside" in bench.screen_text)

    caption_with(project, steps, pane="caption")


# Rejecting


def test_the_first_caption_that_is_rejected_leaves_none(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await bench.go_to("clip-2.mp4")
        await come(bench, project, 2, NEW)
        assert count(bench.store).missing == 0
        await bench.press("f3")
        await bench.until(lambda: bench.toasts)
        assert bench.toasts == ["rejected: the caption is empty again; ctrl+z undoes it"]
        await bench.save()
        assert bench.dataset()[2] == ""
        assert bench.store.get(2).caption_state is CaptionState.NONE
        assert count(bench.store).missing == 1
        assert ("rejected", NEW) in await kinds(bench)
        await bench.press("f3")
        await bench.until(
            lambda: "there is nothing to reject: the caption is empty" in bench.toasts
        )
        await bench.press("ctrl+z")
        await bench.save()
        assert bench.dataset()[2] == NEW

    caption_with(project, steps, pane="caption")


def test_one_rejected_after_the_other_goes_back_to_what_was_there(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await bench.save()
        for text in ("First.", "Second."):
            await come(bench, project, 0, text)
            assert bench.doc.text == text
            await bench.press("f3")
            await bench.until(lambda: bench.doc.text == SECTIONED)
            await bench.save()
            assert bench.toasts[-1].startswith("rejected: back to the auto version of just now")
        # A tool wrote that, so that it is still to be reviewed.
        assert bench.store.get(0).caption_state is CaptionState.AUTO
        # What was rejected is never gone back to.
        await bench.press("f3")
        await bench.until(lambda: bench.doc.text == "")
        await bench.save()
        assert {kind for kind, text in await kinds(bench) if text} == {"rejected"}

    caption_with(project, steps, pane="caption")


def test_a_persons_own_caption_is_gone_back_to_as_their_own(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await bench.save()
        await bench.type_over("By hand.")
        await bench.save()
        await bench.press("ctrl+r")
        await come(bench, project, 0, NEW)
        assert bench.store.get(0).caption_state is CaptionState.AUTO
        await bench.press("f3")
        await bench.until(lambda: bench.doc.text == "By hand.")
        await bench.save()
        assert bench.store.get(0).caption_state is CaptionState.REVIEWED
        # What was typed and is not saved yet can be rejected, too, and is a version then.
        await bench.type_over("By hand, and wrong.")
        await bench.press("f3")
        await bench.until(lambda: bench.doc.text == "By hand.")
        assert (await kinds(bench))[0] == ("rejected", "By hand, and wrong.")

    caption_with(project, steps, pane="caption")


def test_what_cannot_be_kept_is_not_rejected(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EnvironmentFaultError("the disk is full", remedy="make space")

    monkeypatch.setattr(Shelf, "reject", fail)

    async def steps(bench: Bench) -> None:
        await bench.press("f3")
        await bench.until(lambda: bench.toasts == ["the disk is full — make space"])
        assert bench.doc.text == SECTIONED

    caption_with(project, steps, pane="caption")


def test_where_nothing_can_be_kept_nothing_is_rejected_or_asked(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(bench: Bench) -> None:
        bench.captions.is_read_only = True
        for key in ("f3", "ctrl+l"):
            await bench.press(key)
            await bench.until(lambda: bench.toasts == ["nothing can be edited"])
            bench.app.clear_notifications()
        assert bench.dataset()[0] == CAPTIONS[0]

    caption_with(project, steps, pane="caption")


# Again


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_a_clip_is_captioned_again_with_another_instruction(
    project: Project, size: tuple[int, int]
) -> None:
    before = (project.root / "project.toml").read_bytes()

    async def steps(bench: Bench) -> None:
        seen = await bench.open("ctrl+l")
        assert "Caption clip-0.mp4 again" in seen
        assert "empty: asks for the four sections" in seen
        await bench.press(*"Name", "ctrl+j", *"the animal.")
        assert_snapshot(bench.app, f"caption-again-{size[0]}x{size[1]}")
        asked = await bench.begin()
        assert asked == {
            "override": True,
            "keep_edited": False,
            "only": ("clip-0.mp4",),
            "instruction": "Name\nthe animal.",
        }
        # The next time it begins with that.
        await bench.go_to("clip-3.mp4")
        seen = await bench.open("ctrl+l")
        assert "Name" in seen
        assert "the animal." in seen
        await bench.press("escape")
        keeper = bench.app.keeper
        assert keeper is not None
        keeper.write()

    caption_with(project, steps, pane="caption", size=size)
    assert (project.root / "project.toml").read_bytes() == before
    assert load_state(project.state_dir).instruction == "Name\nthe animal."


def test_the_instruction_is_kept_when_asked_for(project: Project) -> None:
    project = use_captioner(project, instruction="Be short.")

    async def steps(bench: Bench) -> None:
        seen = await bench.open("ctrl+l")
        assert "Be short." in seen
        assert "[ ] keep the instruction" in seen
        await bench.press(*" Please.", "f6", "f6", "f6")
        await bench.still()
        assert "[x] keep the instruction" in bench.screen_text
        assert (await bench.begin())["instruction"] == "Be short. Please."
        await bench.until(lambda: "the instruction is in project.toml now" in bench.toasts)

    caption_with(project, steps, pane="caption")
    kept = load_project(project.root / "project.toml")
    assert kept.captions.instruction == "Be short. Please."


def test_what_a_person_wrote_is_said_to_be_theirs(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        await bench.press("ctrl+r")
        seen = await bench.open("ctrl+l")
        assert "a person wrote, edited or reviewed it" in seen

    caption_with(project, steps, pane="caption")


def test_control_characters_that_are_pasted_are_not_asked(project: Project) -> None:
    from textual.events import Paste

    async def steps(bench: Bench) -> None:
        await bench.open("ctrl+l")
        focused = bench.app.focused
        assert focused is not None
        focused.post_message(Paste("Be\x1b[2J short.\nNow."))
        await bench.pilot.pause()
        asked = await bench.begin()
        assert "\x1b" not in asked["instruction"]
        assert asked["instruction"].endswith("short.\nNow.")

    caption_with(project, steps, pane="caption")


def test_of_several_rows_of_one_file_only_the_one_in_hand_is_asked_about(tmp_path: Path) -> None:
    project = use_captioner(caption_project(tmp_path / "p", ["One.", "Two.", "Three."]))
    rows = json.loads(project.dataset_path.read_text("utf-8"))
    rows[2]["media_path"] = "clip-0.mp4"
    project.dataset_path.write_text(json.dumps(rows), "utf-8")
    _rename(project, 2, "clip-0.mp4")

    async def steps(bench: Bench) -> None:
        await bench.open("ctrl+l")
        assert (await bench.begin())["only"] == ("clip-0.mp4 #1",)

    caption_with(project, steps, pane="caption")


def _rename(project: Project, row: int, name: str) -> None:
    from engine.overview.file import FILE, write_overview
    from tests.tui.rows import make_overview, make_row

    captions = ["One.", "Two.", "Three."]
    rows = [
        make_row(n, name=name if n == row else f"clip-{n}.mp4", caption=text)
        for n, text in enumerate(captions)
    ]
    write_overview(project.state_dir / FILE, make_overview(rows))


def test_versions_know_what_was_rejected(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        assert isinstance(bench.captions, Captions)
        await bench.press("f3")
        await bench.until(lambda: bench.doc.text == "")
        found = await bench.captions.versions(bench.doc.key)
        assert [one.kind for one in found if one.text] == [Kind.REJECTED]

    caption_with(project, steps, pane="caption")

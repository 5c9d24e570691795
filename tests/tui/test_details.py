import pytest

from engine.overview.types import Made, OutputState, StageState
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Outlook
from engine.project import Project, apply_overrides
from ltx_tui.clips.detail_lines import crop, crop_words, details, made_words
from ltx_tui.drawing.signs import ASCII
from ltx_tui.widgets.details import Details
from tests.tui.conftest import SMALL, WIDE, alone, assert_snapshot, run_app, shown
from tests.tui.rows import make_row, store_of

OUTLOOKS = (
    Outlook(
        stage=Stage.LATENTS, name="960x544x49", rung="one-shot", need=1, text="one-shot 5.1 GiB"
    ),
    Outlook(stage=Stage.LATENTS, name="544x960x121", rung="x", need=1, text="other bucket"),
    Outlook(
        stage=Stage.CONDITIONS, name="captions", rung="x", need=1, text="more than free", fits=False
    ),
)
FULL = make_row(
    0,
    name="sub/scene.mp4",
    media="/data/sub/scene.mp4",
    size=(1920, 1080),
    reference="/data/sub/scene_reference.mp4",
    warnings=("two sound tracks: the first one is used — export it with the one that you want",),
    stages=(
        StageState("conditions", OutputState.STALE, "caption edited"),
        StageState("latents", OutputState.FAILED, "cut short after 62 of 137 frames", "copy it"),
        StageState("audio_latents", OutputState.FRESH),
    ),
    made=(
        Made("conditions", 0.5, adopted=True),
        Made("audio_latents", 1.25, "one-shot", "cuda:0", 3 << 30),
    ),
)


@pytest.fixture
def project(tmp_path):
    return Project.defaults(tmp_path)


def words(row, project, **options):
    return [(one.head, one.text) for one in details(row, project, **options)]


def test_all_that_is_known_is_said(project):
    assert words(FULL, project, outlooks=OUTLOOKS) == [
        ("file", "/data/sub/scene.mp4"),
        ("media", "1920×1080  24 fps  2.0 s (48 frames)"),
        ("", "h264 · aac 48 kHz stereo"),
        ("⚠", "two sound tracks: the first one is used — export it with the one that you want"),
        ("reference", "scene_reference.mp4"),
        ("bucket", "960×544×49  crop 0.7 % of its width"),
        ("keeps", "0.00–2.04 s of 2.00 s  (49 frames)"),
        ("forecast", "one-shot 5.1 GiB"),
        ("forecast", "caption: more than free"),
        ("conditions", "stale: caption edited"),
        ("", "made by another tool, verified"),
        ("latents", "failed: cut short after 62 of 137 frames"),
        ("", "→ copy it"),
        ("audio latents", "fresh"),
        ("", "one-shot in 1.2 s on cuda:0, peak 3.0 GiB beside the weights"),
    ]


def test_of_a_clip_that_was_not_looked_at_yet_little_is_said(project):
    row = make_row(0, seconds=0.0, size=(0, 0), bucket="", stages=(), codec="")
    assert words(row, project) == [("file", "/data/scene-0000.mp4")]


def test_plain_signs_where_the_terminal_has_no_others(project):
    text = "".join(head + body for head, body in words(FULL, project, how=ASCII))
    assert "×" not in text
    assert "⚠" not in text
    assert "→" not in text


@pytest.mark.parametrize(
    ("size", "bucket", "said"),
    [
        ((1920, 1088), "960x544x49", "no crop"),
        ((1920, 1080), "960x544x49", "crop 0.7 % of its width"),
        ((1080, 1920), "960x544x49", "crop 68.1 % of its height"),
        ((480, 272), "960x544x49", "no crop · enlarged 2 times"),
    ],
)
def test_crops_in_words(project, size, bucket, said):
    row = make_row(0, size=size, bucket=bucket)
    assert crop_words(row, crop(row, project)) == said


def test_a_random_crop_is_the_one_that_will_be_made(project):
    row = make_row(0, size=(1920, 1080), bucket="544x960x49")
    centre = crop(row, project)
    drawn = crop(row, apply_overrides(project, {"video.reshape": "random"}))
    assert centre.left == (centre.width - 544) // 2
    assert (drawn.width, drawn.height) == (centre.width, centre.height)
    assert drawn != centre
    assert crop(make_row(0, bucket=""), project) is None


def test_how_an_output_was_made():
    assert made_words(Made("latents", 1.0, "stream 16", "cpu")) == "stream 16 in 1.0 s on cpu"
    assert made_words(Made("latents")) == "made"


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_how_it_looks(size):
    pane = Details(store_of([FULL, make_row(1)], outlooks=OUTLOOKS))

    async def steps(pilot):
        pane.show_clip(FULL.name)
        await pilot.pause()
        assert_snapshot(pilot.app, f"details-{size[0]}x{size[1]}")

    run_app(alone(pane), steps, size=size)


@pytest.mark.parametrize("width", [24, 38, 60, 100])
def test_lines_are_wrapped_and_never_cut(width):
    pane = Details(store_of([FULL], outlooks=OUTLOOKS))

    async def steps(pilot):
        pane.show_clip(FULL.name)
        await pilot.pause()
        text = " ".join(" ".join(shown(pilot.app)).split())
        for word in (
            "scene_reference.mp4",
            "verified",
            "weights",
            "export it with the one that you",
        ):
            assert word.replace(" ", "") in text.replace(" ", "")
        assert pane.virtual_size.width <= width

    pane.styles.width = width
    run_app(alone(pane), steps, size=(120, 60))


def test_a_change_of_the_clip_is_shown_and_a_change_of_another_is_not():
    store = store_of([FULL, make_row(1)])
    pane = Details(store)

    async def steps(pilot):
        pane.show_clip(FULL.name)
        await pilot.pause()
        before = pane.items
        store.update_row("scene-0001.mp4", caption="other")
        assert pane.items is before
        store.update_row(FULL.name, stages=(StageState("latents", OutputState.RUNNING),))
        await pilot.pause()
        assert any("latents" in line and "running" in line for line in shown(pilot.app))
        pane.show_clip("")
        await pilot.pause()
        assert pane.items == ()

    run_app(alone(pane), steps)


def test_details_scroll_and_are_copied(monkeypatch):
    copied = []
    pane = Details(store_of([FULL], outlooks=OUTLOOKS))

    async def steps(pilot):
        async def copy(text):
            copied.append(text)

        monkeypatch.setattr(pilot.app, "copy", copy)
        pane.styles.height = 5
        pane.show_clip(FULL.name)
        pane.focus()
        await pilot.pause()
        await pilot.press("down", "down", "y")
        assert pane.scroll_offset.y == 2

    run_app(alone(pane), steps)
    assert "bucket" in copied[0]
    assert copied[0].splitlines()[0].endswith("/data/sub/scene.mp4")

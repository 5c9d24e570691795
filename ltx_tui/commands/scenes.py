"""The commands about videos that are cut into scenes; see `ltx_tui.commands.all`."""

from __future__ import annotations

from ltx_tui.commands.command import Command

SCENE_COMMANDS: tuple[Command, ...] = (
    # Videos to cut into scenes
    Command(id="videos.close", title="Back", keys=("escape", "X"), footer="back"),
    Command(
        id="videos.open",
        title="Its scenes: find, join, split, leave out",
        keys=("enter", "v"),
        footer="scenes",
    ),
    Command(id="videos.pick", title="Choose the video, or not", keys=("space",), footer="choose"),
    Command(id="videos.pick-all", title="Choose all videos", keys=("a",)),
    Command(id="videos.pick-none", title="Choose none", keys=("A",)),
    Command(
        id="videos.find",
        title="Find the scenes of the video or the chosen ones",
        keys=("f",),
        footer="find",
        cli="ltx-tui split-scenes --dry-run",
    ),
    Command(
        id="videos.cut",
        title="Cut the video or the chosen ones; asks before",
        keys=("c",),
        footer="cut",
        cli="ltx-tui split-scenes --add-to-dataset",
    ),
    Command(id="videos.stop", title="Stop cutting or looking; what is done stays", keys=("x",)),
    Command(
        id="videos.path",
        title="Add a video or a folder by its path",
        keys=("o", "slash"),
        footer="other file",
    ),
    Command(id="videos.down", title="Next video", keys=("j", "down")),
    Command(id="videos.up", title="Previous video", keys=("k", "up")),
    Command(id="videos.look", title="Read the folder again", keys=("f5",)),
    # Scenes of a video
    Command(id="scenes.close", title="Back", keys=("escape",), footer="back"),
    Command(
        id="scenes.turn",
        title="Leave the scene out, or keep it",
        keys=("space",),
        footer="keep/drop",
    ),
    Command(id="scenes.cut", title="Cut this video; asks before", keys=("c",), footer="cut"),
    Command(id="scenes.join", title="Join with the next scene", keys=("m",), footer="join"),
    Command(
        id="scenes.split",
        title="Split at the cursor: its frame begins a scene",
        keys=("s",),
        help="← and → show the cursor. A split is exact: no guard is left out there.",
        footer="split",
    ),
    Command(id="scenes.undo", title="Take the last change back", keys=("u",), footer="undo"),
    Command(
        id="scenes.reset",
        title="Forget what was joined, split and left out",
        keys=("backspace",),
        help="The detector's scenes again; u brings it back.",
    ),
    Command(id="scenes.stop", title="Stop cutting or looking; what is done stays", keys=("x",)),
    Command(
        id="scenes.detector",
        title="Choose the detector",
        keys=("d",),
        footer="detector",
        cli="ltx-tui split-scenes --detector",
    ),
    Command(
        id="scenes.threshold",
        title="Type the threshold",
        keys=("t",),
        footer="threshold",
        cli="ltx-tui split-scenes --threshold",
    ),
    Command(id="scenes.threshold-up", title="Higher threshold", keys=("plus", "equals_sign")),
    Command(id="scenes.threshold-down", title="Lower threshold", keys=("minus",)),
    Command(
        id="scenes.least",
        title="Frames that the detector holds a scene",
        keys=("l",),
        cli="ltx-tui split-scenes --min-scene-length",
    ),
    Command(
        id="scenes.shorter",
        title="Leave out scenes shorter than",
        keys=("f",),
        cli="ltx-tui split-scenes --filter-shorter-than",
    ),
    Command(
        id="scenes.guard",
        title="Frames left out at each cut",
        keys=("w",),
        cli="ltx-tui split-scenes --trim",
    ),
    Command(
        id="scenes.spread",
        title="Take these settings for all chosen videos",
        keys=("a",),
        help="Detector, threshold and lengths; what was joined and split there stays.",
    ),
    Command(id="scenes.frame-on", title="Next frame", keys=("right",)),
    Command(id="scenes.frame-back", title="Previous frame", keys=("left",)),
    Command(id="scenes.second-on", title="A second on", keys=("full_stop", "shift+right")),
    Command(id="scenes.second-back", title="A second back", keys=("comma", "shift+left")),
    Command(id="scenes.zoom", title="The whole video, or the scene", keys=("z",), footer="zoom"),
    Command(id="scenes.down", title="Next scene", keys=("j", "down")),
    Command(id="scenes.up", title="Previous scene", keys=("k", "up")),
    Command(id="scenes.next-video", title="Next video", keys=("n",)),
    Command(id="scenes.previous-video", title="Previous video", keys=("N",)),
    Command(id="scenes.look", title="Find the scenes again", keys=("f5",)),
)

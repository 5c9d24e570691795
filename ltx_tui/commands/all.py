"""The list of all commands; see `ltx_tui.commands.registry`."""

from __future__ import annotations

from ltx_tui.commands.command import Command
from ltx_tui.commands.scenes import SCENE_COMMANDS

COMMANDS: tuple[Command, ...] = (
    # Everywhere
    Command(id="app.palette", title="All commands", keys=("ctrl+p",), footer="commands"),
    Command(
        id="app.help",
        title="Help for what has the focus",
        keys=("f1", "question_mark"),
        footer="help",
    ),
    Command(id="app.jump", title="Jump to a pane by letter", keys=("ctrl+o",)),
    Command(id="app.settings", title="Settings (project.toml)", keys=("f2",)),
    Command(id="app.log", title="Log of worker and encoders", keys=("f4",), cli="ltx-tui logs -f"),
    Command(id="app.theme", title="Change the theme"),
    Command(id="app.quit", title="Leave; the work goes on", keys=("ctrl+q",), footer="leave"),
    # Workbench: panes and jobs
    Command(id="workbench.clips", title="Go to the clips", keys=("1", "escape")),
    Command(id="workbench.caption", title="Go to details and caption", keys=("2",)),
    Command(id="workbench.buckets", title="Go to the buckets", keys=("3",)),
    Command(id="workbench.jobs", title="Go to jobs and memory", keys=("4",)),
    Command(
        id="workbench.plan",
        title="Plan: what a run would do",
        keys=("P",),
        footer="plan",
        cli="ltx-tui plan",
    ),
    Command(id="workbench.run", title="Run", keys=("R",), footer="run", cli="ltx-tui run"),
    Command(
        id="workbench.pause",
        title="Pause or resume the job",
        keys=("ctrl+s",),
        cli="ltx-tui pause, resume",
    ),
    Command(id="workbench.cancel", title="Cancel the job", cli="ltx-tui cancel"),
    Command(id="workbench.retry", title="Try failed clips again", cli="ltx-tui retry"),
    Command(
        id="workbench.frames", title="Frames: what the model sees", keys=("v",), footer="frames"
    ),
    Command(
        id="workbench.doctor",
        title="Doctor: what would spoil the training",
        keys=("D",),
        footer="doctor",
        cli="ltx-tui doctor",
    ),
    Command(
        id="workbench.caption-missing",
        title="Caption all clips that have no caption",
        keys=("C",),
        cli="ltx-tui caption-videos",
    ),
    Command(
        id="workbench.scenes",
        title="Scenes: cut long videos into clips",
        keys=("X",),
        footer="scenes",
        cli="ltx-tui split-scenes",
    ),
    Command(id="workbench.refresh", title="Read dataset and outputs again", keys=("f5",)),
    # Clip list
    Command(id="clips.down", title="Next clip", keys=("j", "down")),
    Command(id="clips.up", title="Previous clip", keys=("k", "up")),
    Command(id="clips.page-down", title="A page down", keys=("ctrl+d", "pagedown")),
    Command(id="clips.page-up", title="A page up", keys=("ctrl+u", "pageup")),
    Command(id="clips.first", title="First clip", keys=("g", "home")),
    Command(id="clips.last", title="Last clip", keys=("G", "end")),
    Command(id="clips.filter", title="Filter", keys=("slash",), footer="filter"),
    Command(id="clips.clear-filter", title="Show all clips", keys=("escape",)),
    Command(id="clips.sort", title="Sort by the next column", keys=("s",)),
    Command(id="clips.sort-back", title="Turn the order around", keys=("S",)),
    Command(id="clips.mark", title="Mark the clip", keys=("space",), footer="mark"),
    Command(id="clips.mark-all", title="Mark all that are shown", keys=("a",)),
    Command(id="clips.unmark-all", title="Remove all marks", keys=("A",)),
    Command(id="clips.mark-range", title="Mark from the last mark to here", keys=("V",)),
    Command(id="clips.edit", title="Edit the caption", keys=("e", "enter"), footer="edit"),
    Command(id="clips.reviewed", title="Mark the caption as reviewed, or not", keys=("r",)),
    Command(
        id="clips.bucket", title="Choose the bucket of the clip or the marked ones", keys=("b",)
    ),
    Command(id="clips.run-marked", title="Run the clip or the marked ones", keys=("x",)),
    Command(
        id="clips.caption",
        title="Caption the clip or the marked ones",
        keys=("c",),
        help="Asks before a caption that is there is written anew.",
        cli="ltx-tui caption-videos --clip",
    ),
    Command(
        id="clips.take-out",
        title="Take the clip or the marked ones out of the dataset",
        keys=("d", "delete"),
        help="Asks before.",
        cli="ltx-tui take-out",
    ),
    Command(
        id="clips.give-back",
        title="Give back the rows that were taken out last",
        keys=("U",),
        cli="ltx-tui take-out --give-back",
    ),
    Command(id="clips.copy", title="Copy the path", keys=("y",)),
    Command(id="clips.next-unreviewed", title="Next caption to review", keys=("n",)),
    Command(id="clips.previous-unreviewed", title="Previous caption to review", keys=("N",)),
    Command(
        id="clips.review-worst",
        title="Review the most suspicious caption",
        keys=("w",),
        help="Sorts by suspicion; n then goes on to the next.",
    ),
    # Details
    Command(id="details.copy", title="Copy the details", keys=("y",)),
    # Caption editor
    Command(
        id="caption.leave",
        title="Back to the clips; the caption is saved",
        keys=("escape",),
        footer="done",
    ),
    Command(id="caption.next", title="Next clip", keys=("ctrl+down", "f8")),
    Command(id="caption.previous", title="Previous clip", keys=("ctrl+up", "f7")),
    Command(
        id="caption.next-unreviewed",
        title="Mark as reviewed, go to the next to review",
        keys=("ctrl+n",),
        footer="reviewed, next",
    ),
    Command(
        id="caption.skip-unreviewed",
        title="Next to review; this one stays as it is",
        keys=("alt+down",),
    ),
    Command(id="caption.previous-unreviewed", title="Previous to review", keys=("alt+up",)),
    Command(id="caption.reviewed", title="Mark as reviewed, or not", keys=("ctrl+r",)),
    Command(
        id="caption.reject",
        title="Reject the caption: back to the version before, or to none",
        keys=("f3",),
        help="What is rejected stays among the versions; ctrl+z brings it back.",
        footer="reject",
    ),
    Command(
        id="caption.again",
        title="Caption this clip again, with another instruction",
        keys=("ctrl+l",),
        footer="again",
        cli="ltx-tui caption-videos --override --clip NAME -i",
    ),
    Command(id="caption.sections", title="Sections or plain text", keys=("f6",)),
    Command(id="caption.fold", title="Fold or unfold the section", keys=("ctrl+t",)),
    Command(id="caption.external", title="Edit in $EDITOR", keys=("ctrl+e",)),
    Command(
        id="caption.find",
        title="Find and replace in this and the marked captions",
        keys=("ctrl+f",),
        footer="replace",
    ),
    Command(
        id="caption.history", title="Versions of this caption", keys=("f9",), footer="versions"
    ),
    Command(id="caption.undo", title="Undo", keys=("ctrl+z",)),
    Command(id="caption.redo", title="Redo", keys=("ctrl+y",)),
    Command(
        id="caption.conflict",
        title="Decide a conflict with the dataset file",
        keys=("ctrl+g",),
        help="When another program changed a caption that was edited here.",
    ),
    # Find and replace
    Command(id="replace.close", title="Back; nothing is replaced", keys=("escape",), footer="back"),
    Command(
        id="replace.apply",
        title="Replace what is chosen, on the list",
        keys=("enter",),
        footer="replace chosen",
    ),
    Command(
        id="replace.toggle", title="Choose the change, or not", keys=("space",), footer="choose"
    ),
    Command(id="replace.all", title="Choose all changes", keys=("a",)),
    Command(id="replace.none", title="Choose no change", keys=("A",)),
    Command(id="replace.down", title="Next change", keys=("j", "down")),
    Command(id="replace.up", title="Previous change", keys=("k", "up")),
    Command(id="replace.regex", title="Regular expression, or plain text", keys=("f6",)),
    Command(id="replace.case", title="Upper and lower case differ, or not", keys=("f7",)),
    Command(id="replace.where", title="This caption, or the marked ones", keys=("f8",)),
    # Versions of a caption
    Command(id="versions.close", title="Back", keys=("escape", "f9"), footer="back"),
    Command(
        id="versions.restore",
        title="Restore the version; it can be undone",
        keys=("enter",),
        footer="restore",
    ),
    Command(id="versions.down", title="Older version", keys=("j", "down")),
    Command(id="versions.up", title="Newer version", keys=("k", "up")),
    Command(
        id="versions.pin",
        title="Compare the others with this version, or with the caption as it is",
        keys=("space",),
        footer="compare with",
    ),
    Command(
        id="versions.view",
        title="Beside each other, or what goes and comes in one text",
        keys=("d",),
        footer="one text/two",
    ),
    Command(id="versions.page-down", title="The text a page down", keys=("ctrl+d", "pagedown")),
    Command(id="versions.page-up", title="The text a page up", keys=("ctrl+u", "pageup")),
    # A conflict
    Command(id="conflict.close", title="Decide later", keys=("escape",), footer="later"),
    Command(
        id="conflict.mine", title="Keep mine, over what is there", keys=("m",), footer="keep mine"
    ),
    Command(
        id="conflict.theirs",
        title="Take theirs; mine stays among the versions",
        keys=("t",),
        footer="take theirs",
    ),
    Command(id="conflict.both", title="Edit both together", keys=("b",), footer="edit both"),
    # Buckets
    Command(id="buckets.down", title="Next bucket", keys=("j", "down")),
    Command(id="buckets.up", title="Previous bucket", keys=("k", "up")),
    Command(id="buckets.add", title="Add a bucket", keys=("a",), footer="add"),
    Command(id="buckets.edit", title="Change the bucket", keys=("e", "enter"), footer="change"),
    Command(id="buckets.delete", title="Delete the bucket", keys=("d", "delete"), footer="delete"),
    Command(id="buckets.show", title="Show its clips", keys=("f",), footer="its clips"),
    # Jobs
    Command(
        id="jobs.pause",
        title="Pause or resume",
        keys=("p",),
        footer="pause",
        cli="ltx-tui pause, resume",
    ),
    Command(
        id="jobs.cancel",
        title="Cancel; again: at once",
        keys=("c",),
        footer="cancel",
        cli="ltx-tui cancel",
    ),
    Command(
        id="jobs.retry",
        title="Try the failed clips again",
        keys=("r",),
        footer="retry",
        cli="ltx-tui retry",
    ),
    Command(id="jobs.down", title="Next line", keys=("j", "down")),
    Command(id="jobs.up", title="Previous line", keys=("k", "up")),
    Command(id="jobs.show", title="Go to the clip", keys=("enter",)),
    # Frames
    Command(id="frames.close", title="Back", keys=("escape", "v"), footer="back"),
    Command(id="frames.next", title="Next clip", keys=("j", "down"), footer="next"),
    Command(id="frames.previous", title="Previous clip", keys=("k", "up")),
    Command(id="frames.decoded", title="Source beside decoded", keys=("d",), footer="decoded"),
    Command(
        id="frames.canny",
        title="Canny edges beside the frames",
        keys=("c",),
        help="What compute-reference would draw.",
        footer="edges",
        cli="ltx-tui compute-reference --low --high",
    ),
    Command(
        id="frames.frame-on",
        title="Next frame",
        keys=("right",),
        help="The frame at the cursor is shown large; the cursor stands on the line of time.",
    ),
    Command(id="frames.frame-back", title="Previous frame", keys=("left",)),
    Command(id="frames.second-on", title="A second on", keys=("full_stop", "shift+right")),
    Command(id="frames.second-back", title="A second back", keys=("comma", "shift+left")),
    Command(id="frames.begin", title="First frame", keys=("home",)),
    Command(id="frames.end", title="Last frame", keys=("end",)),
    Command(id="frames.large", title="Large picture of the cursor's frame", keys=("enter",)),
    Command(
        id="frames.in-point",
        title="The window begins at the cursor",
        keys=("left_square_bracket",),
        help="A window is the part of the clip that this row of the dataset keeps.",
        footer="in",
    ),
    Command(
        id="frames.out-point",
        title="The window ends with the cursor's frame",
        keys=("right_square_bracket",),
        footer="out",
    ),
    Command(
        id="frames.write",
        title="Write the window into the clip's row",
        keys=("w",),
        footer="write",
    ),
    Command(
        id="frames.add",
        title="Write the window into a row of its own",
        keys=("W",),
        help="A copy of the clip's row, caption included, to be reviewed.",
    ),
    Command(
        id="frames.remove",
        title="Forget the points, or take the window away",
        keys=("backspace", "delete"),
        help="Takes its row out of the dataset where the clip has others; asks before.",
    ),
    Command(id="frames.low-down", title="Lower low threshold", keys=("less_than_sign",)),
    Command(id="frames.low-up", title="Higher low threshold", keys=("greater_than_sign",)),
    Command(id="frames.high-down", title="Lower high threshold", keys=("left_curly_bracket",)),
    Command(id="frames.high-up", title="Higher high threshold", keys=("right_curly_bracket",)),
    Command(id="frames.more", title="More frames", keys=("plus", "equals_sign"), footer="more"),
    Command(id="frames.fewer", title="Fewer frames", keys=("minus",)),
    Command(
        id="frames.graphics",
        title="Blocks, kitty or sixel",
        keys=("i",),
        help="Sharper pictures, in terminals that can draw them.",
        footer="pictures",
    ),
    *SCENE_COMMANDS,
    # Plan
    Command(id="plan.close", title="Back", keys=("escape",), footer="back"),
    Command(id="plan.run", title="Run it", keys=("enter",), footer="run"),
    Command(
        id="plan.marked", title="Only the marked clips, or all", keys=("s",), footer="only marked"
    ),
    # Doctor
    Command(id="doctor.close", title="Back", keys=("escape", "D"), footer="back"),
    Command(id="doctor.show", title="Go to the clip", keys=("enter",), footer="clip"),
    Command(
        id="doctor.fix",
        title="Fix this one: a proxy beside the clip",
        keys=("f", "x"),
        footer="fix",
        cli="ltx-tui doctor --fix CODE --clip NAME",
    ),
    Command(
        id="doctor.fix-all",
        title="Fix all of this kind that are shown",
        keys=("F",),
        footer="fix all",
        cli="ltx-tui doctor --fix CODE",
    ),
    Command(
        id="doctor.undo",
        title="Undo fixes: the clips themselves again",
        keys=("u",),
        footer="undo",
        cli="ltx-tui doctor --undo-fixes",
    ),
    Command(
        id="doctor.group",
        title="Group by kind of finding, or by clip",
        keys=("s",),
        footer="by kind/clip",
    ),
    Command(
        id="doctor.find", title="Show only what has some words", keys=("slash",), footer="find"
    ),
    Command(id="doctor.down", title="Next finding", keys=("j", "down")),
    Command(id="doctor.up", title="Previous finding", keys=("k", "up")),
    Command(id="doctor.look", title="Look again", keys=("f5",)),
    Command(id="doctor.stop", title="Stop looking or fixing; what is done stays", keys=("c",)),
    # Log
    Command(id="log.close", title="Back", keys=("escape", "f4"), footer="back"),
    Command(id="log.source", title="Worker, encoders, or all", keys=("s",), footer="source"),
    Command(id="log.follow", title="Follow the end, or not", keys=("f",), footer="follow"),
    Command(id="log.find", title="Find", keys=("slash",), footer="find"),
    Command(id="log.copy", title="Copy what is shown", keys=("y",)),
    # Settings
    Command(id="settings.close", title="Back", keys=("escape",), footer="back"),
    Command(id="settings.edit", title="Change the value", keys=("enter",), footer="change"),
    Command(
        id="settings.reset", title="Back to the default", keys=("backspace",), footer="default"
    ),
    Command(id="settings.find", title="Find a key", keys=("slash",), footer="find"),
    Command(id="settings.external", title="Edit project.toml in $EDITOR", keys=("ctrl+e",)),
    # A new project
    Command(id="init.make", title="Make the project", keys=("enter",), footer="make"),
    Command(id="init.leave", title="Leave; nothing is written", keys=("escape",), footer="leave"),
)

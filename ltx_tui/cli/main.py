"""The command group: sub-commands imported when they are called, exit codes in one place."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ltx_tui.cli.errors import guarded, leave_quietly

EXIT_CODES = """\b
Exit codes: 0 done · 1 done, but some clips failed or are blocked · 2 wrong
option, project.toml or dataset · 3 the machine lacks something: a model,
memory, disk space · 130 stopped with Ctrl-C (a rerun goes on from there).
"""

# The line that `--help` shows is kept here too, so that nothing is imported to show it.
GROUPS = {
    "Commands": {
        "init": "Write project.toml for a folder of clips.",
        "doctor": "Check versions, device, models, disk and dataset.",
        "plan": "Show what a run would do, and why.",
        "run": "Do it, in the background worker, and show it.",
        "adopt": "Verify outputs of the original scripts and keep them.",
        "take-out": "Take clips out of the dataset, or give them back.",
        "demo": "Show the whole job on made-up clips, no download.",
    },
    "While it runs, from any terminal": {
        "attach": "Show the job again; Ctrl-C leaves it running.",
        "status": "Worker, jobs, progress, memory.",
        "pause": "Hold a job after the clip in hand.",
        "resume": "Go on with a paused, failed or stopped job.",
        "cancel": "Stop a job.",
        "retry": "Try again the clips that failed.",
        "logs": "What worker and encoders wrote down.",
        "worker": "Stop the worker; the next command goes on.",
    },
    "As the original scripts": {
        "split-scenes": "Find the scenes of long videos, and cut them.",
        "caption-videos": "Caption clips, by a model here or a service.",
        "compute-reference": "Make reference videos, such as Canny edges.",
        "process-dataset": "Encode captions, videos and sound into .precomputed/.",
        "process-videos": "Encode videos (and sound) only.",
        "process-captions": "Encode captions only.",
        "decode-latents": "Turn latents back into videos, to look at.",
    },
}
COMMANDS = {name: words for group in GROUPS.values() for name, words in group.items()}


class LazyGroup(click.Group):
    """A group whose sub-commands are modules of this package, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names in the order in which one uses them."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        cmd_name: str,
    ) -> click.Command | None:
        """Import a sub-command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"ltx_tui.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the sub-command, or the project to open, or say which one may have been meant."""
        name = args[0]
        if name not in COMMANDS and Path(name).expanduser().exists():
            from ltx_tui.cli import workbench

            return "workbench", workbench.command, args
        if name not in COMMANDS and not name.startswith("-"):
            if "/" in name or "." in name:
                raise click.UsageError(f"there is no file or folder {name!r}", ctx)
            near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {name!r}{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands without importing them."""
        width = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{name:<{width}}", words) for name, words in commands.items()]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a sub-command; a reader of our output that leaves early is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return leave_quietly()

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run, turn every error into words and an exit code, and exit."""
        run: Callable[..., Any] = super().main
        if not extra.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **extra)
        raise SystemExit(guarded(lambda: run(*args, standalone_mode=False, **extra)))


# The lines after \b are printed as they are.
_HELP = """Turn clips and captions into a finished LTX-2 training dataset.

\b
ltx-tui [PROJECT]         the workbench, on this folder or another
ltx-tui demo              see it work, without any download
ltx-tui init my-clips     begin with clips of your own
ltx-tui plan              what a run would do
ltx-tui run               do it
"""


@click.group(
    cls=LazyGroup,
    help=_HELP,
    invoke_without_command=True,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ltx-tui", prog_name="ltx-tui")
@click.option("--no-mouse", is_flag=True, help="The workbench leaves the mouse to the terminal.")
@click.pass_context
def cli(ctx: click.Context, no_mouse: bool) -> int:
    """Turn clips and captions into a finished LTX-2 training dataset."""
    if ctx.invoked_subcommand is not None:
        return 0
    from ltx_tui.cli import workbench

    if workbench.has_terminal():
        return workbench.open_workbench(Path.cwd(), mouse=False if no_mouse else None)
    click.echo(ctx.get_help())
    return 0

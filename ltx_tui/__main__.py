"""The program `ltx-tui`, also `python -m ltx_tui`."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from ltx_tui.cli.main import cli

    cli(prog_name="ltx-tui")


if __name__ == "__main__":
    main()

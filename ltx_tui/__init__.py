"""The terminal face of ltx-tui: command line and workbench. Never imports torch."""

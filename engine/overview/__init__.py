"""A dataset as a workbench shows it, made in a child process and kept."""

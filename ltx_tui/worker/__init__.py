"""The project's worker as the workbench knows it."""

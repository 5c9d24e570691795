"""Every command of the workbench, once."""

"""Files and file systems: safe writes, what a file is, what is mounted here."""

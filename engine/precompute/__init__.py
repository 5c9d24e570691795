"""From clips and models to verified training files."""

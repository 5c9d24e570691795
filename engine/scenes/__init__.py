"""Scenes of videos as a person chose them, and where their pieces go."""

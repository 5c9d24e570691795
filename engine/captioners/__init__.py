"""Captioners: a model here or a service elsewhere that says what a clip shows."""

"""The captions in hand: edited, kept, chosen between, written by a model."""

"""LTX-2 models as our own torch modules. Knows nothing of projects."""

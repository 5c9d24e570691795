"""Shared fixtures; torch is kept to one thread so that parallel test processes share the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

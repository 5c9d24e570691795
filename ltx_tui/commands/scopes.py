"""The scopes of commands as people call them, in the order of the help."""

from __future__ import annotations

SCOPE_NAMES: dict[str, str] = {
    "app": "Everywhere",
    "workbench": "Workbench",
    "clips": "Clips",
    "details": "Details",
    "caption": "Caption",
    "buckets": "Buckets",
    "jobs": "Jobs",
    "frames": "Frames",
    "videos": "Videos to cut",
    "scenes": "Scenes of a video",
    "plan": "Plan",
    "doctor": "Doctor",
    "log": "Log",
    "settings": "Settings",
    "init": "A new project",
    "list": "Lists",
    "replace": "Find and replace",
    "versions": "Versions of a caption",
    "conflict": "A conflict",
}

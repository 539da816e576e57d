"""What was rendered: `data/renders/<task>/index.json`, one entry per video."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from castfield.errors import ClipError
from castfield.layout import Layout

TASKS = ("reconstruction", "transfer", "personal_seen", "personal_unseen")
"""Tasks with metrics; novel views have no ground truth."""
SPLITS = ("train", "end", "speech", "other")


@dataclass(frozen=True)
class Entry:
    """One rendered video: `identity` under the expressions and poses of `driver`."""

    task: str
    name: str
    identity: str
    driver: str
    frames: tuple[int, ...]
    """Frame of the driver behind each rendered frame."""
    split: tuple[str, ...]
    """One of `SPLITS` per rendered frame."""
    video: str
    """Lossless video in the task's folder."""

    def of(self, split: str) -> np.ndarray:
        """Indices of the rendered frames of a split."""
        return np.flatnonzero(np.array(self.split) == split)


def load_entries(layout: Layout) -> list[Entry]:
    """The entries of every task that was rendered. Raises ClipError where an index is missing or wrong."""
    entries = []
    for task in TASKS:
        path = layout.renders / task / "index.json"
        if path.exists():
            entries += [_entry(task, values, path) for values in json.loads(path.read_text())["entries"]]
    if not entries:
        raise ClipError("nothing was rendered", expected="index.json per task", where=layout.renders, cure="dvc repro render")
    return entries


def _entry(task: str, values: dict, index: Path) -> Entry:
    where = f"{index}: {values.get('name')}"
    try:
        entry = Entry(
            task, str(values["name"]), str(values["identity"]), str(values["driver"]),
            tuple(int(f) for f in values["frames"]), tuple(values["split"]), str(values["video"]),
        )  # fmt: skip
    except KeyError as error:
        raise ClipError(f"an entry lacks {error}", expected="name, identity, driver, frames, split, video", where=where) from None
    if len(entry.frames) != len(entry.split) or set(entry.split) - set(SPLITS):
        raise ClipError("an entry's frames and splits do not fit", expected=f"one of {', '.join(SPLITS)} per frame", where=where)
    return entry

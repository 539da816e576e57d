"""Checkpoints outlive a killed run: they lie in the scratch folder under a fingerprint of (config, inputs, code)."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from castfield.scratch import atomic, scratch

KEEP = 8
"""Runs whose last state is kept; older ones are deleted when a new run starts."""


def write(value: Any, path: Path) -> None:
    """`torch.save`, atomically, so that equal values give equal bytes; tensor by tensor, so that it takes no memory of its own.

    Saving to a path writes the file's name into the file, and pickle tells equal strings from identical ones.
    """
    with atomic(path) as part, open(part, "wb") as stream:
        torch.save(_canonical(value), stream)


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {_canonical(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_canonical(v) for v in value)
    return sys.intern(value) if type(value) is str else value


class Checkpoints:
    """The one state of one run; a new one replaces the old one atomically."""

    def __init__(self, stage: str, key: str, save_seconds: float) -> None:
        self.folder = scratch("checkpoints", stage, key)
        self.path = self.folder / "state.pt"
        self.save_seconds = save_seconds
        self._due = time.monotonic() + save_seconds

    def load(self) -> dict[str, Any] | None:
        """The last state, or None where there is none that can be read."""
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, ValueError, OSError):  # a disk that was full or failed: start again
            return None

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._due

    def save(self, state: dict[str, Any]) -> Path:
        """Replace the last state."""
        start = time.monotonic()
        if not self.folder.exists():
            self._prune()
        write(state, self.path)
        # Saving a large model takes a while: never spend more than a tenth of the time on it.
        self._due = time.monotonic() + max(self.save_seconds, 10 * (time.monotonic() - start))
        return self.path

    def _prune(self) -> None:
        stage = self.folder.parent
        runs = sorted((p for p in stage.glob("*") if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in runs[KEEP - 1 :]:
            shutil.rmtree(old, ignore_errors=True)

"""Everything that the page tells, read from the outs of the other stages. What is absent is empty, never invented."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from castfield.clip import Crop, Track, clip_names, split_frames
from castfield.config import Config
from castfield.layout import Layout
from castfield.manifest import Manifest, load_manifest
from castfield.media import FPS
from castfield.shards import failed_clips
from castfield.systems.model import Model, load_model

STAGES = ("raw", "frames", "landmarks", "masks", "tracks", "audio")
"""Folders below `data/` whose stage works clip by clip and may leave one out."""
TASKS = ("reconstruction", "transfer", "personal_seen", "personal_unseen")
TITLES = {
    "reconstruction": "Reconstruction",
    "transfer": "Expression transfer",
    "personal_seen": "Personalised, seen",
    "personal_unseen": "Personalised, unseen",
    "model": "Model",
}


@dataclass(frozen=True)
class Person:
    """One clip of the cast."""

    clip: str
    seconds: float
    frames: int
    person: str
    """Who it is, where several clips show one person."""
    has_speech: bool
    tracking: dict[str, float]
    """Tracking figures (`nme`, `jitter`, ...)."""
    track: Track
    held: np.ndarray
    """Held-out frames, in order."""


@dataclass(frozen=True)
class Findings:
    """All that the page is made of."""

    config: Config
    layout: Layout
    manifest: Manifest
    model: Model
    people: list[Person]
    failed: list[tuple[str, str, str]]
    """Clips (or videos) left out: name, stage, reason."""
    metrics: dict[str, dict[str, float]]
    per_clip: dict[tuple[str, str], dict[str, float]]
    """Figures of one video by (task, name)."""
    recipes: dict[str, str]
    absent: dict[str, str]
    """Metrics that could not be computed, with the reason."""
    training: dict[str, Any]
    personal: dict[str, Any]
    tracking: dict[str, Any]
    curve: list[dict[str, float]]
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What was rendered: the entries of each task's index."""

    def figure(self, task: str, name: str) -> float | None:
        """A task's metric, or None where it is absent."""
        return self.metrics.get(task, {}).get(name)


def gather(config: Config, layout: Layout) -> Findings:
    """Read every out. Raises ManifestError, ClipError or CastfieldError where a stage before has not run."""
    manifest = load_manifest(layout.manifest(config.dataset))
    tracking = _json(layout.metrics / "tracking.json")
    notes = _json(layout.metrics / "notes.json")
    same = {source.name: source.person or source.name for source in manifest.clips}
    people = []
    for clip in clip_names(layout.tracks, ".npz"):
        track = Track.load(layout.tracks / f"{clip}.npz")
        crop = Crop.load(layout.frames / f"{clip}.json")
        figures = _numbers(_mapping(tracking.get("clips")).get(clip))
        split = split_frames(len(track))
        held = np.concatenate([split.speech, split.end])
        people.append(Person(clip, len(track) / FPS, len(track), same.get(clip, clip), crop.has_speech, figures, track, held))
    entries = {}
    for path in sorted(layout.renders.glob("*/index.json")):
        entries[path.parent.name] = _json(path).get("entries", [])
    return Findings(
        config, layout, manifest, load_model(layout.generic), people, _failed(layout, _mapping(notes.get("failed"))),
        {task: _numbers(values) for task, values in _json(layout.metrics / "metrics.json").items()},
        _per_clip(layout.metrics / "per_clip.csv"), _texts(notes.get("recipes")), _texts(notes.get("absent")),
        _json(layout.metrics / "train.json"), _json(layout.metrics / "personalize.json"), tracking,
        [_numbers(row) for row in _rows(layout.metrics / "curves/train.csv")], entries,
    )  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    return _mapping(json.loads(path.read_text())) if path.exists() else {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in _mapping(value).items() if v}


def _numbers(values: Any) -> dict[str, float]:
    """The finite numbers of a mapping; text is read as a number where it is one."""
    found = {}
    for name, value in _mapping(values).items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if np.isfinite(number):
            found[name] = number
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def _per_clip(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    words = ("task", "name", "identity", "driver")
    return {(row["task"], row["name"]): _numbers({k: v for k, v in row.items() if k not in words}) for row in _rows(path)}


def _failed(layout: Layout, evaluation: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    folders = [(stage, layout.root / "data" / stage) for stage in STAGES]
    folders += [(f"render {path.name}", path) for path in sorted(layout.renders.glob("*")) if path.is_dir()]
    for stage, folder in folders:
        found += [(clip, stage, str(reason)) for clip, reason in sorted(failed_clips(folder).items())]
    return found + [(name, "evaluate", str(reason)) for name, reason in sorted(evaluation.items())]

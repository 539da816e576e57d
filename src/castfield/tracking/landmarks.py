"""The stage `landmarks`: 478 face points of the main person in every frame of a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from castfield import media, opposite
from castfield.clip import Landmarks, clip_names
from castfield.config import Config, LandmarksConfig
from castfield.errors import ClipError
from castfield.layout import Layout
from castfield.shards import Job, Step, map_clips
from castfield.tracking import both_sides, face_file, main_person, trackers
from castfield.tracking.face_file import FaceFile
from castfield.tracking.main_person import bystander_share, follow
from castfield.tracking.trackers import TRACKERS


def run(config: Config, layout: Layout) -> None:
    """Track every clip of `data/frames` into `data/landmarks`."""
    stage, work, jobs, code = step(config, layout)
    map_clips(stage, work, jobs, layout.landmarks, config.work, code)


def step(config: Config, layout: Layout) -> Step:
    """The stage's work over its clips."""
    jobs = [
        Job(clip, {"frames": layout.frames / f"{clip}.mkv"}, config.landmarks)
        for clip in clip_names(layout.frames, ".mkv")
    ]  # fmt: skip
    return Step("landmarks", track_clip, jobs, [trackers, both_sides, opposite, main_person, face_file])


def track_clip(job: Job, out: Path) -> None:
    """Write `<clip>.npz`. Raises ClipError if too few frames show a face, WeightsError if the tracker lacks its weights."""
    config: LandmarksConfig = job.params
    with FaceFile(out) as faces:
        for seen in TRACKERS[config.tracker](media.stream(job.inputs["frames"])):
            faces.add(seen)
        path = follow(faces.boxes, media.probe(job.inputs["frames"]).width)
        share = bystander_share(faces.boxes, path)
        if share > 0.1:
            kept = "the larger, more central one is kept"
            print(f"landmarks: {job.clip}: another person is in {share:.0%} of the frames; {kept}", flush=True)
        found = np.array(path) >= 0
        must_be_seen(job.clip, found, np.arange(len(found)), config)
        seen_at = _nearest(found).tolist()  # bridged over frames without a face
        points, raw = faces.points(seen_at, path), faces.raw(seen_at, path)
        Landmarks.write(out / f"{job.clip}.npz", points, faces.confidence(path), found, config.tracker, raw)


def must_be_seen(clip: str, found: np.ndarray, at: np.ndarray, config: LandmarksConfig) -> None:
    """Raises ClipError where too few of the frames numbered `at` (T,) show a face; `found` (T,) bool."""
    if found.any() and found.mean() >= config.min_found:
        return
    raise ClipError(
        f"clip '{clip}': too few frames show a face",
        expected=f"a face in at least {config.min_found:.0%} of the frames (landmarks.min_found)",
        found=f"{found.mean():.0%} of {len(found)}; none in frames {_ranges(at[~found])}",
        where=f"data/frames/{clip}.mkv",
        cure="choose footage where the face is seen (`start`, `end`, `crop` in the manifest), or lower landmarks.min_found",
    )


def _nearest(found: np.ndarray) -> np.ndarray:
    """Index of the nearest True for every place; the earlier one of two."""
    at = np.arange(len(found))
    before = np.maximum.accumulate(np.where(found, at, -len(found) * 2))
    after = np.minimum.accumulate(np.where(found, at, len(found) * 4)[::-1])[::-1]
    return np.where(at - before <= after - at, before, after)


def _ranges(frames: np.ndarray) -> str:
    """`3-7, 12` for a message; at most five runs."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    text = [f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs[:5] if len(r)]
    return ", ".join(text) + (", ..." if len(runs) > 5 else "")

"""Landmarks of rendered and real frames at the evaluation's resolution, by the same network in the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from castfield.tracking.main_person import boxes_of, follow
from castfield.tracking.trackers import face_mesh

ENLARGED = 256
"""Frames are enlarged to this side before tracking."""


@dataclass(frozen=True)
class Tracked:
    """Landmarks of a clip."""

    points: np.ndarray
    """(T, 478, 3) float32 pixels of the frames as they are; NaN where no face was found."""
    found: np.ndarray
    """(T,) bool."""

    def boxes(self) -> np.ndarray:
        """(T, 4) left, top, right, bottom of the landmarks in pixels; NaN where no face was found."""
        return np.concatenate([self.points[..., :2].min(1), self.points[..., :2].max(1)], 1)

    def bridged(self) -> np.ndarray:
        """`boxes` with gaps filled in time. ValueError where no frame shows a face."""
        boxes, at = self.boxes(), np.flatnonzero(self.found)
        if not len(at):
            raise ValueError("no frame shows a face")
        return np.stack([np.interp(np.arange(len(boxes)), at, boxes[at, k]) for k in range(4)], 1)


def track(frames: np.ndarray) -> Tracked:
    """Track the main face through (T, S, S, 3) uint8 frames."""
    import cv2

    size = frames.shape[1]
    scale = max(1.0, ENLARGED / size)
    large = (cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else f for f in frames)
    faces = list(face_mesh(large))
    path = follow([boxes_of(seen) for seen in faces], round(size * scale))
    nothing = np.full((478, 3), np.nan, np.float32)
    points = np.stack([faces[t][at].points / np.float32(scale) if at >= 0 else nothing for t, at in enumerate(path)])
    return Tracked(points.astype(np.float32), np.array(path) >= 0)

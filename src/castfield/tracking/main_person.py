"""Which of the faces in each frame is the person of the clip: the largest, most central, and the same one throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face in one frame."""

    points: np.ndarray
    """(478, 3) float32 in pixels; NaN for points that the tracker does not give."""
    confidence: float
    """In [0, 1]."""
    raw: np.ndarray | None = None
    """(478, 3) as the network gave them in one pass, where `points` is the mean of several."""

    def box(self) -> np.ndarray:
        """Centre x, centre y and side in pixels."""
        low, high = np.nanmin(self.points[:, :2], axis=0), np.nanmax(self.points[:, :2], axis=0)
        return np.array([*(low + high) / 2, max(high - low)])


def boxes_of(faces: Sequence[Face]) -> np.ndarray:
    """(N, 3) `Face.box` of the faces in one frame: what tells who is who."""
    return np.array([face.box() for face in faces]).reshape(-1, 3)


def follow(boxes: Sequence[np.ndarray], size: int) -> list[int]:
    """Index of the main person's face in every frame, -1 where there is none, from each frame's boxes (N, 3).

    The best path through the candidates (Viterbi): a face earns its area and nearness to the centre of the picture
    (side `size` pixels), a step from face to face pays for the jump in units of the face's side.
    """
    path = [-1] * len(boxes)
    seen = [t for t, faces in enumerate(boxes) if len(faces)]
    if not seen:
        return path
    score = _merit(boxes[seen[0]], size)
    back: dict[int, np.ndarray] = {}
    for before, now in zip(seen, seen[1:], strict=False):
        gap = np.linalg.norm(boxes[now][:, None, :2] - boxes[before][None, :, :2], axis=-1)
        gap = gap / boxes[now][:, None, 2] + np.abs(np.log(boxes[now][:, None, 2] / boxes[before][None, :, 2]))
        # After a pause the person may have moved; a jump of a whole face within a frame is someone else.
        total = score[None] - 8.0 * gap / (now - before)
        back[now] = total.argmax(1)
        score = total.max(1) + _merit(boxes[now], size)
    at = int(score.argmax())
    for t in reversed(seen):
        path[t] = at
        at = int(back[t][at]) if t in back else at
    return path


def _merit(boxes: np.ndarray, size: int) -> np.ndarray:
    """(N, 3) boxes -> (N,): log of the side less the distance from the picture's centre in picture sides."""
    return np.log(boxes[:, 2] / size) - 2.0 * np.linalg.norm(boxes[:, :2] / size - 0.5, axis=-1)


def bystander_share(boxes: Sequence[np.ndarray], path: Sequence[int]) -> float:
    """Share of the frames with another face at least half as wide as the main person's."""
    count = 0
    for faces, main in zip(boxes, path, strict=True):
        if main >= 0:
            count += bool((np.delete(faces, main, 0)[:, 2] > 0.5 * faces[main, 2]).any())
    return count / max(1, len(boxes))

"""A face in the mirror: which landmark of the face mesh is which there, and where its points lie."""

from __future__ import annotations

import numpy as np

MIDDLE = (0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 94, 151, 152, 164, 168, 175, 195, 197, 199, 200)
"""Landmarks on the face's middle line. The face mesh numbers those of the right half and the middle up to 247, then the left half's."""
IRISES = (468, 469, 470, 471, 472), (473, 476, 475, 474, 477)
"""Of the right and the left iris: the middle, and the edges towards the nose, above, away from the nose and below."""


def _opposite() -> np.ndarray:
    right = [*(i for i in range(248) if i not in MIDDLE), *IRISES[0]]
    left = [*range(248, 468), *IRISES[1]]
    out = np.arange(478)
    out[right], out[left] = left, right
    return out


OPPOSITE = _opposite()
"""(478,) the landmark on the other side of the face."""


def flipped(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) with left and right exchanged."""
    return np.ascontiguousarray(picture[:, ::-1])


def back(points: np.ndarray, width: int) -> np.ndarray:
    """Points (478, C) in pixels, x first, seen in a mirrored picture of this width -> those of the picture as it was."""
    points = points[OPPOSITE]
    points[:, 0] = width - points[:, 0]
    return points

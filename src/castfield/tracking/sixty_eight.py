"""The 68 points of the iBUG 300-W convention among the 478 of the face mesh, in 300-W order."""

from __future__ import annotations

import numpy as np

JAW = (162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389)
BROWS = (71, 63, 105, 66, 107, 336, 296, 334, 293, 301)
NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
INNER_LIPS = (78, 82, 13, 312, 308, 317, 14, 87)

INDICES = np.array(JAW + BROWS + NOSE + EYES + OUTER_LIPS + INNER_LIPS)
"""(68,) index into the 478 points. The jaw line is the mesh's silhouette, which is where a 2-D 68-point network puts it."""


def to_mesh(points: np.ndarray) -> np.ndarray:
    """(68, 2) pixels -> (478, 3), NaN where the 68 points say nothing."""
    mesh = np.full((478, 3), np.nan, np.float32)
    mesh[INDICES, :2] = points
    return mesh


def from_mesh(points: np.ndarray) -> np.ndarray:
    """(..., 478, C) -> (..., 68, C)."""
    return points[..., INDICES, :]

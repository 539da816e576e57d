"""Whether something is in front of the face: parts of it that do not have its skin's colour, and did not always look so."""

from __future__ import annotations

import warnings

import cv2
import numpy as np

SKIN = (10, 151, 9, 8, 50, 280, 205, 425, 101, 330, 4, 195)
"""Points of the face mesh on bare skin: forehead, nose, cheeks."""
PARTS = {
    "mouth": (61, 40, 37, 267, 270, 291, 321, 314, 84, 91),
    "nose": (6, 48, 278, 2),
    "left cheek": (116, 203, 214, 147),
    "right cheek": (345, 423, 434, 376),
}
"""Outlines by points of the face mesh. Eyes are left out: glasses and shadow make them differ in any face."""
HUE = 18.0
"""Distance in the a-b plane of CIELAB from the face's skin that is no skin. Lips of any face are nearer, or redder."""
LIGHTNESS = 25.0
"""Change of L in CIELAB, beside the skin's own, that shading and an opening mouth do not reach over half of a part."""


def colours(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Median CIELAB of the skin and of each of PARTS, (1 + P, 3) float32; NaN for a part outside the picture.

    picture (H, W, 3) uint8 RGB; points (478, 2) pixels of the face mesh.
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(picture, (0, 0), 1.0).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    height, width = lab.shape[:2]
    found = np.full((1 + len(PARTS), 3), np.nan, np.float32)
    at = np.round(points[list(SKIN)]).astype(int)
    inside = (at >= 0).all(1) & (at < [width, height]).all(1)
    if inside.any():
        found[0] = np.median(lab[at[inside, 1], at[inside, 0]], axis=0)
    for row, outline in enumerate(PARTS.values(), 1):
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points[list(outline)]).astype(np.int32)), (1,))
        if mask.any():
            found[row] = np.median(lab[mask > 0], axis=0)
    return found


def covered(seen: np.ndarray) -> np.ndarray:
    """Which part is covered in which frame: (N, 1 + P, 3) from `colours` -> (N, P) bool.

    A part is covered where most of it has another hue than the skin and is not redder, or where it is much lighter or darker
    against the skin than in most frames.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a part that is never in the picture has no median, and covers nothing
        skin = np.nanmedian(seen[:, 0], axis=0)  # the face's own, from all frames: what covers it in some does not count
        usual = np.nanmedian(seen[:, 1:, 0] - seen[:, :1, 0], axis=0)
    hue = seen[:, 1:, 1:] - skin[1:]
    other = (np.linalg.norm(hue, axis=-1) > HUE) & (hue[..., 0] < 0)
    lightness = seen[:, 1:, 0] - seen[:, :1, 0] - usual
    return other | (np.abs(lightness) > LIGHTNESS)

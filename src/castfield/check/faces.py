"""What the face does in the frames that are looked at closely: found or not, pose, lips, sharpness, light, what covers it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from castfield.check.covering import colours
from castfield.check.sharpness import blur
from castfield.quiet import quiet
from castfield.tracking.main_person import boxes_of, follow
from castfield.tracking.trackers import face_mesh

EYES, LIPS, BROW_CHIN = (33, 263), (13, 14), (10, 152)
"""Outer corners of the eyes, inner edges of the lips, top of the forehead and chin, as points of the face mesh."""


@dataclass(frozen=True)
class Views:
    """The main person's face in N frames; NaN where `found` is False. Pixels are those of the crop."""

    found: np.ndarray
    """(N,) bool."""
    angles: np.ndarray
    """(N, 3) yaw, pitch and roll in degrees; 0 looks into the camera, upright."""
    lips: np.ndarray
    """(N,) distance of the inner lips over that of the outer corners of the eyes."""
    blur: np.ndarray
    """(N,) blur of the face in pixels (`sharpness.blur`)."""
    light: np.ndarray
    """(N,) median brightness of the face, 0 to 255."""
    clipped: np.ndarray
    """(N,) share of the face's pixels that are white without detail."""
    colours: np.ndarray
    """(N, 1 + P, 3) CIELAB of the skin and the face's parts (`covering.colours`)."""
    box: np.ndarray
    """(N, 4) left, top, right, bottom of the face."""


def look(crops: np.ndarray, bar: tqdm) -> Views:
    """Views of the frames (N, S, S, 3), N > 0; the bar is moved on by a share of 1 in all."""
    faces = []
    tracked = face_mesh(crops, look=1)  # the frames lie apart
    with quiet():  # the network speaks when it first sees a face
        faces.append(next(tracked))
    for found in tracked:
        faces.append(found)
        bar.update(0.7 / len(crops))
    path = follow([boxes_of(found) for found in faces], crops.shape[1])
    rows = []
    for picture, seen, main in zip(crops, faces, path, strict=True):
        rows.append(_measure(picture, seen[main].points) if main >= 0 else _nothing())
        bar.update(0.3 / len(crops))
    columns = {name: np.array([row[name] for row in rows]) for name in _nothing()}
    return Views(found=np.array([main >= 0 for main in path], bool), **columns)


def _measure(picture: np.ndarray, points: np.ndarray) -> dict[str, np.ndarray]:
    size = len(picture)
    flat = points[:, :2]
    box = np.array([*flat.min(0), *flat.max(0)])
    left, top, right, bottom = np.clip(np.round(box).astype(int), 0, size)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(flat).astype(np.int32)), (1,))
    skin = grey[mask > 0]
    eyes = float(np.linalg.norm(points[EYES[1]] - points[EYES[0]]))
    return {
        "angles": angles(points),
        "lips": np.array(np.linalg.norm(flat[LIPS[0]] - flat[LIPS[1]]) / max(eyes, 1e-6)),
        "blur": np.array(blur(grey[top:bottom, left:right]) if min(right - left, bottom - top) >= 16 else np.nan),
        "light": np.array(np.median(skin) if len(skin) else np.nan),
        "clipped": np.array((skin >= 250).mean() if len(skin) else np.nan),
        "colours": colours(picture, flat),
        "box": box,
    }


def _nothing() -> dict[str, np.ndarray]:
    from castfield.check.covering import PARTS

    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("lips", "blur", "light", "clipped"), ())
    shapes |= {"angles": (3,), "colours": (1 + len(PARTS), 3), "box": (4,)}
    return {name: np.full(shape, np.nan) for name, shape in shapes.items()}


def angles(points: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll (3,) in degrees from the face mesh (478, 3), whose depth grows away from the camera.

    Roughly, from the line of the eyes and that from forehead to chin: to tell a profile from a front, not to fit a head.
    """
    across, down = points[EYES[1]] - points[EYES[0]], points[BROW_CHIN[1]] - points[BROW_CHIN[0]]
    yaw = np.arctan2(across[2], np.hypot(across[0], across[1]))
    pitch = np.arctan2(down[2], np.hypot(down[0], down[1]))
    return np.degrees([yaw, pitch, np.arctan2(across[1], across[0])])

"""Expression fidelity from tracked landmarks: mouth opening, eye opening, blinks, head rotation, and LMD."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from castfield.evaluation.metric import Metric
from castfield.geometry import rotation_angle
from castfield.tracking.sixty_eight import from_mesh

LANDMARKS = "MediaPipe FaceMesh, frames of {size} px enlarged to 256 px"
BLINK = 0.2
"""Eye-aspect ratio under which an eye is closed."""
# Points that expression hardly moves: forehead, nose bridge, temples, the corners of the eyes (of the 478).
RIGID = np.array([10, 67, 109, 338, 297, 103, 332, 168, 6, 197, 195, 5, 4, 33, 133, 362, 263, 127, 356, 234, 454, 54, 284])


def mouth_opening(points: np.ndarray) -> np.ndarray:
    """Gap between the inner lips over the distance of the outer eye corners: (..., 478, C) -> (...)."""
    p = from_mesh(points)[..., :2]
    gap = np.linalg.norm(p[..., 61:64, :] - p[..., 67:64:-1, :], axis=-1).mean(-1)
    return gap / np.linalg.norm(p[..., 36, :] - p[..., 45, :], axis=-1)


def eye_aspect(points: np.ndarray) -> np.ndarray:
    """Eye-aspect ratio (Soukupova and Cech 2016), mean of both eyes: (d(p2,p6) + d(p3,p5)) / (2 d(p1,p4)); (..., 478, C) -> (...)."""
    p = from_mesh(points)[..., :2]

    def distance(a: int, b: int) -> np.ndarray:
        return np.linalg.norm(p[..., a, :] - p[..., b, :], axis=-1)

    ratios = [(distance(e + 1, e + 5) + distance(e + 2, e + 4)) / (2 * distance(e, e + 3)) for e in (36, 42)]
    return (ratios[0] + ratios[1]) / 2


def blinks(openness: np.ndarray) -> int:
    """Number of dips under `BLINK`; one that lasts over the first or last frame counts."""
    closed = np.concatenate([[False], np.asarray(openness) < BLINK])
    return int(np.sum(closed[1:] & ~closed[:-1]))


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson correlation of two signals (T,); None where it is not defined: under 3 frames, or one of them constant."""
    if len(first) < 3:
        return None
    a, b = first - np.mean(first), second - np.mean(second)
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale > 1e-9 * len(first) else None


def rigid_shape(points: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """A person's rigid landmarks in head space: (T, 478, 3) pixels and the fitted (T, 3, 3) -> (R, 3), centred, mean size 1.

    Each frame's points are turned back by the fitted rotation and averaged. Rotations measured against this shape are in the
    fit's own convention, and a person's own proportions do not show up as rotation.
    """
    turned = _centred(points[:, RIGID]) @ rotation  # rows are R^T p
    shape = turned.mean(0)
    return shape / np.linalg.norm(shape, axis=-1).mean()


def head_rotation(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Rotations that best turn `shape` (R, 3) onto the landmarks (T, 478, 3) (Kabsch 1976): (T, 3, 3) head -> camera."""
    u, _, vt = np.linalg.svd(np.einsum("tri,rj->tij", _centred(points[:, RIGID]), shape))
    u[..., -1] *= np.linalg.det(u @ vt)[:, None]
    return u @ vt


def _centred(points: np.ndarray) -> np.ndarray:
    return points - points.mean(1, keepdims=True)


class Correlation(Metric):
    """Correlation over a clip; clips weigh the same."""

    def update(self, rendered: np.ndarray, driver: np.ndarray) -> None:
        """One clip: two signals (T,), of the frames that show a face in both."""
        value = correlation(rendered, driver)
        if value is not None:
            self.add(value)


class MouthCorrelation(Correlation):
    recipe: ClassVar[str] = (
        "Pearson correlation over the clip between the mouth opening (inner lips over outer eye corners) tracked on the render and on the "
        f"driver's real frames; {LANDMARKS}"
    )


class BlinkCorrelation(Correlation):
    recipe: ClassVar[str] = (
        f"Pearson correlation over the clip between the eye-aspect ratio tracked on the render and on the driver's real frames; {LANDMARKS}"
    )


class PoseError(Metric):
    """Mean head rotation error in degrees."""

    recipe: ClassVar[str] = (
        "angle in degrees between the head rotation measured on the render (Kabsch fit of rigid 3-D landmarks to the target person's own "
        "shape) and the fitted rotation of the driver's frame; for transfer both relative to their means over the clip; "
        f"{LANDMARKS}; pose_err_real is the same measured on the real frames"
    )

    def update(self, measured: np.ndarray, expected: np.ndarray) -> None:
        """Frames: rotations (T, 3, 3) and (T, 3, 3)."""
        self.add(rotation_angle(measured, expected))


class Lmd(Metric):
    """Landmark distance of the mouth (Chen et al. 2018)."""

    recipe: ClassVar[str] = (
        "mouth points 48:68 of the 68-point subset of MediaPipe's 478, each set's own mean subtracted, mean L2 to the real frame's in "
        f"pixels of the {{size}} px frames; {LANDMARKS}"
    )

    def update(self, rendered: np.ndarray, real: np.ndarray) -> None:
        """Frames (T, 478, C) and (T, 478, C), pixels."""
        a, b = from_mesh(rendered)[:, 48:, :2], from_mesh(real)[:, 48:, :2]
        gap = (a - a.mean(1, keepdims=True)) - (b - b.mean(1, keepdims=True))
        self.add(np.linalg.norm(gap, axis=-1).mean(1))


class BlinkRate(Metric):
    """Blinks per second."""

    recipe: ClassVar[str] = f"dips of the eye-aspect ratio under {BLINK} per second; blinks_per_s_real is the real driver's; {LANDMARKS}"

    def update(self, openness: np.ndarray, fps: float) -> None:
        """One clip: eye-aspect ratio (T,) at `fps` hertz."""
        if len(openness):
            self.add(blinks(openness) * fps / len(openness))

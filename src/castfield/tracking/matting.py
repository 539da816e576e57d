"""A coarse mask of the person refined to a soft alpha: in a band along its edge the colours decide.

Pictures are float32 RGB in [0, 1], (H, W, 3); masks float32 in [0, 1], (H, W). Radii are in pixels of 256-pixel frames.
"""

from __future__ import annotations

import cv2
import numpy as np

INNER, OUTER = 4, 9
"""How far inside and outside the coarse edge the colours decide: hair sticks out farther than faces are cut off."""


def refine(picture: np.ndarray, coarse: np.ndarray, plate: np.ndarray | None = None, plate_weight: np.ndarray | None = None) -> np.ndarray:
    """Alpha of the person.

    In the band each pixel is a mixture of the nearest sure colours of person F and background B; alpha is the point
    of the segment B-F nearest to the pixel, drawn to the coarse mask where F and B are too alike to tell. `plate`
    with `plate_weight` (H, W) is the background where it is known from other frames.
    """
    person = _erode(coarse > 0.9, INNER)
    behind = _erode(coarse < 0.1, OUTER)
    foreground, unrest = spread(picture, person)
    background, clutter = spread(picture, behind)
    if plate is not None and plate_weight is not None:
        background = background + plate_weight[..., None] * (plate - background)
        clutter = clutter * (1 - plate_weight)
    across = foreground - background
    square = _dot(across, across)
    prior = cv2.GaussianBlur(coarse, (0, 0), 1.0)
    # Contrast below 0.07 in RGB, or below the colours' own scatter on either side, proves nothing: the coarse mask decides.
    doubt = 0.005 + 6 * clutter + unrest
    alpha = (_dot(picture - background, across) + doubt * prior) / (square + doubt)
    alpha = np.clip((alpha - 0.08) / 0.84, 0, 1).astype(np.float32)  # noise and shading around the two sure colours
    # Far from the coarse edge a colour like the person's (a red chair behind a red coat) is no proof.
    reach = cv2.GaussianBlur(cv2.dilate(coarse, _disc(OUTER - 2)), (0, 0), 2.0)
    alpha = np.minimum(alpha, np.clip(reach * 2, 0, 1))
    core = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.0)
    return np.maximum(np.where(behind, 0, alpha), core)


def spread(picture: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill a picture from its known pixels by ever narrower Gaussian averages; what none reaches gets the mean.

    Returns the filled picture (H, W, 3) and the variance of the known colours around it (H, W), summed over RGB.
    """
    height, width = known.shape
    weight = known.astype(np.float32)
    moments = cv2.merge([*cv2.split(picture), _dot(picture, picture)])  # (H, W, 4)
    total = weight.sum()
    mean = (moments * weight[..., None]).sum((0, 1)) / total if total else moments.mean((0, 1))
    filled = np.broadcast_to(mean, moments.shape).astype(np.float32)
    packed = moments * weight[..., None]
    for sigma, shrink in ((24.0, 8), (10.0, 4), (4.0, 1)):
        size = (max(1, width // shrink), max(1, height // shrink))
        amount = cv2.GaussianBlur(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / shrink)
        sums = cv2.GaussianBlur(cv2.resize(packed, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / shrink)
        amount = cv2.resize(amount, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
        sums = cv2.resize(sums, (width, height), interpolation=cv2.INTER_LINEAR)
        filled = filled + np.minimum(amount / 0.02, 1) * (sums / np.maximum(amount, 1e-8) - filled)
    colour = np.ascontiguousarray(filled[..., :3])
    return colour, np.maximum(filled[..., 3] - _dot(colour, colour), 0)


def steady(alphas: list[np.ndarray], pictures: list[np.ndarray], at: int) -> np.ndarray:
    """Alpha of frame `at`, averaged with its neighbours where the picture stays the same: a mean over time that keeps motion."""
    total, weight = np.zeros_like(alphas[at]), np.zeros_like(alphas[at])
    for alpha, picture in zip(alphas, pictures, strict=True):
        away = picture - pictures[at]
        change = cv2.blur(_dot(away, away), (3, 3))
        w = np.exp(-change / (2 * 0.03**2))
        total += w * alpha
        weight += w
    return total / weight


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W, 3), (H, W, 3) -> (H, W). Several times as fast as a sum over the last axis."""
    return np.einsum("hwc,hwc->hw", a, b)


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _erode(mask: np.ndarray, radius: int) -> np.ndarray:
    # The picture's border is no edge of the person.
    return cv2.erode(mask.astype(np.uint8), _disc(radius), borderType=cv2.BORDER_REPLICATE).astype(bool)

"""How blurred a picture is, as the width of the Gaussian that would have blurred it so."""

from __future__ import annotations

import cv2
import numpy as np

AGAIN = 1.0
"""Standard deviation in pixels of the second blur."""
EDGES = 0.05
"""Share of the pixels, those with the steepest slope, that count as edges."""
OWN = 1 / 3
"""Variance in square pixels that a central difference adds: a pixel's own width, 1/12, and the mean of two of them, 1/4."""
FLOOR = 3.0
"""Slope in grey levels a pixel, after the second blur, below which there is no edge but noise."""


def blur(grey: np.ndarray) -> float:
    """Standard deviation in pixels of the blur of a picture (H, W) uint8; NaN without an edge.

    Blurring a second time flattens a sharp edge more than a soft one: an edge of width s keeps 1 / R of its slope, with
    R^2 = (s^2 + AGAIN^2) / s^2 (Zhuo and Sim 2011, "Defocus map estimation from a single image", eq. 4). The sharper half
    of the edges counts: a cheek's shading is soft in a sharp picture too. Beyond some 3 pixels rounding to whole levels makes
    the figure too small.
    """
    picture = grey.astype(np.float32)
    first, second = _slope(picture), _slope(cv2.GaussianBlur(picture, (0, 0), AGAIN))
    at = second > max(FLOOR, float(np.quantile(second, 1 - EDGES)))  # chosen where noise is smoothed away
    if at.sum() < 20:
        return float("nan")
    ratio = first[at] / second[at]
    variance = AGAIN**2 / np.maximum(ratio**2 - 1, 1e-4) - OWN
    return float(np.sqrt(np.quantile(np.maximum(variance, 0.0), 0.25)))


def _slope(picture: np.ndarray) -> np.ndarray:
    return np.hypot(cv2.Sobel(picture, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(picture, cv2.CV_32F, 0, 1) / 8)

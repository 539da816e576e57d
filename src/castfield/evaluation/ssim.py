"""SSIM (Wang, Bovik, Sheikh and Simoncelli 2004) over the pixels of the head."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.ndimage import correlate1d

from castfield.evaluation.metric import Metric

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def _window() -> np.ndarray:
    x = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(x**2) / (2 * SIGMA**2))
    return weights / weights.sum()


def ssim_map(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Structural similarity at each pixel and channel: (H, W, C), (H, W, C) in [0, 1] -> (H, W, C).

    Gaussian window of 11 x 11 with sigma 1.5, population covariance, data range 1; the picture is mirrored at its edges.
    """
    weights = _window()

    def blur(image: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(image, weights, axis=0, mode="reflect"), weights, axis=1, mode="reflect")

    x, y = prediction.astype(np.float64), target.astype(np.float64)
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    return (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))


class Ssim(Metric):
    """Mean of the frames' SSIM over the head."""

    recipe: ClassVar[str] = (
        "Wang 2004: Gaussian window 11, sigma 1.5, data range 1, RGB channels averaged; the SSIM map's mean over the pixels of the "
        "real frame's head mask (alpha > .5), so that the untouched background does not count; {size} px frames"
    )

    def update(self, prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> None:
        """One frame: (H, W, 3), (H, W, 3) in [0, 1] and (H, W) bool, not empty."""
        if not mask.any():
            raise ValueError("ssim: the mask is empty")
        self.add(float(ssim_map(prediction, target)[mask].mean()))

"""PSNR over the pixels of the head, and the same after the best small shift."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
from scipy.ndimage import correlate1d, spline_filter1d

from castfield.evaluation.metric import Metric

FLOOR = 1e-10
"""Smallest mean squared error: identical pictures count as 100 dB and not as infinity."""


def psnr(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """-10 log10 of the mean squared error over the masked pixels, in dB.

    prediction, target (H, W, 3) in [0, 1]; mask (H, W) bool with at least one pixel, else ValueError.
    """
    if not mask.any():
        raise ValueError("psnr: the mask is empty")
    error = (prediction[mask].astype(np.float64) - target[mask].astype(np.float64)) ** 2
    return float(-10 * np.log10(max(error.mean(), FLOOR)))


class Psnr(Metric):
    """Mean of the frames' PSNR."""

    recipe: ClassVar[str] = (
        "RGB in [0, 1], -10 log10(MSE) in dB over the pixels of the real frame's head mask (hair and neck, alpha > .5), "
        "per frame, then the mean; {size} px frames; no error at all counts as 100 dB"
    )

    def update(self, prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> None:
        """One frame: (H, W, 3), (H, W, 3) in [0, 1] and (H, W) bool."""
        self.add(psnr(prediction, target, mask))


class Shifter:
    """A picture that can be moved by fractions of a pixel: cubic B-splines (Unser 1999), mirrored at the edges."""

    def __init__(self, image: np.ndarray) -> None:
        """image (H, W, C)."""
        self.coefficients = image.astype(np.float64)
        for axis in (0, 1):
            self.coefficients = spline_filter1d(self.coefficients, 3, axis=axis, mode="mirror")

    def __call__(self, x: float, y: float) -> np.ndarray:
        """The picture (H, W, C) with its content moved by at most a pixel each way; (0, 0) gives it back."""
        moved = self.coefficients
        for axis, offset in ((0, y), (1, x)):
            moved = correlate1d(moved, _bspline(np.arange(-3, 4) + offset), axis=axis, mode="mirror")
        return moved


def _bspline(x: np.ndarray) -> np.ndarray:
    """The centred cubic B-spline."""
    a = np.abs(x)
    return np.where(a < 1, 2 / 3 - a**2 + a**3 / 2, np.where(a < 2, (2 - a) ** 3 / 6, 0.0))


def best_shift(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray, reach: float = 1.0) -> tuple[np.ndarray, float]:
    """The shift of at most `reach` (<= 1) pixels that brings `prediction` nearest to `target`.

    Returns the shift (2,), x and y in pixels, and the mean squared error after it. A search on ever finer grids, down to 1/64 pixel;
    no shift is among the candidates, so the error never grows.
    """
    box = _around(mask, 8)
    move, inside = Shifter(prediction[box]), mask[box]
    truth = target[box][inside].astype(np.float64)

    def error(offset: np.ndarray) -> float:
        return float(np.mean((move(*offset)[inside] - truth) ** 2))

    best, least = np.zeros(2), error(np.zeros(2))
    for step in (reach / 4, reach / 16, reach / 64):
        centre = best
        for offset in centre + step * np.array(list(itertools.product(range(-4, 5), repeat=2))):
            if np.hypot(*offset) <= reach + 1e-9 and (found := error(offset)) < least:
                best, least = offset, found
    return best, least


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The mask's bounding box with a margin in pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("psnr: the mask is empty")
    return (
        slice(max(0, rows[0] - margin), rows[-1] + 1 + margin),
        slice(max(0, columns[0] - margin), columns[-1] + 1 + margin),
    )


class AlignedPsnr(Metric):
    """Mean of the frames' PSNR after the best shift of each."""

    recipe: ClassVar[str] = (
        "PSNR after the best 2-D shift (cubic splines) of the render by at most 1 px per frame (search to 1/64 px): "
        "what is gained is pose error, what remains is appearance; {size} px frames"
    )

    def update(self, prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> None:
        """One frame, as in `Psnr.update`."""
        _, error = best_shift(prediction, target, mask)
        self.add(-10 * np.log10(max(error, FLOOR)))

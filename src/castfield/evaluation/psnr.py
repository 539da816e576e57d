"""PSNR over the pixels of the head, and the same after the best small shift."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

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


def shift(image: Tensor, offsets: Tensor) -> Tensor:
    """Move a picture by fractions of a pixel: (3, H, W) and (N, 2) pixels (x, y) -> (N, 3, H, W), bicubic, edges repeated.

    The content moves by `offsets`; the zero offset gives the picture back.
    """
    _, height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height, dtype=image.dtype), torch.arange(width, dtype=image.dtype), indexing="ij")
    source = torch.stack([x, y], -1)[None] - offsets[:, None, None].to(image.dtype)
    size = torch.tensor([width, height], dtype=image.dtype)
    grid = (2 * source + 1) / size - 1
    return F.grid_sample(image.expand(len(offsets), -1, -1, -1), grid, mode="bicubic", padding_mode="border", align_corners=False)


def best_shift(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray, reach: float = 1.0) -> tuple[np.ndarray, float]:
    """The shift of at most `reach` pixels that brings `prediction` nearest to `target`: ((2,) x and y in pixels, mean squared error).

    A search on ever finer grids, down to 1/64 pixel. No shift is among the candidates, so the error never grows.
    """
    image = torch.from_numpy(np.ascontiguousarray(prediction, np.float64).transpose(2, 0, 1))
    inside = torch.from_numpy(mask)
    truth = torch.from_numpy(np.ascontiguousarray(target, np.float64).transpose(2, 0, 1))[:, inside]
    centre, least = torch.zeros(2, dtype=torch.float64), float(((image[:, inside] - truth) ** 2).mean())
    step = reach / 4
    ring = torch.arange(-4, 5, dtype=torch.float64)
    while step >= 1 / 64:
        offsets = centre + step * torch.cartesian_prod(ring, ring)
        offsets = offsets[offsets.norm(dim=-1) <= reach + 1e-9]
        errors = ((shift(image, offsets)[:, :, inside] - truth) ** 2).mean((1, 2))
        at = int(errors.argmin())
        if float(errors[at]) < least:
            centre, least = offsets[at], float(errors[at])
        step, ring = step / 4, torch.arange(-4, 5, dtype=torch.float64)
    return centre.numpy(), least


class AlignedPsnr(Metric):
    """Mean of the frames' PSNR after the best shift of each."""

    recipe: ClassVar[str] = (
        "PSNR after the best bicubic 2-D shift of the render by at most 1 px per frame (search to 1/64 px): "
        "what is gained is pose error, what remains is appearance; {size} px frames"
    )

    def update(self, prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> None:
        """One frame, as in `Psnr.update`."""
        _, error = best_shift(prediction, target, mask)
        self.add(-10 * np.log10(max(error, FLOOR)))

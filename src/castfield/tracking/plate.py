"""The background plate: what is behind the person, from the training frames in which it is seen."""

from __future__ import annotations

import cv2
import numpy as np

STILL = 0.05
"""A background whose RGB scatters more than this over the frames (standard deviation) is not the same in every frame."""


def background_plate(frames: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RGBA plate (H, W, 4) uint8 and how far each pixel of it may be taken for the background of every frame (H, W) in [0, 1].

    frames (N, H, W, 3) uint8 training frames; covered (N, H, W) bool: where the person is, or near. Alpha of the plate is 255 where the
    background was seen in at least three frames (a tenth of them, if they are many): its median. Elsewhere a smooth guess from around it.
    """
    count, height, width = covered.shape
    free = ~covered
    seen = free.sum(0) >= max(1, min(3, count), count // 10)
    median = np.zeros((height, width, 3), np.float32)
    scatter = np.ones((height, width), np.float32)
    amount = free.sum(0)
    for row in range(height):  # row by row: the masked median needs floats, and all frames at once would be a gigabyte
        columns = np.flatnonzero(seen[row])
        where = free[:, row, columns, None]
        values = np.sort(np.where(where, frames[:, row, columns].astype(np.float32), np.inf), axis=0)
        number = amount[row, columns]
        at = np.arange(len(columns))
        median[row, columns] = (values[(number - 1) // 2, at] + values[number // 2, at]) / 2
        away = np.where(where, frames[:, row, columns] - median[row, columns], 0)
        scatter[row, columns] = np.sqrt(np.einsum("nwc,nwc->w", away, away) / (3 * number)) / 255
    plate = np.where(seen[..., None], median, fill(median, seen))
    weight = cv2.erode((seen & (scatter < STILL)).astype(np.float32), np.ones((3, 3), np.uint8))
    alpha = np.where(seen, 255, 0).astype(np.uint8)[..., None]
    return np.concatenate([np.clip(np.rint(plate), 0, 255).astype(np.uint8), alpha], -1), cv2.GaussianBlur(weight, (0, 0), 1.0)


def fill(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Unknown pixels by diffusion from the known ones: a pull-push pyramid, then relaxation. (H, W, 3) float32.

    A picture of which nothing is known becomes mid-grey.
    """
    if not known.any():
        return np.full_like(picture, 127.5)
    guess = _pull_push(picture * known[..., None], known.astype(np.float32))
    fixed = known[..., None]
    guess = np.where(fixed, picture, guess)
    for sigma in (8.0, 4.0, 2.0, 1.0):  # from coarse to fine, so that the seams go and no streak comes
        for _ in range(12):
            guess = np.where(fixed, picture, cv2.GaussianBlur(guess, (0, 0), sigma))
    return guess


def _pull_push(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    height, width = weights.shape
    mean = sums / np.maximum(weights, 1e-6)[..., None]
    if min(height, width) <= 2 or (weights > 0.5).all():
        total = weights.sum()
        return np.where(weights[..., None] > 1e-6, mean, sums.sum((0, 1)) / total if total else 0).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    small_weights = cv2.resize(weights, half, interpolation=cv2.INTER_AREA)
    small = _pull_push(cv2.resize(sums, half, interpolation=cv2.INTER_AREA), np.minimum(small_weights, 1))
    coarse = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(weights[..., None] > 0.5, mean, coarse).astype(np.float32)

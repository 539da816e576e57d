"""The background plate: what is behind the person, from the training frames in which it is seen."""

from __future__ import annotations

import cv2
import numpy as np

STILL = 0.05
"""A background whose RGB scatters more than this over the frames (standard deviation) is not the same in every frame."""
ROOM = 1 << 20
"""Bytes of film of which the median is taken at a time: they stay in the processor's cache."""


def background_plate(frames: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RGBA plate (H, W, 4) uint8 and how far each pixel of it may be taken for the background of every frame (H, W) in [0, 1].

    frames (N, H, W, 3) uint8 training frames; covered (N, H, W) bool: where the person is, or near. Alpha of the plate is 255 where the
    background was seen in at least three frames (a tenth of them, if they are many): its median. Elsewhere a smooth guess from around it.
    """
    count = len(covered)
    free = ~covered
    amount = free.sum(0)
    seen = amount >= max(1, min(3, count), count // 10)
    median, unrest = np.zeros(frames.shape[1:], np.float32), np.zeros(seen.shape, np.float32)
    rows = max(1, ROOM // max(1, frames[:, :1].nbytes))
    for at in range(0, len(median), rows):
        part = np.s_[at : at + rows]
        median[part], unrest[part] = _usual(frames[:, part], free[:, part])
    median *= seen[..., None]
    scatter = np.where(seen, np.sqrt(unrest / (3 * np.maximum(amount, 1))) / 255, 1)
    plate = np.where(seen[..., None], median, fill(median, seen))
    weight = cv2.erode((seen & (scatter < STILL)).astype(np.float32), np.ones((3, 3), np.uint8))
    alpha = np.where(seen, 255, 0).astype(np.uint8)[..., None]
    return np.concatenate([np.clip(np.rint(plate), 0, 255).astype(np.uint8), alpha], -1), cv2.GaussianBlur(weight, (0, 0), 1.0)


def _usual(frames: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median (H, W, 3) of the frames (N, H, W, 3) uint8 in which a pixel is free (N, H, W), and the sum (H, W) over these of the squared
    distance from it. Anything where it never is free."""
    shown = cv2.merge([free.view(np.uint8).reshape(-1, free.shape[2]) * np.uint8(255)] * 3).reshape(frames.shape)
    number = free.sum(0, dtype=np.int16)[..., None]
    ordered = frames | ~shown  # white is the last in the order: ranks among the free ones stay
    median = (_ranked(ordered, (number - 1) // 2).astype(np.float32) + _ranked(ordered, number // 2)) / 2
    total, square = np.zeros_like(median), np.zeros_like(median)
    for frame in frames & shown:
        cv2.accumulate(frame, total)
        cv2.accumulateSquare(frame, square)
    return median, np.maximum(square + median * (number * median - 2 * total), 0).sum(-1)


def _ranked(values: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """The value at a place `rank`, from 0, in the order of values (N, ..., C) uint8 -> (..., C): bit by bit, in less time than sorting."""
    found = np.zeros(values.shape[1:], np.uint8)
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        trial = found | bit
        less = (values < trial).view(np.uint8).sum(0, dtype=np.int16)
        found += (less <= rank).view(np.uint8) * np.uint8(bit)
    return found


def fill(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Unknown pixels by diffusion from the known ones: a pull-push pyramid, then relaxation. (H, W, 3) float32.

    A picture of which nothing is known becomes mid-grey.
    """
    if not known.any():
        return np.full_like(picture, 127.5)
    share = known.astype(np.float32)
    guess = _pull_push(picture * known[..., None], share)
    height, width = known.shape
    for shrink, sigma in ((4, 2.0), (2, 2.0), (1, 2.0), (1, 1.0)):  # from coarse to fine, so that the seams go and no streak comes
        size = (-(-width // shrink), -(-height // shrink))
        coarse = _relaxed(
            cv2.resize(guess, size, interpolation=cv2.INTER_AREA), cv2.resize(share, size, interpolation=cv2.INTER_AREA) == 1, sigma
        )
        guess = cv2.copyTo(picture, known.view(np.uint8), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))
    return guess


def _relaxed(guess: np.ndarray, fixed: np.ndarray, sigma: float) -> np.ndarray:
    """A picture (H, W, 3) blurred again and again but where it is fixed (H, W)."""
    start = guess
    for _ in range(12):
        guess = cv2.copyTo(start, fixed.view(np.uint8), cv2.GaussianBlur(guess, (0, 0), sigma))
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

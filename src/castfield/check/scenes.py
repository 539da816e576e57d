"""Cuts and standstills, from thumbnails of every frame."""

from __future__ import annotations

import numpy as np

JUMP = 0.15
"""Change from one frame to the next, in standard deviations of the picture's brightness, that may be a cut: another scene changes by
1.1 on average, the head of another person before the same wall by 0.2 and more."""
TIMES = 3.0
"""A cut stands out: it changes so many times as much as any other frame within NEAR. Fast motion lasts for several frames."""
NEAR = 8
LEAP = 0.6
"""Change, in the same unit, over seconds: half way from a person who moves, 0.2, to another scene, 1.1."""
STILL = 1
"""Grey levels that no pixel of a thumbnail changes by more than where a picture repeats the one before: rounding of a codec."""


def changes(thumbs: np.ndarray) -> np.ndarray:
    """(T, h, w) uint8 -> (T,): change from the frame before in standard deviations; 0 for the first.

    Each thumbnail is brought to mean 0 and deviation 1 first, so that light that is switched does not look like a cut.
    """
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat = (flat - flat.mean(1, keepdims=True)) / np.maximum(flat.std(1, keepdims=True), 4.0)
    return np.concatenate([[0.0], np.abs(np.diff(flat, axis=0)).mean(1)]) if len(flat) else np.zeros(0)


def cuts(thumbs: np.ndarray) -> list[int]:
    """Frames with which a new shot begins."""
    change = changes(thumbs)
    after_hold = {end for _, end in standstills(thumbs)}  # where pictures were missing, the next one jumps
    found = []
    for at in np.flatnonzero(change > JUMP):
        around = np.concatenate([change[max(0, at - NEAR) : at], change[at + 1 : at + 1 + NEAR]])
        least = LEAP if at in after_hold else JUMP
        if change[at] > max(least, TIMES * around.max(initial=0.0)):
            found.append(int(at))
    return found


def leaps(thumbs: np.ndarray) -> int:
    """How often the scene is another one in thumbnails that lie seconds apart; people may move in between, the room may not."""
    return int((changes(thumbs) > LEAP).sum())


def standstills(thumbs: np.ndarray) -> list[tuple[int, int]]:
    """Runs of frames that repeat the picture before them: (first, one past the last)."""
    difference = np.abs(np.diff(thumbs.astype(np.int16), axis=0)).max((1, 2)) if len(thumbs) > 1 else np.zeros(0)
    still = np.concatenate([[False], difference <= STILL, [False]])
    edges = np.flatnonzero(np.diff(still.astype(int)))
    return [(int(a) + 1, int(b) + 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]

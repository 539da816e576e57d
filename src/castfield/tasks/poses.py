"""Head poses to render: another person's motion in this person's place, and a swing to each side.

A pose is a rotation (3, 3) head -> camera and a translation (3,) in metres (see `castfield.geometry`).
"""

from __future__ import annotations

import numpy as np


def mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """The rotation nearest to all of `rotations` (T, 3, 3) in the least-squares (chordal) sense -> (3, 3).

    Its closed form is the polar factor of the sum (Moakher 2002, "Means and averaging in the group of rotations").
    """
    left, _, right = np.linalg.svd(np.asarray(rotations, np.float64).sum(0))
    sign = np.sign(np.linalg.det(left @ right))
    return left @ np.diag([1.0, 1.0, sign]) @ right


def transfer_poses(
    identity_rotation: np.ndarray,
    identity_translation: np.ndarray,
    driver_rotation: np.ndarray,
    driver_translation: np.ndarray,
    driver_valid: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The driver's head motion about the identity's own mean pose.

    identity_* (Ta, ...) and driver_* (T, ...) are the poses of two clips -> rotation (T, 3, 3), translation (T, 3).
    The driver's pose relative to the driver's mean, seen in the axes of the mean head, is applied in the axes of the
    identity's mean head: a nod stays a nod when the two sit differently before their cameras, and the identity stays
    in its place. A driver driving itself gets its own poses back. `driver_valid` (T,) bool says which of the driver's
    frames enter its mean; all by default.
    """
    kept = np.ones(len(driver_rotation), bool) if driver_valid is None or not driver_valid.any() else driver_valid
    own, other = mean_rotation(identity_rotation), mean_rotation(driver_rotation[kept])
    turn = own @ other.T  # driver's camera axes -> identity's camera axes, through the two mean heads
    rotation = turn @ np.asarray(driver_rotation, np.float64)
    moved = np.asarray(driver_translation, np.float64) - np.mean(driver_translation[kept], 0, dtype=np.float64)
    translation = np.mean(identity_translation, 0, dtype=np.float64) + moved @ turn.T
    return rotation.astype(np.float32), translation.astype(np.float32)


def swing_poses(rotation: np.ndarray, translation: np.ndarray, frames: int, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The mean of a clip's poses turned about the head's vertical axis: one swing to each side in `frames` frames.

    rotation (Ta, 3, 3), translation (Ta, 3) -> rotation (frames, 3, 3), translation (frames, 3). The swing is a sine that
    closes, so that the video can be looped.
    """
    angle = np.radians(degrees) * np.sin(2 * np.pi * np.arange(frames) / max(frames, 1))
    zero, one = np.zeros(frames), np.ones(frames)
    sine, cosine = np.sin(angle), np.cos(angle)
    turn = np.stack([cosine, zero, sine, zero, one, zero, -sine, zero, cosine], -1).reshape(frames, 3, 3)
    place = np.repeat(np.mean(translation, 0, dtype=np.float64)[None], frames, 0)
    return (mean_rotation(rotation) @ turn).astype(np.float32), place.astype(np.float32)


def ping_pong(available: int, wanted: int) -> np.ndarray:
    """Indices (wanted,) that run to and fro over `available` frames: 0 1 2 1 0 1 ..., so that nothing jumps."""
    if available == 1:
        return np.zeros(wanted, np.int64)
    period = 2 * (available - 1)
    step = np.arange(wanted) % period
    return np.where(step < available, step, period - step).astype(np.int64)

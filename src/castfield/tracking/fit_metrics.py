"""How well a track fits the landmarks that it was made of (metrics of the stage `fit`; recipes in docs and `metrics.md`)."""

from __future__ import annotations

import numpy as np

from castfield.clip import Landmarks, Track
from castfield.tracking.landmark_fit import inter_ocular

UPPER, LOWER = 13, 14
"""Inner middle of the upper and the lower lip."""
WINDOW = 250
"""Frames whose landmarks are looked at together, so that those of a long clip are never all in memory."""


def measure(track: Track, landmarks: Landmarks) -> dict[str, float]:
    """Figures of one clip, over its frames with a face and the landmarks that rig and tracker share.

    nme: mean distance of fitted and tracked landmarks over the inter-ocular distance; nme_worst: the worst frame's. jitter, jitter_tracked
    and jitter_raw: mean norm of the second difference over the inter-ocular distance, of the fit, of the tracked landmarks, and of the raw
    ones, which are what the network gives in one pass; jitter_ratio: the fit's over the raw one's. lip_range: fitted over raw 5th to 95th
    percentile range of the lip opening; lip_corr: their correlation (left out where the mouth does not move).
    """
    found, fitted, tracked, raw = landmarks.found, track.landmarks, landmarks.points, landmarks.raw
    windows = [slice(at, at + WINDOW) for at in range(0, len(found), WINDOW)]
    shared = np.all([_finite(fitted[w]) & _finite(tracked[w][found[w]]) for w in windows], 0)
    scale = inter_ocular(tracked, found)
    per_frame = np.concatenate([_apart(fitted[w][:, shared], tracked[w][:, shared]).mean(1) for w in windows])[found] / scale
    values = {"nme": per_frame.mean(), "nme_worst": per_frame.max()}
    run = found[2:] & found[1:-1] & found[:-2]
    if run.any():
        for name, points in (("jitter", fitted), ("jitter_tracked", tracked), ("jitter_raw", raw)):
            trembles = np.concatenate([_tremble(points[w.start : w.stop + 2, shared]) for w in windows])
            values[name] = trembles[run].mean() / scale
        if values["jitter_raw"] > 1e-9:
            values["jitter_ratio"] = values["jitter"] / values["jitter_raw"]
    if shared[[UPPER, LOWER]].all():
        opening = [_apart(points[:, UPPER], points[:, LOWER])[found] for points in (fitted, raw)]
        spans = [np.subtract(*np.percentile(o, [95, 5])) for o in opening]
        if spans[1] > 0.02 * scale and opening[0].std() > 0:
            values["lip_range"] = spans[0] / spans[1]
            values["lip_corr"] = np.corrcoef(*opening)[0, 1]
    return {name: round(float(value), 6) for name, value in values.items()}


def _finite(points: np.ndarray) -> np.ndarray:
    """(478,) bool: landmarks (T, 478, >=2) that are known in every frame."""
    return np.isfinite(points[..., :2]).all((0, 2))


def _apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances (...) of points (..., >=2) in the picture."""
    return np.linalg.norm(first[..., :2].astype(np.float64) - second[..., :2], axis=-1)


def _tremble(points: np.ndarray) -> np.ndarray:
    """(T - 2,) mean norm of the second difference of landmarks (T, L, >=2) in each frame but the first and the last."""
    points = points[..., :2].astype(np.float64)
    return np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1).mean(1)

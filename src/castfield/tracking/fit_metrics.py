"""How well a track fits the landmarks that it was made of (metrics of the stage `fit`; recipes in docs and `metrics.md`)."""

from __future__ import annotations

import numpy as np

from castfield.clip import Landmarks, Track
from castfield.tracking.landmark_fit import inter_ocular

UPPER, LOWER = 13, 14
"""Inner middle of the upper and the lower lip."""


def measure(track: Track, landmarks: Landmarks) -> dict[str, float]:
    """Figures of one clip, over its frames with a face and the landmarks that rig and tracker share.

    nme: mean distance of fitted and tracked landmarks over the inter-ocular distance; nme_worst: the worst frame's. jitter, jitter_tracked
    and jitter_raw: mean norm of the second difference over the inter-ocular distance, of the fit, of the tracked landmarks, and of the raw
    ones, which are what the network gives in one pass; jitter_ratio: the fit's over the raw one's. lip_range: fitted over raw 5th to 95th
    percentile range of the lip opening; lip_corr: their correlation (left out where the mouth does not move).
    """
    found = landmarks.found
    tracked, raw = (points[..., :2].astype(np.float64) for points in (landmarks.points, landmarks.raw))
    fitted = track.landmarks.astype(np.float64)
    shared = np.isfinite(tracked[found]).all((0, 2)) & np.isfinite(fitted).all((0, 2))
    scale = inter_ocular(tracked[found])
    per_frame = np.linalg.norm(fitted - tracked, axis=-1)[:, shared].mean(1)[found] / scale
    values = {"nme": per_frame.mean(), "nme_worst": per_frame.max()}
    run = found[2:] & found[1:-1] & found[:-2]
    if run.any():
        values["jitter"] = _jitter(fitted[:, shared], run) / scale
        values["jitter_tracked"] = _jitter(tracked[:, shared], run) / scale
        values["jitter_raw"] = _jitter(raw[:, shared], run) / scale
        if values["jitter_raw"] > 1e-9:
            values["jitter_ratio"] = values["jitter"] / values["jitter_raw"]
    if shared[[UPPER, LOWER]].all():
        opening = [np.linalg.norm(p[found, UPPER] - p[found, LOWER], axis=-1) for p in (fitted, raw)]
        spans = [np.subtract(*np.percentile(o, [95, 5])) for o in opening]
        if spans[1] > 0.02 * scale and opening[0].std() > 0:
            values["lip_range"] = spans[0] / spans[1]
            values["lip_corr"] = np.corrcoef(*opening)[0, 1]
    return {name: round(float(value), 6) for name, value in values.items()}


def _jitter(points: np.ndarray, run: np.ndarray) -> float:
    second = points[2:] - 2 * points[1:-1] + points[:-2]
    return float(np.linalg.norm(second, axis=-1)[run].mean())

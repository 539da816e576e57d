"""How well a track fits the landmarks that it was made of (metrics of the stage `fit`; recipes in docs and `metrics.md`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from castfield.clip import Landmarks, Track
from castfield.geometry import rotation_angle
from castfield.tracking.landmark_fit import inter_ocular

UPPER, LOWER = 13, 14
"""Inner middle of the upper and the lower lip."""


def measure(track: Track, landmarks: Landmarks) -> dict[str, float]:
    """Figures of one clip, over its frames with a face and the landmarks that rig and tracker share.

    nme: mean distance of fitted and tracked landmarks over the inter-ocular distance; nme_max: the worst frame's. jitter and jitter_raw:
    mean norm of the second difference over the inter-ocular distance; jitter_ratio: one over the other. lip_range: fitted over tracked
    5th to 95th percentile range of the lip opening; lip_corr: their correlation (left out where the mouth does not move).
    """
    found = landmarks.found
    raw = landmarks.points[..., :2].astype(np.float64)
    fitted = track.landmarks.astype(np.float64)
    shared = np.isfinite(raw[found]).all((0, 2)) & np.isfinite(fitted).all((0, 2))
    scale = inter_ocular(raw[found])
    per_frame = np.linalg.norm(fitted - raw, axis=-1)[:, shared].mean(1)[found] / scale
    values = {"nme": per_frame.mean(), "nme_max": per_frame.max()}
    run = found[2:] & found[1:-1] & found[:-2]
    if run.any():
        values["jitter"] = _jitter(fitted[:, shared], run) / scale
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


def measure_truth(track: Track, truth: Path) -> dict[str, float]:
    """A track against ground truth with fields `rotation`, `translation`, `expression` and `focal` like a Track's.

    rotation_deg: mean angle after the mean rotation between the two was taken out (where a head's "straight ahead" lies is a
    convention). lateral_mm: mean distance across the line of sight, the constant part taken out. depth_pct: mean relative
    error of the depth after one common scale per clip, because focal length and depth are told apart by perspective only.
    expression_corr: mean correlation of the activations that move (standard deviation over 0.03).
    """
    with np.load(truth) as z:
        rotation, translation, expression = (z[k].astype(np.float64) for k in ("rotation", "translation", "expression"))
        focal = float(z["focal"]) if "focal" in z.files else track.focal
    valid = track.valid[: len(rotation)]
    rotation, translation, expression = rotation[valid], translation[valid], expression[valid]
    mine = track.rotation.astype(np.float64)[valid]
    between = np.einsum("tij,tjk->tik", rotation.transpose(0, 2, 1), mine)
    u, _, v = np.linalg.svd(between.mean(0))
    mean = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    angles = rotation_angle(between, mean)
    place = track.translation.astype(np.float64)[valid]
    scale = np.exp(np.mean(np.log(translation[:, 2] / place[:, 2])))
    depth = np.abs(place[:, 2] * scale / translation[:, 2] - 1)
    # Across: in the picture's terms, so that another focal length is no error, then in metres at the true depth.
    across = (place[:, :2] / place[:, 2:] * track.focal - translation[:, :2] / translation[:, 2:] * focal) * translation[:, 2:] / focal
    values = {
        "rotation_deg": angles.mean(),
        "lateral_mm": 1000 * np.linalg.norm(across - across.mean(0), axis=1).mean(),
        "depth_pct": 100 * depth.mean(),
    }
    moving = np.flatnonzero((expression.std(0) > 0.03) & (track.expression[valid].std(0) > 1e-4))
    if len(moving):
        values["expression_corr"] = np.mean([np.corrcoef(expression[:, k], track.expression[valid][:, k])[0, 1] for k in moving])
    return {name: round(float(value), 6) for name, value in values.items()}

"""A track and masks against what is known of synthetic footage: `data/raw/truth/<clip>.npz`, read by nobody who tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from castfield.clip import Crop, Track
from castfield.geometry import rotation_angle
from castfield.tracking.landmark_fit import inter_ocular

JUDGED = (
    "jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "mouthPucker", "mouthFunnel", "browInnerUp",
)  # fmt: skip
"""Actions whose correlation is told one by one."""
MOVES = 0.03
"""Standard deviation from which an activation counts as moving."""


def measure_truth(track: Track, truth: Path, crop: Crop, names: Sequence[str]) -> dict[str, float]:
    """Errors of a track over its valid frames. The truth is in pixels of the footage, the track in those of its crop.

    rotation_deg: mean angle after the mean rotation between the two was taken out (where a head's "straight ahead" lies is a
    convention, and the crop's optical centre is its own). lateral_mm: mean distance across the line of sight, the constant part taken
    out. depth_pct: mean relative error of the depth after one common scale per clip, because focal length and depth are told apart by
    perspective only. expression_corr: mean correlation of the activations that move (an activation that the
    fit leaves still has 0), if the track has the truth's; expression_corr_<action>: of one of JUDGED that moves; expression_error: root
    mean square error of those that move. `names` are the rig's actions.
    nme: mean distance of the fitted landmarks from the true ones over the inter-ocular distance.
    """
    with np.load(truth) as z:
        rotation, translation, expression, landmarks = (
            z[k].astype(np.float64) for k in ("rotation", "translation", "expression", "landmarks")
        )
        focal, rate, size = float(z["focal"]), float(z["fps"]), int(z["size"])
    first = round(crop.start * rate)
    frames = min(len(track), len(rotation) - first)
    valid = track.valid[:frames]
    rotation, translation, expression, landmarks = (
        a[first : first + frames][valid] for a in (rotation, translation, expression, landmarks)
    )
    left, top, side = crop.box
    zoom = side / track.size

    between = np.einsum("tji,tjk->tik", rotation, track.rotation[:frames][valid].astype(np.float64))
    u, _, v = np.linalg.svd(between.mean(0))
    angles = rotation_angle(between, u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v)

    place = track.translation[:frames][valid].astype(np.float64)
    scale = np.exp(np.mean(np.log(translation[:, 2] / place[:, 2])))
    depth = np.abs(place[:, 2] * scale / translation[:, 2] - 1)
    mine = (place[:, :2] / place[:, 2:] * track.focal + track.size / 2) * zoom + (left, top)
    theirs = translation[:, :2] / translation[:, 2:] * focal + size / 2
    across = (mine - theirs) * translation[:, 2:] / focal
    fitted = track.landmarks[:frames][valid].astype(np.float64) * zoom + (left, top)
    values = {
        "rotation_deg": angles.mean(),
        "lateral_mm": 1000 * np.linalg.norm(across - across.mean(0), axis=1).mean(),
        "depth_pct": 100 * depth.mean(),
        "nme": np.nanmean(np.linalg.norm(fitted - landmarks, axis=-1)) / inter_ocular(landmarks),
    }
    got = track.expression[:frames][valid].astype(np.float64)
    same = expression.shape == got.shape  # the truth speaks of the rig that the cast is made of; another rig has other directions
    moving = np.flatnonzero(expression.std(0) > MOVES) if same else np.empty(0, np.int64)
    if len(moving):
        like = {names[k]: _correlation(expression[:, k], got[:, k]) for k in moving}
        values["expression_corr"] = np.mean(list(like.values()))
        values["expression_error"] = np.sqrt(((got - expression)[:, moving] ** 2).mean())
        values |= {f"expression_corr_{name}": like[name] for name in JUDGED if name in like}
    return {name: round(float(value), 6) for name, value in values.items()}


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if other.std() > 1e-4 else 0.0


def head_overlap(masks: Iterable[np.ndarray], truth: Path, crop: Crop) -> float:
    """Intersection over union of the parsed head and the true one, mean over the frames. masks: (H, W, 3) uint8 as in `data/masks`."""
    with np.load(truth) as z:
        packed, size, first = z["head_mask"], int(z["size"]), round(crop.start * float(z["fps"]))
    left, top, side = crop.box
    zoom = crop.size / side
    # Pixel centres: (x + 0.5 - left) * zoom = x' + 0.5.
    warp = np.array([[zoom, 0, (0.5 - left) * zoom - 0.5], [0, zoom, (0.5 - top) * zoom - 0.5]])
    overlaps = []
    for mask, bits in zip(masks, packed[first:], strict=False):
        true = np.unpackbits(bits)[: size * size].reshape(size, size).astype(np.float32)
        known = cv2.warpAffine(true, warp, (crop.size, crop.size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 0.5
        found = mask[..., 0] > 127
        overlaps.append((known & found).sum() / max(1, (known | found).sum()))
    return round(float(np.mean(overlaps)), 6)

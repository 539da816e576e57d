"""How a person looks from the front, in the mean over their footage: what their planes start from.

Every texel of a frontal plane stands for a line through the head, of which cameras see the front. So before the first step a
person is there already, at rest; what is learned is how they move, and what is seen from the side.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from castfield.fields.planes import BOX_HIGH, BOX_LOW
from castfield.images import ClipImages

VIEWS = 8
"""Training frames that are looked at, evenly spread."""
SEEN = 0.02
"""Cover from which on a place's own colour counts; elsewhere it is the person's mean."""


@dataclass(frozen=True)
class FrontalView:
    """Texels of the frontal plane, line by line along y, in each line along x."""

    colour: np.ndarray
    """(side, side, 3) float32 RGB in [0, 1]."""
    cover: np.ndarray
    """(side, side) float32 in [0, 1]: how much of them the head masks hold."""


def frontal_view(clip: ClipImages, depth: np.ndarray, side: int) -> FrontalView:
    """The clip's training frames as seen at `side` x `side` places of the box, which lie at depth (D, D), z in metres by lines of y."""
    (left, low, _), (right, high, _) = BOX_LOW, BOX_HIGH
    within = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(left + (right - left) * within, low + (high - low) * within)
    places = np.stack([x, y, cv2.resize(depth, (side, side)), np.ones_like(x)]).reshape(4, -1).astype(np.float32)
    sums = np.zeros((side, side, 4), np.float32)
    frames = clip.train_frames[np.unique(np.linspace(0, len(clip.train_frames) - 1, VIEWS).round().astype(int))]
    for frame in frames:
        pose = np.column_stack([clip.track.rotation[frame], clip.track.translation[frame]]).astype(np.float32)
        across, down, away = pose @ places
        # OpenCV counts pixels from the centre of the first.
        scale, middle = np.float32(clip.focal) / np.maximum(away, np.float32(1e-3)), np.float32(clip.size / 2 - 0.5)
        column, line = ((along * scale + middle).reshape(side, side) for along in (across, down))
        picture = np.dstack([clip.frames[frame], clip.head[frame]])
        looked = cv2.remap(picture, column, line, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32) / 255
        sums[..., :3] += looked[..., :3] * looked[..., 3:]
        sums[..., 3] += looked[..., 3]
    weight = sums[..., 3:]
    mean = sums[..., :3].sum((0, 1)) / max(float(weight.sum()), 1e-6)
    seen = weight > SEEN * len(frames)
    return FrontalView(np.where(seen, sums[..., :3] / np.maximum(weight, 1e-6), mean), weight[..., 0] / len(frames))

"""Where in a picture rays are drawn: most in the head's box, and many on lips and eyes, which say most in the fewest pixels.

Without rays of their own, lips are too few pixels of the loss for their opening to be learned soon: they come out half open.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from castfield.images import ClipImages
from castfield.tracking.sixty_eight import EYES, OUTER_LIPS

LIPS_MARGIN, EYES_MARGIN = 0.35, 0.12
"""The boxes of the landmarks are grown by this share of their width: a jaw that drops moves what is round the lips."""


def region_boxes(clip: ClipImages) -> np.ndarray:
    """Boxes (T, 3, 4) of lips, eyes and head: left, top, right, bottom in pixels, right and bottom exclusive."""
    return np.stack([_round(clip, OUTER_LIPS, LIPS_MARGIN), _round(clip, EYES, EYES_MARGIN), clip.boxes], 1)


def _round(clip: ClipImages, landmarks: Sequence[int], margin: float) -> np.ndarray:
    """(T, 4) the box round fitted landmarks; that of the head where the rig has no such landmarks or they lie outside the picture."""
    points = clip.track.landmarks[:, list(landmarks)] * (clip.size / clip.track.size)
    low, high = points.min(1), points.max(1)
    grown = margin * (high - low)[:, :1]
    with np.errstate(invalid="ignore"):  # landmarks that the rig lacks are NaN
        box = np.concatenate([np.floor(low - grown), np.ceil(high + grown)], 1).clip(0, clip.size)
        usable = (box[:, 2:] > box[:, :2]).all(1)
    return np.where(usable[:, None], np.nan_to_num(box), clip.boxes).astype(np.int32)

"""Which way up a picture is: the way in which its face is found with the most certainty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from castfield.frames import SURE
from castfield.tracking.detection import FaceDetector

MORE = 0.05
"""Score that another way up must gain. A face that is upright loses 0.1 and more by any turn, one upside down gains 0.2."""


def turn(pictures: Sequence[np.ndarray]) -> int:
    """Degrees, counter-clockwise, by which pictures (H, W, 3) uint8 must be turned to be upright: 0, 90, 180 or 270."""
    if not len(pictures):
        return 0
    scores = {}
    with FaceDetector() as detector:
        for k in range(4):
            found = (detector.find(np.rot90(picture, k)) for picture in pictures)
            scores[90 * k] = float(np.mean([max((face.score for face in faces), default=0.0) for faces in found]))
    best = max(scores, key=lambda degrees: scores[degrees])
    return best if scores[best] >= max(SURE, scores[0] + MORE) else 0

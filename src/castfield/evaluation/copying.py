"""The copy baseline: the training frame nearest in pose and expression, as a prediction.

A field that does not beat it has not been shown to synthesize anything.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from castfield.clip import Track

RECIPE = (
    "the training frame of the same clip that is nearest in pose and expression (least RMS distance of the fitted rig's projected "
    "landmarks), scored as a prediction with the same recipe"
)


def nearest_frames(track: Track, wanted: np.ndarray, training: np.ndarray) -> np.ndarray:
    """For each frame of `wanted` the nearest of `training`: index arrays -> index array.

    Distance: root mean square over landmarks of the pixel distance between the two fitted rigs, which weighs pose and expression by what
    they move in the picture. Frames without a valid fit are never copied. The earlier one of equals. ValueError where none is left.
    """
    pool = np.asarray(training)[track.valid[training]]
    if not len(pool):
        raise ValueError("no training frame has a valid fit")
    known = np.isfinite(track.landmarks).all((0, 2))
    points = track.landmarks[:, known].reshape(len(track), -1).astype(np.float64)
    return pool[cdist(points[np.asarray(wanted)], points[pool], "sqeuclidean").argmin(1)]

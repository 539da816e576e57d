"""ACD, the average content distance: does the render show the target person?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from castfield.evaluation.faces import ENLARGED, NETWORK
from castfield.evaluation.metric import Metric


def cosine_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 - cosine of every pair: (A, D), (B, D) -> (A, B), in [0, 2]."""
    a = first / np.linalg.norm(first, axis=1, keepdims=True)
    b = second / np.linalg.norm(second, axis=1, keepdims=True)
    return 1 - a @ b.T


class Acd(Metric):
    """Mean cosine distance between generated and real embeddings of the target person."""

    recipe: ClassVar[str] = (
        f"cosine distance between face embeddings of generated and real frames of the target person, every pair, then the mean; {NETWORK}, "
        f"frames of {{size}} px enlarged to {ENLARGED} px, HOG detection, chips of 150 px; where the detector finds no face "
        "(counted in acd_frames_without_face) the landmarks' box is used"
    )

    def update(self, generated: np.ndarray, real: np.ndarray) -> None:
        """One clip: (A, 128) and (B, 128). Its mean is one sample, so that clips weigh the same; nothing where either is empty."""
        if len(generated) and len(real):
            self.add(float(cosine_distance(generated, real).mean()))

"""Whether it is the same person throughout, where a film has cuts: face embeddings of a few frames against each other."""

from __future__ import annotations

import numpy as np

from castfield.clip import spread
from castfield.errors import WeightsError
from castfield.evaluation.faces import embed

LOOKS = 8
"""Frames that are compared, at a third of a second each."""
STRANGER = 0.05
"""Cosine distance between embeddings: one man in two films of GRID is .016 from himself, two people are .084 apart and more."""


def strangers(crops: np.ndarray, boxes: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which of LOOKS frames, spread over those with a face, show another person than most: indices into the N frames.

    crops (N, S, S, 3) uint8; boxes (N, 4) of the faces in pixels; found (N,) bool. Empty without dlib's network.
    """
    at = np.flatnonzero(found)
    if not len(at):
        return at
    at = spread(at, LOOKS)
    try:
        codes = embed(crops[at], boxes[at]).embeddings
    except WeightsError:
        return at[:0]
    if len(codes) != len(at):
        return at[:0]
    codes = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    distance = 1 - codes @ codes.T
    return at[distance[(distance < STRANGER).sum(1).argmax()] > STRANGER]

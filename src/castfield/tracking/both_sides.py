"""A picture is tracked twice, as it is and mirrored, and the mean is taken: of what a network gets wrong, much differs between the two.

The mean knows no left and right: it answers to a mirrored picture with the mirrored answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import tee

import numpy as np

from castfield.opposite import back, flipped
from castfield.tracking.main_person import Face

SAME = 0.2
"""Faces of the two pictures are one if their points lie less than this apart on average, in sides of the face."""


def both_sides(track: Callable[[Iterable[np.ndarray]], Iterator[list[Face]]], frames: Iterable[np.ndarray]) -> Iterator[list[Face]]:
    """The faces that a tracker sees in frames, each put in the mean with what it sees of it in the mirrored ones.

    The frames as they are decide which faces there are. One that is missed in the mirror counts as it was seen.
    """
    straight, mirrored, pictures = tee(frames, 3)
    passes = track(straight), track(map(flipped, mirrored))
    for picture, faces, others in zip(pictures, *passes, strict=True):
        width = picture.shape[1]
        yield _means(faces, [replace(face, points=back(face.points, width)) for face in others])


def _means(faces: Sequence[Face], others: Sequence[Face]) -> list[Face]:
    means = []
    for face in faces:
        apart = [np.linalg.norm(face.points[:, :2] - other.points[:, :2], axis=-1).mean() for other in others]
        nearest = int(np.argmin(apart)) if apart else -1
        if nearest >= 0 and apart[nearest] < SAME * face.box()[2]:
            other = others[nearest]
            face = Face((face.points + other.points) / 2, (face.confidence + other.confidence) / 2, face.points)
        means.append(face)
    return means

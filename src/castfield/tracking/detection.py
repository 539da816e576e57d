"""Where the faces are in a picture: MediaPipe's face detectors, and which faces belong to one person over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from castfield.quiet import quiet
from castfield.solutions import solution


class Face(NamedTuple):
    """One detected face. The box is a square from the brows to below the chin."""

    x: float
    """Centre, in pixels of the picture."""
    y: float
    side: float
    """Side of the box in pixels."""
    score: float
    """Confidence of the detector in [0, 1]."""


class FaceDetector:
    """Finds all faces of a picture. Near faces with the short-range model, others with the full-range one (BlazeFace).

    Use as a context manager; the models hold threads.
    """

    def __init__(self, confidence: float = 0.5) -> None:
        with quiet():
            kind = solution("face_detection").FaceDetection
            self._models = [kind(model_selection=model, min_detection_confidence=confidence) for model in (0, 1)]
            self.find(np.zeros((64, 64, 3), np.uint8))  # the models speak when they are first used

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, *_: object) -> None:
        for model in self._models:
            model.close()

    def find(self, picture: np.ndarray, tile: int = 0) -> list[Face]:
        """Faces in an RGB uint8 picture (H, W, 3), the largest first; those of both models, each face once.

        The models see a picture at 128 to 192 pixels. `tile` > 0 looks at overlapping squares of that side instead of at
        the whole, and so finds faces of a tenth of the side.
        """
        height, width = picture.shape[:2]
        faces: list[Face] = []
        for y in _starts(height, tile):
            for x in _starts(width, tile):
                part = picture[y : y + tile, x : x + tile] if tile else picture
                for face in self._whole(part):
                    face = face._replace(x=face.x + x, y=face.y + y)
                    if not any(same_face(face, other) for other in faces):
                        faces.append(face)
        return sorted(faces, key=lambda face: -face.side)

    def _whole(self, picture: np.ndarray) -> list[Face]:
        height, width = picture.shape[:2]
        faces: list[Face] = []
        for model in self._models:
            for found in model.process(np.ascontiguousarray(picture)).detections or []:
                box = found.location_data.relative_bounding_box
                side = max(box.width * width, box.height * height)
                face = Face((box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height, side, float(found.score[0]))
                if not any(same_face(face, other) for other in faces):
                    faces.append(face)
        return faces


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin so that they cover the length and overlap by a third."""
    if not tile or length <= tile:
        return [0]
    count = -(-(length - tile) // (2 * tile // 3)) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def same_face(a: Face, b: Face) -> bool:
    """Whether two boxes lie on the same face: centres nearer than 0.6 sides and sizes within a factor of 1.8."""
    near = float(np.hypot(a.x - b.x, a.y - b.y)) < 0.6 * max(a.side, b.side)
    return near and max(a.side, b.side) < 1.8 * min(a.side, b.side)


def people(samples: Iterable[list[Face]]) -> list[list[tuple[int, Face]]]:
    """Sort the faces of sampled frames into people: (sample index, face) lists, the person who fills most of the film first.

    A face continues the person whose last face it lies on, however long ago that was; so a person who is lost for a
    moment stays one person, and a cut to another place starts a new one.
    """
    tracks: list[list[tuple[int, Face]]] = []
    for index, faces in enumerate(samples):
        taken: set[int] = set()
        for face in faces:
            fitting = [i for i, track in enumerate(tracks) if i not in taken and same_face(track[-1][1], face)]
            if fitting:
                best = min(fitting, key=lambda i: np.hypot(tracks[i][-1][1].x - face.x, tracks[i][-1][1].y - face.y))
                tracks[best].append((index, face))
            else:
                best = len(tracks)
                tracks.append([(index, face)])
            taken.add(best)
    return sorted(tracks, key=lambda track: -sum(face.side**2 for _, face in track))

"""Networks that find face landmarks, chosen by name. Each turns frames, in order, into the faces seen in each.

A tracker is `tracker(frames) -> iterator of lists of Face`. Adding one is one function and one line in `TRACKERS`.
Nothing is smoothed here: the fit weighs the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from castfield.quiet import quiet
from castfield.solutions import solution
from castfield.tracking.both_sides import both_sides
from castfield.tracking.main_person import Face
from castfield.tracking.sixty_eight import to_mesh

Tracker = Callable[[Iterable[np.ndarray]], Iterator[list[Face]]]

MOST_FACES = 3
"""Faces looked for in a frame: the person and whoever else must be told from them."""
LOOK = 5
"""Frames from one look for further faces to the next, as long as there is one."""
NEAR, FAR = 0, 1
"""The detector's models: for faces within two metres of the camera, which the mesh has too, and for those within five."""


def mediapipe(frames: Iterable[np.ndarray]) -> Iterator[list[Face]]:
    """The mean of what `face_mesh` sees in the frames and in their mirror images."""
    return both_sides(face_mesh, frames)


def face_mesh(frames: Iterable[np.ndarray], look: int = LOOK) -> Iterator[list[Face]]:
    """MediaPipe FaceMesh with attention (Grishchenko et al. 2020) in video mode: 478 points; its weights lie in the wheel.

    To follow one face takes the mesh alone; to find others takes its detector in every frame besides. That begins with the first
    face that is detected where the mesh follows none, in every `look`-th frame or when the face is lost.
    """
    with ExitStack() as open_networks:
        mesh = open_networks.enter_context(_mesh(1))
        detector = open_networks.enter_context(_detector(NEAR))
        alone = True
        for number, frame in enumerate(frames):
            faces = _faces(mesh, frame)
            looked = _boxes(detector, frame) if alone and (number % look == 0 or not faces) else []
            if any(not any(_on(face, box) for face in faces) for box in looked):
                alone, mesh = False, open_networks.enter_context(_mesh(MOST_FACES))
                faces = _faces(mesh, frame)
            yield faces


def _mesh(faces: int) -> Any:
    """The face mesh for a video with so many faces at most."""
    with quiet():
        mesh = solution("face_mesh").FaceMesh(static_image_mode=False, max_num_faces=faces, refine_landmarks=True)
        mesh.process(np.zeros((64, 64, 3), np.uint8))  # the first frame loads the networks; it holds no face
    return mesh


def _faces(mesh: Any, frame: np.ndarray) -> list[Face]:
    height, width = frame.shape[:2]
    scale = np.array([width, height, width], np.float32)
    found = mesh.process(np.ascontiguousarray(frame)).multi_face_landmarks or []
    faces = [np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * scale for face in found]
    return [Face(points, _inside(points, width, height)) for points in faces]


def _detector(model: int) -> Any:
    """MediaPipe's face detector, for near or for far faces."""
    with quiet():
        detector = solution("face_detection").FaceDetection(model_selection=model, min_detection_confidence=0.5)
        detector.process(np.zeros((64, 64, 3), np.uint8))
    return detector


def _boxes(detector: Any, frame: np.ndarray) -> list[np.ndarray]:
    """Left, top, right and bottom, in pixels, of each face that is detected."""
    height, width = frame.shape[:2]
    found = [face.location_data.relative_bounding_box for face in detector.process(np.ascontiguousarray(frame)).detections or []]
    return [np.array([b.xmin, b.ymin, b.xmin + b.width, b.ymin + b.height]) * (width, height, width, height) for b in found]


def _on(face: Face, box: np.ndarray) -> bool:
    """Whether a detected box lies on a face: the middle of the one within the other."""
    low, high = face.points[:, :2].min(0), face.points[:, :2].max(0)
    middle = (box[:2] + box[2:]) / 2
    return bool((low <= middle).all() and (middle <= high).all())


def face_alignment(frames: Iterable[np.ndarray], weights: Path | None = None) -> Iterator[list[Face]]:
    """FAN (Bulat and Tzimiropoulos 2017, package face-alignment): 68 points, laid on their places among the 478.

    Faces are found by MediaPipe's detector, whose weights lie in its wheel. Raises WeightsError without FAN's weights, which are
    those at `weights` or the ones that `castfield.weights` calls `fan_2d`.
    """
    from castfield.tracking.fan import load_fan

    network = load_fan(weights)
    zoom = 4  # the package rounds its landmarks to whole pixels of the picture it is given
    with _detector(FAR) as detector:
        for frame in frames:
            faces = []
            large = cv2.resize(frame, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
            for box in _boxes(detector, frame)[:MOST_FACES]:
                found = network.get_landmarks_from_image(large, [zoom * box], return_landmark_score=True)
                points, scores = found[0][0], found[1][0]
                faces.append(Face(to_mesh((points + 0.5) / zoom), float(np.clip(np.mean(scores), 0, 1))))
            yield faces


def _inside(points: np.ndarray, width: int, height: int) -> float:
    """Share of the points that lie in the picture: the face mesh gives no confidence of its own."""
    x, y = points[:, 0], points[:, 1]
    return float(np.mean((x >= 0) & (x <= width) & (y >= 0) & (y <= height)))


TRACKERS: dict[str, Tracker] = {"mediapipe": mediapipe, "face_alignment": face_alignment}

"""Networks that find face landmarks, chosen by name. Each turns frames, in order, into the faces seen in each.

A tracker is `tracker(frames) -> iterator of lists of Face`. Adding one is one function and one line in `TRACKERS`.
Nothing is smoothed here: the fit weighs the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from castfield.quiet import quiet
from castfield.solutions import solution
from castfield.tracking.main_person import Face
from castfield.tracking.sixty_eight import to_mesh

Tracker = Callable[[Iterable[np.ndarray]], Iterator[list[Face]]]

MOST_FACES = 3
"""Faces looked for in a frame: the person and whoever else must be told from them."""


def mediapipe(frames: Iterable[np.ndarray]) -> Iterator[list[Face]]:
    """MediaPipe FaceMesh with attention (Grishchenko et al. 2020) in video mode: 478 points; its weights lie in the wheel."""
    with quiet():
        mesh = solution("face_mesh").FaceMesh(static_image_mode=False, max_num_faces=MOST_FACES, refine_landmarks=True)
        mesh.process(np.zeros((64, 64, 3), np.uint8))  # the first frame loads the networks; it holds no face
    with mesh as network:
        for frame in frames:
            height, width = frame.shape[:2]
            scale = np.array([width, height, width], np.float32)
            found = network.process(np.ascontiguousarray(frame)).multi_face_landmarks or []
            faces = [np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * scale for face in found]
            yield [Face(points, _inside(points, width, height)) for points in faces]


def face_alignment(frames: Iterable[np.ndarray], weights: Path | None = None) -> Iterator[list[Face]]:
    """FAN (Bulat and Tzimiropoulos 2017, package face-alignment): 68 points, laid on their places among the 478.

    Faces are found by MediaPipe's detector, whose weights lie in its wheel. Raises WeightsError without FAN's weights, which are
    those at `weights` or the ones that `castfield.weights` calls `fan_2d`.
    """
    from castfield.tracking.fan import load_fan

    network = load_fan(weights)
    zoom = 4  # the package rounds its landmarks to whole pixels of the picture it is given
    with quiet():
        boxes = solution("face_detection").FaceDetection(model_selection=1, min_detection_confidence=0.5)
        boxes.process(np.zeros((64, 64, 3), np.uint8))
    with boxes as detector:
        for frame in frames:
            height, width = frame.shape[:2]
            faces = []
            large = cv2.resize(frame, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
            for detection in (detector.process(np.ascontiguousarray(frame)).detections or [])[:MOST_FACES]:
                box = detection.location_data.relative_bounding_box
                left, top, right, bottom = box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height
                corners = zoom * np.array([left * width, top * height, right * width, bottom * height])
                found = network.get_landmarks_from_image(large, [corners], return_landmark_score=True)
                points, scores = found[0][0], found[1][0]
                faces.append(Face(to_mesh((points + 0.5) / zoom), float(np.clip(np.mean(scores), 0, 1))))
            yield faces


def _inside(points: np.ndarray, width: int, height: int) -> float:
    """Share of the points that lie in the picture: the face mesh gives no confidence of its own."""
    x, y = points[:, 0], points[:, 1]
    return float(np.mean((x >= 0) & (x <= width) & (y >= 0) & (y <= height)))


TRACKERS: dict[str, Tracker] = {"mediapipe": mediapipe, "face_alignment": face_alignment}

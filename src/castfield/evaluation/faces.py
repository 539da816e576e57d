"""Face embeddings by dlib's ResNet (King 2017), whose weights (CC0) lie in the `face_recognition_models` wheel.

That package does not import under recent setuptools, so its files are found without importing it. HOG detection wants faces
of at least 80 px and the network looks at chips of 150 px, so frames are enlarged first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from castfield.errors import WeightsError

ENLARGED = 384
"""Side in pixels that frames are enlarged to before detection: a face that fills two fifths of the picture then fills a chip of 150 px."""
NETWORK = "dlib ResNet-29 v1 (face_recognition_models)"


def model_file(name: str) -> Path:
    """A file of the `face_recognition_models` wheel, found without importing it. Raises WeightsError."""
    spec = find_spec("face_recognition_models")
    path = Path(spec.origin).parent / "models" / name if spec and spec.origin else None
    if path is None or not path.exists():
        raise WeightsError(f"ACD lacks dlib's '{name}'", where=path, cure="pip install face_recognition_models")
    return path


@cache
def _networks() -> tuple[Any, Any, Any]:
    try:
        import dlib
    except ImportError:
        raise WeightsError("ACD needs dlib", cure="pip install dlib-bin") from None
    predictor = dlib.shape_predictor(str(model_file("shape_predictor_5_face_landmarks.dat")))
    encoder = dlib.face_recognition_model_v1(str(model_file("dlib_face_recognition_resnet_model_v1.dat")))
    return dlib.get_frontal_face_detector(), predictor, encoder


@dataclass(frozen=True)
class Faces:
    """Embeddings of some frames of a clip."""

    embeddings: np.ndarray
    """(K, 128) float64, one for each frame in which a face could be placed."""
    without: int
    """Frames in which the detector found no face: there the landmarks' box was used, or, without landmarks, none."""
    asked: int
    """Frames looked at."""


def spread(frames: int, count: int) -> np.ndarray:
    """At most `count` frame indices, evenly spread over a clip and away from its ends."""
    count = min(count, frames)
    return ((np.arange(count) + 0.5) * frames / count).astype(int)


def embed(frames: np.ndarray, boxes: np.ndarray) -> Faces:
    """Embeddings of the largest face in each frame.

    frames (K, S, S, 3) uint8; boxes (K, 4) left, top, right, bottom of the landmarks in pixels, NaN where there are none.
    Raises WeightsError where dlib or its weights are missing.
    """
    import cv2
    import dlib

    detector, predictor, encoder = _networks()
    found, without = [], 0
    for frame, box in zip(frames, boxes, strict=True):
        scale = max(1.0, ENLARGED / min(frame.shape[:2]))
        large = np.ascontiguousarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
        seen = detector(large, 0)
        if len(seen):
            place = max(seen, key=lambda r: r.area())
        else:
            without += 1
            if not np.isfinite(box).all():
                continue
            place = dlib.rectangle(*(int(round(v * scale)) for v in box))
        found.append(np.array(encoder.compute_face_descriptor(large, predictor(large, place))))
    return Faces(np.array(found).reshape(-1, 128), without, len(frames))

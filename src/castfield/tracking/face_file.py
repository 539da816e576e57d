"""The faces of a clip, put aside in a file while its frames go by: which of them are the person's is known after the last one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from castfield.scratch import Rows
from castfield.tracking.main_person import Face, boxes_of

FACE = np.dtype([("points", np.float32, (478, 3)), ("raw", np.float32, (478, 2))])
"""A face as it lies in the file: its points, and x and y as the network gave them in one pass."""


class FaceFile:
    """Faces in the order of their frames. Boxes and confidence stay in memory; the file has no name, so that nothing is left of it."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed with this object)
        self.boxes: list[np.ndarray] = []
        """(N, 3) of each frame."""
        self._numbers: list[range] = []
        self._confidence: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, faces: Sequence[Face]) -> None:
        """The faces of the next frame."""
        self.boxes.append(boxes_of(faces))
        self._numbers.append(range(len(self._confidence), len(self._confidence) + len(faces)))
        for face in faces:
            raw = face.points if face.raw is None else face.raw
            self._file.write(np.array((face.points, raw[:, :2]), FACE).tobytes())
            self._confidence.append(face.confidence)

    def confidence(self, path: Sequence[int]) -> np.ndarray:
        """(T,) float32 of the faces of a path; 0 where it has none."""
        chosen = [self._confidence[numbers[at]] if at >= 0 else 0.0 for numbers, at in zip(self._numbers, path, strict=True)]
        return np.array(chosen, np.float32)

    def points(self, frames: Iterable[int], path: Sequence[int]) -> Rows:
        """(N, 478, 3) of the faces on a path in these N frames."""
        return self._rows("points", list(frames), path)

    def raw(self, frames: Iterable[int], path: Sequence[int]) -> Rows:
        """(N, 478, 2) of them, as the network gave them in one pass."""
        return self._rows("raw", list(frames), path)

    def _rows(self, what: str, frames: Sequence[int], path: Sequence[int]) -> Rows:
        def each() -> Iterator[np.ndarray]:
            for t in frames:
                self._file.seek(self._numbers[t][path[t]] * FACE.itemsize)
                yield np.frombuffer(self._file.read(FACE.itemsize), FACE)[what][0]

        return Rows((len(frames), *FACE[what].shape), np.dtype(np.float32), each())

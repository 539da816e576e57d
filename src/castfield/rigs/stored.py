"""The rig as it lies in `data/rig/rig.npz`: arrays of any kind. With NumPy's, who reads it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from castfield.errors import CastfieldError
from castfield.scratch import write_npz

A = TypeVar("A")
"""What the arrays are: np.ndarray, or torch.Tensor where gradients are wanted."""
LANDMARKS = 478
"""Points of the face tracker: 468 of the face mesh, then five of each iris."""
VIEW_TERMS = 5
"""Terms by which the side from which a tracker looks enters its answer."""


def view_terms(rotation: np.ndarray) -> np.ndarray:
    """Rotations head -> camera (T, 3, 3) -> (T, 5): sideways and upward part of the line of sight in the head, and their products.

    0 for a head that looks straight into the camera, however it leans; beyond half a radian as there.
    """
    aside, above = np.clip(rotation[:, 2, :2], -0.5, 0.5).T
    return np.stack([aside, above, aside**2, aside * above, above**2], 1)


@dataclass(frozen=True)
class StoredRig(Generic[A]):
    """A linear head: neutral + identity + expression. Canonical head space, metres; see `castfield.geometry`.

    The first `head_vertices` vertices and `head_faces` faces are head and neck, with eyes, teeth, tongue and lashes;
    shoulders and chest follow.
    """

    neutral: A
    """(V, 3) the mean person at rest."""
    identity_basis: A
    """(I, V, 3) offset per standard deviation of each identity coefficient."""
    expression_basis: A
    """(d, V, 3) offset of each expression at activation 1: an action in full, or a standard deviation of a signed direction."""
    expression_range: A
    """(d, 2) least and greatest activation: [0, 1] for an action, both signs for a direction of a statistical model."""
    expression_deviation: A
    """(d,) expected size of each activation: standard deviation of its prior."""
    expression_names: tuple[str, ...]
    """ARKit names where the model has such actions; else the model's own."""
    faces: A
    """(F, 3) int64 triangles, counter-clockwise seen from outside."""
    parts: A
    """(V,) int64 index into `part_names`."""
    face_parts: A
    """(F,) int64 index into `part_names`."""
    part_names: tuple[str, ...]
    head_vertices: int
    head_faces: int
    head_weight: A
    """(V,) how far a vertex follows the head when it turns on the torso: 1 head, 0 shoulders, between on the neck."""
    neck_pivot: A
    """(3,) where the neck turns on the torso."""
    eye_centres: A
    """(2, 3) centres of the person's left and right eyeball in the neutral head; they look along +z."""
    eye_radius: float
    """Radius of the eyeballs."""
    landmark_face: A
    """(478,) int64 the face on which each tracker landmark lies."""
    landmark_barycentric: A
    """(478, 3) where on that face."""
    landmark_spread_mm: A
    """(478,) mean distance between this point and what the tracker sees, over rendered views, in millimetres."""
    landmark_valid: A
    """(478,) bool: spread within `rig.landmark_spread_mm`."""

    landmark_response: A | None = None
    """(1 + I + d + 5 + K, 478, 3) metres, how the tracker answers (`castfield.rigs.response`): what its landmarks add to the mesh's
    as an offset, by identity, by expression and by the side from which it looks (`view_terms`), then K modes of its error, one standard
    deviation each; None for a faultless one."""

    @property
    def d(self) -> int:
        """Dimension of the expression vector."""
        return len(self.expression_basis)  # type: ignore[arg-type]

    @property
    def identity_dim(self) -> int:
        """Dimension of the identity coefficients, standard normal over people."""
        return len(self.identity_basis)  # type: ignore[arg-type]

    @property
    def answers(self) -> list[int]:
        """How many rows of `landmark_response` are of what."""
        known = [1, self.identity_dim, self.d, VIEW_TERMS]
        return [*known, len(self.landmark_response) - sum(known)]  # type: ignore[arg-type]

    def save(self, path: Path) -> None:
        """Write the rig, bases in half precision (a hundredth of a millimetre), the same bytes for the same rig."""
        arrays = {}
        for name in stored_names():
            value = getattr(self, name)
            if value is None:
                continue
            array = np.array(value)
            if name in ("identity_basis", "expression_basis", "landmark_response"):
                array = array.astype(np.float16)
            elif array.dtype == np.int64:
                array = array.astype(np.int32)
            arrays[name] = array
        write_npz(path, **arrays)


def read_rig(path: Path) -> StoredRig[np.ndarray]:
    """Read what `save` wrote. Raises CastfieldError if the file is missing or of another make."""
    if not path.exists():
        raise CastfieldError("there is no rig", where=path, cure="dvc repro rig")
    values: dict[str, Any] = {}
    with np.load(path) as stored:
        missing = set(stored_names()) - set(stored.files) - {"landmark_response"}
        if missing:
            raise CastfieldError("the rig file is of another version", expected=sorted(missing), where=path, cure="dvc repro -f rig")
        for name in set(stored_names()) & set(stored.files):
            array = stored[name]
            if array.dtype.kind == "U":
                values[name] = tuple(map(str, array))
            elif array.ndim == 0:
                values[name] = array.item()
            else:
                values[name] = array.astype({"f": np.float32, "i": np.int64, "b": np.bool_}[array.dtype.kind])
    return StoredRig(**values)


def stored_names() -> list[str]:
    """Names of the rig's fields."""
    return [f.name for f in fields(StoredRig)]

"""The protocol that a parametric head fulfils, and the rig as it is loaded from `data/rig/rig.npz`.

Baked models differ only in their arrays, so one class serves Anny, BFM, FLAME and SMPL-X alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from castfield.errors import CastfieldError
from castfield.scratch import write_npz

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


class HeadModel(Protocol):
    """What the stages ask of a rig: coefficients in, points in canonical head space (metres) out, differentiably."""

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the expression's dimensions."""

    @property
    def expression_range(self) -> Tensor:
        """(d, 2) least and greatest activation."""

    @property
    def expression_deviation(self) -> Tensor:
        """(d,) standard deviation of each activation's prior."""

    @property
    def faces(self) -> Tensor:
        """(F, 3) triangles."""

    @property
    def landmark_valid(self) -> Tensor:
        """(478,) bool: landmarks that the fit may use."""

    @property
    def d(self) -> int:
        """Dimension of the expression vector."""

    @property
    def identity_dim(self) -> int:
        """Dimension of the identity coefficients, standard normal over people."""

    def vertices(self, identity: Tensor, expression: Tensor, head_only: bool = False) -> Tensor:
        """(..., identity_dim) and (..., d) -> (..., V, 3)."""

    def landmarks(self, identity: Tensor, expression: Tensor) -> Tensor:
        """(..., identity_dim) and (..., d) -> (..., 478, 3)."""

    def seen(self, identity: Tensor, expression: Tensor) -> Tensor:
        """(..., identity_dim) and (..., d) -> (..., 478, 3): the landmarks where the tracker sees them."""

    @property
    def landmark_view(self) -> Tensor:
        """(5, 478, 3) what each of the `view_terms` adds to them."""

    @property
    def landmark_modes(self) -> Tensor:
        """(K, 478, 3) modes of the tracker's error in a frame."""


@dataclass(frozen=True)
class Rig:
    """A linear head: neutral + identity + expression. Canonical head space, metres; see `castfield.geometry`.

    The first `head_vertices` vertices and `head_faces` faces are head and neck, with eyes, teeth, tongue and lashes;
    shoulders and chest follow.
    """

    neutral: Tensor
    """(V, 3) the mean person at rest."""
    identity_basis: Tensor
    """(I, V, 3) offset per standard deviation of each identity coefficient."""
    expression_basis: Tensor
    """(d, V, 3) offset of each expression at activation 1: an action in full, or a standard deviation of a signed direction."""
    expression_range: Tensor
    """(d, 2) least and greatest activation: [0, 1] for an action, both signs for a direction of a statistical model."""
    expression_deviation: Tensor
    """(d,) expected size of each activation: standard deviation of its prior."""
    expression_names: tuple[str, ...]
    """ARKit names where the model has such actions; else the model's own."""
    faces: Tensor
    """(F, 3) int64 triangles, counter-clockwise seen from outside."""
    parts: Tensor
    """(V,) int64 index into `part_names`."""
    face_parts: Tensor
    """(F,) int64 index into `part_names`."""
    part_names: tuple[str, ...]
    head_vertices: int
    head_faces: int
    head_weight: Tensor
    """(V,) how far a vertex follows the head when it turns on the torso: 1 head, 0 shoulders, between on the neck."""
    neck_pivot: Tensor
    """(3,) where the neck turns on the torso."""
    eye_centres: Tensor
    """(2, 3) centres of the person's left and right eyeball in the neutral head; they look along +z."""
    eye_radius: float
    """Radius of the eyeballs."""
    landmark_face: Tensor
    """(478,) int64 the face on which each tracker landmark lies."""
    landmark_barycentric: Tensor
    """(478, 3) where on that face."""
    landmark_spread_mm: Tensor
    """(478,) mean distance between this point and what the tracker sees, over rendered views, in millimetres."""
    landmark_valid: Tensor
    """(478,) bool: spread within `rig.landmark_spread_mm`."""

    landmark_response: Tensor | None = None
    """(1 + I + d + 5 + K, 478, 3) metres, how the tracker answers (`castfield.rigs.response`): what its landmarks add to the mesh's
    as an offset, by identity, by expression and by the side from which it looks (`view_terms`), then K modes of its error, one standard
    deviation each; None for a faultless one."""

    _landmark_bases: tuple[Tensor, Tensor, Tensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index, weights = self.faces[self.landmark_face], self.landmark_barycentric[:, :, None]
        bases = (self.neutral, self.identity_basis, self.expression_basis)
        # A basis of the landmarks alone makes fits fast.
        object.__setattr__(self, "_landmark_bases", tuple((basis[..., index, :] * weights).sum(-2) for basis in bases))

    @property
    def d(self) -> int:
        return len(self.expression_basis)

    @property
    def identity_dim(self) -> int:
        return len(self.identity_basis)

    def vertices(self, identity: Tensor, expression: Tensor, head_only: bool = False) -> Tensor:
        """Identity (..., I) and expression (..., d), broadcast against each other -> (..., V, 3) metres."""
        end = self.head_vertices if head_only else len(self.neutral)
        return _linear(self.neutral[:end], self.identity_basis[:, :end], self.expression_basis[:, :end], identity, expression)

    def landmarks(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Identity (..., I) and expression (..., d), broadcast against each other -> (..., 478, 3) metres."""
        neutral, identity_basis, expression_basis = self._landmark_bases
        return _linear(neutral, identity_basis, expression_basis, identity, expression)

    def seen(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Like `landmarks`, but where the tracker sees them from straight ahead (`castfield.rigs.response`)."""
        if self.landmark_response is None:
            return self.landmarks(identity, expression)
        place, by_identity, by_expression, *_ = self.landmark_response.split(self._answers)
        return self.landmarks(identity, expression) + _linear(place[0], by_identity, by_expression, identity, expression)

    def seen_from(self, identity: Tensor, expression: Tensor, rotation: np.ndarray) -> Tensor:
        """Like `seen`, but from the side that heads turned by `rotation` (T, 3, 3), head -> camera, show: (T, 478, 3) metres.

        Identity (I,) or (T, I), expression (d,) or (T, d).
        """
        side = torch.from_numpy(view_terms(rotation)).to(self.landmark_view)
        return self.seen(identity, expression) + torch.tensordot(side, self.landmark_view, 1)

    @property
    def landmark_view(self) -> Tensor:
        """(5, 478, 3) metres: what each of the `view_terms` adds to `seen`; nothing for a faultless tracker."""
        if self.landmark_response is None:
            return torch.zeros((VIEW_TERMS, LANDMARKS, 3))
        return self.landmark_response.split(self._answers)[3]

    @property
    def landmark_modes(self) -> Tensor:
        """(K, 478, 3) metres: modes of the tracker's error in a frame, one standard deviation each; K may be 0."""
        if self.landmark_response is None:
            return torch.zeros((0, LANDMARKS, 3))
        return self.landmark_response.split(self._answers)[4]

    @property
    def _answers(self) -> list[int]:
        """How many rows of `landmark_response` are of what."""
        assert self.landmark_response is not None
        known = [1, self.identity_dim, self.d, VIEW_TERMS]
        return [*known, len(self.landmark_response) - sum(known)]

    def part(self, name: str) -> Tensor:
        """(V,) bool: vertices of a part."""
        return self.parts == self.part_names.index(name)

    def faces_of(self, *names: str) -> Tensor:
        """(F,) bool: faces of these parts; a part that the rig lacks has none."""
        wanted = [self.part_names.index(name) for name in names if name in self.part_names]
        return torch.isin(self.face_parts, torch.tensor(wanted, dtype=torch.int64))

    def to(self, device: torch.device | str) -> Rig:
        """The rig on another device."""
        moved: dict[str, Any] = {name: value.to(device) for name in _stored() if isinstance(value := getattr(self, name), Tensor)}
        return replace(self, **moved)

    def save(self, path: Path) -> None:
        """Write the rig, bases in half precision (a hundredth of a millimetre), the same bytes for the same rig."""
        arrays = {}
        for name in _stored():
            value = getattr(self, name)
            if value is None:
                continue
            array = value.numpy() if isinstance(value, Tensor) else np.array(value)
            if name in ("identity_basis", "expression_basis", "landmark_response"):
                array = array.astype(np.float16)
            elif array.dtype == np.int64:
                array = array.astype(np.int32)
            arrays[name] = array
        write_npz(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Rig:
        """Read what `save` wrote. Raises CastfieldError if the file is missing or of another make."""
        if not path.exists():
            raise CastfieldError("there is no rig", where=path, cure="dvc repro rig")
        values: dict[str, Any] = {}
        with np.load(path) as stored:
            missing = set(_stored()) - set(stored.files) - {"landmark_response"}
            if missing:
                raise CastfieldError("the rig file is of another version", expected=sorted(missing), where=path, cure="dvc repro -f rig")
            for name in set(_stored()) & set(stored.files):
                array = stored[name]
                if array.dtype.kind == "U":
                    values[name] = tuple(map(str, array))
                elif array.ndim == 0:
                    values[name] = array.item()
                else:
                    kind = {"f": np.float32, "i": np.int64, "b": np.bool_}[array.dtype.kind]
                    values[name] = torch.from_numpy(array.astype(kind))
        return cls(**values)


def _stored() -> list[str]:
    """Names of the rig's fields that are given, not derived."""
    return [f.name for f in fields(Rig) if f.init]


def _linear(neutral: Tensor, identity_basis: Tensor, expression_basis: Tensor, identity: Tensor, expression: Tensor) -> Tensor:
    """neutral (N, 3) + identity (..., I) . (I, N, 3) + expression (..., d) . (d, N, 3)."""
    shift = identity @ identity_basis.flatten(1) + expression @ expression_basis.flatten(1)
    return neutral + shift.unflatten(-1, neutral.shape)

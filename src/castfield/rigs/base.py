"""The protocol that a parametric head fulfils, and the rig as it is loaded from `data/rig/rig.npz`.

Baked models differ only in their arrays (`castfield.rigs.stored`), so one class serves Anny, BFM, FLAME and SMPL-X alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from castfield.rigs.stored import LANDMARKS, VIEW_TERMS, StoredRig, read_rig, stored_names, view_terms


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


@dataclass(frozen=True)
class Rig(StoredRig[Tensor]):
    """The stored rig with torch's arrays: a `HeadModel`."""

    _landmark_bases: tuple[Tensor, Tensor, Tensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index, weights = self.faces[self.landmark_face], self.landmark_barycentric[:, :, None]
        bases = (self.neutral, self.identity_basis, self.expression_basis)
        # A basis of the landmarks alone makes fits fast.
        object.__setattr__(self, "_landmark_bases", tuple((basis[..., index, :] * weights).sum(-2) for basis in bases))

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
        place, by_identity, by_expression, *_ = self.landmark_response.split(self.answers)
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
        return self.landmark_response.split(self.answers)[3]

    def part(self, name: str) -> Tensor:
        """(V,) bool: vertices of a part."""
        return self.parts == self.part_names.index(name)

    def faces_of(self, *names: str) -> Tensor:
        """(F,) bool: faces of these parts; a part that the rig lacks has none."""
        wanted = [self.part_names.index(name) for name in names if name in self.part_names]
        return torch.isin(self.face_parts, torch.tensor(wanted, dtype=torch.int64))

    def to(self, device: torch.device | str) -> Rig:
        """The rig on another device."""
        moved: dict[str, Any] = {name: value.to(device) for name in stored_names() if isinstance(value := getattr(self, name), Tensor)}
        return replace(self, **moved)

    @classmethod
    def load(cls, path: Path) -> Rig:
        """Read what `save` wrote. Raises CastfieldError if the file is missing or of another make."""
        stored = read_rig(path)
        values: dict[str, Any] = {name: getattr(stored, name) for name in stored_names()}
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                values[name] = torch.from_numpy(value)
        return cls(**values)


def _linear(neutral: Tensor, identity_basis: Tensor, expression_basis: Tensor, identity: Tensor, expression: Tensor) -> Tensor:
    """neutral (N, 3) + identity (..., I) . (I, N, 3) + expression (..., d) . (d, N, 3)."""
    shift = identity @ identity_basis.flatten(1) + expression @ expression_basis.flatten(1)
    return neutral + shift.unflatten(-1, neutral.shape)

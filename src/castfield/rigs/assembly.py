"""A licensed model's arrays put together as a `Rig`: laid into canonical head space, with landmarks where the tracker sees them.

The landmarks are found as Anny's are, by rendering the model and tracking the pictures, and not taken from published tables: a table
exists for FLAME alone, holds 105 of the 478 points and neither the jaw's line nor the irises, and says where somebody clicked,
while the pictures say where this tracker puts its points on this mesh, which is what the fit needs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from castfield.config import RigConfig
from castfield.errors import CastfieldError
from castfield.rigs import correspondence
from castfield.rigs.base import Rig
from castfield.rigs.stored import LANDMARKS

PARTS = ("skin", "brows", "eyes")
NOSE = (0.0, -0.021, 0.1225)
"""Where the tip of an average nose lies in canonical head space, metres."""
PIVOT = (0.0, -0.127, -0.042)
"""Where an average neck turns."""
EYE_RADIUS, EYE_TO_IRIS = 0.0165, 0.0163
"""Radius of an average eyeball, and how far its centre lies behind the iris, metres."""
REACH = 3.0
"""Signed directions go this many standard deviations to either side."""


@dataclass(frozen=True)
class Head:
    """A head as a model has it: metres, x to the person's left, y up, z out of the face, the origin anywhere."""

    neutral: np.ndarray
    """(V, 3)."""
    identity: np.ndarray
    """(I, V, 3) per standard deviation."""
    expression: np.ndarray
    """(d, V, 3) at activation 1."""
    names: tuple[str, ...]
    one_sided: np.ndarray
    """(d,) bool: actions, with activations from 0 to 1; the others are directions in standard deviations."""
    faces: np.ndarray
    """(F, 3) vertex indices, in either order of the corners."""
    eyes: np.ndarray
    """(2, V) bool: the person's left and right eyeball; all False where a model has none of its own."""
    pivot: np.ndarray | None = None
    """(3,) where the neck turns, if the model says so."""
    colours: np.ndarray | None = None
    """(V, 3) mean skin, 0 to 255, if the model has one."""

    def restricted(self, keep: np.ndarray) -> Head:
        """The vertices `keep` (indices) and the faces among them."""
        where = np.full(len(self.neutral), -1)
        where[keep] = np.arange(len(keep))
        faces = where[self.faces]
        return replace(
            self,
            neutral=self.neutral[keep], identity=self.identity[:, keep], expression=self.expression[:, keep],
            faces=faces[(faces >= 0).all(1)], eyes=self.eyes[:, keep], colours=None if self.colours is None else self.colours[keep],
        )  # fmt: skip


def directions(count: int) -> tuple[str, ...]:
    """Names of a statistical model's expression directions."""
    return tuple(f"expression{k:02d}" for k in range(count))


def assemble(head: Head, config: RigConfig, model: str) -> Rig:
    """The rig of a head, with its landmarks.

    Raises CastfieldError for a head of no human size, and where the tracker does not take its pictures for a face.
    """
    origin = _origin(head, model)
    neutral = head.neutral - origin
    eye = [_float(neutral[ball].mean(0)) if ball.any() else torch.zeros(3) for ball in head.eyes]
    has_eyes = bool(head.eyes.any(1).all())
    part = np.where(head.eyes.any(0), PARTS.index("eyes"), PARTS.index("skin"))
    faces = _outwards(neutral, head.faces.astype(np.int64))
    one_sided = torch.from_numpy(head.one_sided)
    rig = Rig(
        neutral=_float(neutral),
        identity_basis=_float(head.identity),
        expression_basis=_float(head.expression),
        expression_range=torch.where(one_sided[:, None], torch.tensor([0.0, 1.0]), torch.tensor([-REACH, REACH])),
        expression_deviation=torch.where(one_sided, 0.3, 1.0),
        expression_names=head.names,
        faces=torch.from_numpy(faces),
        parts=torch.from_numpy(part),
        face_parts=torch.from_numpy(part[faces].min(1)),
        part_names=PARTS,
        head_vertices=len(neutral),
        head_faces=len(faces),
        head_weight=torch.ones(len(neutral)),
        neck_pivot=_float(np.array(PIVOT) if head.pivot is None else head.pivot - origin),
        eye_centres=torch.stack(eye),
        eye_radius=float(np.ptp(neutral[head.eyes[0]][:, 1]) / 2) if has_eyes else EYE_RADIUS,
        landmark_face=torch.zeros(LANDMARKS, dtype=torch.int64),
        landmark_barycentric=torch.full((LANDMARKS, 3), 1 / 3),
        landmark_spread_mm=torch.zeros(LANDMARKS),
        landmark_valid=torch.zeros(LANDMARKS, dtype=torch.bool),
    )
    rig = correspondence.attach(rig, config.landmark_spread_mm, head.colours)
    if has_eyes:
        return rig
    irises = rig.landmarks(torch.zeros(rig.identity_dim), torch.zeros(rig.d))[[473, 468]]
    return replace(rig, eye_centres=irises - torch.tensor([0.0, 0.0, EYE_TO_IRIS]))


def _origin(head: Head, model: str) -> np.ndarray:
    """The origin of canonical head space (3,) in the model's own, from the tip of the nose: the foremost point of a head."""
    size = np.ptp(head.neutral, axis=0)
    if not 0.1 < size[1] < 0.6 or not 0.1 < size[0] < 0.6:
        found = f"{size[0]:.3g} m wide, {size[1]:.3g} m high"
        raise CastfieldError(f"{model}: a head of no human size", expected="0.1 to 0.6 m", found=found, cure="take the unchanged file")
    middle = (head.neutral[:, 0].min() + head.neutral[:, 0].max()) / 2
    tip = head.neutral[head.neutral[:, 2].argmax()]
    return np.array([middle, tip[1] - NOSE[1], tip[2] - NOSE[2]])


def _outwards(neutral: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The faces with corners counter-clockwise seen from outside."""
    corners = neutral[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = (normals * (corners.mean(1) - neutral.mean(0))).sum()
    return faces if outward > 0 else faces[:, ::-1].copy()


def _float(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

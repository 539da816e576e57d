"""Points spread over the skin of a fitted face, at which the picture is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from castfield.rigs.stored import StoredRig
from castfield.tracking.face_model import BROWS, LIDS, LIPS, by_places, spread
from castfield.tracking.solver import State

POINTS = 1800
SEEN, BACK = ("skin", "brows", "ears"), -0.03
"""Parts that are looked at, and z in metres from which on. Ears lie ten centimetres behind the nose: what moves between them tells a nod
from a shift, which a face alone, almost flat, hardly does. Where hair covers them, what they look like is not certain and counts little."""
NEAR, DENSER = 0.018, 3.0
"""Within this many metres of lids and brows, points lie this many times as densely: there the small motions are."""
MOUTH = 0.015
"""Metres from the lips within which there are none: lips roll in and out, show teeth and cast shadows, and so change their colour when
they move; taken for motion, that hides a pucker."""


@dataclass(frozen=True)
class Surface:
    """Points over the skin of the face of one person."""

    place: np.ndarray
    """(N, 3) metres, head space, at rest."""
    expression: np.ndarray
    """(d, N, 3) offset of each action in full."""
    normals: np.ndarray
    """(N, 3) unit, head space, at rest."""

    @classmethod
    def of(cls, rig: StoredRig[Any], identity: np.ndarray) -> Surface:
        """POINTS points on the face's skin and brows and on the ears, the same for every person."""
        rest, faces = np.asarray(rig.neutral, np.float64), np.asarray(rig.faces)[: rig.head_faces]
        parts = np.asarray(rig.face_parts)[: rig.head_faces]
        skin = np.isin(parts, [rig.part_names.index(name) for name in SEEN if name in rig.part_names])
        landmarks = spread(rest, np.asarray(rig.faces)[np.asarray(rig.landmark_face)], np.asarray(rig.landmark_barycentric))
        middle = rest[faces].mean(1)
        # From the chin to the hairline, and not the neck, which turns otherwise.
        face = skin & (middle[:, 1] > landmarks[152, 1]) & (middle[:, 1] < landmarks[10, 1]) & (middle[:, 2] > BACK)

        def from_marks(places: np.ndarray, marks: tuple[int, ...]) -> np.ndarray:
            return np.linalg.norm(places[:, None] - landmarks[None, list(marks)], axis=-1).min(1)

        chosen = np.flatnonzero(face)
        chosen = chosen[from_marks(middle[chosen], LIPS) > MOUTH]
        busy = from_marks(middle[chosen], (*LIDS, *BROWS)) < NEAR
        area = 0.5 * np.linalg.norm(_cross(rest[faces[chosen].T]), axis=-1) * np.where(busy, DENSER, 1.0)
        # One point in each of POINTS equal shares of the area, at barycentric places that never repeat (R2 sequence).
        share = (np.arange(POINTS) + 0.5) / POINTS
        triangle = faces[chosen[np.searchsorted(np.cumsum(area) / area.sum(), share).clip(0, len(chosen) - 1)]]
        r1, r2 = (0.5 + np.arange(POINTS) * 0.7548776662) % 1, (0.5 + np.arange(POINTS) * 0.5698402910) % 1
        a, b = 1 - np.sqrt(r1), r2 * np.sqrt(r1)
        shares = np.stack([a, b, 1 - a - b], -1)
        at = triangle.T
        corners = rest[at] + np.tensordot(identity, np.asarray(rig.identity_basis)[:, at].astype(np.float64), 1)
        normals = _cross(corners)
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
        place = (corners * shares.T[..., None]).sum(0)
        return cls(place, spread(rig.expression_basis, triangle, shares), normals)

    @cached_property
    def moves(self) -> np.ndarray:
        """(3, d, N) float32 derivative of the points' places by the expression."""
        return by_places(self.expression)

    def shape(self, expression: np.ndarray) -> np.ndarray:
        """Expression (T, d) -> (T, N, 3) metres."""
        moved: np.ndarray = self.place + np.tensordot(expression, self.expression, 1)
        return moved

    def visible(self, state: State, turned: np.ndarray, pixels: np.ndarray, centre: float) -> np.ndarray:
        """(T, N) in [0, 1]: how far each point faces the camera."""
        camera = turned + state.pose.translation(state.focal, centre)[:, None]
        normals = self.normals @ state.pose.rotation.transpose(0, 2, 1)
        facing = -(normals * camera).sum(-1) / np.sqrt((camera * camera).sum(-1))
        return np.clip((facing - 0.25) / 0.25, 0, 1)


def _cross(corners: np.ndarray) -> np.ndarray:
    """(F, 3) twice the area times the normal of triangles with corners (3, F, 3)."""
    return np.cross(corners[1] - corners[0], corners[2] - corners[0])

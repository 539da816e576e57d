"""The rig's landmarks under a camera, with their derivatives: what the fit's normal equations are made of.

A frame's pose is six numbers, chosen so that each is determined by something else in the picture: a rotation vector (3), where the
head's origin falls in the picture (u, v in pixels) and the logarithm of its depth. NumPy float64, but for derivatives: these are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from castfield.rigs.stored import VIEW_TERMS, StoredRig, view_terms

POSE = 6
LIDS = (
    33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7,
    263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249,
)  # fmt: skip
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
IRISES = tuple(range(468, 478))
BROWS = (
    70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285,
)  # fmt: skip
DENSE = 200
"""Landmarks from which a tracker's mesh is dense."""
PAIRS = (
    (13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318), (61, 291), (78, 308),
    (159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373),
)  # fmt: skip
"""Opposite points of lips and lids: a tracker's error is much the same on both, so their distance is seen better than either."""


@dataclass(frozen=True)
class Pose:
    """Pose of every frame."""

    rotation: np.ndarray
    """(T, 3, 3) head -> camera."""
    place: np.ndarray
    """(T, 3): u, v in pixels, and the logarithm of the depth in metres, of the head's origin."""

    def translation(self, focal: float, centre: float) -> np.ndarray:
        """(T, 3) metres."""
        depth = np.exp(self.place[:, 2:])
        return np.concatenate([(self.place[:, :2] - centre) * depth / focal, depth], 1)

    def moved(self, step: np.ndarray) -> Pose:
        """The pose after a step (T, 6): a rotation vector from the left, then u, v and log depth."""
        return Pose(rotation_matrix(step[:, :3]) @ self.rotation, self.place + step[:, 3:])

    def part(self, frames: np.ndarray | slice) -> Pose:
        return Pose(self.rotation[frames], self.place[frames])


def joined(parts: Sequence[Pose]) -> Pose:
    """Poses of consecutive frames as one."""
    return Pose(np.concatenate([part.rotation for part in parts]), np.concatenate([part.place for part in parts]))


@dataclass(frozen=True)
class FaceModel:
    """The landmarks of a linear rig that the fit uses."""

    index: np.ndarray
    """(L,) which of the 478."""
    neutral: np.ndarray
    """(L, 3) metres."""
    identity: np.ndarray
    """(I, L, 3)."""
    expression: np.ndarray
    """(d, L, 3)."""
    weight: np.ndarray
    """(L,) weight of each landmark's squared distance, mean 1: lips, eyelids and irises count more."""
    pairs: np.ndarray
    """(K, 2) positions, among the L, of opposite points whose distance counts by itself."""
    twins: np.ndarray
    """(S, 2) actions that are each other's left and right half."""
    brows: np.ndarray
    """(R, 2) actions that raise a brow's inner and outer half."""
    low: np.ndarray
    """(d,) least activation."""
    high: np.ndarray
    """(d,) greatest activation."""
    deviation: np.ndarray
    """(d,) standard deviation of each activation's prior."""
    view: np.ndarray
    """(5, L, 3) metres: what the side from which the tracker looks adds (`castfield.rigs.stored.view_terms`)."""
    modes: np.ndarray
    """(K, L, 3) metres: how the tracker errs in a frame, one standard deviation each."""

    @property
    def one_sided(self) -> np.ndarray:
        """(d,) bool: actions, which a face at rest has none of; the other directions go both ways."""
        return self.low >= 0

    @classmethod
    def of(cls, rig: StoredRig[Any], index: np.ndarray | None = None, *, answered: bool = False) -> FaceModel:
        """The landmarks at `index` (by default those `worth_fitting`) of a rig.

        With `answered`, where the tracker that the rig was rendered for sees them, and with its errors.
        """
        corners, shares = np.asarray(rig.faces)[np.asarray(rig.landmark_face)], np.asarray(rig.landmark_barycentric)
        mean, shapes, moves = (spread(basis, corners, shares) for basis in (rig.neutral, rig.identity_basis, rig.expression_basis))
        view, modes = np.zeros((VIEW_TERMS, *mean.shape)), np.zeros((0, *mean.shape))
        if answered and rig.landmark_response is not None:
            known = np.split(np.asarray(rig.landmark_response, np.float64), np.cumsum(rig.answers)[:-1])
            mean, shapes, moves = mean + known[0][0], shapes + known[1], moves + known[2]
            view, modes = known[3:]
        if index is None:
            index = worth_fitting(np.flatnonzero(rig.landmark_valid))
        weight = np.ones(len(mean))
        weight[list(LIPS)] = 4.0
        weight[list(LIDS)] = 3.0
        weight[list(IRISES)] = 2.0
        weight = weight[index] / weight[index].mean()
        rest, people, actions, sides, errors = (np.ascontiguousarray(a[..., index, :]) for a in (mean, shapes, moves, view, modes))
        at = {int(k): i for i, k in enumerate(index)}
        pairs = [(at[a], at[b]) for a, b in PAIRS if a in at and b in at]
        opposite, names = np.array(pairs, np.int64).reshape(-1, 2), rig.expression_names
        return cls(index, rest, people, actions, weight, opposite, twins(names), raised(names), *activations(rig), sides, errors)

    @cached_property
    def by_expression(self) -> np.ndarray:
        """(3, d, 2L) float32 derivative of the landmarks' places by the expression, once for u and once for v."""
        return _twice(self.expression)

    @cached_property
    def by_identity(self) -> np.ndarray:
        """(3, I, 2L) float32 by the identity."""
        return _twice(self.identity)

    @cached_property
    def by_modes(self) -> np.ndarray:
        """(3, K, 2L) float32 by the modes."""
        return _twice(self.modes)

    def shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Identity (I,) and expression (T, d) -> (T, L, 3) metres."""
        person = self.neutral + np.tensordot(identity, self.identity, 1)
        return person + np.tensordot(expression, self.expression, 1)

    def sided(self, rotation: np.ndarray) -> np.ndarray:
        """What the tracker adds to a head with rotation (T, 3, 3), (T, L, 3) metres. Its derivative is small, and left out of the fit's."""
        return np.tensordot(view_terms(rotation), self.view, 1)


def by_places(basis: np.ndarray) -> np.ndarray:
    """(K, N, 3) -> (3, K, N) float32: what lies side by side in memory is worked on together."""
    return np.ascontiguousarray(basis.transpose(2, 0, 1), np.float32)


def _twice(basis: np.ndarray) -> np.ndarray:
    return by_places(np.concatenate([basis, basis], 1))


def worth_fitting(valid: np.ndarray) -> np.ndarray:
    """Of a dense mesh's landmarks (L,) those of lips, lids, irises and brows, and every second one of the rest, whose neighbours say the
    same; a sparse tracker's all."""
    busy = np.isin(valid, [*LIPS, *LIDS, *IRISES, *BROWS])
    return valid if len(valid) < DENSE else np.sort(np.concatenate([valid[busy], valid[~busy][::2]]))


def spread(basis: Any, corners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Values (..., V, 3) at vertices -> (..., N, 3) float64 at points: corners (N, 3) of their triangles, and each one's share (N, 3)."""
    values = np.asarray(basis)
    parts = [values[..., corners[:, k], :] * shares[:, k, None].astype(np.float64) for k in range(3)]
    return np.ascontiguousarray(parts[0] + parts[1] + parts[2])


def activations(rig: StoredRig[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least and greatest activation and its prior's standard deviation, (d,) each."""
    low, high = np.asarray(rig.expression_range, np.float64).T
    return low, high, np.asarray(rig.expression_deviation, np.float64)


def twins(names: Sequence[str]) -> np.ndarray:
    """(S, 2) actions that go together: left and right halves, and the two eyes' gaze. Not what shifts jaw or mouth to a side."""
    others = {n: n[:-4] + "Right" for n in names if n.endswith("Left") and n not in ("jawLeft", "mouthLeft")}
    others |= {"eyeLookInLeft": "eyeLookOutRight", "eyeLookOutLeft": "eyeLookInRight"}
    both = [(names.index(left), names.index(right)) for left, right in others.items() if left in names and right in names]
    return np.array(both, np.int64).reshape(-1, 2)


def raised(names: Sequence[str]) -> np.ndarray:
    """(R, 2) actions that raise a brow's inner and outer half: both are one muscle's (frontalis), and mostly come together."""
    halves = [("browInnerUp", "browOuterUpLeft"), ("browInnerUp", "browOuterUpRight")]
    both = [(names.index(inner), names.index(outer)) for inner, outer in halves if inner in names and outer in names]
    return np.array(both, np.int64).reshape(-1, 2)


def project(shape: np.ndarray, pose: Pose, focal: float, centre: float) -> tuple[np.ndarray, np.ndarray]:
    """(T, L, 3) metres in head space -> pixels (T, L, 2) and turned points `R x` (T, L, 3)."""
    turned = shape @ pose.rotation.transpose(0, 2, 1)
    camera = turned + pose.translation(focal, centre)[:, None]
    return focal * camera[..., :2] / np.maximum(camera[..., 2:], 1e-3) + centre, turned


@dataclass(frozen=True)
class Slopes:
    """Derivative of the landmarks' pixels in some frames, float32: what does not depend on the rig's directions."""

    pose: np.ndarray
    """(T, 6, 2L) by the pose, all u before all v."""
    focal: np.ndarray
    """(T, 2L) by the logarithm of the focal length; the translation follows, so that u and v stay."""
    place: np.ndarray
    """(T, 3, 2L) by each landmark's own place in the head, pixels a metre."""

    @classmethod
    def of(cls, turned: np.ndarray, pose: Pose, focal: float, centre: float) -> Slopes:
        """Of points `turned` (T, L, 3), `R x`."""
        translation = pose.translation(focal, centre)[..., None]
        x, y, z = np.moveaxis(turned, -1, 0)
        depth = np.maximum(z + translation[:, 2], 1e-3)
        near = focal / depth  # d u / d camera x, and d v / d camera y
        aside, above = -near * (x + translation[:, 0]) / depth, -near * (y + translation[:, 1]) / depth  # by camera z
        frames, count = x.shape
        by_pose = np.empty((frames, POSE, 2, count), np.float32)
        by_pose[:, 0, 0], by_pose[:, 0, 1] = aside * y, above * y - near * z
        by_pose[:, 1, 0], by_pose[:, 1, 1] = near * z - aside * x, -above * x
        by_pose[:, 2, 0], by_pose[:, 2, 1] = -near * y, near * x
        by_pose[:, 3, 1], by_pose[:, 4, 0] = 0, 0
        by_pose[:, 3, 0] = by_pose[:, 4, 1] = near * translation[:, 2] / focal
        by_pose[:, 5, 0] = near * translation[:, 0] + aside * translation[:, 2]
        by_pose[:, 5, 1] = near * translation[:, 1] + above * translation[:, 2]
        by_place = np.empty((frames, 3, 2, count), np.float32)
        for k, axis in enumerate(pose.rotation.transpose(2, 1, 0)[..., None]):
            by_place[:, k, 0], by_place[:, k, 1] = near * axis[0] + aside * axis[2], near * axis[1] + above * axis[2]
        by_focal = np.concatenate([near * x, near * y], 1, dtype=np.float32)
        return cls(by_pose.reshape(frames, POSE, -1), by_focal, by_place.reshape(frames, 3, -1))


def jacobian(model: FaceModel, slopes: Slopes, frame: int, out: np.ndarray, *, shared: bool, modes: bool = False) -> None:
    """Derivative of one frame's pixels into `out` (6 + d [+ I + 1] [+ K], 2L), all u before all v: by pose, expression, if `shared`
    identity and log focal length, and if asked the modes of the tracker's error."""
    last = POSE + len(model.expression)
    out[:POSE] = slopes.pose[frame]
    chained(slopes.place[frame], model.by_expression, out[POSE:last])
    if shared:
        at, last = last, last + len(model.identity) + 1
        chained(slopes.place[frame], model.by_identity, out[at : last - 1])
        out[last - 1] = slopes.focal[frame]
    if modes:
        chained(slopes.place[frame], model.by_modes, out[last:])


def chained(slopes: np.ndarray, basis: np.ndarray, out: np.ndarray) -> None:
    """Chain rule: derivatives (3, N) of a value at each point by its place, and those (3, K, N) of the places by K coefficients, to those
    of the values by the coefficients, `out` (K, N)."""
    np.einsum("ikn,in->kn", basis, slopes, out=out)


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """Rodrigues: (..., 3) radians -> (..., 3, 3)."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape, 3)
    sine = np.sinc(angle / np.pi)
    cosine = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + sine * skew + cosine * (skew @ skew)


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Inverse of `rotation_matrix`, for turns below half a circle: (..., 3, 3) -> (..., 3) radians."""
    axis = np.stack(
        [matrix[..., 2, 1] - matrix[..., 1, 2], matrix[..., 0, 2] - matrix[..., 2, 0], matrix[..., 1, 0] - matrix[..., 0, 1]], -1
    )
    sine = np.linalg.norm(axis, axis=-1, keepdims=True) / 2
    cosine = (np.trace(matrix, axis1=-2, axis2=-1)[..., None] - 1) / 2
    angle = np.arctan2(sine, cosine)
    return axis / 2 * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)


def first_pose(points: np.ndarray, shape: np.ndarray, weight: np.ndarray, focal: float, centre: float) -> Pose:
    """Pose per frame by scaled orthography (POS; DeMenthon and Davis 1995).

    points (T, L, 2) pixels, shape (L, 3) metres, weight (T, L); frames without weight get a frontal head in the middle.
    """
    total = np.maximum(weight.sum(1), 1e-9)
    middle = (weight[..., None] * points).sum(1) / total[:, None]
    origin = (weight[..., None] * shape).sum(1) / total[:, None]  # (T, 3)
    local = shape[None] - origin[:, None]
    square = np.einsum("tl,tli,tlj->tij", weight, local, local) + 1e-12 * np.eye(3)
    cross = np.einsum("tl,tli,tlj->tij", weight, local, points - middle[:, None])  # (T, 3, 2)
    rows = np.linalg.solve(square, cross).transpose(0, 2, 1)  # (T, 2, 3) scale * first two rows of R
    u, s, v = np.linalg.svd(rows, full_matrices=False)
    scale = s.mean(1)
    two = u @ v
    rotation = np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], 1)
    blind = weight.sum(1) < 1e-9
    rotation[blind], scale[blind] = np.diag([1.0, -1.0, -1.0]), 200.0
    # `middle` is where `origin` falls; the head's own origin lies R (0 - origin) from there.
    place = middle - scale[:, None] * np.einsum("tij,tj->ti", rotation[:, :2], origin)
    place[blind] = centre
    depth = focal / np.maximum(scale, 1e-6) - np.einsum("ti,ti->t", rotation[:, 2], origin)
    return Pose(rotation, np.concatenate([place, np.log(np.maximum(depth, 0.05))[:, None]], 1))

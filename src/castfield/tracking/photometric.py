"""The picture itself as a witness: every point of the face keeps its brightness while the head moves.

Landmarks of a network tremble by a fraction of a pixel, and together, so that the tremble goes into the pose. Here points on the
fitted surface have a reference brightness each (a robust mean over training frames), and a frame's pose is asked to bring the
picture's brightness at their projections to it (direct alignment; Lucas and Kanade 1981, Baker and Matthews 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from castfield.rigs.base import Rig
from castfield.tracking.face_model import POSE, FaceModel, project, rotation_vector
from castfield.tracking.solver import State

POINTS = 2500
BLUR = 1.0
"""Sigma in pixels: gradients must reach as far as the poses are wrong."""
AROUND = 1 / 32
"""Sigma, in sides of the picture, of the mean around a pixel that `detail` takes away."""
NOISE = 0.012
"""Brightness noise, share of white, below which no point is thought to be exact."""
INDEPENDENT = 300.0
"""How many independent points the face is worth: neighbours see the same skin."""


@dataclass(frozen=True)
class Surface:
    """Points spread evenly over the skin of the face of one person."""

    model: FaceModel
    normals: np.ndarray
    """(N, 3) unit, head space, at rest."""

    @classmethod
    def of(cls, rig: Rig, identity: np.ndarray) -> Surface:
        """POINTS points on the face's skin, the same for every person."""
        person = rig.vertices(torch.from_numpy(identity.astype(np.float32)), torch.zeros(rig.d), head_only=True).double().numpy()
        rest = rig.neutral[: rig.head_vertices].double().numpy()
        faces = rig.faces[: rig.head_faces].numpy()
        skin = rig.face_parts[: rig.head_faces].numpy() == rig.part_names.index("skin")
        landmarks = (rig.neutral[rig.faces[rig.landmark_face]] * rig.landmark_barycentric[..., None]).sum(1).numpy()
        middle = rest[faces].mean(1)
        # The face: from the chin to the hairline, and not the neck, which turns otherwise, nor what hair may hide.
        face = skin & (middle[:, 1] > landmarks[152, 1]) & (middle[:, 1] < landmarks[10, 1]) & (middle[:, 2] > 0.02)
        chosen = np.flatnonzero(face)
        area = 0.5 * np.linalg.norm(_cross(rest, faces[chosen]), axis=-1)
        # One point in each of POINTS equal shares of the area, at barycentric places that never repeat (R2 sequence).
        share = (np.arange(POINTS) + 0.5) / POINTS
        triangle = faces[chosen[np.searchsorted(np.cumsum(area) / area.sum(), share).clip(0, len(chosen) - 1)]]
        r1, r2 = (0.5 + np.arange(POINTS) * 0.7548776662) % 1, (0.5 + np.arange(POINTS) * 0.5698402910) % 1
        a, b = 1 - np.sqrt(r1), r2 * np.sqrt(r1)
        weights = np.stack([a, b, 1 - a - b], -1)[..., None]

        def spread(array: torch.Tensor) -> np.ndarray:
            return (array.double().numpy()[..., triangle, :] * weights).sum(-2)

        nothing = np.empty((0, 2), np.int64)
        normals = _cross(person, triangle)
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
        model = FaceModel(
            np.arange(POINTS),
            spread(rig.neutral),
            spread(rig.identity_basis),
            spread(rig.expression_basis),
            np.ones(POINTS),
            nothing,
            nothing,
        )
        return cls(model, normals)


@dataclass(frozen=True)
class Reference:
    """What each point looks like."""

    brightness: np.ndarray
    """(N,) in [0, 1]."""
    precision: np.ndarray
    """(N,) 1 over the variance of the brightness over time; 0 for points that are seldom seen."""


@dataclass(frozen=True)
class Samples:
    """The points in some frames."""

    value: np.ndarray
    """(T, N) brightness after each frame's gain and offset."""
    gradient: np.ndarray
    """(T, N, 2) per pixel, likewise."""
    turned: np.ndarray
    """(T, N, 3) `R x`."""
    visible: np.ndarray
    """(T, N) in [0, 1]."""


def detail(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W) uint8: brightness less its mean around, 128 for none; light that wanders over the face drops out."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    around = cv2.GaussianBlur(grey, (0, 0), AROUND * min(grey.shape))
    return np.clip(np.rint(128 + grey - around), 0, 255).astype(np.uint8)


def sample(surface: Surface, pictures: Sequence[np.ndarray], state: State, centre: float, reference: Reference | None) -> Samples:
    """Look up the points of a state in its frames' pictures (T of (H, W) uint8).

    With a reference, each frame's light is first brought to it by one gain and one offset (robust least squares).
    """
    shape = surface.model.shape(state.identity, state.expression)
    pixels, turned = project(shape, state.pose, state.focal, centre)
    camera = turned + state.pose.translation(state.focal, centre)[:, None]
    view = -camera / np.linalg.norm(camera, axis=-1, keepdims=True)
    facing = np.einsum("tij,nj,tni->tn", state.pose.rotation, surface.normals, view, optimize=True)
    visible = np.clip((facing - 0.25) / 0.25, 0, 1)
    frames, count = visible.shape
    value, gradient = np.empty((frames, count)), np.empty((frames, count, 2))
    for t, picture in enumerate(pictures):
        smooth = cv2.GaussianBlur(picture.astype(np.float32) / 255, (0, 0), BLUR)
        across = cv2.filter2D(smooth, -1, np.array([[-0.5, 0, 0.5]], np.float32))
        down = cv2.filter2D(smooth, -1, np.array([[-0.5], [0], [0.5]], np.float32))
        place = (pixels[t] - 0.5).astype(np.float32)[None]
        stack = cv2.remap(
            np.stack([smooth, across, down], -1), place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )[0]
        value[t], gradient[t] = stack[:, 0], stack[:, 1:]
        side = min(picture.shape)
        visible[t] *= ((pixels[t] > 1.5) & (pixels[t] < side - 1.5)).all(-1)
    if reference is not None:
        weight = visible * reference.precision
        for _ in range(2):
            gain, offset = _light(value, reference.brightness, weight)
            error = gain[:, None] * value + offset[:, None] - reference.brightness
            weight = visible * reference.precision / (1 + error**2 * reference.precision / 4)
        value = gain[:, None] * value + offset[:, None]
        gradient = gain[:, None, None] * gradient
    return Samples(value, gradient, turned, visible)


def learn_reference(samples: Samples) -> Reference:
    """Robust mean and scatter of each point's brightness over the frames."""
    weight = samples.visible.copy()
    for _ in range(3):
        total = np.maximum(weight.sum(0), 1e-9)
        mean = (weight * samples.value).sum(0) / total
        error = (samples.value - mean) ** 2
        scatter = (weight * error).sum(0) / total
        weight = samples.visible / (1 + error / (4 * scatter + NOISE**2))
    seen = samples.visible.mean(0) > 0.2
    return Reference(mean, np.where(seen, 1 / (scatter + NOISE**2), 0.0))


def normal_equations(samples: Samples, reference: Reference, state: State, centre: float) -> tuple[np.ndarray, np.ndarray]:
    """(T, 6, 6) and (T, 6) of the brightness errors for the pose; the expression is left to the landmarks."""
    error = reference.brightness - samples.value
    robust = 1 / (1 + error**2 * reference.precision / 4)
    weight = samples.visible * reference.precision * robust * (INDEPENDENT / POINTS)
    translation = state.pose.translation(state.focal, centre)
    camera = samples.turned + translation[:, None]
    depth = np.maximum(camera[..., 2:], 1e-3)
    slope = state.focal / depth * samples.gradient  # d brightness / d camera point (T, N, 3)
    slope = np.concatenate([slope, -(slope * camera[..., :2]).sum(-1, keepdims=True) / depth], -1)
    j = np.empty((*error.shape, POSE))
    j[..., :3] = np.cross(samples.turned, slope)
    j[..., 3:5] = slope[..., :2] * (translation[:, 2] / state.focal)[:, None, None]
    j[..., 5] = np.einsum("tni,ti->tn", slope, translation)
    weighted = (j * weight[..., None]).transpose(0, 2, 1)
    return weighted @ j, (weighted @ error[..., None])[..., 0]


def study(surface: Surface, pictures: Sequence[np.ndarray], state: State, centre: float, rounds: int = 3) -> Reference:
    """The reference brightness from some frames (T of (H, W) uint8) and their states, whose poses are refined along with it."""
    start = state.pose
    loose = 1 / np.r_[np.full(3, 0.01), 1.0, 1.0, 0.004] ** 2  # how far a landmark pose may be wrong: radians, pixels, share of the depth
    reference = learn_reference(sample(surface, pictures, state, centre, None))
    for _ in range(rounds):
        for _ in range(2):
            samples = sample(surface, pictures, state, centre, reference)
            h, g = normal_equations(samples, reference, state, centre)
            away = start.rotation @ state.pose.rotation.transpose(0, 2, 1)
            pull = np.concatenate([rotation_vector(away), start.place - state.pose.place], 1)
            step = np.linalg.solve(h + np.diag(loose), (g + loose * pull)[..., None])[..., 0]
            state = replace(state, pose=state.pose.moved(step))
        reference = learn_reference(sample(surface, pictures, state, centre, reference))
    return reference


def shifts(samples: Samples, reference: Reference) -> np.ndarray:
    """(T, 2) pixels: the shift of the picture that would bring each frame nearest to the reference, what is left of the pose error."""
    error = reference.brightness - samples.value
    weight = samples.visible * reference.precision / (1 + error**2 * reference.precision / 4)
    square = np.einsum("tn,tni,tnj->tij", weight, samples.gradient, samples.gradient) + 1e-9 * np.eye(2)
    pull = np.einsum("tn,tni,tn->ti", weight, samples.gradient, error)
    return np.linalg.solve(square, pull[..., None])[..., 0]


def _light(value: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset (T,) that bring `value` (T, N) nearest to `target` (N,), in mean weighted squares."""
    total = np.maximum(weight.sum(1), 1e-9)
    x, y = (weight * value).sum(1) / total, (weight * target).sum(1) / total
    spread = (weight * (value - x[:, None]) ** 2).sum(1) / total
    together = (weight * (value - x[:, None]) * (target - y[:, None])).sum(1) / total
    gain = np.clip((together + 1e-4) / (spread + 1e-4), 0.5, 2.0)
    return gain, y - gain * x


def _cross(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) twice the area times the normal."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)

"""The picture itself as a witness: every point of the face keeps its colour while head and face move.

Landmarks of a network tremble by a fraction of a pixel, and together, so that the tremble goes into the pose; and they answer to
an expression weakly, each in its own way. Here points on the fitted surface have a reference colour each (a robust mean over
training frames), and a frame's pose and expression are asked to bring the picture's colours at their projections to it (direct
alignment; Lucas and Kanade 1981, Baker and Matthews 2004; of faces: Thies et al. 2016).

The light stays where it is while the head turns. Under first-order spherical harmonics a matte point's colour is linear in its normal
(Ramamoorthi and Hanrahan 2001), hence nearly linear in the head's turn: each point has such a slope, learned with its colour.
Without it, shading that wanders over the face is taken for motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from castfield.tracking.face_model import POSE, project, rotation_vector
from castfield.tracking.solver import State
from castfield.tracking.surface import Surface

BLUR = 1.0
"""Sigma in pixels: gradients must reach as far as the poses are wrong."""
AROUND = 1 / 32
"""Sigma, in sides of the picture, of the mean around a pixel that `detail` takes away."""
NOISE = 0.012
"""Brightness noise, share of white, below which no point is thought to be exact."""
USUAL_TURN, FIRM = 0.1, 2.0
"""Radians that a head turns in a clip; and how many frames of such turns it takes to believe in half of the slope that they show."""
INDEPENDENT = 200.0
"""How many independent points the face is worth: neighbours see the same skin."""


@dataclass(frozen=True)
class Reference:
    """What each point looks like."""

    colour: np.ndarray
    """(C, N) in [0, 1], of a head turned as `facing`."""
    slope: np.ndarray
    """(3, C, N) what a turn of one radian about each of the camera's axes adds."""
    facing: np.ndarray
    """(3, 3) rotation head -> camera."""
    precision: np.ndarray
    """(C, N) 1 over the variance of the colour over time; 0 for points that are seldom seen."""

    def colours(self, rotation: np.ndarray) -> np.ndarray:
        """(T, C, N) of heads with rotation (T, 3, 3)."""
        return self.colour + np.tensordot(_turn(rotation, self.facing), self.slope, 1)


@dataclass(frozen=True)
class Samples:
    """The points in some frames."""

    value: np.ndarray
    """(T, C, N) colour after each frame's gain and offset."""
    expected: np.ndarray
    """(T, C, N) colour by the reference; the colour itself where there is none yet."""
    gradient: np.ndarray
    """(T, C, N, 2) per pixel, likewise."""
    turned: np.ndarray
    """(T, N, 3) `R x`."""
    visible: np.ndarray
    """(T, N) in [0, 1]."""


def detail(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W, 2) uint8: brightness, and redness (which tells lips from skin in any light), each less its mean
    around, 128 for none; light that wanders over the face drops out."""
    red, green, _ = cv2.split(frame.astype(np.float32))
    both = cv2.merge([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32), 2 * (red - green)])
    height, width = frame.shape[:2]
    sigma = AROUND * min(height, width)
    shrink = max(1, int(sigma / 2))  # a mean so wide is the same in a smaller picture, and much cheaper
    small = cv2.resize(both, (-(-width // shrink), -(-height // shrink)), interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / shrink), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(128 + both - around), 0, 255).astype(np.uint8)


def sample(surface: Surface, pictures: Sequence[np.ndarray], state: State, centre: float, reference: Reference | None) -> Samples:
    """Look up the points of a state in its frames' pictures (T of (H, W, C) uint8).

    With a reference, each frame's light is brought to it by one gain and one offset a channel (robust least squares).
    """
    shape = surface.model.shape(state.identity, state.expression)
    pixels, turned = project(shape, state.pose, state.focal, centre)
    visible = surface.visible(state, turned, pixels, centre)
    frames, count = visible.shape
    channels = pictures[0].shape[-1]
    value = np.empty((frames, channels, count), np.float32)
    gradient = np.empty((frames, channels, count, 2), np.float32)
    for t, picture in enumerate(pictures):
        smooth = cv2.GaussianBlur(picture.astype(np.float32) / 255, (0, 0), BLUR)
        across = cv2.filter2D(smooth, -1, np.array([[-0.5, 0, 0.5]], np.float32))
        down = cv2.filter2D(smooth, -1, np.array([[-0.5], [0], [0.5]], np.float32))
        x, y = (pixels[t] - 0.5).astype(np.float32).T
        for c in range(channels):
            planes = np.stack([smooth[..., c], across[..., c], down[..., c]], -1)
            looked = cv2.remap(planes, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
            value[t, c], gradient[t, c] = looked[:, 0], looked[:, 1:]
        side = min(picture.shape[:2])
        visible[t] *= ((pixels[t] > 1.5) & (pixels[t] < side - 1.5)).all(-1)
    if reference is None:
        return Samples(value, value, gradient, turned, visible)
    expected = reference.colours(state.pose.rotation).astype(np.float32)
    weight = visible[:, None] * reference.precision
    for _ in range(2):
        gain, offset = _light(value, expected, weight)
        error = gain[..., None] * value + offset[..., None] - expected
        weight = visible[:, None] * reference.precision / (1 + error**2 * reference.precision / 4)
    return Samples(gain[..., None] * value + offset[..., None], expected, gain[..., None, None] * gradient, turned, visible)


def learn_reference(samples: Samples, rotation: np.ndarray) -> Reference:
    """Each point's colour and slope over the frames, whose heads have rotation (T, 3, 3), by robust ridge regression; and the scatter
    about them."""
    u, _, v = np.linalg.svd(rotation.mean(0))
    turn = _turn(rotation, u @ v)
    known = np.concatenate([np.ones((len(turn), 1)), turn / USUAL_TURN], 1)
    square = (known[:, :, None] * known[:, None]).reshape(len(known), -1)
    firm = np.diag([1e-6, *[FIRM] * 3])
    visible = samples.visible[:, None]
    weight = np.broadcast_to(visible, samples.value.shape)
    for _ in range(3):
        left = np.tensordot(weight, square, (0, 0)).reshape(*weight.shape[1:], 4, 4) + firm
        right = np.tensordot(weight * samples.value, known, (0, 0))
        found = np.linalg.solve(left, right[..., None])[..., 0]  # (C, N, 4)
        error = (samples.value - np.tensordot(known, found, (1, 2))) ** 2
        scatter = (weight * error).sum(0) / np.maximum(weight.sum(0), 1e-9)
        weight = visible / (1 + error / (4 * scatter + NOISE**2))
    seen = samples.visible.mean(0) > 0.2
    slope = np.moveaxis(found[..., 1:], -1, 0) / USUAL_TURN
    return Reference(found[..., 0], slope, u @ v, np.where(seen, 1 / (scatter + NOISE**2), 0.0))


def _turn(rotation: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """(T, 3) radians from `facing` (3, 3) to rotation (T, 3, 3)."""
    return rotation_vector(rotation @ facing.T)


def normal_equations(
    surface: Surface, samples: Samples, reference: Reference, state: State, centre: float
) -> tuple[np.ndarray, np.ndarray]:
    """(T, 6 + d, 6 + d) and (T, 6 + d) of the colour errors for pose and expression."""
    error = samples.expected - samples.value
    robust = 1 / (1 + error**2 * reference.precision / 4)
    weight = (samples.visible[:, None] * reference.precision * robust * (INDEPENDENT / error.shape[-1])).astype(np.float32)
    translation = state.pose.translation(state.focal, centre)
    camera = samples.turned + translation[:, None]
    depth = np.maximum(camera[..., 2:], 1e-3)[:, None]
    across = state.focal / depth * samples.gradient  # d colour / d camera point (T, C, N, 3)
    slope = np.concatenate([across, -(across * camera[:, None, :, :2]).sum(-1, keepdims=True) / depth], -1)
    rigid = np.empty((*error.shape, POSE), np.float32)
    rigid[..., :3] = np.cross(samples.turned[:, None], slope)
    rigid[..., 3:5] = slope[..., :2] * (translation[:, 2] / state.focal)[:, None, None, None]
    rigid[..., 5] = (slope @ translation[:, None, :, None])[..., 0]
    local = (slope @ state.pose.rotation[:, None]).astype(np.float32)  # d colour / d head point
    moves = surface.model.expression.transpose(2, 1, 0).astype(np.float32)  # (3, N, d)
    n = POSE + moves.shape[-1]
    h, g = np.zeros((len(error), n, n)), np.zeros((len(error), n))
    j = np.empty((error.shape[-1], n), np.float32)
    for t, c in np.ndindex(*error.shape[:2]):  # one at a time: it fits a core's own memory
        j[:, :POSE] = rigid[t, c]
        j[:, POSE:] = sum(local[t, c, :, k, None] * moves[k] for k in range(3))
        weighted = (j * weight[t, c, :, None]).T
        h[t] += weighted @ j
        g[t] += weighted @ error[t, c].astype(np.float32)
    return h, g


def shifts(samples: Samples, reference: Reference) -> np.ndarray:
    """(T, 2) pixels: the shift of the picture that would bring each frame nearest to the reference, what is left of the pose error."""
    error = samples.expected - samples.value
    weight = samples.visible[:, None] * reference.precision / (1 + error**2 * reference.precision / 4)
    square = np.einsum("tcn,tcni,tcnj->tij", weight, samples.gradient, samples.gradient) + 1e-9 * np.eye(2)
    pull = np.einsum("tcn,tcni,tcn->ti", weight, samples.gradient, error)
    return np.linalg.solve(square, pull[..., None])[..., 0]


def _light(value: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset (T, C) that bring `value` (T, C, N) nearest to `target` (C, N), in mean weighted squares."""
    total = np.maximum(weight.sum(-1), 1e-9)
    x, y = (weight * value).sum(-1) / total, (weight * target).sum(-1) / total
    spread = (weight * (value - x[..., None]) ** 2).sum(-1) / total
    together = (weight * (value - x[..., None]) * (target - y[..., None])).sum(-1) / total
    gain = np.clip((together + 1e-4) / (spread + 1e-4), 0.5, 2.0)
    return gain, y - gain * x

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

from castfield.tracking.face_model import POSE, chained, project, rotation_vector
from castfield.tracking.solver import State, equations_of, inner_products
from castfield.tracking.surface import Surface

BLUR = 1.0
"""Sigma in pixels: gradients must reach as far as the poses are wrong."""
AROUND = 1 / 32
"""Sigma, in sides of the picture, of the mean around a pixel that `detail` takes away."""
NOISE = 0.012
"""Brightness noise, share of white, below which no point is thought to be exact."""
USUAL_TURN, FIRM = 0.1, 2.0
"""Radians that a head turns in a clip; and how many frames of such turns it takes to believe in half of the slope that they show."""
INDEPENDENT = 250.0
"""How many independent points face and ears are worth: neighbours see the same skin."""


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
    """(T, C, 2, N) per pixel along x and y, likewise."""
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
    shape = surface.shape(state.expression)
    pixels, turned = project(shape, state.pose, state.focal, centre)
    visible = surface.visible(state, turned, pixels, centre)
    frames, count = visible.shape
    channels = pictures[0].shape[-1]
    value = np.empty((frames, channels, count), np.float32)
    gradient = np.empty((frames, channels, 2, count), np.float32)
    for t, picture in enumerate(pictures):
        value[t], gradient[t] = looked_up(picture, pixels[t])
        side = min(picture.shape[:2])
        visible[t] *= ((pixels[t] > 1.5) & (pixels[t] < side - 1.5)).all(-1)
    visible = visible.astype(np.float32)
    if reference is None:
        return Samples(value, value, gradient, turned, visible)
    expected = reference.colours(state.pose.rotation).astype(np.float32)
    precision = reference.precision.astype(np.float32)
    weight = visible[:, None] * precision
    for _ in range(2):
        gain, offset = _light(value, expected, weight)
        lit = gain[..., None] * value + offset[..., None]
        weight = visible[:, None] * _believed(lit - expected, precision)
    return Samples(lit, expected, gain[..., None, None] * gradient, turned, visible)


def _believed(error: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """(T, C, N) precision (C, N) of colours after an error, with Cauchy's robust weight."""
    return precision / (1 + error**2 * (precision / 4))


def looked_up(picture: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (C, N) in [0, 1] of a blurred picture (H, W, C) at pixels (N, 2), and their derivatives (C, 2, N) per pixel."""
    # As far as a blur reaches from the points: the face is a small part of many a picture.
    size = picture.shape[1::-1]
    reach = int(4 * BLUR) + 3
    left, top = (np.floor(np.clip(pixels.min(0), 0, np.subtract(size, 1))).astype(int) - reach).clip(0).tolist()
    right, bottom = np.floor(np.clip(pixels.max(0), 0, np.subtract(size, 1))).astype(int) + reach + 1
    part = picture[top:bottom, left:right].astype(np.float32) / 255
    smooth = cv2.GaussianBlur(part, (0, 0), BLUR)
    # The difference of the pixels beside each, as between pixels so at any place between them.
    x, y = (pixels - (left + 0.5, top + 0.5)).astype(np.float32).T
    at = np.stack([x, x + 1, x - 1, x, x]), np.stack([y, y, y, y + 1, y - 1])
    looked = cv2.remap(smooth, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    middle, *beside = looked.reshape(5, -1, picture.shape[2]).transpose(0, 2, 1)
    return middle, np.stack([beside[0] - beside[1], beside[2] - beside[3]], 1) / 2


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
    precision = reference.precision.astype(np.float32)
    error = (samples.expected - samples.value).astype(np.float32)
    weight = samples.visible[:, None] * _believed(error, precision) * (INDEPENDENT / error.shape[-1])
    # Weighted here and not where they are many: what follows is linear in the slopes of the colour.
    weight = np.sqrt(weight, dtype=np.float32)
    error *= weight
    translation = state.pose.translation(state.focal, centre).astype(np.float32)[..., None]
    x, y, z = (samples.turned[:, None, :, k].astype(np.float32) for k in range(3))
    away = [translation[:, None, k] for k in range(3)]
    depth = np.maximum(z + away[2], 1e-3)
    aside, above = (samples.gradient[:, :, k] * (weight * (state.focal / depth)) for k in range(2))  # by camera x and y (T, C, N)
    inward = -(aside * (x + away[0]) + above * (y + away[1])) / depth
    rigid = np.empty((*error.shape[:2], POSE, error.shape[2]), np.float32)
    rigid[:, :, 0], rigid[:, :, 1], rigid[:, :, 2] = y * inward - z * above, z * aside - x * inward, x * above - y * aside
    rigid[:, :, 3], rigid[:, :, 4] = aside * (away[2] / state.focal), above * (away[2] / state.focal)
    rigid[:, :, 5] = aside * away[0] + above * away[1] + inward * away[2]
    local = np.empty((*error.shape[:2], 3, error.shape[2]), np.float32)  # by the point's place in the head
    for k in range(3):
        axis = state.pose.rotation[:, :, k, None, None].astype(np.float32)
        local[:, :, k] = aside * axis[:, 0] + above * axis[:, 1] + inward * axis[:, 2]
    rows = np.empty((POSE + len(surface.moves[0]) + 1, error.shape[2]), np.float32)
    products = []
    for t in range(len(error)):  # one at a time: it stays in the core's own memory
        product = np.zeros((len(rows),) * 2, np.float32)
        for c in range(error.shape[1]):
            rows[:POSE], rows[-1] = rigid[t, c], error[t, c]
            chained(local[t, c], surface.moves, rows[POSE:-1])
            product += inner_products(rows)
        products.append(product)
    return equations_of(products)


def _light(value: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset (T, C) that bring `value` (T, C, N) nearest to `target` (C, N), in mean weighted squares."""
    total = np.maximum(weight.sum(-1), 1e-9)
    x, y = (weight * value).sum(-1) / total, (weight * target).sum(-1) / total
    spread = (weight * (value - x[..., None]) ** 2).sum(-1) / total
    together = (weight * (value - x[..., None]) * (target - y[..., None])).sum(-1) / total
    gain = np.clip((together + 1e-4) / (spread + 1e-4), 0.5, 2.0)
    return gain, y - gain * x

"""Damped Gauss-Newton for the landmark fit: robust, bounded, vectorised over frames.

Two problems share it. `fit_person`: identity and focal length from some frames, each frame's pose and expression being eliminated
(Schur complement). `fit_motion`: pose and expression of consecutive frames for a known person, tied over time by a banded
system. Residuals are in pixels over the expected landmark error, so that every weight is a precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solveh_banded

from castfield.tracking.face_model import POSE, FaceModel, Pose, jacobian, project, rotation_vector

BATCH = 16
"""Frames whose derivatives are held at once."""
DAMPING = 1e-2
"""Share by which a diagonal is first raised."""
FOCAL_STEP = 0.2
"""How far the logarithm of the focal length moves in a step."""
CONVERGED = 1e-3
"""Share of the cost that a further step must save."""
HELD = 1e9
"""Precision with which an activation is held at a bound."""
ROUNDS = 4
"""Solutions in which the activations that end at a bound are found."""


@dataclass(frozen=True)
class Observation:
    """What the tracker saw."""

    points: np.ndarray
    """(T, L, 2) pixels; anything finite where `weight` is 0."""
    weight: np.ndarray
    """(T, L) weights, 0 where unseen."""
    scale: float
    """Inter-ocular distance in pixels, the yardstick of landmark errors."""
    centre: float
    """Optical centre in pixels, both ways."""

    def part(self, frames: np.ndarray | slice) -> Observation:
        return replace(self, points=self.points[frames], weight=self.weight[frames])


@dataclass(frozen=True)
class State:
    """The unknowns."""

    identity: np.ndarray
    """(I,) standard deviations."""
    log_focal: float
    offset: np.ndarray
    """(L, 3) metres: where this person's landmarks lie off the rig's, in head space."""
    pose: Pose
    expression: np.ndarray
    """(T, d) activations."""

    @property
    def focal(self) -> float:
        return float(np.exp(self.log_focal))

    def part(self, frames: np.ndarray | slice) -> State:
        return replace(self, pose=self.pose.part(frames), expression=self.expression[frames])

    def chosen(self, other: State, where: np.ndarray) -> State:
        """This state with the pose and expression of another in the frames `where` (T,)."""
        pose = Pose(
            np.where(where[:, None, None], other.pose.rotation, self.pose.rotation),
            np.where(where[:, None], other.pose.place, self.pose.place),
        )
        return replace(self, pose=pose, expression=np.where(where[:, None], other.expression, self.expression))


@dataclass(frozen=True)
class Noise:
    """How much is expected of what. Precision is 1 over the square."""

    landmark: float = 0.012
    """Landmark error, share of the inter-ocular distance."""
    robust: float = 0.04
    """Error beyond which a landmark is doubted (Cauchy), same unit."""
    pair: float = 0.01
    """Error of the distance of opposite points of lips and lids, same unit."""
    independent: float = 120.0
    """How many independent landmarks a frame is worth: the tracker's errors go together over the face."""
    tremble: tuple[float, ...] = (0.008, 0.008, 0.008, 0.008, 0.008, 0.005)
    """Standard deviation of the pose with which the tracker sees the whole face wrong, frame by frame: rotation in radians,
    place in shares of the inter-ocular distance, and share of the depth."""
    modes: float = 1.0
    """Size of the tracker's error modes; 1 is what random grimaces cause (`castfield.rigs.response`)."""
    person_modes: float = 0.3
    """The same where the person is found: what stays wrong through a clip is the person's shape."""
    frames: float = 25.0
    """How many independent frames a clip is worth to the identity: landmark bias is the same in all."""
    sparse: float = 0.4
    """Weight of the sum of the actions' activations."""
    lopsided: float = 0.08
    """Standard deviation of the difference between an action's left and right half: faces mostly move alike on both sides."""
    focal: float = 0.25
    """Standard deviation of the logarithm of the focal length about its prior."""


def predict(model: FaceModel, state: State, centre: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (T, L, 2) and turned points (T, L, 3) of a state."""
    shape = model.shape(state.identity, state.expression) + state.offset + model.sided(state.pose.rotation)
    return project(shape, state.pose, state.focal, centre)


def data_weights(residual: np.ndarray, seen: Observation, noise: Noise) -> np.ndarray:
    """(T, L) precision of each landmark in 1/pixel^2, with Cauchy's robust weight; a frame's total is that of the independent ones."""
    robust = 1 / (1 + (residual**2).sum(-1) / (noise.robust * seen.scale) ** 2)
    share = noise.independent / max(1, seen.weight.shape[1])
    return seen.weight * robust * share / (noise.landmark * seen.scale) ** 2


def landmark_equations(model: FaceModel, seen: Observation, state: State, noise: Noise, *, shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations (T, m, m), (T, m) of the landmarks for pose, expression and, if `shared`, identity and log focal length.

    The tracker may have seen the whole face a little off its pose, and erred in the ways that it is known to err, in each frame by
    itself; that is eliminated here, so that it goes neither into the pose nor into the expression.
    """
    pixels, turned = predict(model, state, seen.centre)
    residual = seen.points - pixels
    precision = data_weights(residual, seen, noise)
    j = jacobian(model, turned, state.pose, state.focal, seen.centre, shared=shared)
    frames, _, m = j.shape
    weight = np.sqrt(np.repeat(precision, 2, axis=1))
    rows, right = [], [(weight * residual.reshape(frames, -1))]
    if len(model.pairs):
        first, second = model.pairs.T
        points = j.reshape(frames, -1, 2, m)
        rows = [(points[:, first] - points[:, second]).reshape(frames, -1, m)]
        rows[0][..., m - len(model.modes) :] = 0  # what goes together over the face leaves such distances alone
        gap = residual[:, first] - residual[:, second]
        trust = np.sqrt(np.repeat(pair_weights(model, gap, seen, noise), 2, axis=1))
        rows[0] *= trust[..., None].astype(np.float32)
        right.append(trust * gap.reshape(frames, -1))
    j *= weight[..., None].astype(np.float32)  # after the pairs, which are made of it
    rows.insert(0, j)
    h, g = np.zeros((frames, m, m), np.float32), np.zeros((frames, m, 1), np.float32)
    for row, side in zip(rows, right, strict=True):
        across = row.transpose(0, 2, 1)
        h += across @ row
        g += across @ side[..., None].astype(np.float32)
    return _still(h.astype(np.float64), g[..., 0].astype(np.float64), _usual_error(model, seen, noise))


def pair_weights(model: FaceModel, gap: np.ndarray, seen: Observation, noise: Noise) -> np.ndarray:
    """(T, K) precision of each pair's distance in 1/pixel^2, with its robust weight."""
    both = np.minimum(seen.weight[:, model.pairs[:, 0]], seen.weight[:, model.pairs[:, 1]]) > 0
    return both / (1 + (gap**2).sum(-1) / (noise.robust * seen.scale) ** 2) / (noise.pair * seen.scale) ** 2


def _usual_error(model: FaceModel, seen: Observation, noise: Noise) -> np.ndarray:
    """(6 + K,) standard deviations of the tracker's error: the pose with which it sees the whole face wrong, and its modes."""
    tremble = np.array(noise.tremble) * [1, 1, 1, seen.scale, seen.scale, 1]
    return np.r_[tremble, np.full(len(model.modes), noise.modes)]


def _still(h: np.ndarray, g: np.ndarray, usual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations without the tracker's error (Schur complement): a pose of its own, and the last unknowns, the modes."""
    n = g.shape[1] - (len(usual) - POSE)
    out = np.r_[:POSE, n : g.shape[1]]
    right = np.concatenate([h[:, out, :n], g[:, out, None]], -1)
    inner = np.linalg.solve(h[:, out][:, :, out] + np.diag(1 / usual**2), right)
    outer = right[..., :-1].transpose(0, 2, 1)
    return h[:, :n, :n] - outer @ inner[..., :-1], g[:, :n] - (outer @ inner[..., -1:])[..., 0]


def _likely_error(
    model: FaceModel, seen: Observation, state: State, turned: np.ndarray, residual: np.ndarray, noise: Noise
) -> tuple[np.ndarray, np.ndarray]:
    """What of a residual (T, L, 2) the tracker's likeliest error explains, in pixels, and the squares (T,) that this error costs."""
    faceless = replace(model, expression=model.expression[:0])
    j = jacobian(faceless, turned, state.pose, state.focal, seen.centre, shared=False)
    usual, frames = _usual_error(model, seen, noise), len(residual)
    explained = np.zeros_like(residual)
    for _ in range(2):  # the robust weights are those of what is left
        weight = np.repeat(data_weights(residual - explained, seen, noise), 2, axis=1).astype(np.float32)
        across = (j * weight[..., None]).transpose(0, 2, 1)
        pull = across @ residual.reshape(frames, -1, 1).astype(np.float32)
        error = np.linalg.solve((across @ j).astype(np.float64) + np.diag(1 / usual**2), pull.astype(np.float64))[..., 0]
        explained = (j @ error[..., None].astype(np.float32)).reshape(residual.shape)
    return explained, ((error / usual) ** 2).sum(-1)


def cost(model: FaceModel, seen: Observation, state: State, noise: Noise) -> np.ndarray:
    """(T,) what `fit_person` minimises but for what is shared: Cauchy loss of landmarks and pairs, with the tracker's error that makes
    it least, the prior of that error, and that of the activations."""
    pixels, turned = predict(model, state, seen.centre)
    residual = seen.points - pixels
    wide = (noise.robust * seen.scale) ** 2
    share = noise.independent / max(1, seen.weight.shape[1])
    explained, total = _likely_error(model, seen, state, turned, residual, noise)
    loss = (seen.weight * np.log1p(((residual - explained) ** 2).sum(-1) / wide)).sum(-1)
    total += share * (noise.robust / noise.landmark) ** 2 * loss
    if len(model.pairs):
        gap = residual[:, model.pairs[:, 0]] - residual[:, model.pairs[:, 1]]
        both = np.minimum(seen.weight[:, model.pairs[:, 0]], seen.weight[:, model.pairs[:, 1]]) > 0
        total += (noise.robust / noise.pair) ** 2 * (both * np.log1p((gap**2).sum(-1) / wide)).sum(-1)
    apart = state.expression[:, model.twins[:, 0]] - state.expression[:, model.twins[:, 1]]
    prior = ((state.expression / model.deviation) ** 2).sum(-1) + (apart**2).sum(-1) / noise.lopsided**2
    return 0.5 * (total + prior) + noise.sparse * state.expression[:, model.one_sided].sum(-1)


def fit_person(
    model: FaceModel,
    seen: Observation,
    state: State,
    noise: Noise,
    prior_focal: float,
    steps: int,
    identity_prior: float,
    known: bool = False,
) -> State:
    """Identity (unless `known`), focal length, and pose and expression of each frame by itself. Frames without a face must be left out."""
    noise = replace(noise, modes=noise.person_modes)
    d, people = len(model.expression), len(model.identity)
    n = POSE + d
    per_frame = noise.frames / len(seen.points)
    diagonal = np.r_[np.full(people, identity_prior), 1 / noise.focal**2]

    def price(now: State, frames: np.ndarray) -> float:
        away = np.r_[now.identity, now.log_focal - np.log(prior_focal)]
        return per_frame * float(frames.sum()) + float(0.5 * (diagonal * away**2).sum())

    # Levenberg and Marquardt: each frame, and what is shared, trusts the model as far as it has proved right.
    damping, shared_damping = np.full(len(seen.points), DAMPING), DAMPING
    paid = cost(model, seen, state, noise)
    before = price(state, paid)
    for step in range(steps):
        # The first steps find pose and expression: shape and perspective explain what is left.
        free = np.r_[np.full(people, step >= 2 and not known), step >= 4].astype(bool)
        shared_h, shared_g = np.diag(diagonal), -diagonal * np.r_[state.identity, state.log_focal - np.log(prior_focal)]
        keep = []
        for at in range(0, len(seen.points), BATCH):
            part = slice(at, at + BATCH)
            h, g = landmark_equations(model, seen.part(part), state.part(part), noise, shared=True)
            own, gradient = h[:, :n, :n], g[:, :n]
            _expression_prior(own, gradient, state.expression[part], model, noise)
            own[:, range(n), range(n)] *= 1 + damping[part, None]
            _solve(own, gradient, state.expression[part], model)
            inner = np.linalg.solve(own, np.concatenate([h[:, :n, n:], gradient[..., None]], -1))
            shared_h += per_frame * (h[:, n:, n:] - h[:, n:, :n] @ inner[..., :-1]).sum(0)
            shared_g += per_frame * (g[:, n:] - (h[:, n:, :n] @ inner[..., -1:])[..., 0]).sum(0)
            keep.append(inner)
        shared_h[range(people + 1), range(people + 1)] *= 1 + shared_damping
        change = np.zeros(people + 1)
        change[free] = np.linalg.solve(shared_h[np.ix_(free, free)], shared_g[free])
        if abs(change[-1]) > FOCAL_STEP:  # perspective is far from linear: only so far, and the person as it is best then
            change[-1] = np.copysign(FOCAL_STEP, change[-1])
            free[-1] = False
            change[free] = np.linalg.solve(shared_h[np.ix_(free, free)], (shared_g - shared_h[:, -1] * change[-1])[free])
        inner = np.concatenate(keep)
        own_step = inner[..., -1] - inner[..., :-1] @ change
        own_step[:, 5] += change[-1]  # the depth follows the focal length, so that the head stays as large
        moved = _move(replace(state, identity=state.identity + change[:-1], log_focal=state.log_focal + float(change[-1])), own_step, model)
        asked = cost(model, seen, moved, noise)
        better = asked < paid
        if together := price(moved, asked) < before:
            state, paid, shared_damping = moved, asked, max(shared_damping / 3, 1e-4)
        else:  # the frames for themselves
            moved, shared_damping = _move(state, inner[..., -1], model), 10 * shared_damping
            asked = cost(model, seen, moved, noise)
            better = asked < paid
            state, paid = state.chosen(moved, better), np.where(better, asked, paid)
        damping = np.where(better, np.maximum(damping / 3, 1e-4), 4 * damping)
        now = price(state, paid)
        if together and step > 5 and now > (1 - CONVERGED) * before:
            break
        before = now
    return state


@dataclass(frozen=True)
class Smoothness:
    """Expected change from frame to frame at 25 Hz: standard deviations of the second difference, and of the first."""

    rotation: float = 0.003
    """Radians."""
    sideways: float = 0.00025
    """Metres, across the line of sight."""
    depth: float = 0.0003
    """Metres, along it: the landmarks say little about it."""
    activation: np.ndarray | float = 0.06
    """(d,) second difference of each action."""

    def second(self, focal: float, depth: float, d: int) -> np.ndarray:
        """(6 + d,) precision of the second differences, in the pose's own units."""
        pixels = focal * self.sideways / depth
        scales = np.r_[np.full(3, self.rotation), pixels, pixels, self.depth / depth, np.broadcast_to(self.activation, d)]
        return 1 / scales**2


Witness = Callable[[State], tuple[np.ndarray, np.ndarray]]
"""Further evidence on pose and expression: a state -> normal equations (T, 6 + d, 6 + d), (T, 6 + d)."""


def fit_motion(
    model: FaceModel, seen: Observation, state: State, noise: Noise, smooth: Smoothness | None, steps: int, witness: Witness | None = None
) -> State:
    """Pose and expression for a known person: of consecutive frames, those with weight 0 bridged, or without `smooth` of single ones."""
    frames, d = len(seen.points), len(model.expression)
    n = POSE + d
    for _ in range(steps):
        h, g = np.empty((frames, n, n)), np.empty((frames, n))
        for at in range(0, frames, BATCH):
            part = slice(at, at + BATCH)
            h[part], g[part] = landmark_equations(model, seen.part(part), state.part(part), noise, shared=False)
        _expression_prior(h, g, state.expression, model, noise)
        if witness is not None:
            own, pull = witness(state)
            h += own
            g += pull
        if smooth is None:
            h[:, range(n), range(n)] *= 1 + 1e-4
            state = _move(state, _solve(h, g, state.expression, model), model)
            continue
        second = smooth.second(state.focal, float(np.exp(np.median(state.pose.place[:, 2]))), d)
        state = _move(state, _solve_banded(h, g, state, second, model), model)
    return state


def _solve_banded(h: np.ndarray, g: np.ndarray, state: State, second: np.ndarray, model: FaceModel) -> np.ndarray:
    """Step (T, n) of the frames' systems (T, n, n), (T, n) tied by second differences with precision `second` (n,)."""
    frames, n = g.shape
    g = g.copy()
    band = np.zeros((2 * n + 1, frames * n)) if frames > 2 else np.zeros((n, frames * n))
    change = _second_difference(state)  # (T - 2, n)
    tied = np.zeros((frames, n))
    for at, factor in enumerate((1.0, -2.0, 1.0)):
        g[at : frames - 2 + at] -= factor * second * change
        tied[at : frames - 2 + at] += factor**2 * second
    h = h.copy()
    # Damped before the frames are tied: the ties are stiff, and damping in their proportion would hold back slow motion.
    h[:, range(n), range(n)] *= 1 + 1e-4
    h[:, range(n), range(n)] += tied
    # Upper diagonals, as LAPACK stores them: band[k, column] is the entry `rows` above the diagonal.
    bottom = len(band) - 1
    for i in range(n):
        for k in range(n - i):
            band[bottom - k].reshape(frames, n)[:, i + k] = h[:, i, i + k]
    if frames > 2:
        near = np.zeros((frames - 1, n))
        near[: frames - 2] += -2 * second
        near[1 : frames - 1] += -2 * second
        band[bottom - n].reshape(frames, n)[1:] = near
        band[bottom - 2 * n].reshape(frames, n)[2:] = second
    diagonal = band[bottom].reshape(frames, n)[:, None, :]
    for _ in range(ROUNDS):
        step = solveh_banded(band, g.reshape(-1)).reshape(frames, n)
        if not _end_at_bounds(diagonal, g, step, state.expression, model):
            break
    return step


def _second_difference(state: State) -> np.ndarray:
    """(T - 2, n) second differences of pose (rotations as vectors) and expression."""
    turn = rotation_vector(state.pose.rotation[1:] @ state.pose.rotation[:-1].transpose(0, 2, 1))
    rest = np.diff(np.concatenate([state.pose.place, state.expression], 1), 2, axis=0)
    return np.concatenate([np.diff(turn, axis=0), rest], 1)


def _expression_prior(h: np.ndarray, g: np.ndarray, expression: np.ndarray, model: FaceModel, noise: Noise) -> None:
    """Add the prior of the activations: few actions, small, and much the same on both sides."""
    d = expression.shape[1]
    precision, alike = 1 / model.deviation**2, 1 / noise.lopsided**2
    at = np.arange(POSE, POSE + d)
    h[:, at, at] += precision
    g[:, at] -= precision * expression + noise.sparse * model.one_sided
    left, right = model.twins.T
    apart = alike * (expression[:, left] - expression[:, right])
    for one, other, pull in ((left, right, apart), (right, left, -apart)):
        h[:, POSE + one, POSE + one] += alike
        h[:, POSE + one, POSE + other] -= alike
        g[:, POSE + one] -= pull


def _solve(h: np.ndarray, g: np.ndarray, expression: np.ndarray, model: FaceModel) -> np.ndarray:
    """Step (T, n) of each frame by itself, its activations within their bounds; what ends at a bound is held in h and g."""
    for _ in range(ROUNDS):
        step = np.linalg.solve(h, g[..., None])[..., 0]
        if not _end_at_bounds(np.einsum("tii->ti", h)[:, None], g, step, expression, model):
            break
    return step


def _end_at_bounds(diagonal: np.ndarray, g: np.ndarray, step: np.ndarray, expression: np.ndarray, model: FaceModel) -> bool:
    """Let activations that a step takes beyond a bound end there, so that the next solution knows it; whether there were any (projected
    Newton; Bertsekas 1982).

    diagonal (T, 1, n): a view of the diagonals of the equations.
    """
    after = expression + step[:, POSE:]
    frame, action = np.nonzero((after < model.low - 1e-6) | (after > model.high + 1e-6))
    bound = np.clip(after, model.low, model.high)[frame, action]
    diagonal[frame, 0, POSE + action] += HELD
    g[frame, POSE + action] += HELD * (bound - expression[frame, action])
    return bool(len(frame))


def _move(state: State, step: np.ndarray, model: FaceModel) -> State:
    """Take a step (T, n), no farther than 0.3 radians and four thirds of an activation's deviation, and back into the bounds."""
    step = step.copy()
    step[:, :3] = np.clip(step[:, :3], -0.3, 0.3)
    step[:, 5] = np.clip(step[:, 5], -0.3, 0.3)
    most = 4 / 3 * model.deviation
    step[:, POSE:] = np.clip(step[:, POSE:], -most, most)
    expression = np.clip(state.expression + step[:, POSE:], model.low, model.high)
    return replace(state, pose=state.pose.moved(step[:, :POSE]), expression=expression)

"""Damped Gauss-Newton for the landmark fit: robust, bounded, vectorised over frames.

Two problems share it. `fit_person`: identity and focal length from some frames, each frame's pose and expression being eliminated
(Schur complement). `fit_motion`: pose and expression of consecutive frames for a known person, tied over time by a banded
system. Residuals are in pixels over the expected landmark error, so that every weight is a precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solveh_banded
from scipy.linalg.blas import dgemm, ssyrk
from scipy.linalg.lapack import dposv

from castfield.tracking.face_model import POSE, FaceModel, Pose, Slopes, jacobian, project, rotation_vector

BATCH = 16
"""Frames worked on together."""


@dataclass(frozen=True)
class Observation:
    """What the tracker saw."""

    points: np.ndarray
    """(T, L, 2) float32 pixels; anything finite where `weight` is 0."""
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
    frames: float = 25.0
    """How many independent frames a clip is worth to the identity: landmark bias is the same in all."""
    sparse: float = 0.8
    """Weight of the sum of the actions' activations."""
    lopsided: float = 0.05
    """Standard deviation of the difference between an action's left and right half: faces mostly move alike on both sides."""
    brows: float = 0.04
    """Standard deviation of the difference between a brow's inner and outer half when it is raised."""
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


def landmark_equations(
    model: FaceModel, seen: Observation, state: State, noise: Noise, *, shared: bool = False, modes: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations (T, m, m), (T, m) of the landmarks for pose, expression, if `shared` identity and log focal length, and if asked
    for the modes of the tracker's error."""
    pixels, turned = predict(model, state, seen.centre)
    residual = seen.points - pixels
    frames, count, _ = residual.shape
    first, second = model.pairs.T
    weights = data_weights(residual, seen, noise), pair_weights(model, residual[:, first] - residual[:, second], seen, noise)
    weight = np.sqrt(np.concatenate([np.tile(w, 2) for w in weights], 1), dtype=np.float32)
    first, second = (np.r_[some, count + some] for some in (first, second))  # of u, then of v
    slopes = Slopes.of(turned, state.pose, state.focal, seen.centre)
    right = residual.transpose(0, 2, 1).reshape(frames, -1)
    d, people, errors = len(model.expression), len(model.identity) + 1 if shared else 0, len(model.modes) if modes else 0
    rows = np.empty((POSE + d + people + errors + 1, weight.shape[1]), np.float32)
    products = []
    for t in range(frames):  # one at a time: it stays in the core's own memory
        jacobian(model, slopes, t, rows[:-1, : 2 * count], shared=shared, modes=modes)
        rows[-1, : 2 * count] = right[t]
        rows[:, 2 * count :] = rows[:, first] - rows[:, second]
        rows[len(rows) - 1 - errors : -1, 2 * count :] = 0  # what goes together over the face leaves such distances alone
        rows *= weight[t]
        products.append(inner_products(rows))
    return equations_of(products)


def inner_products(rows: np.ndarray) -> np.ndarray:
    """(m, N) float32 -> (m, m): of each row with each, and 0 above the diagonal."""
    # SciPy's BLAS: the older one that NumPy brings does not know the newer processors, and takes three times as long on them.
    lower: np.ndarray = ssyrk(1.0, rows.T, trans=1).T
    return lower


def equations_of(products: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """T of a frame's `inner_products` (m + 1, m + 1), its residuals being the last row -> normal equations (T, m, m), (T, m)."""
    lower = np.stack(products, dtype=np.float64)
    h = lower[:, :-1, :-1].copy()
    h += np.tril(h, -1).transpose(0, 2, 1)
    return h, lower[:, -1, :-1].copy()


def solved(h: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Symmetric positive definite systems (T, m, m), right sides (T, m, r) -> (T, m, r). Raises LinAlgError."""
    out = np.empty(right.shape)
    for t, (left, side) in enumerate(zip(h, right, strict=True)):
        _, out[t], fault = dposv(left.T, side)
        if fault:  # rounding made it indefinite
            out[t] = np.linalg.solve(left, side)
    return out


def pair_weights(model: FaceModel, gap: np.ndarray, seen: Observation, noise: Noise) -> np.ndarray:
    """(T, K) precision of each pair's distance in 1/pixel^2, with its robust weight."""
    both = np.minimum(seen.weight[:, model.pairs[:, 0]], seen.weight[:, model.pairs[:, 1]]) > 0
    return both / (1 + (gap**2).sum(-1) / (noise.robust * seen.scale) ** 2) / (noise.pair * seen.scale) ** 2


def without_errors(h: np.ndarray, g: np.ndarray, modes: int, eye_distance: float, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations without the tracker's error (Schur complement): in each frame it may have seen the whole face a little off its
    pose, and erred in the ways that it is known to err, the last `modes` unknowns; neither goes into pose or expression."""
    n = g.shape[1] - modes
    out = np.r_[:POSE, n : n + modes]
    right = np.concatenate([h[:, out, :n], g[:, out, None]], -1)
    inner = solved(h[:, out][:, :, out] + np.diag(error_precision(modes, eye_distance, noise)), right)
    outer = right[..., :-1].transpose(0, 2, 1)
    return h[:, :n, :n] - outer @ inner[..., :-1], g[:, :n] - (outer @ inner[..., -1:])[..., 0]


def error_precision(modes: int, eye_distance: float, noise: Noise) -> np.ndarray:
    """(6 + K,) precision of the pose with which the tracker sees a face wrong in a frame, and of its other modes."""
    return 1 / np.r_[np.array(noise.tremble) * [1, 1, 1, eye_distance, eye_distance, 1], np.full(modes, noise.modes)] ** 2


def cost(model: FaceModel, seen: Observation, state: State, noise: Noise) -> float:
    """What `fit_person` minimises but for the priors of what is shared: Cauchy loss of landmarks and pairs, prior of the activations."""
    pixels, _ = predict(model, state, seen.centre)
    residual = seen.points - pixels
    wide = (noise.robust * seen.scale) ** 2
    share = noise.independent / max(1, seen.weight.shape[1])
    total = share / noise.landmark**2 * noise.robust**2 * (seen.weight * np.log1p((residual**2).sum(-1) / wide)).sum()
    if len(model.pairs):
        gap = residual[:, model.pairs[:, 0]] - residual[:, model.pairs[:, 1]]
        both = np.minimum(seen.weight[:, model.pairs[:, 0]], seen.weight[:, model.pairs[:, 1]]) > 0
        total += (noise.robust / noise.pair) ** 2 * (both * np.log1p((gap**2).sum(-1) / wide)).sum()
    prior = ((state.expression / model.deviation) ** 2).sum() + (state.expression @ ties(model, noise) * state.expression).sum()
    return float(0.5 * (total + prior) + noise.sparse * state.expression[:, model.one_sided].sum())


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
    d, people = len(model.expression), len(model.identity)
    n = POSE + d
    per_frame = noise.frames / len(seen.points)
    diagonal = np.r_[np.full(people, identity_prior), 1 / noise.focal**2]

    def price(now: State) -> float:
        away = np.r_[now.identity, now.log_focal - np.log(prior_focal)]
        return per_frame * cost(model, seen, now, noise) + float(0.5 * (diagonal * away**2).sum())

    damping, paid = 1e-2, price(state)
    equations = None
    for step in range(steps):
        # The first steps find pose and expression: shape and perspective explain what is left.
        free = np.r_[np.full(people, step >= 2 and not known), step >= 4].astype(bool)
        if equations is None:
            equations = _person_equations(model, seen, state, noise)
        h, g = equations
        own = h[:, :n, :n].copy()
        own[:, range(n), range(n)] *= 1 + damping
        tied = np.concatenate([h[:, :n, n:], g[:, :n, None]], -1)
        inner = solved(own, tied)
        told = dgemm(1.0, *(array.reshape(-1, people + 2).T for array in (tied, inner)), trans_b=1)  # the sum over the frames
        shared_h, shared_g = np.diag(diagonal), -diagonal * np.r_[state.identity, state.log_focal - np.log(prior_focal)]
        shared_h += per_frame * (h[:, n:, n:].sum(0) - told[:-1, :-1])
        shared_g += per_frame * (g[:, n:].sum(0) - told[:-1, -1])
        shared_h[range(people + 1), range(people + 1)] *= 1 + damping
        change = np.zeros(people + 1)
        change[free] = np.linalg.solve(shared_h[np.ix_(free, free)], shared_g[free])
        tried = replace(state, identity=state.identity + change[:-1], log_focal=state.log_focal + float(np.clip(change[-1], -0.2, 0.2)))
        tried = moved(tried, inner[..., -1] - inner[..., :-1] @ change, model)
        price_now = price(tried)
        if price_now < paid:  # Levenberg and Marquardt: trust the model as far as it has proved right
            state, paid, damping, equations = tried, price_now, max(damping / 4, 1e-4), None
        else:
            damping *= 10
    return state


def _person_equations(model: FaceModel, seen: Observation, state: State, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """As `landmark_equations`, with what is shared, and with the priors and bounds of each frame's own."""
    n = POSE + len(model.expression)
    parts = [slice(at, at + BATCH) for at in range(0, len(seen.points), BATCH)]
    equations = (landmark_equations(model, seen.part(part), state.part(part), noise, shared=True) for part in parts)
    h, g = (np.concatenate(arrays) for arrays in zip(*equations, strict=True))
    expression_prior(h[:, :n, :n], g[:, :n], state.expression, model, noise)
    hold_at_bounds(h[:, :n, :n], g[:, :n], state.expression, model)
    return h, g


@dataclass(frozen=True)
class Smoothness:
    """Expected change from frame to frame at 25 Hz: standard deviations of the second difference, and of the first."""

    rotation: float = 0.0026
    """Radians."""
    sideways: float = 0.00022
    """Metres, across the line of sight."""
    depth: float = 0.00026
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
    model: FaceModel, seen: Observation, state: State, noise: Noise, smooth: Smoothness, steps: int, witness: Witness | None = None
) -> State:
    """Pose and expression for a known person: of consecutive frames, those with weight 0 bridged."""
    frames, d = len(seen.points), len(model.expression)
    n = POSE + d
    for _ in range(steps):
        h, g = np.empty((frames, n, n)), np.empty((frames, n))
        for at in range(0, frames, BATCH):
            part = slice(at, at + BATCH)
            equations = landmark_equations(model, seen.part(part), state.part(part), noise, modes=True)
            h[part], g[part] = without_errors(*equations, len(model.modes), seen.scale, noise)
        expression_prior(h, g, state.expression, model, noise)
        if witness is not None:
            own, pull = witness(state)
            h += own
            g += pull
        second = smooth.second(state.focal, float(np.exp(np.median(state.pose.place[:, 2]))), d)
        state = moved(state, _solve_banded(h, g, state, second, model), model)
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
    hold_at_bounds(h, g, state.expression, model)
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
    return solveh_banded(band, g.reshape(-1)).reshape(frames, n)


def _second_difference(state: State) -> np.ndarray:
    """(T - 2, n) second differences of pose (rotations as vectors) and expression."""
    turn = rotation_vector(state.pose.rotation[1:] @ state.pose.rotation[:-1].transpose(0, 2, 1))
    rest = np.diff(np.concatenate([state.pose.place, state.expression], 1), 2, axis=0)
    return np.concatenate([np.diff(turn, axis=0), rest], 1)


def expression_prior(h: np.ndarray, g: np.ndarray, expression: np.ndarray, model: FaceModel, noise: Noise) -> None:
    """Add the prior of the activations: few actions, small, much the same on both sides, and brows raised as a whole."""
    d, precision = expression.shape[1], 1 / model.deviation**2
    at = np.arange(POSE, POSE + d)
    h[:, at, at] += precision
    g[:, at] -= precision * expression + noise.sparse * model.one_sided
    tie = ties(model, noise)
    h[:, POSE : POSE + d, POSE : POSE + d] += tie
    g[:, POSE : POSE + d] -= expression @ tie


def ties(model: FaceModel, noise: Noise) -> np.ndarray:
    """(d, d) what is expected of actions x that go together: x^T C x is the sum of their squared differences, by what is expected."""
    tie = np.zeros((len(model.expression), len(model.expression)))
    for (one, other), apart in ((model.twins.T, noise.lopsided), (model.brows.T, noise.brows)):
        for row, column, sign in ((one, one, 1), (other, other, 1), (one, other, -1), (other, one, -1)):
            np.add.at(tie, (row, column), sign / apart**2)  # an action may have several others
    return tie


def hold_at_bounds(h: np.ndarray, g: np.ndarray, expression: np.ndarray, model: FaceModel) -> None:
    """Hold activations that stand at a bound and want beyond it (projected Newton; Bertsekas 1982)."""
    wanted = g[:, POSE : POSE + expression.shape[1]]
    held = ((expression <= model.low + 1e-6) & (wanted < 0)) | ((expression >= model.high - 1e-6) & (wanted > 0))
    frame, action = np.nonzero(held)
    h[frame, POSE + action, POSE + action] += 1e9


def moved(state: State, step: np.ndarray, model: FaceModel) -> State:
    """Take a step (T, n), no farther than 0.3 radians and four thirds of an activation's deviation, and back into the bounds."""
    step = step.copy()
    step[:, :3] = np.clip(step[:, :3], -0.3, 0.3)
    step[:, 5] = np.clip(step[:, 5], -0.3, 0.3)
    most = 4 / 3 * model.deviation
    step[:, POSE:] = np.clip(step[:, POSE:], -most, most)
    expression = np.clip(state.expression + step[:, POSE:], model.low, model.high)
    return replace(state, pose=state.pose.moved(step[:, :POSE]), expression=expression)

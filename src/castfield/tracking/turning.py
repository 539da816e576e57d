"""How the tracker's points shift over one person's face as the head turns.

What they do on the average face the rig knows (`castfield.rigs.response`); how a person differs from it is told here, together with pose
and expression, by the landmarks of some frames and by their pictures, which know nothing of the tracker. It is looked for among the
modes in which the tracker is known to err: in a frame its error is what this person's turn makes of it, and chance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from castfield.rigs.stored import view_terms
from castfield.tracking.face_model import POSE, FaceModel
from castfield.tracking.solver import (
    BATCH,
    Noise,
    Observation,
    State,
    Witness,
    error_precision,
    expression_prior,
    hold_at_bounds,
    landmark_equations,
    moved,
    solved,
)

STEEP = 20.0
"""Expected change of a mode, in its standard deviations, over a turn of one radian: heads turn by a tenth of that."""
TERMS = 2
"""Of the `view_terms`, those that a clip tells: how far the head looks aside, and how far up."""


def fit_turning(model: FaceModel, seen: Observation, state: State, noise: Noise, steps: int, witness: Witness) -> tuple[FaceModel, State]:
    """The model with this person's own `view`, and pose and expression of the frames, each by itself.

    Gauss-Newton; a frame's pose, expression and chance errors are eliminated (Schur complement). The view that is usual in these frames
    is left as it was: what is constant there, the state's `offset` has.
    """
    frames, d, modes = len(seen.points), len(model.expression), len(model.modes)
    n = POSE + d
    # A frame's unknowns: pose and expression, then the pose and the modes by which the tracker errs.
    unknown = np.r_[:n, :POSE, n : n + modes]
    chance = range(n, n + POSE + modes)
    usual = view_terms(state.pose.rotation)[:, :TERMS].mean(0)
    share = min(1.0, noise.frames / frames)
    slopes = np.zeros((TERMS, modes))
    for _ in range(steps):
        parts = [slice(at, at + BATCH) for at in range(0, frames, BATCH)]
        equations = (landmark_equations(model, seen.part(part), state.part(part), noise, modes=True) for part in parts)
        h, g = (np.concatenate(arrays) for arrays in zip(*equations, strict=True))
        whole, right = h[:, unknown][:, :, unknown], g[:, unknown]
        own, pull = whole[:, :n, :n], right[:, :n]
        expression_prior(own, pull, state.expression, model, noise)
        for part, more in zip((own, pull), witness(state), strict=True):
            part += more
        own[:, range(n), range(n)] *= 1 + 1e-4
        hold_at_bounds(own, pull, state.expression, model)
        whole[:, chance, chance] += error_precision(modes, seen.scale, noise)
        tied = h[:, unknown][:, :, n:]  # to the modes, as a turn causes them
        inner = solved(whole, np.concatenate([tied, right[..., None]], -1))
        outer = tied.transpose(0, 2, 1)
        square = h[:, n:, n:] - outer @ inner[..., :-1]
        side = g[:, n:] - (outer @ inner[..., -1:])[..., 0]
        turn = view_terms(state.pose.rotation)[:, :TERMS] - usual
        left = share * np.einsum("ti,tj,tkl->ikjl", turn, turn, square, optimize=True).reshape(slopes.size, slopes.size)
        step = np.linalg.solve(left + np.eye(slopes.size) / STEEP**2, (share * turn.T @ side - slopes / STEEP**2).reshape(-1))
        step = step.reshape(slopes.shape)
        slopes = slopes + step
        shift = np.tensordot(step, model.modes, 1)  # (TERMS, L, 3) metres
        view = model.view.copy()
        view[:TERMS] += shift
        model = replace(model, view=view)
        state = replace(state, offset=state.offset - np.tensordot(usual, shift, 1))
        state = moved(state, inner[..., :n, -1] - (inner[..., :n, :-1] @ (turn @ step)[..., None])[..., 0], model)
    return model, state

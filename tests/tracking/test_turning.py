"""How one person's landmarks shift as the head turns is told apart from expression."""

from dataclasses import replace

import made_motion
import numpy as np
import pytest
from made_motion import SIZE

from castfield.rigs.stored import view_terms
from castfield.tracking.solver import Noise, Observation, predict
from castfield.tracking.turning import TERMS, fit_turning

FRAMES = 60


@pytest.fixture(scope="module")
def turned(rig):
    """A model whose tracker answers to this person's turns in a way of its own, the truth, and what is seen."""
    model, state = made_motion.model_state(rig, FRAMES, answered=True)
    usual = view_terms(state.pose.rotation)[:, :TERMS].mean(0)
    own = 8 * np.stack([model.modes[1], -model.modes[3]])  # by half a radian, four deviations
    view = model.view.copy()
    view[:TERMS] += own
    told = replace(state, offset=-np.tensordot(usual, own, 1))
    points, _ = predict(replace(model, view=view), told, SIZE / 2)
    seen = Observation(points, np.broadcast_to(model.weight, points.shape[:2]), 60.0, SIZE / 2)
    return model, state, seen, own


def _knowing(truth, trust):
    """A witness of pose and expression, as pictures are: it pulls towards the truth."""
    scale = np.r_[np.full(3, 100.0), 1.0, 1.0, 100.0, np.full(truth.expression.shape[1], 10.0)] ** 2 * trust

    def witness(now):
        away = np.concatenate([np.zeros((FRAMES, 3)), truth.pose.place - now.pose.place, truth.expression - now.expression], 1)
        return np.broadcast_to(np.diag(scale), (FRAMES, len(scale), len(scale))), scale * away

    return witness


def test_a_persons_own_shift_with_the_turn_is_found(turned):
    model, truth, seen, own = turned
    found, state = fit_turning(model, seen, truth, Noise(), 2, _knowing(truth, 100.0))
    shift = (found.view - model.view)[:TERMS]
    assert np.linalg.norm(shift - own) < 0.5 * np.linalg.norm(own)
    left = [np.abs(seen.points - predict(m, s, SIZE / 2)[0]).mean() for m, s in ((model, truth), (found, state))]
    assert left[1] < 0.4 * left[0]
    np.testing.assert_array_equal(found.view[TERMS:], model.view[TERMS:])


def test_where_the_head_never_turns_nothing_is_learned(turned):
    model, truth, seen, _ = turned
    still = replace(truth, pose=replace(truth.pose, rotation=np.broadcast_to(truth.pose.rotation[:1], truth.pose.rotation.shape)))
    pixels, _ = predict(model, still, SIZE / 2)
    pixels = pixels + np.random.default_rng(0).normal(0, 0.5, pixels.shape)
    found, _ = fit_turning(model, replace(seen, points=pixels), still, Noise(), 2, _knowing(still, 100.0))
    assert np.abs(found.view - model.view).max() < 2e-3  # metres a radian: a hundredth of a millimetre over a third of a degree


def test_what_the_turn_explains_is_not_taken_for_expression(turned):
    """Without the person's own shift the landmarks pull the expression away from the truth."""
    model, truth, seen, _ = turned
    _, state = fit_turning(model, seen, truth, Noise(), 2, _knowing(truth, 1.0))
    kept, wrong = fit_turning(replace(model, modes=model.modes[:0]), seen, truth, Noise(), 2, _knowing(truth, 1.0))
    errors = [np.abs(s.expression - truth.expression).mean() for s in (state, wrong)]
    assert errors[0] < 0.6 * errors[1]
    np.testing.assert_array_equal(kept.view, model.view)

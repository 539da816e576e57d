"""The tracker's answer to a face: known answers are found again, and the baked rig's is nearer to the tracker than its mesh."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from castfield.rigs import response
from castfield.rigs.response import Answers
from castfield.rigs.stored import VIEW_TERMS, view_terms
from castfield.tracking.face_model import FaceModel, rotation_matrix

PEOPLE, EACH, ACTIONS, TRAITS, POINTS = 40, 10, 5, 3, 12


@pytest.fixture
def made() -> tuple[Answers, np.ndarray, np.ndarray]:
    """Answers of a tracker that errs by a known response and one known mode, seen from many sides."""
    rng = np.random.default_rng(0)
    count = PEOPLE * EACH
    identity = np.repeat(rng.standard_normal((PEOPLE, TRAITS)), EACH, 0)
    expression = rng.random((count, ACTIONS))
    truth = rng.normal(0, 0.002, (1 + TRAITS + ACTIONS + VIEW_TERMS, POINTS, 3))
    truth[1:, :, 2] = 0
    mode = rng.normal(0, 0.001, (POINTS, 2))
    yaw, pitch = rng.normal(0, 0.2, (2, count))
    zero, one = np.zeros(count), np.ones(count)
    rows = np.stack([np.stack([np.cos(yaw), zero, np.sin(yaw)], -1), np.stack([zero, -np.cos(pitch), np.sin(pitch)], -1)], 1)
    across = np.repeat(rows[:, None], POINTS, 1)
    sides = np.concatenate([np.stack([np.sin(yaw), np.sin(pitch)], 1), rng.normal(0, 0.1, (count, VIEW_TERMS - 2))], 1)
    known = np.concatenate([one[:, None], identity, expression, sides], 1)
    error = np.einsum("slac,slc->sla", across, np.tensordot(known, truth, 1))
    error += np.einsum("slac,s,lc->sla", across[..., :2], rng.choice([-1.0, 1.0], count), mode)
    return Answers(error, across, identity, expression, sides), truth, mode


def test_a_known_response_is_learned(made):
    answers, truth, _ = made
    learned = response.learn(answers)
    assert learned.shape == truth.shape
    # Ridge weights shrink what forty people say of identity; the offset takes up little of that.
    assert np.sqrt(((learned - truth)[0] ** 2).mean()) < 0.4 * truth[0].std()
    told = np.concatenate([np.ones((len(answers.error), 1)), answers.known], 1)
    left = answers.error - np.einsum("slac,slc->sla", answers.across, np.tensordot(told, learned, 1))
    assert np.sqrt((left**2).mean()) < 0.45 * np.sqrt((answers.error**2).mean())


def test_the_error_that_goes_together_is_the_first_mode(made):
    answers, _, mode = made
    first = response.modes(answers)[0, :, :2].ravel()
    alike = abs(first @ mode.ravel()) / np.linalg.norm(first) / np.linalg.norm(mode)
    assert alike > 0.98
    assert np.linalg.norm(first) == pytest.approx(np.linalg.norm(mode), rel=0.15)


def test_the_side_is_none_straight_ahead_however_the_head_leans():
    lean = rotation_matrix(np.array([[0, 0, 0.4], [0, 0.3, 0], [0.2, 0, 0]])) @ np.diag([1.0, -1.0, -1.0])
    terms = view_terms(lean)
    np.testing.assert_allclose(terms[0], 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(terms[1, :2]), [np.sin(0.3), 0], atol=1e-12)
    np.testing.assert_allclose(np.abs(terms[2, :2]), [0, np.sin(0.2)], atol=1e-12)
    np.testing.assert_allclose(terms[:, 2:], np.stack([terms[:, 0] ** 2, terms[:, 0] * terms[:, 1], terms[:, 1] ** 2], 1))


def test_the_rig_knows_its_tracker(rig):
    """On people and expressions that the response was not learned from."""
    rng = np.random.default_rng(77)
    pictures = [response.views(rig)[k] for k in range(0, 60, 5)]
    fresh = [
        response.View(0.7 * rng.standard_normal(rig.identity_dim), view.expression[::1] * 0.8, view.rotation, view.translation)
        for view in pictures
    ]
    answers = response.ask(rig, fresh)
    valid = rig.landmark_valid.numpy()
    assert rig.landmark_response is not None
    learned = rig.landmark_response[: len(rig.landmark_response) - response.MODES].double().numpy()
    before = np.sqrt((answers.error[:, valid] ** 2).sum(-1).mean())
    after = np.sqrt((response.remainder(answers, learned)[:, valid] ** 2).sum(-1).mean())
    assert after < 0.8 * before
    identity, expression = torch.from_numpy(answers.identity).float(), torch.from_numpy(answers.expression).float()
    assert not torch.allclose(rig.seen(identity, expression), rig.landmarks(identity, expression))


def test_a_rig_without_a_response_sees_its_own_mesh(rig, tmp_path):
    from dataclasses import replace

    from castfield.rigs import Rig

    plain = replace(rig, landmark_response=None)
    plain.save(tmp_path / "rig.npz")
    again = Rig.load(tmp_path / "rig.npz")
    nothing = torch.zeros(rig.identity_dim), torch.zeros(rig.d)
    torch.testing.assert_close(again.seen(*nothing), plain.landmarks(*nothing))
    assert len(FaceModel.of(again, answered=True).modes) == 0
    assert len(FaceModel.of(rig, answered=True).modes) == response.MODES

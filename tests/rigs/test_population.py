"""The identity basis: alignment, unit variance, what it explains."""

from __future__ import annotations

import numpy as np
import pytest

from castfield.rigs import population


@pytest.fixture
def samples():
    """200 shapes of 30 points: three independent directions of known length and a little noise."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(30, 3))
    directions = rng.normal(size=(3, 30, 3)) * np.array([3.0, 2.0, 1.0])[:, None, None]
    scores = rng.standard_normal((200, 3))
    return mean, mean + np.einsum("nk,kvc->nvc", scores, directions) + 0.01 * rng.normal(size=(200, 30, 3)), directions, scores


def test_alignment_removes_rotation_and_shift_only():
    rng = np.random.default_rng(1)
    fixed = rng.normal(size=(20, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    moving = np.stack([fixed @ rotation + (1, 2, 3), 1.1 * fixed])
    aligned = population.align(moving, fixed, np.ones(20))
    np.testing.assert_allclose(aligned[0], fixed, atol=1e-9)
    np.testing.assert_allclose(aligned[1] - aligned[1].mean(0), 1.1 * (fixed - fixed.mean(0)), atol=1e-9)


def test_coefficients_are_standard_normal(samples):
    mean, shapes, directions, _ = samples
    basis, explained = population.identity_basis(shapes, mean, np.ones(30), 3)
    assert explained > 0.999
    coefficients = np.linalg.lstsq(basis.reshape(3, -1).T, (shapes - mean).reshape(200, -1).T, rcond=None)[0]
    np.testing.assert_allclose(coefficients @ coefficients.T / 200, np.eye(3), atol=0.01)
    assert np.linalg.matrix_rank(np.concatenate([basis, directions]).reshape(6, -1), tol=1) == 3


def test_points_of_weight_zero_follow(samples):
    mean, shapes, _, _ = samples
    weights = np.r_[np.ones(20), np.zeros(10)]
    basis, _ = population.identity_basis(shapes, mean, weights, 3)
    coefficients = np.linalg.lstsq(basis[:, :20].reshape(3, -1).T, (shapes - mean)[:, :20].reshape(200, -1).T, rcond=None)[0]
    followed = np.einsum("kn,kvc->nvc", coefficients, basis[:, 20:])
    assert np.abs(followed - (shapes - mean)[:, 20:]).mean() < 0.05


def test_people_are_adults_and_nearly_symmetric():
    names = ["l-eye-scale-incr", "r-eye-scale-incr", "mouth-trans-out", "nose-hump-incr"]
    people = population.draw(2000, names, np.random.default_rng(0))
    assert people.phenotypes[:, 1].min() >= 2 / 3
    assert np.corrcoef(people.local[:, 0], people.local[:, 1])[0, 1] > 0.95
    assert people.local[:, 2].std() < 0.3 * people.local[:, 3].std()

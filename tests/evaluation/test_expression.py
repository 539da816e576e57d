"""Landmark metrics against plain formulas, SciPy and made motion."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import pearsonr

from castfield.evaluation import expression
from castfield.evaluation.clips import about_mean
from castfield.tracking.sixty_eight import INDICES


def mesh(points68):
    """(T, 68, 2) -> (T, 478, 3)."""
    full = np.zeros((len(points68), 478, 3))
    full[:, INDICES, :2] = points68
    return full


def random68(frames, seed=0):
    return np.random.default_rng(seed).random((frames, 68, 2)) * 100


def test_mouth_opening_is_the_gap_of_the_inner_lips():
    points = random68(4)
    gap = np.mean([np.linalg.norm(points[:, 60 + a] - points[:, 60 + b], axis=1) for a, b in ((1, 7), (2, 6), (3, 5))], 0)
    np.testing.assert_allclose(expression.mouth_opening(mesh(points)), gap / np.linalg.norm(points[:, 36] - points[:, 45], axis=1))


def test_eye_aspect_is_that_of_the_paper():
    points = random68(4)

    def d(a, b):
        return np.linalg.norm(points[:, a - 1] - points[:, b - 1], axis=1)

    right = (d(38, 42) + d(39, 41)) / (2 * d(37, 40))
    left = (d(44, 48) + d(45, 47)) / (2 * d(43, 46))
    np.testing.assert_allclose(expression.eye_aspect(mesh(points)), (right + left) / 2)


def test_lmd_is_the_distance_of_the_centred_mouths():
    a, b = random68(5, 1), random68(5, 2)
    metric = expression.Lmd()
    metric.update(mesh(a), mesh(b))
    total = 0.0
    for x, y in zip(a[:, 48:68], b[:, 48:68], strict=True):
        total += np.mean([np.hypot(*(p - x.mean(0) - q + y.mean(0))) for p, q in zip(x, y, strict=True)])
    assert metric.compute() == pytest.approx(total / 5)


def test_lmd_does_not_see_a_moved_mouth():
    a = random68(3)
    metric = expression.Lmd()
    metric.update(mesh(a), mesh(a + [7.0, -3.0]))
    assert metric.compute() == pytest.approx(0, abs=1e-9)


def test_correlation_is_that_of_scipy():
    x, y = np.random.default_rng(0).random((2, 50))
    assert expression.correlation(x, y) == pytest.approx(pearsonr(x, y).statistic)
    assert expression.correlation(x, 3 * x + 2) == pytest.approx(1)


def test_a_constant_signal_has_no_correlation():
    metric = expression.MouthCorrelation()
    metric.update(np.full(40, 0.1), np.random.default_rng(0).random(40))
    metric.update(np.zeros(2), np.ones(2))
    assert metric.compute() is None


@pytest.mark.parametrize(
    ("signal", "count"), [([0.3] * 9, 0), ([0.3, 0.1, 0.1, 0.3, 0.1, 0.3], 2), ([0.1, 0.3, 0.1], 2), ([0.1] * 5, 1), ([0.2, 0.3], 0)]
)
def test_blinks_are_dips(signal, count):
    assert expression.blinks(np.array(signal)) == count
    rate = expression.BlinkRate()
    rate.update(np.array(signal), 25)
    assert rate.compute() == pytest.approx(count * 25 / len(signal))


@pytest.fixture
def turning():
    """A rigid head of its own proportions, turning: landmarks (T, 478, 3) and rotations (T, 3, 3)."""
    rng = np.random.default_rng(3)
    shape = rng.standard_normal((478, 3)) * [30, 40, 25]
    angles = 0.3 * np.sin(np.linspace(0, 6, 30))[:, None] * [[1, 0.5, -0.7]]
    rotation = Rotation.from_rotvec(angles).as_matrix() @ np.diag([1.0, -1, -1])
    return shape @ rotation.transpose(0, 2, 1) * 0.8 + [60, 70, 0], rotation


def test_head_rotation_is_recovered(turning):
    points, rotation = turning
    shape = expression.rigid_shape(points, rotation)
    np.testing.assert_allclose(expression.head_rotation(points, shape), rotation, atol=1e-6)


def test_head_rotation_is_that_of_scipy_under_noise(turning):
    points, rotation = turning
    shape = expression.rigid_shape(points, rotation)
    noisy = points + np.random.default_rng(0).standard_normal(points.shape)
    ours = expression.head_rotation(noisy, shape)
    for frame, found in zip(noisy[:, expression.RIGID], ours, strict=True):
        theirs, _ = Rotation.align_vectors(frame - frame.mean(0), shape)
        np.testing.assert_allclose(found, theirs.as_matrix(), atol=1e-6)
    assert np.linalg.det(ours) == pytest.approx(1)


def test_pose_error_is_in_degrees(turning):
    _, rotation = turning
    metric = expression.PoseError()
    metric.update(rotation @ Rotation.from_euler("y", 5, degrees=True).as_matrix(), rotation)
    assert metric.compute() == pytest.approx(5, abs=1e-6)


def test_motion_about_the_mean_forgets_where_the_camera_stands(turning):
    _, rotation = turning
    camera = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix()
    np.testing.assert_allclose(about_mean(camera @ rotation), about_mean(rotation), atol=1e-6)

"""The geometry of transfer and novel views, as mathematics."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from castfield.geometry import FRONTAL, rotation_angle
from castfield.tasks.poses import mean_rotation, ping_pong, swing_poses, transfer_poses


def some_poses(seed: int, frames: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    base = Rotation.from_rotvec(random.normal(0, 0.3, 3)).as_matrix() @ FRONTAL
    rotation = base @ Rotation.from_rotvec(random.normal(0, 0.15, (frames, 3))).as_matrix()
    return rotation, random.normal([0, 0, 0.8], 0.02, (frames, 3))


def test_mean_rotation_agrees_with_scipy():
    rotation, _ = some_poses(0)
    assert np.allclose(mean_rotation(rotation), Rotation.from_matrix(rotation).mean().as_matrix(), atol=1e-9)


def test_a_driver_drives_itself_with_its_own_poses():
    rotation, translation = some_poses(1)
    new_rotation, new_translation = transfer_poses(rotation, translation, rotation, translation)
    assert np.allclose(new_rotation, rotation, atol=1e-6)
    assert np.allclose(new_translation, translation, atol=1e-6)


def test_the_identity_stays_in_its_place():
    own, driver = some_poses(2, 9), some_poses(3, 15)
    rotation, translation = transfer_poses(*own, *driver)
    assert rotation.shape == (15, 3, 3)
    assert np.allclose(mean_rotation(rotation), mean_rotation(own[0]), atol=1e-6)
    assert np.allclose(translation.mean(0), own[1].mean(0), atol=1e-6)
    assert np.allclose(np.linalg.det(rotation), 1, atol=1e-5)


def test_a_nod_stays_a_nod_in_the_other_head_however_the_camera_stands():
    own = some_poses(4, 7)
    nod = Rotation.from_rotvec(np.array([[0.0, 0, 0], [0.2, 0, 0], [-0.2, 0, 0]])).as_matrix()
    for yaw in (0.0, 0.7):
        camera = Rotation.from_rotvec([0, yaw, 0]).as_matrix() @ FRONTAL
        rotation, _ = transfer_poses(*own, camera @ nod, np.zeros((3, 3)))
        assert np.allclose(mean_rotation(own[0]).T @ rotation, nod, atol=1e-6)


def test_the_drivers_motion_keeps_its_length_and_invalid_frames_do_not_move_the_mean():
    own, driver = some_poses(5), some_poses(6)
    valid = np.ones(12, bool)
    valid[3] = False
    _, clean = transfer_poses(*own, *driver, valid)
    broken = driver[1].copy()
    broken[3] += 100
    _, translation = transfer_poses(*own, driver[0], broken, valid)
    assert np.allclose(np.delete(translation, 3, 0), np.delete(clean, 3, 0), atol=1e-5)
    assert np.allclose(np.linalg.norm(np.diff(clean, axis=0), axis=1), np.linalg.norm(np.diff(driver[1], axis=0), axis=1), atol=1e-5)


def test_swing_reaches_the_angle_to_both_sides_and_closes():
    rotation, translation = some_poses(7)
    turned, place = swing_poses(rotation, translation, 40, 25.0)
    angle = rotation_angle(np.broadcast_to(mean_rotation(rotation), turned.shape), turned)
    assert angle[[0, 20]] == pytest.approx(0, abs=0.05)
    assert angle[[10, 30]] == pytest.approx(25, abs=0.01)
    assert np.allclose(mean_rotation(rotation).T @ turned[10] @ [0, 1, 0], [0, 1, 0], atol=1e-6)  # about the vertical axis
    assert (mean_rotation(rotation).T @ turned[10])[0, 2] > 0 > (mean_rotation(rotation).T @ turned[30])[0, 2]
    assert np.ptp(place, 0) == pytest.approx(0)


@pytest.mark.parametrize(
    ("available", "wanted", "expected"), [(1, 3, [0, 0, 0]), (3, 7, [0, 1, 2, 1, 0, 1, 2]), (5, 3, [0, 1, 2]), (2, 4, [0, 1, 0, 1])]
)
def test_ping_pong(available, wanted, expected):
    assert ping_pong(available, wanted).tolist() == expected

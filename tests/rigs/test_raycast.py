"""The ray caster against geometry that is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from castfield.geometry import FRONTAL
from castfield.rigs.raycast import RayCaster

TRIANGLE = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, 0.0]])


def turn(yaw: float) -> np.ndarray:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return FRONTAL @ np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


@pytest.mark.parametrize("yaw", [0.0, 0.6, -0.6])
def test_hit_points_project_onto_their_own_pixels(yaw):
    rotation, translation = turn(yaw), np.array([0.1, -0.2, 4.0])
    faces = np.array([[0, 1, 2]])
    hits = RayCaster(faces).cast(TRIANGLE, rotation, translation, 120.0, (48.0, 32.0), (64, 96))
    camera = hits.interpolate(faces, TRIANGLE) @ rotation.T + translation
    rows, columns = np.nonzero(hits.face >= 0)
    assert len(rows) > 500
    pixels = 120 * camera[:, :2] / camera[:, 2:] + (48, 32)
    np.testing.assert_allclose(pixels, np.stack([columns, rows], -1) + 0.5, atol=1e-3)
    np.testing.assert_allclose(hits.depth[rows, columns], camera[:, 2], rtol=1e-5)


def test_area_and_what_is_missed():
    hits = RayCaster(np.array([[0, 1, 2]])).cast(TRIANGLE, FRONTAL, np.array([0, 0, 4.0]), 200.0, (64.0, 64.0), (128, 128))
    assert (hits.face >= 0).sum() == pytest.approx(2 * 50**2, rel=0.02)  # area 2 at 50 pixels a metre
    assert hits.face[0, 0] == -1
    assert np.isinf(hits.depth[0, 0])
    assert (hits.barycentric[hits.face < 0] == 0).all()


def test_the_nearest_face_is_met_and_the_mesh_may_move():
    behind = TRIANGLE - (0, 0, 1)
    vertices, faces = np.concatenate([TRIANGLE, behind]), np.array([[0, 1, 2], [3, 4, 5]])
    caster, camera = RayCaster(faces), (FRONTAL, np.array([0, 0, 4.0]), 100.0, (32.0, 32.0), (64, 64))
    first = caster.cast(vertices, *camera)
    assert set(np.unique(first.face)) == {-1, 0}
    swapped = caster.cast(vertices[[3, 4, 5, 0, 1, 2]], *camera)
    assert set(np.unique(swapped.face)) == {-1, 1}
    np.testing.assert_allclose(swapped.depth, first.depth)

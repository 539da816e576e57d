"""A picture and its mirror image get mirrored answers, calmer than those to the picture alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from castfield import media as video
from castfield.clip import Landmarks
from castfield.config import LandmarksConfig
from castfield.opposite import OPPOSITE, back, flipped
from castfield.rigs.correspondence import Tracker
from castfield.shards import Job
from castfield.tracking.both_sides import both_sides
from castfield.tracking.landmarks import track_clip
from castfield.tracking.main_person import Face
from castfield.tracking.trackers import face_mesh, mediapipe


@pytest.fixture(scope="module")
def speaker(media: Path) -> np.ndarray:
    """Twenty frames (T, 256, 256, 3) of a man who talks."""
    return video.decode(media / "grid/bbaf2n.mpg", filters="crop=288:288,scale=256:256", seconds=0.8)


@pytest.fixture(scope="module")
def alone(speaker) -> np.ndarray:
    """(T, 478, 3) seen in the frames as they are."""
    return np.stack([faces[0].points for faces in face_mesh(speaker)])


@pytest.fixture(scope="module")
def mirrored(speaker) -> np.ndarray:
    """(T, 478, 3) seen in the mirrored frames."""
    return np.stack([faces[0].points for faces in face_mesh(map(flipped, speaker))])


def test_every_landmark_has_its_like_on_the_other_side(alone, mirrored):
    assert (OPPOSITE[OPPOSITE] == np.arange(478)).all()
    turned = mirrored.copy()
    turned[..., 0] = 256 - turned[..., 0]
    apart = np.linalg.norm(alone[:, :, None, :2] - turned[:, None, :, :2], axis=-1).mean(0)
    # Pair by pair neighbours that crowd may be nearer; taken together no other assignment is.
    np.testing.assert_array_equal(linear_sum_assignment(apart)[1], OPPOSITE)


def test_the_mean_is_of_what_both_pictures_show(speaker, alone, mirrored):
    seen = np.stack([faces[0].points for faces in mediapipe(speaker)])
    there = np.stack([back(points, 256) for points in mirrored])
    np.testing.assert_allclose(seen, (alone + there) / 2, atol=1e-4)


def test_what_one_pass_gave_is_kept(tmp_path, speaker, alone):
    video.encode_lossless(tmp_path / "a.mkv", speaker)
    track_clip(Job("a", {"frames": tmp_path / "a.mkv"}, LandmarksConfig()), tmp_path)
    kept = Landmarks.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(kept.raw, alone[..., :2])
    assert np.abs(kept.points[..., :2] - kept.raw).max() > 0.3


def test_a_mirrored_film_gets_the_mirrored_answer(speaker):
    seen, other = (list(mediapipe(frames)) for frames in (speaker, map(flipped, speaker)))
    for (one,), (two,) in zip(seen, other, strict=True):
        np.testing.assert_allclose(back(two.points, 256), one.points, atol=1e-3)


def test_the_mean_trembles_less(speaker, alone):
    seen = np.stack([faces[0].points for faces in mediapipe(speaker)])
    tremble = [np.linalg.norm(np.diff(points[..., :2], 2, axis=0), axis=-1).mean() for points in (seen, alone)]
    assert tremble[0] < 0.93 * tremble[1]


def test_a_rig_s_pictures_are_tracked_in_the_same_way(speaker):
    with Tracker() as tracker:
        one, two = tracker(speaker[0]), tracker(flipped(speaker[0]))
    assert one is not None
    assert two is not None
    np.testing.assert_allclose(back(two, 256), one, atol=1e-3)


def test_a_face_that_the_mirror_misses_counts_as_it_was_seen():
    rng = np.random.default_rng(0)
    near, far = (Face(rng.uniform(low, low + 80, (478, 3)).astype(np.float32), 1.0) for low in (10, 160))
    passes = iter([[[near, far]] * 3, [[], [Face(back(far.points, 256) + np.float32(2), 1.0)], []]])
    seen = list(both_sides(lambda frames: iter(next(passes)), [np.zeros((256, 256, 3), np.uint8)] * 3))
    assert seen[0] == [near, far]
    assert seen[1][0] is near
    np.testing.assert_allclose(seen[1][1].points[:, 1:], far.points[:, 1:] + 1, atol=1e-4)
    np.testing.assert_allclose(seen[1][1].points[:, 0], far.points[:, 0] - 1, atol=1e-4)
    assert seen[2] == [near, far]

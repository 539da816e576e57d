"""The copy baseline against a plain search."""

import numpy as np
import pytest

from castfield.clip import Track
from castfield.evaluation.copying import nearest_frames


@pytest.fixture
def track():
    rng = np.random.default_rng(0)
    landmarks = rng.random((30, 478, 2)).astype(np.float32) * 100
    landmarks[:, 5] = np.nan
    valid = np.ones(30, bool)
    valid[[2, 7]] = False
    turn = np.tile(np.eye(3, dtype=np.float32), (30, 1, 1))
    return Track(np.zeros(4, np.float32), np.zeros((30, 52), np.float32), turn, np.ones((30, 3), np.float32), 300.0, 256, valid, landmarks)


def test_it_is_the_nearest_valid_training_frame(track):
    wanted, training = np.array([25, 28, 10]), np.array([0, 1, 2, 3, 7, 8, 9])
    for frame, found in zip(wanted, nearest_frames(track, wanted, training), strict=True):
        gaps = {t: np.nanmean((track.landmarks[frame] - track.landmarks[t]) ** 2) for t in training if track.valid[t]}
        assert found == min(gaps, key=gaps.get)


def test_a_repeated_frame_is_found(track):
    track.landmarks[29] = track.landmarks[8] + 0.01
    assert nearest_frames(track, np.array([29]), np.arange(20)).tolist() == [8]


def test_without_a_valid_frame_it_is_refused(track):
    with pytest.raises(ValueError, match="no training frame"):
        nearest_frames(track, np.array([29]), np.array([2, 7]))

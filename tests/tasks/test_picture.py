"""Pictures for people."""

import numpy as np
import pytest

from castfield.tasks import picture


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)


def test_difference_is_black_where_equal_and_full_scale_where_far(frame):
    heat = picture.difference(frame, frame)
    assert heat.max() <= 4
    far = picture.difference(np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8))
    assert far[0, 0].tolist() == [252, 255, 164]
    small, large = (int(picture.difference(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), v, np.uint8)).sum()) for v in (8, 30))
    assert small < large


def test_the_watermark_is_there_and_only_in_its_corner(frame):
    marked = picture.watermark(frame)
    changed = np.argwhere((marked != frame).any(-1))
    assert len(changed) > 100
    assert changed[:, 0].min() > 60
    assert marked is not frame


def test_text_of_any_length_stays_inside(frame):
    assert picture.write(frame, "a very long name that does not fit " * 3, x=6, y=6).shape == frame.shape
    assert picture.label(frame[:16, :16], "ground truth").shape == (16, 16, 3)


def test_the_bar_marks_held_out_frames(frame):
    held = np.zeros(8, bool)
    held[6:] = True
    shown = picture.held_out_bar(frame, held, 0)
    assert shown.shape == (102, 128, 3)
    assert (shown[:96] == frame).all()
    assert shown[99, 127].tolist() == list(picture.HELD_OUT)
    assert shown[99, 90].tolist() == list(picture.SEEN)
    assert shown[99, 8].tolist() == [255, 255, 255]  # the place of frame 0


def test_enlarge():
    flat = np.full((10, 10, 3), 7, np.uint8)
    assert (picture.enlarge(flat, 25) == np.full((25, 25, 3), 7)).all()
    assert picture.enlarge(flat, 10) is flat

"""Heads, lids and eyes move as people's do, and repeatably."""

import numpy as np

from castfield.cast.motion import Temper, blinks, gaze, head_motion, smooth_noise
from castfield.cast.people import find
from castfield.cast.performance import perform


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_noise_has_unit_variance_and_is_smooth():
    noise = smooth_noise(20_000, 1.0, rng())
    assert abs(noise.std() - 1) < 0.1
    assert np.abs(np.diff(noise)).max() < 0.5


def test_head_stays_within_limits():
    motion = head_motion(Temper(turn=(12, 8, 6)), (), 2_000, rng(1))
    assert np.degrees(np.abs(motion.angles)).max() <= 18
    assert np.degrees(motion.angles[:, 0].std()) > 3
    assert np.abs(motion.shift).max() < 0.04
    assert np.degrees(np.abs(np.diff(motion.angles, axis=0))).max() < 6  # degrees a frame


def test_blinks_close_fully_and_come_at_a_natural_rate():
    closing = blinks(0.4, 25 * 300, rng(2))
    starts = np.flatnonzero((closing[1:] >= 0.5) & (closing[:-1] < 0.5))
    assert 0.2 < len(starts) / 300 < 0.7
    assert closing.max() == 1
    assert closing.min() == 0
    assert (closing > 0.5).mean() < 0.15


def test_eyes_hold_against_the_head():
    head = head_motion(Temper(), (), 1_000, rng(3))
    eyes = gaze(head, 1_000, rng(4))
    assert np.corrcoef(eyes[:, 0], head.angles[:, 0])[0, 1] < -0.5


def test_a_longer_take_begins_like_a_shorter_one():
    short, long = perform(find("bo"), 0.8), perform(find("bo"), 1.6)
    assert (short.frames, long.frames) == (20, 40)
    np.testing.assert_allclose(short.head.angles, long.head.angles[:20], atol=1e-12)
    for name, values in short.expression.items():
        np.testing.assert_allclose(values[:18], long.expression[name][:18], atol=1e-3, err_msg=name)


def test_a_take_is_full_of_sound():
    take = perform(find("ada"), 3.0)
    assert len(take.sound) == round(3.0 * 22_050)
    assert np.abs(take.sound).max() > 0.3
    assert take.phonemes[-1].end <= 3.0
    assert take.words.startswith("Hello")

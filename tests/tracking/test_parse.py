"""Parsing: mattes of known pictures, the plate from training frames only, head and torso on real footage."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from castfield import media as video
from castfield.clip import Landmarks, split_frames
from castfield.config import LandmarksConfig, ParseConfig
from castfield.shards import Job
from castfield.tracking.landmarks import track_clip
from castfield.tracking.matting import likeness, moments, refine, spread, steady
from castfield.tracking.parsing import Parsed, _parsed, parse_clip
from castfield.tracking.plate import background_plate, fill


@pytest.fixture(scope="module")
def parsed(media: Path, tmp_path_factory):
    """A second of a real clip with its folder, frames and landmarks, parsed."""
    folder = tmp_path_factory.mktemp("parsed")
    frames = video.decode(media / "grid/bbaf2n.mpg", filters="crop=288:288,scale=256:256", seconds=1.0)
    video.encode_lossless(folder / "bbaf2n.mkv", frames)
    return folder, frames, *_parse(folder, folder / "out")


def _parse(folder: Path, out: Path) -> tuple[np.ndarray, np.ndarray, Landmarks]:
    out.mkdir()
    track_clip(Job("bbaf2n", {"frames": folder / "bbaf2n.mkv"}, LandmarksConfig()), folder)
    inputs = {"frames": folder / "bbaf2n.mkv", "landmarks": folder / "bbaf2n.npz"}
    parse_clip(Job("bbaf2n", inputs, ParseConfig()), out)
    plate = cv2.imread(str(out / "bbaf2n.png"), cv2.IMREAD_UNCHANGED)
    return video.decode(out / "bbaf2n.mkv"), plate, Landmarks.load(folder / "bbaf2n.npz")


def test_masks_sum_to_one_and_lie_where_they_should(parsed):
    _, frames, masks, plate, landmarks = parsed
    assert masks.shape == frames.shape
    assert (masks.astype(int).sum(-1) == 255).all()
    for mask, points in zip(masks, landmarks.points, strict=True):
        inside = np.clip(points[:, :2].astype(int), 0, 255)
        head = mask[inside[:, 1], inside[:, 0], 0]
        assert (head > 128).mean() > 0.97  # the face
        chin = int(points[152, 1])
        assert mask[min(250, chin + 12), int(points[152, 0]), 0] > 128  # the neck belongs to the head
        assert mask[250, 40, 1] > 128  # a shoulder
        assert mask[30, 20, 2] > 200  # a corner
    assert plate.shape == (256, 256, 4)


def test_masks_are_steady(parsed):
    _, _, masks, _, _ = parsed
    change = np.abs(np.diff(masks[..., 0].astype(float), axis=0)).mean() / 255
    assert change < 0.0015


def test_the_plate_is_blue_everywhere_and_says_what_it_guessed(parsed):
    _, _, masks, plate, landmarks = parsed
    assert (plate[..., 0].astype(int) > plate[..., 2]).mean() > 0.97  # a blue wall: no skin left in it (BGR)
    x, y = landmarks.points[0, 1, :2].astype(int)
    assert plate[y, x, 3] == 0
    assert plate[20, 20, 3] == 255
    assert set(np.unique(plate[..., 3])) == {0, 255}


def test_a_clip_too_long_to_be_held_gives_the_same_masks(parsed, tmp_path, monkeypatch):
    folder, _, masks, plate, _ = parsed
    monkeypatch.setattr(video, "HELD", 10)
    again, same, _ = _parse(folder, tmp_path / "out")
    np.testing.assert_array_equal(again, masks)
    np.testing.assert_array_equal(same, plate)


def test_held_out_frames_do_not_enter_the_plate_and_bytes_repeat(parsed, tmp_path):
    folder, frames, _, plate, _ = parsed
    before = (folder / "out/bbaf2n.png").read_bytes(), (folder / "out/bbaf2n.mkv").read_bytes()
    _parse(folder, tmp_path / "again")
    assert before == ((tmp_path / "again/bbaf2n.png").read_bytes(), (tmp_path / "again/bbaf2n.mkv").read_bytes())
    spoiled = frames.copy()
    split = split_frames(len(frames))
    spoiled[split.end, :60, :60], spoiled[split.speech, :60, :60] = 255, 255
    video.encode_lossless(tmp_path / "bbaf2n.mkv", spoiled)
    _, other, _ = _parse(tmp_path, tmp_path / "spoiled")
    np.testing.assert_array_equal(other, plate)


def _disc(radius: float, softness: float = 3.0) -> np.ndarray:
    y, x = np.mgrid[0:128, 0:128]
    return np.clip((radius - np.hypot(x - 64, y - 64)) / softness + 0.5, 0, 1).astype(np.float32)


def test_a_soft_edge_is_recovered_from_a_hard_coarse_mask():
    truth = _disc(40, 6.0)[..., None]
    picture = (truth * np.array([0.8, 0.5, 0.4]) + (1 - truth) * np.array([0.1, 0.3, 0.7])).astype(np.float32)
    alpha = refine(picture, (_disc(42) > 0.5).astype(np.float32))
    assert np.abs(alpha - truth[..., 0]).max() < 0.15
    assert np.abs(alpha - truth[..., 0]).mean() < 0.01


def test_a_colour_that_no_mixture_explains_proves_nothing():
    """A lamp right behind the person: brighter than the wall and than the person, and no part of the person."""
    truth = _disc(40)[..., None]
    picture = (truth * np.array([0.7, 0.5, 0.4]) + (1 - truth) * np.array([0.2, 0.15, 0.1])).astype(np.float32)
    lamp = np.zeros((128, 128), bool)
    lamp[52:76, 105:112] = True
    picture[lamp] = (0.6, 0.9, 1.0)
    alpha = refine(picture, _disc(40, 3.0))
    assert alpha[lamp].max() < 0.3
    assert np.abs(alpha - truth[..., 0])[~lamp].max() < 0.25


def test_where_colours_do_not_tell_the_coarse_mask_decides():
    coarse = _disc(40, 3.0)
    alpha = refine(np.full((128, 128, 3), 0.5, np.float32), coarse)
    assert np.abs(alpha - coarse).mean() < 0.01


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nobody_and_nothing_but_a_person(value):
    alpha = refine(np.random.default_rng(0).random((64, 64, 3), np.float32), np.full((64, 64), value, np.float32))
    np.testing.assert_allclose(alpha, value, atol=1e-6)


def test_spread_keeps_a_constant_and_tells_scatter():
    known = _disc(20) > 0.5
    filled = spread(moments(np.full((128, 128, 3), 0.3, np.float32)), known)
    assert filled.shape == (32, 32, 4)
    np.testing.assert_allclose(filled[..., :3], 0.3, atol=1e-4)
    assert filled[..., 3].max() < 1e-4
    stripes = np.full((128, 128, 3), 0.4, np.float32)
    stripes[::4], stripes[1::4] = 0.6, 0.6
    assert spread(moments(stripes), known)[16, 16, 3] == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize("shape", [(128, 128), (127, 131), (64, 200)])
def test_a_matte_of_any_shape(shape):
    picture = np.random.default_rng(0).random((*shape, 3), np.float32)
    coarse = np.zeros(shape, np.float32)
    coarse[30:, 40:-40] = 1
    alpha = refine(picture, coarse)
    assert alpha.shape == shape
    assert alpha[45, shape[1] // 2] == 1
    assert alpha[5, 5] == 0


def test_steadying_averages_noise_but_not_motion():
    still = np.full((16, 16, 3), 0.5, np.float32)
    alpha, beside = (np.full((16, 16), v, np.float32) for v in (0.7, 0.4))
    assert steady(alpha, [(beside, likeness(still, still))] * 2).mean() == pytest.approx(0.5)
    assert steady(alpha, [(beside, likeness(still, 0 * still))] * 2).mean() == pytest.approx(0.7, abs=1e-3)
    np.testing.assert_array_equal(steady(alpha, []), alpha)


def test_between_two_frames_that_the_network_saw_it_is_their_mean():
    seen = []

    def network(frame: np.ndarray) -> Parsed:
        seen.append(int(frame[0, 0, 0]))
        return Parsed(frame[..., 0].astype(np.float32))

    frames = [np.full((2, 2, 3), t, np.uint8) for t in range(6)]
    told = list(_parsed(frames, network, {2: Parsed(np.full((2, 2), 2, np.float32))}))
    assert [float(parsed.person.mean()) for _, parsed in told] == [0, 1, 2, 3, 4, 5]
    assert [int(frame.mean()) for frame, _ in told] == list(range(6))
    assert seen == [0, 4, 5]  # frame 2 was known, and nothing comes after the last


def test_the_plate_is_the_median_where_seen_and_smooth_where_not():
    wall = np.full((64, 64, 3), (40, 90, 160), np.uint8)
    frames, covered = np.repeat(wall[None], 8, 0), np.zeros((8, 64, 64), bool)
    for t in range(8):  # a person who moves to and fro in front of it
        covered[t, 18:, 18 + t : 42 + t] = True
        frames[t, 20:, 20 + t : 40 + t] = (200, 150, 120)
    rgba, weight = background_plate(frames, covered)
    assert np.abs(rgba[..., :3].astype(int) - wall).max() <= 2
    assert rgba[50, 30, 3] == 0
    assert rgba[50, 5, 3] == 255
    assert weight[50, 30] == 0
    assert weight[10, 5] > 0.9


def test_the_plate_is_numpys_median_of_the_frames_in_which_a_pixel_is_free():
    rng = np.random.default_rng(0)
    frames, covered = rng.integers(0, 256, (9, 40, 24, 3), np.uint8), rng.random((9, 40, 24)) < 0.3
    frames[:, :20] = np.clip(rng.normal(200, 8, (9, 20, 24, 3)), 0, 255)
    rgba, _ = background_plate(frames, covered)
    usual = np.ma.median(np.ma.array(frames, mask=np.repeat(covered[..., None], 3, -1)), axis=0).filled(0)
    seen = (~covered).sum(0) >= 3
    np.testing.assert_array_equal(rgba[..., 3] == 255, seen)
    np.testing.assert_array_equal(rgba[seen][:, :3], np.rint(usual[seen]))


def test_filling_continues_a_gradient_and_survives_knowing_nothing():
    x = np.tile(np.linspace(0, 255, 64, dtype=np.float32)[None, :, None], (64, 1, 3))
    known = np.ones((64, 64), bool)
    known[20:44, 20:44] = False
    assert np.abs(fill(x, known) - x).max() < 12
    np.testing.assert_array_equal(fill(x, np.zeros((64, 64), bool)), 127.5)

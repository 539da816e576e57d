from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from made_scene import made_clip

from castfield.errors import TrainingError
from castfield.tracking.sixty_eight import EYES, OUTER_LIPS
from castfield.training.batches import Batches, Plan
from castfield.training.regions import region_boxes

CLIPS = [made_clip("a", 20, 24, seed=0), made_clip("b", 30, 24, seed=1), made_clip("c", 15, 24, seed=2)]
PLAN = Plan(frames=4, clips=8, rays=40, head_share=0.9, noise=3)


def equal(first, second):
    return all(torch.equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(first))


def test_a_batch_depends_on_seed_and_step_alone():
    batches = Batches(CLIPS, PLAN, seed=3)
    third = batches.draw(3)
    batches.draw(4)
    assert equal(third, batches.draw(3))
    assert equal(third, Batches(CLIPS, PLAN, seed=3).draw(3))
    assert not equal(third, batches.draw(4))
    assert not equal(third, Batches(CLIPS, PLAN, seed=4).draw(3))


def test_what_is_drawn_ahead_is_what_is_drawn():
    batches = Batches(CLIPS, PLAN, seed=3)
    for step, batch in zip(range(2, 6), batches.ahead(2, 6), strict=True):
        assert equal(batch, batches.draw(step))
    assert not list(batches.ahead(6, 6))


def test_held_out_and_invalid_frames_are_never_drawn():
    lame = CLIPS[0]
    valid = lame.track.valid.copy()
    valid[[2, 5]] = False
    lame = replace(lame, track=replace(lame.track, valid=valid))
    batches = Batches([lame], PLAN, seed=0)
    allowed = lame.track.expression[np.setdiff1d(lame.split.train, [2, 5])]
    for step in range(60):
        for e in batches.draw(step).expression[:, 0].numpy():
            assert (np.abs(allowed - e).max(1) == 0).any()


def test_pixels_show_what_the_clip_shows_and_lie_mostly_in_the_box():
    batches = Batches(CLIPS, PLAN, seed=0)
    inside = 0
    for step in range(20):
        batch = batches.draw(step)
        assert batch.people.unique_consecutive(return_counts=True)[1].unique().numel() == 1
        for f in range(4):
            clip = CLIPS[batch.people[f]]
            frame = clip.train_frames[batch.rows[f, 0]]
            column, line = batch.pixels[f].long().unbind(-1)
            torch.testing.assert_close(batch.colour[f], torch.from_numpy(clip.frames[frame][line, column] / 255).float())
            torch.testing.assert_close(batch.mask[f], torch.from_numpy(clip.head[frame][line, column] / 255).float())
            left, top, right, bottom = clip.boxes[frame]
            inside += int(((column >= left) & (column < right) & (line >= top) & (line < bottom)).sum())
            order = line * clip.size + column
            assert (order[1:] >= order[:-1]).all()
    assert inside >= 0.9 * 20 * 4 * 40


def with_lips_and_eyes(clip):
    """The clip with landmarks whose lips span columns 8 to 16 and line 14 to 16, and eyes columns 6 to 18 and line 6 to 7, of 24."""
    landmarks = np.full((len(clip), 478, 2), np.nan, np.float32)
    landmarks[:, list(OUTER_LIPS)] = np.linspace([8, 14], [16, 16], len(OUTER_LIPS))
    landmarks[:, list(EYES)] = np.linspace([6, 6], [18, 7], len(EYES))
    return replace(clip, track=replace(clip.track, landmarks=landmarks))


def test_lips_and_eyes_have_rays_of_their_own():
    clip = with_lips_and_eyes(CLIPS[1])
    boxes = region_boxes(clip)
    np.testing.assert_array_equal(boxes[0, 0], [5, 11, 19, 19])  # 0.35 of 8 columns each way
    np.testing.assert_array_equal(boxes[0, 1], [4, 4, 20, 9])  # 0.12 of 12
    np.testing.assert_array_equal(boxes[:, 2], clip.boxes)

    def lips_rays(share):
        batches = Batches([clip], replace(PLAN, rays=400, lips_share=share, eyes_share=0.1), seed=0)
        column, line = batches.draw(0).pixels.unbind(-1)
        return ((column > 5) & (column < 19) & (line > 11) & (line < 19)).float().mean(1)

    assert (lips_rays(0.5) > 0.5).all()
    assert (lips_rays(0.5) - lips_rays(0.0)).mean() > 0.25


def test_without_landmarks_of_lips_the_head_is_drawn_from():
    lost = np.full_like(CLIPS[0].track.landmarks, np.nan)
    outside = with_lips_and_eyes(CLIPS[0]).track.landmarks - 100
    for landmarks in (lost, outside):
        clip = replace(CLIPS[0], track=replace(CLIPS[0].track, landmarks=landmarks))
        np.testing.assert_array_equal(region_boxes(clip), np.repeat(clip.boxes[:, None], 3, 1))


def test_a_window_reaches_round_held_out_frames():
    clip = CLIPS[1]
    batches = Batches([clip], replace(PLAN, window=8), seed=0)
    for step in range(10):
        batch = batches.draw(step)
        frames = clip.train_frames[batch.rows.numpy()]
        middle = frames[:, 4]
        wanted = np.clip(middle[:, None] + np.arange(-4, 4), 0, len(clip) - 1)
        for f in range(4):
            for j in range(8):
                assert abs(frames[f, j] - wanted[f, j]) == np.abs(clip.train_frames - wanted[f, j]).min()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_the_frames_of_a_batch(world):
    batch = Batches(CLIPS, PLAN, seed=0).draw(0)
    shares = [batch.share(rank, world) for rank in range(world)]
    for f in fields(batch):
        put_together = torch.cat([getattr(s, f.name) for s in shares]) if f.name != "part" else sum(s.part for s in shares)
        torch.testing.assert_close(put_together, getattr(batch, f.name))


def test_processes_that_are_more_than_the_frames_share_the_rays():
    batch = Batches(CLIPS, replace(PLAN, frames=2), seed=0).draw(0)
    shares = [batch.share(rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat([s.noise for s in shares], 1), batch.noise)
    assert torch.equal(torch.cat([s.noise[:, ::2] for s in shares], 1), batch.noise[:, ::2])
    assert all(torch.equal(s.expression, batch.expression) for s in shares)
    assert abs(float(sum(s.part for s in shares)) - 1) < 1e-6
    with pytest.raises(TrainingError, match="more processes than pairs of rays"):
        batch.share(0, 21)


def test_a_clip_without_usable_frames_is_named():
    track = replace(CLIPS[0].track, valid=np.zeros(20, bool))
    with pytest.raises(TrainingError, match="'a' has no frame"):
        Batches([replace(CLIPS[0], track=track)], PLAN, seed=0)

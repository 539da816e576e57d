from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from made_scene import made_clip

from castfield.errors import TrainingError
from castfield.training.batches import Batches, Plan

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

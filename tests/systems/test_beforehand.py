"""What is known of a person is found once, and anew when anything that it hangs on changes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from made_scene import made_clip, made_rig
from small import small_config

from castfield.clip import Split
from castfield.fields.planes import CELLS
from castfield.systems import beforehand as module
from castfield.systems.beforehand import Known, beforehand, find, side_by_side
from castfield.systems.learn import state_hash
from castfield.systems.model import build_model

CLIP, RIG = made_clip("a"), made_rig()
SIDE = 16


def numbers(known: Known) -> list[torch.Tensor]:
    """All that is known."""
    return [known.prior, known.inside, known.colour, *known.motion]


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The files that were kept, in a scratch folder of its own."""
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path))
    return lambda: sorted((tmp_path / "beforehand").glob("a-*.npz"))


def test_it_is_found_once_to_the_bit(kept, monkeypatch):
    first = beforehand(CLIP, RIG, SIDE)
    assert len(kept()) == 1
    monkeypatch.setattr(module, "find", None)  # nobody looks again
    again = beforehand(CLIP, RIG, SIDE)
    for one, other, found in zip(numbers(first), numbers(again), numbers(find(CLIP, RIG, SIDE)), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
        assert torch.equal(one, found)


def other_track(**changes):
    """The clip with another track."""
    return replace(CLIP, track=replace(CLIP.track, **changes))


@cache
def painted_over():
    """The clip with a dark frame among those that are looked at."""
    frames = CLIP.frames.copy()
    frames[CLIP.train_frames[0]] //= 2
    return replace(CLIP, frames=frames)


@pytest.mark.parametrize(
    ("clip", "rig", "side"),
    [
        (CLIP, RIG, 2 * SIDE),
        (painted_over(), RIG, SIDE),
        (replace(CLIP, head=np.roll(CLIP.head, 2, 2)), RIG, SIDE),
        (replace(CLIP, split=Split(CLIP.split.train[:4], CLIP.split.end, CLIP.split.speech)), RIG, SIDE),
        (other_track(identity=np.ones(2, np.float32)), RIG, SIDE),
        (other_track(expression=CLIP.track.expression + np.float32(0.1)), RIG, SIDE),
        (other_track(translation=CLIP.track.translation + np.float32(0.01)), RIG, SIDE),
        (other_track(focal=CLIP.track.focal * 1.1), RIG, SIDE),
        (CLIP, replace(RIG, neutral=RIG.neutral * 1.05), SIDE),
        (CLIP, replace(RIG, expression_basis=RIG.expression_basis * 2), SIDE),
    ],
    ids=["side", "pictures", "masks", "training frames", "identity", "expressions", "poses", "focal length", "rig", "its actions"],
)
def test_of_another_clip_or_rig_it_is_found_anew(kept, clip, rig, side):
    before = beforehand(CLIP, RIG, SIDE)
    after = beforehand(clip, rig, side)
    assert len(kept()) == 2
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(numbers(before), numbers(after), strict=True))


def test_kernels_and_plain_pytorch_do_not_take_each_others(kept, monkeypatch):
    beforehand(CLIP, RIG, SIDE)
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    beforehand(CLIP, RIG, SIDE)
    assert len(kept()) == 2


def test_a_model_begins_with_the_same_bits_the_first_time_and_later(kept):
    clips, config = [CLIP, made_clip("b", seed=1)], small_config()
    first, later = (state_hash(build_model(config, clips, RIG)) for _ in range(2))
    assert kept()
    assert first == later


def test_without_a_rig_little_is_known_and_nothing_kept(kept):
    known = beforehand(CLIP, None, SIDE)
    assert known.colour is None
    assert known.motion is None
    assert not known.prior.any()
    assert 0 < known.inside.sum() < CELLS**3
    assert not kept()


@pytest.mark.parametrize("abreast", [True, False])
def test_work_is_done_for_everybody_on_one_thread_each(abreast):
    done, threads = [], torch.get_num_threads()
    side_by_side(5, lambda person: done.append((person, torch.get_num_threads())), abreast)
    assert sorted(done) == [(person, 1) for person in range(5)]
    assert abreast or done == sorted(done), "one after another"
    assert torch.get_num_threads() == threads


def test_what_goes_wrong_with_one_person_is_not_lost():
    with pytest.raises(ValueError, match="the third"):
        side_by_side(4, lambda person: (_ for _ in ()).throw(ValueError("the third")) if person == 2 else None)

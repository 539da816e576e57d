"""What is known of a person before anything is learned: the same whoever computes it, for everybody side by side."""

import pytest
import torch
from made_scene import made_clip, made_rig
from small import small_config

from castfield.fields.planes import CELLS
from castfield.systems.beforehand import beforehand, side_by_side
from castfield.systems.learn import state_hash
from castfield.systems.model import build_model

CLIP = made_clip("a")
SIDE = 16


def test_it_is_the_same_with_kernels_and_without(monkeypatch):
    fast = beforehand(CLIP, made_rig(), SIDE)
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    plain = beforehand(CLIP, made_rig(), SIDE)
    for one, other in zip((fast.prior, fast.inside, *fast.motion), (plain.prior, plain.inside, *plain.motion), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    torch.testing.assert_close(fast.colour, plain.colour, atol=1e-5, rtol=0)
    assert fast.colour.dtype == plain.colour.dtype


def test_a_model_begins_with_the_same_bits_every_time():
    clips, config = [CLIP, made_clip("b", seed=1)], small_config()
    assert state_hash(build_model(config, clips, made_rig())) == state_hash(build_model(config, clips, made_rig()))


def test_without_a_rig_little_is_known():
    known = beforehand(CLIP, None, SIDE)
    assert known.colour is None
    assert known.motion is None
    assert not known.prior.any()
    assert 0 < known.inside.sum() < CELLS**3


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
